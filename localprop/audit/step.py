"""One move of the phase, a hop or a whole sample, as a function of its labelled parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..law import Phase
from .dependence import dependence
from .rules import QUANTITIES, VERTEX
from .wiring import Wiring, example

CHUNK = 512  # labels followed at once

Move = Callable[[Phase, Any, Any], Phase]


class Step:
    """What a move of the phase reads and writes, vertex by vertex and synapse by synapse.

    **Arguments:** `move`: from phase, input and target to the next phase; `wires`: the digraph;
    `phase`: the shapes of a phase.
    """

    def __init__(self, move: Move, wires: Wiring, phase: Phase):
        self.move = move
        vertices, synapses = len(wires.names), len(wires.heads)
        self.sizes = {q: vertices if q in VERTEX else synapses for q in QUANTITIES}
        starts = np.cumsum([0, *self.sizes.values()])
        self.offsets = dict(zip(QUANTITIES, starts[:-1], strict=True))
        self.count = int(starts[-1])
        groups = {"x": wires.state, "costate": wires.state, "w": wires.synapse}
        groups["momentum"] = wires.synapse
        groups["mass"] = _mass_groups(phase, wires)
        groups["trace"] = _trace_groups(phase.trace, wires.synapse)
        self.groups = groups
        at = lambda q, tree: jax.tree.map(lambda a: np.asarray(a) + self.offsets[q], tree)  # noqa: E731
        moving = {q: at(q, tree) for q, tree in groups.items()}
        # An input vertex has no state; what it shows is its x.
        self.labels = (moving, at("x", wires.sample), at("z", wires.target))
        self.example = example(self.labels, jax.random.key(7))
        self.example[0]["mass"] = jax.tree.map(jnp.abs, self.example[0]["mass"])
        self.clock = (jnp.zeros(()), jnp.zeros((), jnp.int32))
        self._reach: dict[frozenset[str], dict[str, np.ndarray]] = {}
        self.compiled = jax.jit(lambda arguments: self(self.clock, *arguments))

    def __call__(self, clock: Any, moving: dict[str, Any], u: Any, z: Any) -> dict[str, Any]:
        after = self.move(Phase(**moving, time=clock[0], hop=clock[1]), u, z)
        return {q: getattr(after, q) for q in moving}

    def followed(self, function: Any, stop: frozenset[str] = frozenset()) -> Any:
        """Returns a tree like the function's result, of boolean arrays `(labels, *shape)`.

        **Arguments:** `function`: of the clock and the labelled parts; `stop`: as for
        `dependence`. The clock is unknown, so that a policy's both signs are looked at.
        """
        arguments, held = (self.clock, *self.example), (np.array(-1), np.array(-1))
        structure = jax.tree.structure(jax.eval_shape(function, *arguments))
        every = np.arange(self.count)
        chunks = [every[k : k + CHUNK] for k in range(0, self.count, CHUNK)]
        labels = (held, *self.labels)
        parts = [dependence(function, arguments, labels, chunk, stop) for chunk in chunks]
        return structure.unflatten([np.concatenate(leaf) for leaf in zip(*parts, strict=True)])

    def reach(self, stop: frozenset[str] = frozenset()) -> dict[str, np.ndarray]:
        """Returns per quantity `[label, vertex or synapse]`: whether the label can reach it."""
        if stop not in self._reach:
            followed = self.followed(self, stop)
            self._reach[stop] = {q: self._grouped(q, tree) for q, tree in followed.items()}
        return self._reach[stop]

    def matrix(self) -> np.ndarray:
        """Returns `[label before, label after]`: what can reach what. Inputs and targets stay."""
        table = np.eye(self.count, dtype=bool)
        table[:, self.moving()] = False
        for quantity, reach in self.reach().items():
            start = self.offsets[quantity]
            table[:, start : start + self.sizes[quantity]] |= reach
        return table

    def moving(self) -> np.ndarray:
        """Returns the labels of what is carried, without inputs and targets."""
        return np.unique(in_a_row(self.labels[0]))

    def occurring(self) -> np.ndarray:
        """Returns the labels of all there is, inputs and targets among them."""
        return np.unique(in_a_row(self.labels))

    def quantities(self) -> tuple[str, ...]:
        """Returns the quantities that have numbers."""
        return tuple(q for q in self.groups if jax.tree.leaves(self.groups[q]))

    def _grouped(self, quantity: str, tree: Any) -> np.ndarray:
        table = np.zeros((self.count, self.sizes[quantity]), bool)
        groups = jax.tree.leaves(self.groups[quantity])
        for reach, group in zip(jax.tree.leaves(tree), groups, strict=True):
            rows, places = np.nonzero(reach.reshape(len(reach), -1))
            table[rows, np.ravel(group)[places]] = True
        return table

    def held(self) -> tuple[str, ...]:
        """Returns the quantities that the move hands on as they are, by its program."""
        closed = jax.make_jaxpr(self)(self.clock, *self.example).jaxpr
        names = jax.tree.structure(self.example[0])
        before = names.unflatten(closed.invars[len(self.clock) :][: names.num_leaves])
        after = names.unflatten(closed.outvars)
        leaves = lambda tree, q: jax.tree.leaves(tree[q])  # noqa: E731
        return tuple(
            q
            for q in self.quantities()
            if all(a is b for a, b in zip(leaves(before, q), leaves(after, q), strict=True))
        )

    def witness(self, quantity: str, target: int, label: int) -> bool:
        """Returns whether changing one label's numbers, by much or little, moves the target."""
        for scale in (1.0, 0.01):  # a switch may be thrown at another size of the phase
            start = jax.tree.map(lambda a, c=scale: c * a, self.example)
            before = self._value(quantity, target, start)
            for change in (0.1, 1.0, 10.0, 1000.0):
                moved = jax.tree.map(
                    lambda a, mark, c=change: jnp.where(mark == label, a + c, a), start, self.labels
                )
                if not np.array_equal(self._value(quantity, target, moved), before):
                    return True
        return False

    def _value(self, quantity: str, target: int, arguments: Any) -> np.ndarray:
        after = jax.tree.leaves(self.compiled(arguments)[quantity])
        groups = jax.tree.leaves(self.groups[quantity])
        parts = [np.asarray(a)[np.asarray(g) == target] for a, g in zip(after, groups, strict=True)]
        return np.concatenate(parts)


def in_a_row(tree: Any) -> np.ndarray:
    """Returns all numbers of a tree, one after the other."""
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])


def _trace_groups(trace: Any, synapse: Any) -> Any:
    """A trace is of the synapse whose weight it credits; a block's synapses are one."""
    if trace is None:
        return None
    if not isinstance(synapse, dict):
        return np.broadcast_to(synapse, trace.shape)
    if all(isinstance(tree, np.ndarray) for tree in synapse.values()):
        return {name: np.broadcast_to(synapse[name], a.shape) for name, a in trace.items()}
    of = {
        name: np.ravel(next(iter(jax.tree.leaves(tree)), 0))[:1] for name, tree in synapse.items()
    }
    return {
        name: jax.tree.map(lambda a, k=of[name]: np.full(a.shape, k), tree)
        for name, tree in trace.items()
    }


def _mass_groups(phase: Any, wires: Wiring) -> Any:
    """The mass remembers per synapse, or nothing."""
    if not jax.tree.leaves(phase.mass):
        return phase.mass
    return jax.tree.map(lambda _, group: group, phase.mass, wires.synapse)
