"""Learners of networks with banks of modes in fused loops, with the face of `Engine`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..law import Adaptive, Phase
from .engine import Learned, each
from .in_place import InPlaceEngine, are_shaped
from .memory import Memory, memory_of, rates_of
from .memory_state import MemoryState

# What was known of the last learners, each as a tree: a schedule makes a new one for each rate.
_recent: deque[tuple[Any, list[Any], Memory, Any]] = deque(maxlen=4)


def _known(learner: Any) -> tuple[Memory, Any]:
    """Returns what the loops have to know of a learner, its rates apart, and a phase's shapes.

    **Raises:** `Unknown` for one that they cannot learn.
    """
    bare = learner
    if type(getattr(learner.law, "mass", None)) is Adaptive:
        bare = eqx.tree_at(lambda made: made.law.mass.rate, learner, None)
    leaves, structure = jax.tree.flatten((bare, jnp.result_type(float)))
    for like, known, memory, shapes in _recent:
        if like == structure and all(a is b for a, b in zip(known, leaves, strict=True)):
            return memory, shapes
    memory = memory_of(learner)
    shapes = jax.eval_shape(learner.init, jax.eval_shape(jax.random.key, 0))
    _recent.append((structure, leaves, memory, shapes))
    return memory, shapes


class MemoryEngine(InPlaceEngine[MemoryState]):
    """What `Learner` asks of an engine, for a network with banks of modes.

    **Arguments:** `learner`.

    **Raises:** `Unknown` for one that the loops cannot learn.
    """

    def __init__(self, learner: Any):
        memory, like = _known(learner)
        super().__init__(memory.work)
        self.memory, self.dtype = memory, np.dtype(jnp.result_type(float))
        self.lead = () if memory.alone else (memory.streams,)
        self._inputs = dict(memory.inputs)
        self._outputs = next(v.features for v in memory.vertices if v.name in memory.readouts)
        self._structure = jax.tree.structure(like)
        self._shapes = [leaf.shape for leaf in jax.tree.leaves(like)]
        self._rates = rates_of(learner, like.w)

    def fits(self, phase: Phase) -> bool:
        """Returns whether a phase is one of this learner's, in JAX's precision."""
        if self._is_kept(phase):
            return True
        leaves, structure = jax.tree.flatten(phase)
        if structure != self._structure or any(isinstance(a, Tracer) for a in leaves):
            return False
        shapes = [np.shape(a) for a in leaves]
        kinds = {a.dtype for a in leaves if a is not phase.hop}
        return shapes == self._shapes and kinds == {self.dtype} and phase.hop.dtype == np.int32

    def takes(self, samples: Any) -> bool:
        """Returns whether samples have this learner's shapes."""
        targets = (*self.lead, self._outputs)
        return self._reads(samples.u, len(samples.z)) and are_shaped(samples, self.lead, targets)

    def asks(self, u: Any) -> bool:
        """Returns whether these are rows of inputs, and not traced."""
        leaves = jax.tree.leaves(u)
        plain = all(isinstance(a, np.ndarray) for a in leaves)
        return plain and len(leaves) > 0 and self._reads(u, len(leaves[0]))

    def _reads(self, u: Any, length: int) -> bool:
        """Returns whether inputs have the shapes of the network's."""
        if not isinstance(u, Mapping):
            u = {next(iter(self._inputs)): u}
        shape = (length, *self.lead)
        shapes = {name: getattr(a, "shape", None) for name, a in u.items()}
        return shapes == {name: (*shape, size) for name, size in self._inputs.items()}

    def learn(
        self,
        phase: Phase,
        samples: tuple[Any, ...],
        count: int,
        record: tuple[str, ...],
        watch: bool = False,
    ) -> Learned:
        """Learns the first `count` samples, of `u`, `z`, `duration`, `weight` and `begins`."""
        del watch  # what is not finite is seen at every sample
        u, z, lasts, weight, begins = samples
        state, wide = self._state(phase), (count, self.memory.streams)
        lasts = np.full(count, self.memory.duration) if lasts is None else lasts[:count]
        out = np.zeros((*wide, self._outputs), self.dtype)
        losses = np.zeros(count if "loss" in record else 0, self.dtype)
        bad = state.learn(
            self._joined(u, count),
            np.ascontiguousarray(z[:count].reshape(*wide, self._outputs), self.dtype),
            np.asarray(lasts, self.dtype),
            self._each(weight, wide),
            self._each(begins, wide) != 0,
            out,
            losses,
        )
        trace = {"output": out.reshape(count, *self.lead, self._outputs), "loss": losses}
        after = state.phase()
        if count == 1 and bad < 0:
            self._keep(after, state)
        return Learned(after, {name: trace[name] for name in record}, None if bad < 0 else bad)

    def answer(self, phase: Phase, u: Any) -> np.ndarray:
        """Returns what is answered to each row of inputs, `(rows, *streams, outputs)`."""
        u = self._joined(u, len(jax.tree.leaves(u)[0]))
        out = np.zeros((*u.shape[:2], self._outputs), self.dtype)
        state = self._state(phase)
        state.answer(u, out)
        self._keep(phase, state)
        return out.reshape(len(u), *self.lead, self._outputs)

    def _joined(self, u: Any, count: int) -> np.ndarray:
        """Returns the inputs of all names side by side, `(T, S, inputs)`."""
        each = [u[name] for name in self._inputs] if isinstance(u, Mapping) else [u]
        parts = [np.asarray(a, self.dtype) for a in each]
        parts = [a.reshape(len(a), self.memory.streams, -1)[:count] for a in parts]
        return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2))

    def _each(self, a: Any, wide: tuple[int, int]) -> np.ndarray:
        """Returns one number for each sample and stream, or none where there are none."""
        return np.zeros((0, 0), self.dtype) if a is None else each(a, wide, self.dtype)

    def _begun(self, phase: Phase) -> MemoryState:
        return MemoryState(self.memory, self._rates, self._structure, phase, self._threads)
