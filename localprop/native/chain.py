"""Chains of dense layers whose neurons have infinite speed, learned by Hamilton's equations.

In settle hops only the wave front of such a network changes anything that is read later: after
$2L$ hops every state and every costate is where one sweep forward and one sweep backward take it.
What is left are the hops in which weights move.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import numpy as np

from ..law import CostateReversal, Hamiltonian, Phase
from ..network import Layered, SharedWeights
from ..network.uncompiled import placed
from .codes import BLOCK, LANES
from .plan import Unknown, code_of, plain_number, plan_cost, plan_mass

NUMBERS = ("loss_setting", "dissipation", "decay", "floor", "rate", "weight_decay")


@dataclass(frozen=True)
class Chain:
    """What the loops have to know of a learner.

    **Fields:** `names` of the blocks, in order; `sizes` of the input and of the layers; `kinds` of
    activations; `loss`, `mass`: which; `numbers`: `NUMBERS`; `plastic`: hops in which weights
    move; `hops`; `duration`; `streams`: how many, at least 1.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    kinds: tuple[int, ...]
    loss: int
    mass: int
    numbers: tuple[float, ...]
    plastic: int
    hops: int
    duration: float
    streams: int

    @property
    def neurons(self) -> int:
        """How many there are."""
        return sum(self.sizes[1:])

    @property
    def weights(self) -> int:
        """How many there are, biases included."""
        return sum(m * (n + 1) for n, m in zip(self.sizes, self.sizes[1:], strict=False))


def chain_of(learner: Any) -> Chain:
    """Returns what the loops have to know of a `Learner`.

    **Raises:** `Unknown` for one that they cannot learn.
    """
    network, streams = learner.network, learner.network.streams
    if isinstance(network, SharedWeights):
        network = network.network
    if type(network) is not Layered:
        raise Unknown(f"a {type(network).__name__}")
    names = _names(network)
    law, settled = learner.law, 2 * len(names)
    if type(law) is not Hamiltonian:
        raise Unknown(f"the law {type(law).__name__}")
    if type(law.policy) is not CostateReversal:
        raise Unknown(f"the policy {type(law.policy).__name__}")
    if law.weights != "semi-implicit" or law.traces is not None:
        raise Unknown("explicit weights, or traces")
    if learner.settle < settled:
        raise Unknown(f"{learner.settle} settle hops, where {settled} let everything settle")
    if learner.clock != "hop" or learner.average is not None or learner.review is not None:
        raise Unknown("a clock, an average or a review of the learner's own")
    ints: dict[str, int] = {}
    floats = {"dissipation": plain_number(law.dissipation, "dissipation")}
    plan_cost(learner.cost, ints, floats)
    plan_mass(law.mass, ints, floats)
    if "m" in floats:
        floats["rate"] = 1 / floats["m"]
    return Chain(
        names=names,
        sizes=(*network.inputs[next(iter(network.inputs))], *(network.shapes[n][0] for n in names)),
        kinds=tuple(code_of(network.wiring[name].activation) for name in names),
        loss=ints["loss"],
        mass=ints["mass"],
        numbers=tuple(floats.get(name, 0.0) for name in NUMBERS),
        plastic=learner.hops - learner.settle,
        hops=learner.hops,
        duration=learner.duration,
        streams=streams or 1,
    )


def _names(network: Layered) -> tuple[str, ...]:
    """Returns the blocks in order.

    **Raises:** `Unknown` where they are no chain of dense layers of infinite speed.
    """
    if len(network.inputs) != 1 or network.output_blocks is not None:
        raise Unknown("several inputs or outputs")
    if network.plastic is not None:
        raise Unknown("weights that are held")
    below, names = next(iter(network.inputs)), []
    for name, block in network.wiring.items():
        module = network._skeleton(name)
        if type(module) is not eqx.nn.Linear or not module.use_bias:
            raise Unknown(f"block '{name}', a {type(module).__name__}")
        if block.parents != (below,) or block.silent or block.speed != np.inf:
            raise Unknown(f"block '{name}', which is no dense layer of infinite speed in a chain")
        below = name
        names.append(name)
    if below != network.output_block:
        raise Unknown(f"the output block '{network.output_block}', which is not the last")
    return tuple(names)


def scratch(chain: Chain, dtype: Any) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Returns arrays to work in: floating-point numbers, 32-bit integers, and the streams' order.

    Made here, for loops that make arrays take seconds longer to compile.
    """
    groups, inputs, outputs = -(-chain.streams // LANES), chain.sizes[0], chain.sizes[-1]
    widest, streams, neurons = max(chain.sizes), chain.streams, chain.neurons
    block = max(BLOCK, widest) + widest + LANES
    lengths = [groups * neurons * LANES] * 6  # a, d, x, costate, and the latter two after a hop
    lengths += [groups * inputs * LANES, outputs * LANES]  # inputs and targets in lanes
    lengths += [streams * inputs + LANES, inputs * LANES]  # inputs by row, and their slopes
    lengths += [streams * neurons + LANES] * 2  # states and errors by row
    lengths += [block, (widest + 3) * LANES]  # the force, and room for the loss
    bits, order = np.zeros(widest * LANES, np.int32), np.zeros(groups * LANES, np.int64)
    return tuple(np.zeros(length, dtype) for length in lengths), bits, order


class ChainState:
    """What the loops carry of a chain: a phase in arrays of their own.

    **Arguments:** `chain`; `phase`: it stays valid.
    """

    def __init__(self, chain: Chain, phase: Phase):
        self.chain, self._shape = chain, phase
        leaf = np.asarray(phase.x[chain.names[0]])
        self.dtype = leaf.dtype
        trees = phase.w, phase.momentum, phase.w if phase.mass is None else phase.mass
        self.moving = np.stack([self._flat(tree) for tree in trees])
        self.x, self.costate = self._neurons(phase.x), self._neurons(phase.costate)
        self._clock, self.hop = np.array([phase.time]), int(phase.hop)
        lowest = np.finfo(self.dtype)
        self._constants = np.array([*chain.numbers, lowest.tiny, lowest.min, 0.0], self.dtype)
        self._scratch = scratch(chain, self.dtype)
        self._sizes, self._kinds = np.array(chain.sizes), np.array(chain.kinds)

    def learn(
        self,
        u: np.ndarray,
        z: np.ndarray,
        duration: np.ndarray,
        out: np.ndarray,
        slope: np.ndarray,
        query: np.ndarray,
        answers: np.ndarray,
        *,
        start: int = 0,
        alone: bool = False,
    ) -> int:
        """Learns samples in place; returns the number of the first that does harm, or -1.

        **Arguments:** `u`: `(T, S, inputs)`; `z`: `(T, S, outputs)`; `duration`: `(T,)`; `out`:
        `(T, S or 1, outputs)`, for what is predicted; `slope`: `(T, inputs)`, for the slope of
        the first stream's loss by its inputs, or empty; `query`: `(T, inputs)`, what is to be
        answered after each sample, in `answers`, `(T, outputs)`, or both empty; `start`: number
        of the first sample to learn; `alone`: whether only the first stream has a target.
        """
        from .chain_loops import learn

        chain = self.chain
        which = chain.loss, chain.mass, self._constants, chain.plastic
        own = self.moving, self.x, self.costate
        samples = u, z, duration, chain.hops, self._clock, start, alone
        fault = learn(
            self._sizes,
            self._kinds,
            *which,
            *own,
            *samples,
            out,
            slope,
            query,
            answers,
            *self._scratch,
        )
        self.hop += chain.hops * max(0, (len(u) if fault < 0 else fault + 1) - start)
        return fault

    def answer(self, u: np.ndarray, out: np.ndarray) -> None:
        """Writes what the network settles to under inputs `(T, inputs)`."""
        from .chain_loops import answer

        answer(self._sizes, self._kinds, self.moving[0], u, out, *self._scratch[:2])

    def phase(self) -> Phase:
        """Returns a phase of these numbers, which does not change with them."""
        like = self._shape
        w, momentum, mass = (self._tree(flat) for flat in self.moving)
        return dataclasses.replace(
            like,
            x=self._split(self.x, like.x),
            costate=self._split(self.costate, like.x),
            w=w,
            momentum=momentum,
            mass=None if like.mass is None else mass,
            time=placed(self._clock.reshape(()).copy()),
            hop=placed(np.array(self.hop).astype(np.int32)),
        )

    def _flat(self, tree: Any) -> np.ndarray:
        parts = ((tree[name].weight, tree[name].bias) for name in self.chain.names)
        return np.concatenate([np.ravel(np.asarray(a)) for pair in parts for a in pair])

    def _neurons(self, tree: Any) -> np.ndarray:
        each = [np.asarray(tree[name]) for name in self.chain.names]
        return np.concatenate([a.reshape(self.chain.streams, -1) for a in each], axis=1)

    def _split(self, a: np.ndarray, like: Any) -> Any:
        cuts = np.cumsum(self.chain.sizes[1:])[:-1]
        parts = dict(zip(self.chain.names, np.split(a, cuts, axis=1), strict=True))
        return {name: placed(parts[name].reshape(a.shape).copy()) for name, a in like.items()}

    def _tree(self, flat: np.ndarray) -> Any:
        at, found = 0, {}
        pairs = zip(self.chain.names, self.chain.sizes, self.chain.sizes[1:], strict=False)
        for name, n, m in pairs:
            weight, bias = flat[at : at + m * n].reshape(m, n), flat[at + m * n : at + m * n + m]
            own = placed(weight.copy()), placed(bias.copy())
            found[name] = eqx.tree_at(lambda m: (m.weight, m.bias), self._shape.w[name], own)
            at += m * n + m
        return {name: found[name] for name in self._shape.w}
