"""Learners of chains of dense layers in fused loops, with the face of `Engine`."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from ..law import Phase
from ..law.base import answer_loss
from .chain import Chain, ChainState
from .engine import Learned
from .in_place import InPlaceEngine, are_shaped


class ChainEngine(InPlaceEngine[ChainState]):
    """What `Learner` asks of an engine, for a chain.

    **Arguments:** `chain`; `learner`: of which it was made, for its losses; `dtype`: JAX's.
    """

    def __init__(self, chain: Chain, learner: Any, dtype: Any):
        super().__init__(chain.work)
        self.chain, self.dtype = chain, np.dtype(dtype)
        self.lead = () if learner.network.streams is None else (chain.streams,)
        network, cost = learner.network, learner.cost
        self._losses = jax.jit(jax.vmap(lambda output, z: answer_loss(network, cost, output, z)))

    def fits(self, phase: Phase) -> bool:
        """Returns whether a phase is one of this learner's, in JAX's precision."""
        if self._is_kept(phase):
            return True
        if any(part is not None for part in (phase.trace, phase.average, phase.review)):
            return False
        if (phase.mass is None) != (self.chain.mass == 0) or not isinstance(phase.x, dict):
            return False
        sizes = dict(zip(self.chain.names, self.chain.sizes[1:], strict=True))
        if any(phase.x.get(name) is None for name in sizes) or len(phase.x) != len(sizes):
            return False
        shapes = [np.shape(phase.x[name]) == (*self.lead, m) for name, m in sizes.items()]
        below = dict(zip(self.chain.names, self.chain.sizes, strict=False))
        shapes += [np.shape(phase.w[name].weight) == (m, below[name]) for name, m in sizes.items()]
        leaves = jax.tree.leaves((phase.x, phase.costate, phase.w, phase.momentum, phase.mass))
        same = (a.dtype == self.dtype and not isinstance(a, Tracer) for a in leaves)
        return all(shapes) and all(same)

    def takes(self, samples: Any) -> bool:
        """Returns whether samples have this learner's shapes, and nothing that it does not know."""
        length, (inputs, *_, outputs) = len(samples.z), self.chain.sizes
        return (
            getattr(samples.u, "shape", None) == (length, *self.lead, inputs)
            and are_shaped(samples, self.lead, (*self.lead, outputs))
            and samples.weight is None
            and samples.begins is None
        )

    def asks(self, u: Any) -> bool:
        """Returns whether these are rows of inputs of a single stream, and not traced."""
        single = not self.lead and isinstance(u, np.ndarray)
        return single and u.shape[1:] == self.chain.sizes[:1]

    def learn(
        self,
        phase: Phase,
        samples: tuple[Any, ...],
        count: int,
        record: tuple[str, ...],
        watch: bool = False,
    ) -> Learned:
        """Learns the first `count` samples, of `u`, `z` and `duration`."""
        del watch  # what is not finite is seen at every sample
        (inputs, *_, outputs), wide = self.chain.sizes, (count, self.chain.streams)
        u, z, lasts = samples[0][:count], samples[1][:count], samples[2]
        lasts = np.full(count, self.chain.duration) if lasts is None else lasts[:count]
        state, none = self._state(phase), np.zeros((0, inputs), self.dtype)
        out, nothing = np.zeros((*wide, outputs), self.dtype), np.zeros((0, outputs), self.dtype)
        u = np.asarray(u.reshape(*wide, inputs), self.dtype)
        target = np.asarray(z.reshape(*wide, outputs), self.dtype)
        lasts = np.asarray(lasts, self.dtype)
        bad = state.learn(u, target, lasts, out, none, none, nothing)
        output = out.reshape(z.shape)
        trace = {"output": output}
        if "loss" in record:
            trace["loss"] = np.asarray(self._losses(output, z))
        found = {name: trace[name] for name in record}
        after = state.phase()
        if count == 1 and bad < 0:
            self._keep(after, state)
        return Learned(after, found, None if bad < 0 else bad)

    def answer(self, phase: Phase, u: np.ndarray) -> np.ndarray:
        """Returns what is answered to each row of inputs, `(rows, outputs)`."""
        out = np.zeros((len(u), self.chain.sizes[-1]), self.dtype)
        state = self._state(phase)
        state.answer(np.ascontiguousarray(u, self.dtype), out)
        self._keep(phase, state)
        return out

    def _begun(self, phase: Phase) -> ChainState:
        return ChainState(self.chain, phase, self._threads)
