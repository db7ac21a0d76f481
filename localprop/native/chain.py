"""Chains of dense layers whose neurons have infinite speed.

In settle hops only the wave front of such a network changes anything that is read later: after
$2L$ hops every state and every costate is where one sweep forward and one sweep backward take it;
under least action, every state after $L$ hops. What is left are the hops in which weights move.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..law import CostateReversal, Hamiltonian, LeastAction, Phase
from ..network import Layered, of_one_stream
from .codes import LANES, LINE, STRETCH, TOLD, TURNED
from .plan import Unknown, code_of, plain_number, plan_cost, plan_least_action, plan_mass
from .room import aligned
from .workers import threads_for, together

NUMBERS = ("loss_setting", "dissipation", "decay", "floor", "rate", "weight_decay")
ACTION = ("stiffness", "inertial", "neuron_mass", "neuron_friction", "neuron_speed")


@dataclass(frozen=True)
class Chain:
    """What the loops have to know of a learner.

    **Fields:** `names` of the blocks, in order; `sizes` of the input and of the layers; `kinds` of
    activations; `loss`, `mass`: which; `numbers`: `NUMBERS`; `action`: of least action `ACTION`,
    else nothing; `plastic`: hops in which weights move; `hops`; `duration`; `streams`: how many,
    at least 1.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    kinds: tuple[int, ...]
    loss: int
    mass: int
    numbers: tuple[float, ...]
    action: tuple[float, ...]
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

    @property
    def work(self) -> int:
        """About how much a sample is: a sum for each weight and stream, and moves."""
        return self.weights * (self.streams + 4)


def chain_of(learner: Any) -> Chain:
    """Returns what the loops have to know of a `Learner`.

    **Raises:** `Unknown` for one that they cannot learn.
    """
    network, streams = of_one_stream(learner.network), learner.network.streams
    if type(network) is not Layered:
        raise Unknown(f"a {type(network).__name__}")
    names = _names(network)
    ints: dict[str, int] = {}
    floats: dict[str, float] = {}
    settled = _plan_law(learner.law, len(names), ints, floats)
    if learner.settle < settled:
        raise Unknown(f"{learner.settle} settle hops, where {settled} let everything settle")
    if learner.clock != "hop" or learner.average is not None or learner.review is not None:
        raise Unknown("a clock, an average or a review of the learner's own")
    plan_cost(learner.cost, ints, floats)
    if "m" in floats:
        floats["rate"] = 1 / floats["m"]
    return Chain(
        names=names,
        sizes=(*network.inputs[next(iter(network.inputs))], *(network.shapes[n][0] for n in names)),
        kinds=tuple(code_of(network.wiring[name].activation) for name in names),
        loss=ints["loss"],
        mass=ints["mass"],
        numbers=tuple(floats.get(name, 0.0) for name in NUMBERS),
        action=tuple(floats.get(name, 0.0) for name in ACTION) if "stiffness" in floats else (),
        plastic=learner.hops - learner.settle,
        hops=learner.hops,
        duration=learner.duration,
        streams=streams or 1,
    )


def _plan_law(law: Any, depth: int, ints: dict[str, int], floats: dict[str, float]) -> int:
    """Adds what a law is; returns after how many settle hops everything has settled.

    **Raises:** `Unknown`.
    """
    if type(law) is LeastAction:
        plan_least_action(law, ints, floats)
        floats |= {"dissipation": floats["friction"], "inertial": float(ints.get("inertial", 0))}
        return depth
    if type(law) is not Hamiltonian:
        raise Unknown(f"the law {type(law).__name__}")
    if type(law.policy) is not CostateReversal:
        raise Unknown(f"the policy {type(law.policy).__name__}")
    if law.weights != "semi-implicit" or law.traces is not None:
        raise Unknown("explicit weights, or traces")
    floats["dissipation"] = plain_number(law.dissipation, "dissipation")
    plan_mass(law.mass, ints, floats)
    return 2 * depth


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


def places(chain: Chain) -> np.ndarray:
    """Returns where the loops find what belongs to each layer, `(layers, 8)`.

    How many neurons are below it and in it; how far apart the streams' rows below are; its neurons
    in whole vectors, of which there is a row of weights for each neuron below, and one of biases;
    where its weights begin, and the states below; how far apart its own rows are, and where they
    begin, for a single stream.
    """
    rows, at, first, below = [], 0, 0, 0
    for n, m in zip(chain.sizes, chain.sizes[1:], strict=False):
        width, lanes, own = whole(n + 1), whole(m), whole(m + 1)
        rows.append((n, m, width, lanes, at, below, own, first))
        at, below, first = at + (n + 1) * lanes, first, first + own
    return np.array(rows)


def whole(numbers: int) -> int:
    """Returns the next multiple of a vector's lanes."""
    return -(-numbers // LANES) * LANES


def scratch(
    chain: Chain, dtype: Any, threads: int
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Returns arrays to work in: floating-point numbers, the streams' order, what threads share.

    Made here, for loops that make arrays take seconds longer to compile.
    """
    room, widths = max(chain.streams, LANES), [whole(m + 1) for m in chain.sizes]
    lengths = [room * sum(widths[1:])] * 6  # a, d, x, costate, and the latter two after a hop
    lengths += [room * widths[0], room * widths[-1], room * widths[-1]]  # inputs, targets, chances
    # Of each thread: the force; a matrix turned, and zeros; whether what it looked at is sound.
    lengths += [threads * max(STRETCH, LANES * max(widths)), threads * TURNED]
    lengths += [threads * LINE]
    ends = np.cumsum([-(-length // LINE) * LINE for length in lengths])
    arrays = tuple(np.split(aligned((ends[-1],), dtype), ends[:-1]))
    arrays[7].fill(np.nan)  # where there is no output there is no target
    return arrays, np.zeros(room, np.int64), np.zeros(LINE + TOLD, np.int64)


class ChainState:
    """What the loops carry of a chain: a phase in arrays of their own.

    **Arguments:** `chain`; `phase`: it stays valid; `threads`: how many may take a sample through
    its layers together.
    """

    def __init__(self, chain: Chain, phase: Phase, threads: int = 1):
        from . import chain_loops  # which imports Numba

        self.chain, self._shape, self._answer = chain, phase, chain_loops.answer
        self._learn = chain_loops.learn
        if chain.action:
            from . import chain_action  # whose loop is compiled for nobody else

            self._learn = chain_action.learn
        leaf = np.asarray(phase.x[chain.names[0]])
        self.dtype = leaf.dtype
        self._places, self._kinds = places(chain), np.array(chain.kinds)
        n, *_, lanes, at = self._places[-1, :5]
        self.moving = aligned((3, int(at + (n + 1) * lanes)), self.dtype)
        trees = phase.w, phase.momentum, phase.mass
        for flat, tree in zip(self.moving, trees, strict=True):
            if tree is not None:
                self._flatten(tree, flat)
        self._awake = np.array([self._first_awake()])
        self.x, self.costate = self._neurons(phase.x), self._neurons(phase.costate)
        self._clock, self.hop = np.array([phase.time]), int(phase.hop)
        lowest = np.finfo(self.dtype)
        known = *chain.numbers, lowest.tiny, lowest.min, 0.0, *chain.action
        self._constants = np.array(known, self.dtype)
        self._threads = 1 if chain.action else threads
        *self._scratch, self._shared = scratch(chain, self.dtype, self._threads)

    def learn(self, *given: np.ndarray, start: int = 0, alone: bool = False) -> int:
        """Learns samples in place; returns the number of the first that does harm, or -1.

        **Arguments:** as for `learning`.
        """
        loop, arguments = self.learning(*given, start=start, alone=alone)
        samples, threads = len(given[0]), threads_for(self._threads)
        self._shared[:] = 0
        fault = together(loop, threads, arguments[2:])
        self.hop += self.chain.hops * max(0, (samples if fault < 0 else fault + 1) - start)
        return fault

    def answer(self, u: np.ndarray, out: np.ndarray) -> None:
        """Writes what the network settles to under inputs `(T, inputs)`."""
        loop, arguments = self.answering(u, out)
        loop(*arguments)

    def compile(self) -> None:
        """Compiles the loops, or reads them from where they are kept; it learns nothing."""
        chain = self.chain
        none = np.zeros((0, chain.streams, chain.sizes[0]), self.dtype)
        target = np.zeros((0, chain.streams, chain.sizes[-1]), self.dtype)
        answers, lasts = target[:, 0], np.zeros(0, self.dtype)
        self.learn(none, target, lasts, target, none[:, 0], none[:, 0], answers)
        self.answer(none[:, 0], answers)

    def learning(
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
    ) -> tuple[Any, tuple[Any, ...]]:
        """Returns the loop that learns, and its arguments, for one thread.

        **Arguments:** `u`: `(T, S, inputs)`; `z`: `(T, S, outputs)`; `duration`: `(T,)`; `out`:
        `(T, S or 1, outputs)`, for what is predicted; `slope`: `(T, inputs)`, for the slope of
        the first stream's loss by its inputs, or empty; `query`: `(T, inputs)`, what is to be
        answered after each sample, in `answers`, `(T, outputs)`, or both empty; `start`: number
        of the first sample to learn; `alone`: whether only the first stream has a target.
        """
        chain = self.chain
        # Rows on end, or Numba compiles the loop once more, for three seconds.
        u, z = np.ascontiguousarray(u), np.ascontiguousarray(z)
        which = chain.loss, chain.mass, self._constants, chain.plastic
        own = self.moving, self._awake, self.x, self.costate
        samples = u, z, duration, chain.hops, self._clock, start, alone
        told = out, slope, query, answers
        given = *which, *own, *samples, *told, *self._scratch, self._shared
        return self._learn, (0, 1, self._places, self._kinds, *given)

    def answering(self, u: np.ndarray, out: np.ndarray) -> tuple[Any, tuple[Any, ...]]:
        """Returns the loop that answers, and its arguments; those given are as for `answer`."""
        given = self._places, self._kinds, self.moving[0], u, out, *self._scratch
        return self._answer, given

    def phase(self) -> Phase:
        """Returns a phase of these numbers, of arrays of NumPy, which does not change with them."""
        like = self._shape
        w, momentum, mass = (
            None if tree is None else self._tree(flat, tree)
            for flat, tree in zip(self.moving, (like.w, like.momentum, like.mass), strict=True)
        )
        found = object.__new__(Phase)  # without the checks that take longer than to learn
        vars(found).update(
            vars(like),
            x=self._split(self.x, like.x),
            costate=self._split(self.costate, like.x),
            w=w,
            momentum=momentum,
            mass=mass,
            time=self._clock.reshape(()).copy(),
            hop=np.array(self.hop).astype(np.int32),
        )
        return found

    def _matrices(self, flat: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yields each block's name, its matrix `(neurons, inputs)` and its biases, as views."""
        for name, (n, m, _, lanes, at, *_) in zip(self.chain.names, self._places, strict=True):
            rows = flat[at : at + (n + 1) * lanes].reshape(n + 1, lanes)[:, :m]
            yield name, rows[:n].T, rows[n]

    def _flatten(self, tree: Any, flat: np.ndarray) -> None:
        for name, weight, bias in self._matrices(flat):
            weight[...], bias[...] = tree[name].weight, tree[name].bias

    def _first_awake(self) -> int:
        """Returns how many of the first inputs have weights that move while all inputs are 0."""
        n, lanes = self.chain.sizes[0], self._places[0, 3]
        if self.chain.numbers[NUMBERS.index("weight_decay")]:
            return n
        memory = self.moving[1:, : n * lanes].reshape(2, n, lanes)
        return int(np.max(np.flatnonzero(memory.any(axis=(0, 2))), initial=-1)) + 1

    def _neurons(self, tree: Any) -> np.ndarray:
        each = [np.asarray(tree[name]) for name in self.chain.names]
        return np.concatenate([a.reshape(self.chain.streams, -1) for a in each], axis=1)

    def _split(self, a: np.ndarray, like: Any) -> Any:
        cuts = np.cumsum(self.chain.sizes[1:])[:-1]
        parts = zip(self.chain.names, np.split(a, cuts, axis=1), strict=True)
        return {name: part.reshape(like[name].shape).copy() for name, part in parts}

    def _tree(self, flat: np.ndarray, like: Any) -> Any:
        found = {name: (weight, bias) for name, weight, bias in self._matrices(flat)}
        leaves = [part.copy(order="C") for name in sorted(found) for part in found[name]]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)
