"""Sums over the streams, or the tails, of arcs whose ends may be anywhere, in the lanes of vectors.

What belongs to a node has a lane for each stream, one node behind the other.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .codes import LANES
from .jit import inner
from .lanes import LONG_VECTORS, Numbers, store_sums, variable

FEW_LANES = LANES
MANY_LANES = 2 * LANES if LONG_VECTORS else LANES


def _places(of: Numbers, tails: Any, at: Any, rows: int, step: Any, first: Any) -> list[Any]:
    """Returns where the lanes of the tails of some arcs begin."""
    build, found = of.builder, []
    for place in of.rows(at, ir.Constant(at.type, 1), rows):
        tail = build.sext(build.load(build.gep(tails, [place])), at.type)
        found.append(build.add(first, build.mul(tail, step)))
    return found


def _arrays(context: Any, builder: Any, signature: Any, args: Any, lanes: int) -> Any:
    """Returns numbers in lanes, and where the four arrays of each intrinsic here begin: tails, what
    belongs to nodes, and two more."""
    kinds = signature.args
    of = Numbers(context, builder, (kinds[2], kinds[5], kinds[7]), lanes)
    return of, *(of.data(kinds[k], args[k]) for k in (0, 2, 5, 7))


def _forces(rows: int, lanes: int) -> Any:
    """Returns an intrinsic that sums over the streams, for some arcs."""

    @intrinsic
    def sum_streams(
        typing: Any,
        tails: Any,
        at: Any,
        said: Any,
        first: Any,
        step: Any,
        c: Any,
        wanted: Any,
        f: Any,
        f0: Any,
    ) -> Any:
        del typing, at, first, step, wanted, f0
        size = types.intp
        signature = types.void(tails, size, said, size, size, c, size, f, size)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, at, _, first, step, _, wanted, _, f0 = args
            of, tails, said, c, f = _arrays(context, builder, signature, args, lanes)
            places = _places(of, tails, at, rows, step, first)
            sums = [variable(builder, of.zero()) for _ in places]
            wide = ir.Constant(wanted.type, lanes)
            with cgutils.for_range(builder, builder.sdiv(wanted, wide)) as loop:
                offset = builder.mul(loop.index, wide)
                coefficient = of.load(c, offset)
                for total, place in zip(sums, places, strict=True):
                    source = of.load(said, builder.add(place, offset))
                    builder.store(of.fused(builder.load(total), coefficient, source), total)
            store_sums(of, sums, f, f0)
            return context.get_dummy_value()

        return signature, generate

    return sum_streams


def _back(lanes: int) -> Any:
    """Returns an intrinsic that adds to what the tail of an arc gets back of all streams."""

    @intrinsic
    def add_back(
        typing: Any,
        tails: Any,
        at: Any,
        back: Any,
        first: Any,
        step: Any,
        c: Any,
        wanted: Any,
        w: Any,
    ) -> Any:
        del typing, at, first, step, wanted
        size = types.intp
        signature = types.void(tails, size, back, size, size, c, size, w)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, at, _, first, step, _, wanted, _ = args
            of, tails, back, c, w = _arrays(context, builder, signature, args, lanes)
            (place,) = _places(of, tails, at, 1, step, first)
            weight, wide = of.spread(w, at), ir.Constant(wanted.type, lanes)
            with cgutils.for_range(builder, builder.sdiv(wanted, wide)) as loop:
                offset = builder.mul(loop.index, wide)
                to = builder.add(place, offset)
                of.store(of.fused(of.load(back, to), weight, of.load(c, offset)), back, to)
            return context.get_dummy_value()

        return signature, generate

    return add_back


def _drives(rows: int, lanes: int) -> Any:
    """Returns an intrinsic that adds to the drives of all streams what some arcs bring."""

    @intrinsic
    def add_arcs(
        typing: Any,
        tails: Any,
        at: Any,
        said: Any,
        first: Any,
        step: Any,
        w: Any,
        wanted: Any,
        a: Any,
    ) -> Any:
        del typing, at, first, step, wanted
        size = types.intp
        signature = types.void(tails, size, said, size, size, w, size, a)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, at, _, first, step, _, wanted, _ = args
            of, tails, said, w, a = _arrays(context, builder, signature, args, lanes)
            places = _places(of, tails, at, rows, step, first)
            weights = [of.spread(w, k) for k in of.rows(at, ir.Constant(at.type, 1), rows)]
            wide = ir.Constant(wanted.type, lanes)
            with cgutils.for_range(builder, builder.sdiv(wanted, wide)) as loop:
                offset = builder.mul(loop.index, wide)
                total = of.load(a, offset)
                for weight, place in zip(weights, places, strict=True):
                    total = of.fused(total, weight, of.load(said, builder.add(place, offset)))
                of.store(total, a, offset)
            return context.get_dummy_value()

        return signature, generate

    return add_arcs


_force_eight, _force_one = _forces(LANES, FEW_LANES), _forces(1, FEW_LANES)
_force_eight_wide, _force_one_wide = _forces(LANES, MANY_LANES), _forces(1, MANY_LANES)
_back_few, _back_wide = _back(FEW_LANES), _back(MANY_LANES)
_drive_eight, _drive_one = _drives(LANES, FEW_LANES), _drives(1, FEW_LANES)
_drive_eight_wide, _drive_one_wide = _drives(LANES, MANY_LANES), _drives(1, MANY_LANES)


@inner
def arc_forces(tails, at, end, said, which, c, lanes, f):
    """Writes $f_k = \\sum_s c_s x_{js}$ for arcs $k$ from `at` on, $j$ their tails.

    **Arguments:** `said`: $x$, `(sources, 2, lanes)`, of which `which` is meant.
    """
    first, step, k = which * lanes, 2 * lanes, at
    while k < end:
        if k + LANES <= end:
            if lanes == FEW_LANES:
                _force_eight(tails, k, said, first, step, c, lanes, f, k - at)
            else:
                _force_eight_wide(tails, k, said, first, step, c, lanes, f, k - at)
            k += LANES
        else:
            if lanes == FEW_LANES:
                _force_one(tails, k, said, first, step, c, lanes, f, k - at)
            else:
                _force_one_wide(tails, k, said, first, step, c, lanes, f, k - at)
            k += 1


@inner
def arc_back(tails, at, end, back, first, c, lanes, w):
    """Adds $c_s w_k$ to what the tails of arcs $k$ get back; `first`: the first source's place."""
    for k in range(at, end):
        if lanes == FEW_LANES:
            _back_few(tails, k, back, first * lanes, lanes, c, lanes, w)
        else:
            _back_wide(tails, k, back, first * lanes, lanes, c, lanes, w)


@inner
def arc_drives(tails, at, end, said, which, w, lanes, a):
    """Writes $a_s = \\sum_k w_k x_{js}$ over arcs; `said`, `which`: as above."""
    first, step, k = which * lanes, 2 * lanes, at
    a[:] = 0
    while k < end:
        if k + LANES <= end:
            if lanes == FEW_LANES:
                _drive_eight(tails, k, said, first, step, w, lanes, a)
            else:
                _drive_eight_wide(tails, k, said, first, step, w, lanes, a)
            k += LANES
        else:
            if lanes == FEW_LANES:
                _drive_one(tails, k, said, first, step, w, lanes, a)
            else:
                _drive_one_wide(tails, k, said, first, step, w, lanes, a)
            k += 1
