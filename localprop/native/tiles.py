"""Arcs of large sparse networks in tiles, so that what they read and write is near.

What an arc reads of its tail and gives back to it lies anywhere among all sources, which are more
than a processor's nearest caches hold. A tile has the arcs from some neighbouring sources into some
neighbouring neurons, in the order of their heads; one integer holds both ends of an arc there.
Tiles of the same sources follow each other, so that these stay near while neurons pass by.
A run lays weights and momenta out in tiles, and brings them back at its end. Both walk the arcs in
the network's order and count those that each tile has had, so that no order has to be kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .codes import CONSTANT, GROWING
from .jit import apart, inner, kernel
from .places import FORWARD, HAMILTONIAN, IMPLICIT, LEARN, MASS, NONE, SOURCES
from .plan import Plan
from .room import aligned
from .workers import together

# Of 16 bytes for each source, a tile's lie in the nearest cache, or in the second; in the nearest
# where an arc gains more by that than its share of all heads, which pass by once for every tile.
NEAREST, SECOND, GAIN = 11, 14, 4
NOW, THEN, BACK, ROOM = range(4)  # what a source says, says after the hop, and gets back
COEFFICIENT, DRIVE = range(2)  # of a neuron


class Tiles:
    """Where the arcs of a sparse network lie in tiles, those of each part together.

    **Arguments:** `plan`: of the learner.

    **Attributes:** `some`: whether there are any: not for a network whose sources a second cache
    holds, nor where the loop does more with an arc than a hop of one stream under the Hamiltonian
    law; `bits`: of a tile's number of sources; `down`: how many tiles a part has for them.
    """

    def __init__(self, plan: Plan):
        ints = plan.ints
        n, m, self._dtype = ints["neurons"], ints["sources"], plan.dtype
        self.some = (
            m > 1 << SECOND
            and ints["streams"] == 1
            and ints["law"] == HAMILTONIAN
            and ints["traces"] == NONE
            and ints["mass"] != GROWING
            and plan.arcs.size == 0
        )
        parts = ints["parts"] if self.some else 0
        passing = (m - 1 >> NEAREST) * n <= GAIN * math.prod(plan.shapes["w"])
        self.bits = NEAREST if passing else SECOND
        self._room = ((parts, 1 << self.bits, ROOM + 1), (n if self.some else 0, 2))
        across = (m - 1 >> self.bits) + 1
        self.down = (n // ints["parts"] >> 32 - self.bits) + 1
        sizes = np.zeros((parts, across * self.down), np.int64)
        self._arcs = self.bits, self.down, plan.starts, plan.tails
        self.index = np.empty(plan.shapes["w"] if self.some else 0, np.uint32)
        if self.some:
            _count(*self._arcs, sizes)
        self.ends = np.cumsum(sizes).reshape(sizes.shape)
        self.begins = self.ends - sizes
        if self.some:
            _find_index(*self._arcs, self.begins.copy(), self.index)

    def arrays(self) -> tuple[Any, ...]:
        """Returns what `through_tiles` needs, with room of its own."""
        room = (aligned(shape, self._dtype) for shape in self._room)
        return self.bits, self.down, self.index, self.begins, self.ends, *room

    def lay_out(self, of: np.ndarray, to: np.ndarray, threads: int) -> None:
        """Copies what is in the network's order into that of the tiles."""
        together(_walk, threads, (*self._arcs, self.begins.copy(), of, to, False))

    def bring_back(self, of: np.ndarray, to: np.ndarray, threads: int) -> None:
        """Copies what is in the order of the tiles into the network's."""
        together(_walk, threads, (*self._arcs, self.begins.copy(), of, to, True))


@inner
def _tile(i, first, tail, bits, down):
    """Returns the number of an arc's tile, by its head, the first one of the part, and its tail."""
    return (tail >> bits) * down + ((i - first) >> (32 - bits))


@kernel
def _count(bits, down, starts, tails, sizes):
    """Counts the arcs of each tile of each part."""
    n, parts = starts.size - 1, sizes.shape[0]
    for q in range(parts):
        first = q * n // parts
        for i in range(first, (q + 1) * n // parts):
            for k in range(starts[i], starts[i + 1]):
                sizes[q, _tile(i, first, tails[k], bits, down)] += 1


@kernel
def _find_index(bits, down, starts, tails, free, index):
    """Finds where in its tile the ends of each arc are; `free`: where each tile goes on."""
    n, parts = starts.size - 1, free.shape[0]
    for q in range(parts):
        first = q * n // parts
        for i in range(first, (q + 1) * n // parts):
            head = (i - first) & ((1 << (32 - bits)) - 1)
            for k in range(starts[i], starts[i + 1]):
                tile = _tile(i, first, tails[k], bits, down)
                tail = tails[k] & ((1 << bits) - 1)
                index[free[q, tile]] = (head << bits) | tail
                free[q, tile] += 1


@kernel
def _walk(thread, threads, bits, down, starts, tails, free, of, to, back):
    """Copies into the order of tiles, or back."""
    n, parts = starts.size - 1, free.shape[0]
    for q in range(thread, parts, threads):
        first = q * n // parts
        for i in range(first, (q + 1) * n // parts):
            for k in range(starts[i], starts[i + 1]):
                tile = _tile(i, first, tails[k], bits, down)
                at = free[q, tile]
                free[q, tile] = at + 1
                if back:
                    to[k] = of[at]
                else:
                    to[at] = of[k]


@inner
def are_tiled(tiles):
    """Returns whether arcs lie in tiles."""
    return tiles[2].size > 0


@inner
def ends_of(both, bits):
    """Returns where in its tile an arc begins and ends."""
    both = np.int64(both)
    return both & ((1 << bits) - 1), both >> bits


@apart
def _settle(w, index, bits, sources, neurons):
    """Sends errors back over the arcs of a tile, and takes its heads to their next drives."""
    for k in range(w.size):
        j, i = ends_of(index[k], bits)
        here = w[k]
        sources[j, BACK] += neurons[i, COEFFICIENT] * here
        neurons[i, DRIVE] += here * sources[j, THEN]


@apart
def _learn(w, p, index, bits, sources, neurons, decay, implicit, keep, push, step):
    """Does what `_settle` does, and moves momenta and weights, at constant mass."""
    for k in range(w.size):
        j, i = ends_of(index[k], bits)
        here, c, old = w[k], neurons[i, COEFFICIENT], p[k]
        sources[j, BACK] += c * here
        new = keep * old + push * (c * sources[j, NOW] + decay * here)
        p[k] = new
        moved = here + step * (new if implicit else old)
        w[k] = moved
        neurons[i, DRIVE] += moved * sources[j, THEN]


@apart
def _learn_adaptively(
    w, p, v, index, bits, sources, neurons, decay, implicit, keep, push, step, v_keep, v_gain, floor
):
    """Does what `_learn` does at adaptive mass."""
    for k in range(w.size):
        j, i = ends_of(index[k], bits)
        here, c, old = w[k], neurons[i, COEFFICIENT], p[k]
        sources[j, BACK] += c * here
        f = c * sources[j, NOW] + decay * here
        memory = v_keep * v[k] + v_gain * f * f
        v[k] = memory
        new = keep * old + push * f
        p[k] = new
        moved = here + step * (new if implicit else old) / (math.sqrt(memory) + floor)
        w[k] = moved
        neurons[i, DRIVE] += moved * sources[j, THEN]


@kernel
def through_tiles(q, first, last, mode, now, then, ints, moving, a, coef, s, g, w, p, v, tiles):
    """Takes the arcs of a part through a hop of one stream.

    **Arguments:** `mode`: `FORWARD` finds drives alone; `now`, `then`: where in `s` the states are
    of which forces and drives are made; `tiles`: `Tiles.arrays`, with room for what the sources of
    a tile say and get back, `(parts, sources, ROOM + 1)`, and for coefficients and drives of
    neurons, `(neurons, 2)`.
    """
    bits, down, index, begins, ends, sources, neurons = tiles
    none, m, near = np.int64(0), ints[SOURCES], sources[q]
    keep, push, step, v_keep, v_gain, floor, decay, _ = moving
    implicit = ints[IMPLICIT] == 1
    for i in range(first, last):
        neurons[i, COEFFICIENT] = 0 if mode == FORWARD else coef[none, i]
        neurons[i, DRIVE] = 0
    for left in range(0, m, 1 << bits):
        right = min(left + (1 << bits), m)
        for j in range(left, right):
            near[j - left, NOW], near[j - left, THEN] = s[now, none, j], s[then, none, j]
            near[j - left, BACK] = 0
        for block in range(down):
            k = (left >> bits) * down + block
            at, end = begins[q, k], ends[q, k]
            felt = neurons[first + (block << (32 - bits)) :]
            if mode != LEARN:
                _settle(w[at:end], index[at:end], bits, near, felt)
            elif ints[MASS] == CONSTANT:
                _learn(
                    w[at:end], p[at:end], index[at:end], bits, near, felt, decay, implicit, keep,
                    push, step,
                )  # fmt: skip
            else:
                _learn_adaptively(
                    w[at:end], p[at:end], v[at:end], index[at:end], bits, near, felt, decay,
                    implicit, keep, push, step, v_keep, v_gain, floor,
                )  # fmt: skip
        for j in range(left, right):
            g[q, none, j] = near[j - left, BACK]
    for i in range(first, last):
        a[none, i] = neurons[i, DRIVE]
