"""Networks with banks of modes that one clock per sample moves, such as `Layered.memory` makes.

Under an instantaneous costate modes move in a sample's first hop, read by all that follows in it;
no error crosses into them. So after $2d$ hops, $d$ the longest way within a sample, one sweep
forward and one backward take every state and costate to where they are; what is left are the hops
in which weights move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from ..law import Adaptive, CostateReversal, ExponentialEuler, Hamiltonian
from ..network import Layered, ModeBank, Modes, of_one_stream
from ..network.activation import identity
from ..network.block import concatenate
from ..network.levels import _Thinned
from ..network.modes import _ReadModes
from .plan import Unknown, code_of, plain_number, plan_cost, plan_mass


class Vertex(NamedTuple):
    """A block: dense, of infinite speed; or of modes, whose features may be its source itself.

    **Fields:** `name`, `parent`; `mask`: the input that its source is multiplied by, or `None`;
    `read`: the first of the parent's modes that it reads and the one after the last, or `None`;
    `heard`: whether errors reach the parent; `inputs`, `features`: how many; `dense`: whether there
    are weights between them, and `free`, whether they move; `kind`: of activation; `banks`: of
    modes, none of a dense block.
    """

    name: str
    parent: str
    mask: str | None
    read: tuple[int, int] | None
    heard: bool
    inputs: int
    features: int
    dense: bool
    free: bool
    kind: int
    banks: tuple[ModeBank, ...]

    @property
    def modes(self) -> int:
        """How many there are."""
        return sum(bank.count for bank in self.banks)

    @property
    def voices(self) -> list[int]:
        """The modes that errors come back from."""
        return self._where([not bank.silent for bank in self.banks])

    @property
    def learned(self) -> list[int]:
        """The modes whose leaks and frequencies are learned."""
        return self._where([bank.learned for bank in self.banks])

    def _where(self, flags: list[bool]) -> list[int]:
        return np.flatnonzero(np.repeat(flags, [bank.count for bank in self.banks])).tolist()


@dataclass(frozen=True)
class Memory:
    """What the loops have to know of a learner.

    **Fields:** `inputs`: how many of each name; `vertices`: parents before their children;
    `readouts`: names of the blocks that are told the target; `said`: of those whose mean is the
    answer; `loss`, `mass`: which; `numbers`: by name; `plastic`: hops in which weights move;
    `hops`; `duration`; `streams`: how many, at least 1; `alone`: whether they are no axis; `over`:
    samples of a running mean of the weights, 0 for none.
    """

    inputs: tuple[tuple[str, int], ...]
    vertices: tuple[Vertex, ...]
    readouts: tuple[str, ...]
    said: tuple[str, ...]
    loss: int
    mass: int
    numbers: dict[str, float]
    plastic: int
    hops: int
    duration: float
    streams: int
    alone: bool
    over: float

    @property
    def work(self) -> int:
        """About how much a sample is: numbers of traces, and sums for each weight and stream."""
        weights = sum(v.features * (v.inputs + 1) * (1 + 4 * len(v.voices)) for v in self.vertices)
        return weights * self.streams


def has_modes(network: Any) -> bool:
    """Returns whether a block of a `Layered` network is one of modes."""
    return any(network._is_bank(name) for name in network.wiring)


def memory_of(learner: Any) -> Memory:
    """Returns what the loops have to know of a `Learner`.

    **Raises:** `Unknown` for one that they cannot learn.
    """
    network, streams = of_one_stream(learner.network), learner.network.streams
    if type(network) is not Layered:
        raise Unknown(f"a {type(network).__name__}")
    depth = network.depth_within_sample
    if network.cyclic or depth is None:
        raise Unknown("modes in a network that goes in circles")
    if any(len(shape) != 1 for shape in network.inputs.values()):
        raise Unknown("inputs of several axes")
    ints, floats = _plan(learner)
    if learner.settle < 2 * depth:
        raise Unknown(f"{learner.settle} settle hops, where {2 * depth} let everything settle")
    readouts = network.output_blocks or (network.output_block,)
    if any(network._is_bank(name) for name in readouts):
        raise Unknown("outputs that are modes")
    answer = network.answer or "mean"
    said = {"mean": readouts, "last": readouts[-1:]}.get(answer, (answer,))
    return Memory(
        inputs=tuple((name, shape[0]) for name, shape in network.inputs.items()),
        vertices=tuple(_vertex(network, name) for name in _in_order(network)),
        readouts=readouts,
        said=said,
        loss=ints["loss"],
        mass=ints["mass"],
        numbers=floats,
        plastic=learner.hops - learner.settle,
        hops=learner.hops,
        duration=learner.duration,
        streams=streams or 1,
        alone=streams is None,
        over=0.0 if learner.average is None else plain_number(learner.average, "average"),
    )


def _plan(learner: Any) -> tuple[dict[str, int], dict[str, float]]:
    """Returns what law and cost are.

    **Raises:** `Unknown`.
    """
    law, ints, floats = learner.law, {}, {}
    if type(law) is not Hamiltonian:
        raise Unknown(f"modes under the law {type(law).__name__}")
    if type(law.policy) is not CostateReversal:
        raise Unknown(f"modes under the policy {type(law.policy).__name__}")
    if type(law.integrator) is not ExponentialEuler or law.weights != "semi-implicit":
        raise Unknown("modes under another integrator, or explicit weights")
    if law.traces is None or not law.traces.instantaneous:
        raise Unknown("modes without traces, or with costates that take time")
    if learner.clock != "sample":
        raise Unknown("modes that move in every hop (clock='hop')")
    if learner.review is not None:
        raise Unknown("samples that are seen again (review=...)")
    plan_cost(learner.cost, ints, floats)
    floats["dissipation"] = plain_number(law.dissipation, "dissipation")
    mass = law.mass
    if type(mass) is Adaptive:  # whose rates, of which there may be many, are `rates_of`
        mass = eqx.tree_at(lambda m: m.rate, mass, 1.0)
    plan_mass(mass, ints, floats)
    return ints, floats


def rates_of(learner: Any, w: Any) -> list[float]:
    """Returns $\\eta$ of every array of the weights: the rate of a mass that has one, or 1/m.

    **Arguments:** `w`: weights, or their shapes.

    **Raises:** `Unknown` where one array has several.
    """
    mass = learner.law.mass
    rate = getattr(mass, "rate", None)
    if rate is None:
        rate = 1 / plain_number(mass.m, "mass")
    if isinstance(rate, float | int):
        return [float(rate)] * len(jax.tree.leaves(w))
    each = jax.tree.map(lambda r, part: jax.tree.map(lambda _: r, part), rate, w)
    return [plain_number(r, "rate") for r in jax.tree.leaves(each)]


def _in_order(network: Layered) -> list[str]:
    """Returns the blocks, parents before their children."""
    found, waiting = list(network.inputs), list(network.wiring)
    while waiting:
        ready = (n for n in waiting if set(network.wiring[n].parents) <= set(found))
        waiting.remove(name := next(ready))
        found.append(name)
    return found[len(network.inputs) :]


def _vertex(network: Layered, name: str) -> Vertex:
    block, module = network.wiring[name], network._skeleton(name)
    modes = type(module) is Modes
    inner, activation = module, block.activation
    if modes:
        inner, activation = module.module, module.activation
        if block.activation is not identity:
            raise Unknown(f"block '{name}', whose modes have an activation of their own")
    elif block.speed != np.inf:
        raise Unknown(f"block '{name}', which is of finite speed beside modes")
    dense = inner is not None
    if dense and (type(inner) is not eqx.nn.Linear or not inner.use_bias):
        raise Unknown(f"block '{name}', a {type(inner).__name__}, beside modes")
    mask, read, parent = _source(network, name)
    inputs = _read(network, parent, read)
    size = network.shapes[name][-1]
    return Vertex(
        name=name,
        parent=parent,
        mask=mask,
        read=read,
        heard=parent in network.wiring and parent not in (block.silent or ()) and not modes,
        inputs=inputs,
        features=size,
        dense=dense,
        free=_is_free(network, name),
        kind=code_of(activation),
        banks=module.banks if modes else (),
    )


def _is_free(network: Layered, name: str) -> bool:
    """Returns whether the weights of a block move.

    **Raises:** `Unknown` where some do.
    """
    free = True if network.plastic is None else network.plastic[name]
    each = [np.all(part) for part in jax.tree.leaves(free)]
    if any(each) and not all(np.all(part) for part in each):
        raise Unknown(f"block '{name}', of whose weights some are held, beside modes")
    return all(each)


def _source(network: Layered, name: str) -> tuple[str | None, tuple[int, int] | None, str]:
    """Returns the mask of what a block reads, which modes, and of which parent.

    **Raises:** `Unknown` where it reads otherwise.
    """
    block = network.wiring[name]
    parent, *others = block.parents
    modes = None
    if parent in network.wiring and network._is_bank(parent):
        modes = network.shapes[parent][1]
    if block.join is concatenate and modes is None and not others:
        return None, None, parent
    if type(block.join) is _ReadModes and modes is not None and not others:
        return None, slice(block.join.first, block.join.last).indices(modes)[:2], parent
    if type(block.join) is _Thinned and modes is not None and others[0] in network.inputs:
        return others[0], slice(block.join.first, None).indices(modes)[:2], parent
    raise Unknown(f"block '{name}', which joins what it reads in a way of its own")


def _read(network: Layered, parent: str, read: tuple[int, int] | None) -> int:
    """Returns how many numbers of its parent a block reads."""
    if parent in network.inputs:
        return network.inputs[parent][0]
    shape = network.shapes[parent]
    return shape[0] if read is None else 2 * max(0, read[1] - read[0]) * shape[-1]
