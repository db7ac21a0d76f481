"""A layered network that gets inputs and outputs as its stream needs them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import jax
import numpy as np

from .cost import Cost
from .law import AbstractLaw, Phase
from .learner import Learner, Samples, Trace
from .network import Layered, grow


class Model:
    """A learner and its phase, growing together.

    New inputs and outputs start with zero weights, so nothing else is disturbed.

    **Arguments:**

    - `cost`, `law`: as for `Learner`.
    - `hidden`: sizes of the hidden layers.
    - `hops`: per sample, or `"auto"`.
    - `output_scale`, `bias_scale`: of the output layer's first weights, of the hidden biases.
    - `seed`: of the initial weights.
    - `capacity`: most samples per call.
    """

    def __init__(
        self,
        cost: Cost,
        law: AbstractLaw,
        hidden: Sequence[int],
        *,
        hops: int | str,
        output_scale: float,
        bias_scale: float,
        seed: int,
        capacity: int,
    ):
        self.cost, self.law, self.hidden, self.hops = cost, law, tuple(hidden), hops
        self.output_scale, self.bias_scale = output_scale, bias_scale
        self.seed, self.capacity = seed, capacity
        self.inputs = self.outputs = 0
        self.compile_seconds = 0.0  # spent on building and compiling, so far
        self._compiled = False
        self._learner: Learner | None = None
        self._phase: Phase | None = None

    @property
    def learner(self) -> Learner:
        """The learner for the present sizes."""
        assert self._learner is not None, "make_room comes first"
        return self._learner

    @property
    def phase(self) -> Phase:
        """The phase after the last sample."""
        assert self._phase is not None, "make_room comes first"
        return self._phase

    def make_room(self, inputs: int, outputs: int) -> None:
        """Builds the network, or grows it, for at least so many inputs and outputs."""
        if inputs <= self.inputs and outputs <= self.outputs:
            return
        began = time.perf_counter()
        if inputs > self.inputs:
            # Half as many again: a stream that keeps growing recompiles seldom.
            spare = self.inputs + max(8, self.inputs // 2) if self.inputs else 0
            inputs = max(inputs, spare)
        self.resize(max(inputs, self.inputs), max(outputs, self.outputs))
        if self._phase is None:
            self._phase = self.learner.init(jax.random.key(self.seed))
        else:
            like = jax.eval_shape(self.learner.init, jax.random.key(self.seed))
            self._phase = grow(self._phase, like)
        self.compile_seconds += time.perf_counter() - began

    def resize(self, inputs: int, outputs: int) -> None:
        """Builds the learner for exactly these sizes, leaving the phase alone."""
        sizes = [inputs, *self.hidden, outputs]
        network = Layered.dense(sizes, output_scale=self.output_scale, bias_scale=self.bias_scale)
        self._learner = Learner(network, self.cost, self.law, hops=self.hops)  # pyright: ignore
        self.inputs, self.outputs, self._compiled = inputs, outputs, False

    def restore(self, phase: Phase) -> None:
        """Goes on from this phase."""
        self._phase = phase

    def learn(self, samples: Samples, record: Sequence[str], done: int) -> Trace:
        """Learns a piece, whose `u` and `query` may lack inputs at the end, and returns its trace.

        **Arguments:** `samples`, with durations relative to the learner's own; `record`; `done`:
        number of the first sample.

        **Raises:** `DivergenceError`.
        """
        part = self._fit(samples)
        if not self._compiled:
            began = time.perf_counter()
            self.learner.compile(self.phase, part, record, capacity=self.capacity)
            self.compile_seconds += time.perf_counter() - began
            self._compiled = True
        self._phase, trace = self.learner.advance(
            self.phase, part, record, capacity=self.capacity, done=done
        )
        return trace

    def _fit(self, samples: Samples) -> Samples:
        def widen(a):
            return None if a is None else np.pad(a, ((0, 0), (0, self.inputs - a.shape[1])))

        relative = samples.duration
        duration = None if relative is None else relative * self.learner.duration
        part = Samples(widen(samples.u), samples.z, duration, widen(samples.query))
        return jax.tree.map(lambda a: np.asarray(a, np.float32), part)
