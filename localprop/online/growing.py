"""A bank of networks that get inputs and outputs as their stream needs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import jax
import numpy as np

from ..errors import ConfigError
from ..forked import refuse_lame_fork
from ..learner import Samples, Trace
from ..native.plan import Unknown
from ..network import grow
from .bank import Bank, Phases
from .memory import width
from .native import NativeBank
from .wide import widened

LANES = 8  # inputs come in multiples of it: as many float32 as a vector instruction adds
FEW = 8  # samples of the loop for rows that come one by one
MOST_NUMBERS = 1 << 23  # of the inputs of a piece


class Sizes(NamedTuple):
    """How many inputs, inputs without bins, and outputs there are."""

    inputs: int
    plain: int
    outputs: int


class Model:
    """A bank and its phases, growing together.

    It begins with as many inputs and outputs as are known ahead, with random weights. Those that
    come later start with zero weights, so nothing else is disturbed.

    **Arguments:**

    - `build`: returns the bank for some sizes.
    - `seed`: of the initial weights.
    - `most`: most samples per call; wide rows are fewer.
    - `streams`: rows that a sample shows at once.
    - `start`: sizes to begin with.
    - `engine`: `"native"`, `"xla"`, or `"auto"`: native where its loops know the experts.

    **Raises:** `ConfigError`, when it is built, for experts that the native engine does not know.
    """

    def __init__(
        self,
        build: Callable[[Sizes], Bank],
        *,
        seed: int,
        most: int,
        streams: int,
        start: Sizes,
        engine: str = "auto",
    ):
        self.build, self.seed, self.most, self.streams = build, seed, most, streams
        self.start = Sizes(*(max(size, 1) for size in start))
        self.engine = engine
        self.sizes = Sizes(0, 0, 0)
        self.compile_seconds = 0.0  # spent on building and compiling, so far
        self.restarted: dict[str, int] = {}  # experts that turned non-finite, how often
        self.on_compile: Callable[[bool], None] = lambda _: None  # told when it begins and ends
        # Told the number of the sample within what is learned, and the expert's name.
        self.on_restart: Callable[[int, str], None] = lambda sample, name: None
        self._depth = 0  # of what is being built or compiled
        self._compiled: set[tuple[str, int]] = set()  # what, and for how many samples
        self._bank: Bank | None = None
        self._phase: Phases | None = None  # of XLA's programs
        self._native: NativeBank | None = None

    @property
    def bank(self) -> Bank:
        """The bank for the present sizes."""
        assert self._bank is not None, "make_room comes first"
        return self._bank

    @property
    def phase(self) -> Phases:
        """The phases after the last sample."""
        if self._native is not None:
            return self._native.phases()
        assert self._phase is not None, "make_room comes first"
        return self._phase

    @property
    def native(self) -> NativeBank | None:
        """The experts in fused loops, where these know them."""
        return self._native

    @property
    def aside(self) -> bool:
        """Whether it can learn in a thread of its own, beside the interpreter's work."""
        return self._native is not None

    @property
    def begun(self) -> bool:
        """Whether there are phases."""
        return self._native is not None or self._phase is not None

    @property
    def capacity(self) -> int:
        """Most samples in a call."""
        return capacity(self.most, self.streams * self.sizes.inputs)

    def _capacity(self, what: str, rows: int) -> int:
        """Returns for how many samples the loop that is to learn or answer some is compiled.

        Rows that come one by one have a loop of their own, which has less to copy; its numbers are
        the same.
        """
        few, many = (what, FEW), (what, self.capacity)
        small = rows <= FEW and (few in self._compiled or many not in self._compiled)
        return FEW if small else self.capacity

    def make_room(self, needed: Sizes) -> None:
        """Builds the networks, or grows them, for at least these sizes."""
        if all(a <= b for a, b in zip(needed, self.sizes, strict=True)):
            return
        refuse_lame_fork()
        with self.compiling():
            self._make_room(needed)

    def _make_room(self, needed: Sizes) -> None:
        key = jax.random.key(self.seed)
        if self.begun:
            phase = self.phase
        else:
            self.resize(self.start)
            phase = self.bank.init(key)
        # More than is asked for: a stream that keeps growing recompiles seldom.
        inputs, plain = (
            _in_lanes(new, old) for new, old in zip(needed[:2], self.sizes[:2], strict=True)
        )
        outputs = needed.outputs
        if outputs > self.sizes.outputs:
            outputs = max(outputs, 2 * self.sizes.outputs, LANES)
        self.resize(Sizes(inputs, plain, max(outputs, self.sizes.outputs)))
        self.restore(grow(phase, jax.eval_shape(self.bank.init, key)))

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Says that something is built or compiled, and counts the seconds that it takes."""
        began, self._depth = time.perf_counter(), self._depth + 1
        if self._depth == 1:
            self.on_compile(True)
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.compile_seconds += time.perf_counter() - began
                self.on_compile(False)

    def resize(self, sizes: Sizes) -> None:
        """Builds the bank for exactly these sizes, leaving the phases alone."""
        self._bank = self.build(sizes)
        self.sizes, self._compiled = sizes, set()

    def restore(self, phase: Phases) -> None:
        """Goes on from these phases."""
        self._phase, self._native = phase, None
        if self.engine == "xla":
            return
        try:
            self._native, self._phase = NativeBank(self.bank, phase), None
        except Unknown as unknown:
            if self.engine == "native":
                raise ConfigError(
                    f"the native engine does not know {unknown}; take engine xla, or auto"
                ) from None

    def learn(self, samples: Samples, record: Sequence[str]) -> Trace:
        """Learns a piece and returns its trace, growing at the row that needs it.

        Hence a row's numbers depend on no later row, and not on how the stream is cut.

        **Arguments:** `samples`, as for `Bank`, whose inputs may lack some at the end, and whose
        durations are relative to the learners' own; `record`.
        """
        if not self.begun:
            self.make_room(self.start)
        traces, start, rows = [], 0, len(samples.z)
        needed = self._needed(samples)
        while start < rows:
            stop = min(rows, start + self.capacity)
            if needed is not None:
                self.make_room(Sizes(*(int(n[start]) for n in needed)))
                pairs = zip(needed, self.sizes, strict=True)
                fits = [int(np.searchsorted(n, s, "right")) for n, s in pairs]
                stop = min(start + self.capacity, *fits)
            part = samples
            if start or stop < rows:
                part = jax.tree.map(lambda a, rows=slice(start, stop): a[rows], samples)
            traces.append(self._learn_part(part, record, start))
            start = stop
        return {name: _joined([trace[name] for trace in traces]) for name in record}

    def preview(self, u: dict[str, np.ndarray], relative: np.ndarray | None) -> np.ndarray:
        """Returns the outputs `(rows, experts, outputs)`, learning nothing.

        **Arguments:** `u`: `rows`, `plain` and, where an expert sees it, `memory` of new rows,
        nothing beside them; `relative`: durations relative to the learners' own, or `None`.
        """
        rows = len(u["rows"])
        parts = [np.zeros((0, len(self.bank.experts), self.sizes.outputs))]
        for start in range(0, rows, self.capacity):
            here = slice(start, min(rows, start + self.capacity))
            number = here.stop - start
            if self._native is not None:
                views = {name: a[here] for name, a in u.items()}
                parts.append(self._native.preview(self._wide(views)))
                continue
            wide = np.zeros((number, self.streams, u["rows"].shape[1]), np.float32)
            wide[:, 0] = u["rows"][here]
            z = np.full((number, self.streams, self.sizes.outputs), np.nan)
            duration = None if relative is None else relative[here]
            part = self._fit(
                Samples({**{name: a[here] for name, a in u.items()}, "rows": wide}, z, duration)
            )
            room = self._capacity("answer", number)
            parts.append(self.bank.preview_many(self.phase, part, capacity=room))
            self._compiled.add(("answer", room))
        return np.concatenate(parts)

    def _needed(self, samples: Samples) -> list[np.ndarray] | None:
        """Returns the sizes that each row needs, with those before it; `None` where all fit."""
        views, target, query = samples.u, samples.z, samples.query
        given = Sizes(views["rows"].shape[2], views["plain"].shape[1], target.shape[2])
        if all(a <= b for a, b in zip(given, self.sizes, strict=True)):
            return None
        used = [views["rows"][:, 0] != 0, views["plain"] != 0, ~np.isnan(target[:, 0])]
        if query is not None:  # whoever is asked of inputs has neurons for them
            used[0] |= query["rows"] != 0
            used[1] |= query["plain"] != 0
        return [_reach(a) for a in used]

    def _learn_part(self, samples: Samples, record: Sequence[str], first: int) -> Trace:
        part, native = self._fit(samples), self._native
        room = self._capacity("learn", len(samples.z))
        if ("learn", room) not in self._compiled:
            with self.compiling():
                if native is None:
                    self.bank.compile(self.phase, part, record, capacity=room)
                else:
                    native.compile()
            self._compiled.add(("learn", room))
        if native is not None:
            trace, restarted = native.learn(part, record)
        else:
            found = self.bank.learn(self.phase, part, record, capacity=room)
            self._phase, trace, restarted = found
        for sample, name in restarted:
            self.note_restart(first + sample, name)
        return trace

    def note_restart(self, sample: int, name: str) -> None:
        """Takes note that an expert was started again, and tells it."""
        self.restarted[name] = self.restarted.get(name, 0) + 1
        self.on_restart(sample, name)

    def _fit(self, samples: Samples) -> Samples:
        u, z, relative, query = samples[:4]
        # Each learner has a unit of time of its own, a hop; durations are in that of a row.
        duration = np.ones(len(z)) if relative is None else relative
        return Samples(
            self._wide(u),
            np.asarray(widened(z, self.sizes.outputs, np.nan), np.float32),
            np.asarray(duration, np.float32),
            query and self._wide(query),
        )

    def _wide(self, views: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what experts see, as many numbers as they have neurons for."""
        inputs, plain, _ = self.sizes
        wide = {"rows": inputs, "plain": plain, "memory": width(plain)}
        return {
            name: np.asarray(widened(a, wide[name], 0.0), np.float32) for name, a in views.items()
        }


def capacity(most: int, numbers: int) -> int:
    """Returns how many samples of so many numbers are taken at once: a power of two, or `most`."""
    fitting = max(8, MOST_NUMBERS // max(numbers, 1))
    return min(most, 1 << (fitting.bit_length() - 1))


def _in_lanes(needed: int, present: int) -> int:
    if needed > present:
        needed = max(needed, present + max(LANES, present // 2))
    # Whole lanes: sums over the inputs then keep their order, and every bit, when more come.
    return -(-max(needed, present) // LANES) * LANES


def _reach(used: np.ndarray) -> np.ndarray:
    """Returns, for every row, how many columns it and the rows before it need."""
    places = np.arange(1, used.shape[1] + 1)
    return np.maximum.accumulate((used * places).max(axis=1, initial=0))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    if parts[0].ndim > 1:
        width = max(part.shape[-1] for part in parts)
        parts = [widened(part, width, 0.0) for part in parts]
    return np.concatenate(parts)
