"""What the loops carry of a network with banks of modes: a phase in arrays of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ..law import Phase
from . import memory_places as at
from .chain import whole
from .codes import LANES, LINE, STRETCH, TOLD, TURNED
from .memory import Memory, Vertex
from .room import aligned
from .workers import threads_for, together

NUMBERS = ("loss_setting", "dissipation", "decay", "floor", "rate", "weight_decay")


class Places:
    """Where everything lies.

    **Fields:** `blocks`: a row of `memory_places` for each; `inputs`: where each begins, by name;
    `states`, `neurons`, `sources`: how many of a stream; `weights`, `traces`, `swings`, `known`:
    how many in all; `nothing`: where zeros lie behind the weights.
    """

    def __init__(self, memory: Memory):
        ends = np.cumsum([size for _, size in memory.inputs])
        starts = [0, *ends.tolist()]
        self.inputs = dict(zip([name for name, _ in memory.inputs], starts, strict=False))
        self.all_inputs, self.streams = starts[-1], memory.streams
        self.states = self.neurons = self.sources = self.modes = 0
        self.weights = self.traces = self.swings = self.known = 0
        self.blocks = np.zeros((len(memory.vertices), at.COLUMNS), np.int64)
        self.number = {v.name: k for k, v in enumerate(memory.vertices)}
        for row, vertex in zip(self.blocks, memory.vertices, strict=True):
            self._lay(row, vertex)
            row[at.JUDGED], row[at.SAYS] = (
                vertex.name in memory.readouts,
                vertex.name in memory.said,
            )
            self._read(row, vertex)
        self.nothing = self.weights
        self.weights += int(self.blocks[:, at.WIDE].max())

    def _lay(self, row: np.ndarray, v: Vertex) -> None:
        lanes, wide = whole(v.features), whole(v.inputs + 1)
        modes, voices = v.modes, len(v.voices) if v.dense else 0
        row[at.MODAL], row[at.FEATURES], row[at.LANED] = bool(v.banks), v.features, lanes
        row[at.INPUTS], row[at.WIDE], row[at.DENSE], row[at.KIND] = v.inputs, wide, v.dense, v.kind
        row[at.FREE] = v.free
        row[at.OWN] = 2 * modes * lanes if v.banks else lanes
        row[at.MODES], row[at.VOICES], row[at.LEARNED] = modes, voices, -1
        row[at.WEIGHTS], row[at.SOURCE] = self.weights, self.sources
        row[at.NEURONS], row[at.STATE], row[at.MODE] = self.neurons, self.states, self.modes
        row[at.TRACE], row[at.SWING], row[at.KNOWN] = self.traces, self.swings, self.known
        self.weights += v.features * wide if v.dense else 0
        if v.learned:
            row[at.LEARNED] = self.weights
            self.weights += 2 * modes * lanes
            self.swings += 4 * modes * lanes * self.streams
        self.traces += 2 * voices * v.features * wide * self.streams
        self.known += at.OF_STATE * modes * lanes
        self.sources, self.neurons, self.modes = (
            self.sources + wide, self.neurons + lanes, self.modes + modes
        )  # fmt: skip
        self.states += int(row[at.OWN])

    def _read(self, row: np.ndarray, v: Vertex) -> None:
        row[at.PARENT], row[at.HEARD] = self.number.get(v.parent, -1), v.heard
        row[at.MASK] = -1 if v.mask is None else self.inputs[v.mask]
        row[at.OUTER], row[at.INNER], row[at.RUN] = 1, 1, v.inputs
        at_once = not v.banks and self.blocks[row[at.PARENT], at.FED]
        row[at.FED] = row[at.PARENT] < 0 or row[at.MASK] >= 0 or at_once
        if row[at.PARENT] < 0:
            row[at.FROM] = self.inputs[v.parent]
            return
        parent = self.blocks[row[at.PARENT]]
        row[at.FROM] = parent[at.STATE]
        if v.read is not None:
            first, last = v.read
            row[at.FROM] += first * parent[at.LANED]
            row[at.OUTER], row[at.OUTER_STEP] = 2, parent[at.MODES] * parent[at.LANED]
            row[at.INNER], row[at.INNER_STEP] = last - first, parent[at.LANED]
            row[at.RUN] = parent[at.FEATURES]


class MemoryState:
    """What the loops carry.

    **Arguments:** `memory`; `rates`: of every array of the weights; `structure`: of a phase, as a
    tree; `phase`: it stays valid; `threads`: how many may take a sample through together.
    """

    def __init__(
        self, memory: Memory, rates: list[float], structure: Any, phase: Phase, threads: int = 1
    ):
        from . import memory_loops  # which imports Numba

        self.memory, self.places, self._loops = memory, Places(memory), memory_loops
        self._structure, leaves = structure, jax.tree.leaves(phase)
        self._index = jax.tree.unflatten(structure, range(len(leaves)))
        places, streams = self.places, memory.streams
        self.dtype = np.asarray(leaves[0]).dtype
        self.moving = aligned((4, places.weights), self.dtype)
        self.x, self.costate = np.zeros((2, streams, places.states), self.dtype)
        self.trace = aligned((places.traces,), self.dtype)
        self.swing = np.zeros(places.swings, self.dtype)
        self.moments, self.hop = np.zeros(2, self.dtype), np.zeros((), np.int32)
        views = dict(self._views())
        self._leaves = [views[k] for k in range(len(leaves))]
        for view, leaf in zip(self._leaves, leaves, strict=True):
            view[...] = leaf
        self._modes = self._of_modes()
        self._rates = self._of_weights(rates)
        lowest = np.finfo(self.dtype)
        numbers = memory.numbers
        known = *(numbers.get(n, 0.0) for n in NUMBERS), lowest.tiny, lowest.min, 0.0
        self._constants = np.array(known, self.dtype)
        self._threads = threads
        self._scratch()

    def _scratch(self) -> None:
        """Makes arrays to work in: loops that make arrays take seconds longer to compile."""
        places, room, blocks = self.places, self.memory.streams, self.places.blocks
        wide = int(blocks[:, at.WIDE].max())
        lengths = [room * n for n in (places.sources, *[places.neurons] * 4, *[places.states] * 2)]
        judged = int(blocks[blocks[:, at.JUDGED] != 0, at.LANED].max())
        lengths += [room * wide, room * judged, room * judged]
        force = max(STRETCH, LANES * wide, int(blocks[:, at.LANED].max()))
        lengths += [self._threads * force, self._threads * TURNED]
        lengths += [self._threads * LINE]
        ends = np.cumsum([-(-length // LINE) * LINE for length in lengths])
        self._work = tuple(np.split(aligned((ends[-1],), self.dtype), ends[:-1]))
        self._work[at.TARGETS].fill(np.nan)  # where there is no output there is no target
        self._known = aligned((max(places.known, 1),), self.dtype)
        self._streams = np.zeros((at.OF_STREAM, room), np.int64)
        self._shared = np.zeros(LINE + TOLD, np.int64)

    def learn(
        self,
        u: np.ndarray,
        z: np.ndarray,
        duration: np.ndarray,
        weight: np.ndarray,
        begins: np.ndarray,
        out: np.ndarray,
        losses: np.ndarray,
    ) -> int:
        """Learns samples in place; returns the number of the first that does harm, or -1.

        **Arguments:** `u`: `(T, S, inputs)`, of all names; `z`: `(T, S, outputs)`; `duration`:
        `(T,)`; `weight`, `begins`: `(T, S)`, or empty; `out`: `(T, S, outputs)`, for what is
        predicted; `losses`: `(T,)`, or empty.
        """
        memory, threads = self.memory, threads_for(self._threads)
        self._shared[:] = 0
        given = (
            self.places.blocks, self._modes, self._rates, self._constants, memory.loss, memory.mass,
            memory.plastic, memory.hops, memory.over, self.places.nothing, self.moving,
            self.x, self.costate, self.trace, self.swing, self.moments,
            u, z, duration, weight, begins, out, losses, self._work, self._known, self._streams,
            self._shared,
        )  # fmt: skip
        fault = together(self._loops.learn, threads, given)
        self.hop += np.int32(memory.hops * (len(u) if fault < 0 else fault + 1))
        return fault

    def answer(self, u: np.ndarray, out: np.ndarray) -> None:
        """Writes what the network answers to each row of inputs, `(T, S, inputs)`."""
        w = self.moving[3 if self.memory.over else 0]
        self._loops.answer(
            self.places.blocks, self._modes, self._constants, w, self.x, self.costate.copy(), u,
            self.memory.duration, out, self._work, self._known, self._streams, self._shared,
        )  # fmt: skip

    def phase(self) -> Phase:
        """Returns a phase of these numbers, of arrays of NumPy, which does not change with them."""
        return jax.tree.unflatten(self._structure, [view.copy() for view in self._leaves])

    def _views(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the number of every leaf of a phase, and where the loops have it."""
        index, moments = self._index, self.moments
        yield index.time, moments[:1].reshape(())
        yield index.hop, self.hop
        mean = None
        if index.average is not None:
            yield index.average.samples, moments[1:].reshape(())
            mean = index.average.w
        for row, vertex in zip(self.places.blocks, self.memory.vertices, strict=True):
            for tree, numbers in ((index.x, self.x), (index.costate, self.costate)):
                yield tree[vertex.name], self._states(row, vertex, numbers)
            trees = index.w, index.momentum, index.mass, mean
            for tree, flat in zip(trees, self.moving, strict=True):
                if tree is not None:
                    yield from self._of_vertex(row, vertex, tree[vertex.name], flat)
            if vertex.banks:
                yield from self._traces(row, vertex, index.trace[vertex.name])

    def _states(self, row: np.ndarray, vertex: Vertex, numbers: np.ndarray) -> np.ndarray:
        own = numbers[:, row[at.STATE] : row[at.STATE] + row[at.OWN]]
        if vertex.banks:
            own = own.reshape(len(own), 2, vertex.modes, row[at.LANED])
        return self._of_streams(own[..., : vertex.features])

    def _of_streams(self, a: np.ndarray) -> np.ndarray:
        return a[0] if self.memory.alone else a

    def _of_vertex(
        self, row: np.ndarray, vertex: Vertex, tree: Any, flat: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        if vertex.dense:
            linear = tree.module if vertex.banks else tree
            first, wide = row[at.WEIGHTS], row[at.WIDE]
            rows = flat[first : first + vertex.features * wide].reshape(-1, wide)
            yield linear.weight, rows[:, : vertex.inputs]
            yield linear.bias, rows[:, vertex.inputs]
        if vertex.learned:
            size = vertex.modes * row[at.LANED]
            for k, name in enumerate(("leak", "frequency")):
                first = row[at.LEARNED] + k * size
                yield from self._of_banks(row, vertex, getattr(tree, name), flat[first:][:size])

    def _of_banks(
        self, row: np.ndarray, vertex: Vertex, tree: Any, flat: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        modes = flat.reshape(vertex.modes, row[at.LANED])[:, : vertex.features]
        for bank, k, first in self._banks(vertex):
            if bank.learned:
                yield tree[k], modes[first : first + bank.count]

    def _banks(self, vertex: Vertex) -> Iterator[tuple[Any, int, int]]:
        """Yields each bank of a block, its number, and its first mode."""
        first = 0
        for k, bank in enumerate(vertex.banks):
            yield bank, k, first
            first += bank.count

    def _traces(
        self, row: np.ndarray, vertex: Vertex, tree: Any
    ) -> Iterator[tuple[int, np.ndarray]]:
        streams, lanes, inputs = self.memory.streams, row[at.LANED], vertex.inputs
        shape = (vertex.features, streams, 2, row[at.VOICES], row[at.WIDE])
        own = self.trace[row[at.TRACE] :][: int(np.prod(shape))].reshape(shape)
        own = np.moveaxis(own, 0, 3)  # streams, parts, voices, features, sources
        heard = 0
        shape = (streams, 2, 2, vertex.modes, lanes)
        speeds = self.swing[row[at.SWING] :][: int(np.prod(shape)) if vertex.learned else 0]
        for bank, k, first in self._banks(vertex):
            if bank.silent:
                continue
            if vertex.dense:
                each = self._of_streams(own[:, :, heard : heard + bank.count])
                yield tree[k][0].weight, each[..., :inputs]
                yield tree[k][0].bias, each[..., inputs]
            heard += bank.count
            if bank.learned:
                each = speeds.reshape(shape)[..., first : first + bank.count, : vertex.features]
                for which in range(2):
                    yield tree[k][1 + which], self._of_streams(each[:, which])

    def _of_modes(self) -> np.ndarray:
        """Returns what is known of each mode, `(modes, OF_MODE)`."""
        found = []
        for vertex in self.memory.vertices:
            own = np.zeros((vertex.modes, at.OF_MODE))
            own[:, at.VOICE] = -1
            own[vertex.voices, at.VOICE] = range(len(vertex.voices))
            for bank, _, first in self._banks(vertex):
                each = own[first : first + bank.count]
                each[:, at.LEAK] = 1 / np.array(bank.time_constants)
                each[:, at.FREQUENCY] = bank.frequencies
                each[:, at.GAIN], each[:, at.GAIN_SIDE] = bank.gains.real, bank.gains.imag
                each[:, at.LEARNS] = bank.learned
            found.append(own)
        return np.concatenate(found)

    def _of_weights(self, rates: list[float]) -> np.ndarray:
        """Returns the rates of each block's weights and biases, and then twice those of each mode's
        leaks and of its frequencies, `(blocks + 2 modes, 2)`."""
        blocks, w = len(self.memory.vertices), self._index.w
        number = jax.tree.unflatten(jax.tree.structure(w), range(len(jax.tree.leaves(w))))
        found = np.zeros((blocks + 2 * len(self._modes), 2), self.dtype)
        of_modes = found[blocks:].reshape(-1, 2, 2)
        for k, vertex in enumerate(self.memory.vertices):
            tree, mode = number[vertex.name], self.places.blocks[k, at.MODE]
            if vertex.dense:
                linear = tree.module if vertex.banks else tree
                found[k] = rates[linear.weight], rates[linear.bias]
            for bank, b, first in self._banks(vertex):
                if bank.learned:
                    each = of_modes[mode + first : mode + first + bank.count]
                    each[:, 0], each[:, 1] = rates[tree.leak[b]], rates[tree.frequency[b]]
        return found
