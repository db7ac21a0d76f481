"""A layered network that gets inputs and outputs as its stream needs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from ..cost import Cost
from ..forked import refuse_lame_fork
from ..law import AbstractLaw, Phase
from ..learner import Learner, Trace
from ..learner.samples import Samples
from ..network import Layered, grow

LANES = 8  # inputs come in multiples of it: as many float32 as a vector instruction adds


class Model:
    """A learner and its phase, growing together.

    It begins with as many inputs and outputs as are known ahead, with random weights. Those that
    come later start with zero weights, so nothing else is disturbed.

    **Arguments:**

    - `cost`, `law`: as for `Learner`.
    - `hidden`: sizes of the hidden layers.
    - `hops`: per sample, or `"auto"`.
    - `output_scale`, `bias_scale`: of the output layer's first weights, of the hidden biases.
    - `seed`: of the initial weights.
    - `capacity`: most samples per call.
    - `start`: inputs and outputs to begin with.
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
        start: tuple[int, int],
    ):
        self.cost, self.law, self.hidden, self.hops = cost, law, tuple(hidden), hops
        self.output_scale, self.bias_scale = output_scale, bias_scale
        self.seed, self.capacity, self.start = seed, capacity, start
        self.inputs = self.outputs = 0
        self.compile_seconds = 0.0  # spent on building and compiling, so far
        self.on_compile: Callable[[bool], None] = lambda _: None  # told when it begins and ends
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
        refuse_lame_fork()
        began = time.perf_counter()
        key = jax.random.key(self.seed)
        if self._phase is None:
            self.resize(max(self.start[0], 1), max(self.start[1], 1))
            self._phase = self.learner.init(key)
        # More than is asked for: a stream that keeps growing recompiles seldom.
        if inputs > self.inputs:
            inputs = max(inputs, self.inputs + max(LANES, self.inputs // 2))
        if outputs > self.outputs:
            outputs = max(outputs, 2 * self.outputs, LANES)
        # Whole lanes: sums over the inputs then keep their order, and every bit, when more come.
        inputs = -(-max(inputs, self.inputs) // LANES) * LANES
        self.resize(inputs, max(outputs, self.outputs))
        self._phase = grow(self._phase, jax.eval_shape(self.learner.init, key))
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
        """Learns a piece and returns its trace, growing at the row that needs it.

        Hence a row's numbers depend on no later row, and not on how the stream is cut.

        **Arguments:** `samples`, whose `u` and `query` may lack inputs at the end, and whose
        durations are relative to the learner's own; `record`; `done`: number of the first sample.

        **Raises:** `DivergenceError`.
        """
        if self._phase is None:
            self.make_room(*self.start)
        inputs, outputs = _reach(samples.u != 0), _reach(~np.isnan(samples.z))
        traces, start, rows = [], 0, len(samples.u)
        while start < rows:
            self.make_room(int(inputs[start]), int(outputs[start]))
            stop = int(np.searchsorted(inputs, self.inputs, side="right"))
            stop = min(stop, int(np.searchsorted(outputs, self.outputs, side="right")))
            part = jax.tree.map(lambda a, rows=slice(start, stop): a[rows], samples)
            traces.append(self._learn_part(part, record, done + start))
            start = stop
        return {name: _joined([trace[name] for trace in traces]) for name in record}

    def preview(self, u: np.ndarray, relative: np.ndarray | None) -> np.ndarray:
        """Returns the outputs for inputs `(rows, inputs)`, learning nothing.

        **Arguments:** `relative`: durations relative to the learner's own, or `None`.
        """
        parts = [np.zeros((0, self.outputs))]
        for start in range(0, len(u), self.capacity):
            rows = slice(start, start + self.capacity)
            z = np.full((len(u[rows]), self.outputs), np.nan)
            duration = None if relative is None else relative[rows]
            part = self._fit(Samples(u[rows], z, duration))
            parts.append(self.learner.preview_many(self.phase, part, capacity=self.capacity))
        return np.concatenate(parts)

    def _learn_part(self, samples: Samples, record: Sequence[str], done: int) -> Trace:
        part = self._fit(samples)
        if not self._compiled:
            began = time.perf_counter()
            self.on_compile(True)
            self.learner.compile(self.phase, part, record, capacity=self.capacity)
            self.on_compile(False)
            self.compile_seconds += time.perf_counter() - began
            self._compiled = True
        self._phase, trace = self.learner.advance(
            self.phase, part, record, capacity=self.capacity, done=done
        )
        return trace

    def _fit(self, samples: Samples) -> Samples:
        u, z, relative, query = samples
        duration = None if relative is None else relative * self.learner.duration
        query = None if query is None else _widened(query, self.inputs, 0.0)
        part = Samples(
            _widened(u, self.inputs, 0.0), _widened(z, self.outputs, np.nan), duration, query
        )
        return jax.tree.map(lambda a: np.asarray(a, np.float32), part)


def _reach(used: np.ndarray) -> np.ndarray:
    """Returns, for every row, how many columns it and the rows before it need."""
    places = np.arange(1, used.shape[1] + 1)
    return np.maximum.accumulate((used * places).max(axis=1, initial=0))


def _widened(a: np.ndarray, width: int, value: float) -> np.ndarray:
    """Returns the array with as many columns; those cut off hold nothing."""
    missing = max(0, width - a.shape[1])
    return np.pad(a[:, :width], ((0, 0), (0, missing)), constant_values=value)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    if parts[0].ndim == 2:
        width = max(part.shape[1] for part in parts)
        parts = [_widened(part, width, 0.0) for part in parts]
    return np.concatenate(parts)
