"""Small matrix products in the lanes of vectors, and the vectors that they are made of.

In a chain a row of weights has a number for each neuron that it leads to, and room up to the next
eight. What flows forward there (`add_forward`) is summed row after row in every lane, so a sum
hangs neither on how wide vectors are nor on how many streams there are. In a digraph a row has a
number for each neuron that it comes from; its products are summed in as many lanes as there are, or
each stream has a lane of its own (`add_products`).
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from .codes import LANES, LINE
from .jit import inner

# As many lanes as a processor has room for beside eight rows: two of its vectors, or a short one.
_FEATURES = getattr(config, "CPU_FEATURES", None)  # that Numba was told to compile for
LONG_VECTORS = (
    binding.get_host_cpu_features().get("avx512f", False)
    if _FEATURES is None
    else "+avx512f" in _FEATURES
)
WIDE = 4 * LANES if LONG_VECTORS else LANES
HALF = 2 * LANES if LONG_VECTORS else LANES  # of one vector
PANEL = 4096  # numbers of all streams that stay near while rows pass by
SEVERAL = 16  # streams during whose turn the next rows of weights come from far away
FEW = 4  # streams for which to turn a matrix costs more than it saves
FLAGS = ("contract",)


class Numbers:
    """Arrays of numbers as a compiler's builder sees them: addresses, and vectors at a place."""

    def __init__(self, context: Any, builder: Any, kinds: Any, lanes: int):
        self.context, self.builder, self.lanes = context, builder, lanes
        self.number = context.get_data_type(kinds[0].dtype)
        self.align = context.get_abi_sizeof(self.number)

    def data(self, kind: Any, array: Any) -> Any:
        return make_array(kind)(self.context, self.builder, array).data

    def vector(self, lanes: int) -> Any:
        return ir.VectorType(self.number, lanes)

    def place(self, base: Any, offset: Any, lanes: int) -> Any:
        at = self.builder.gep(base, [offset])
        return self.builder.bitcast(at, self.vector(lanes).as_pointer())

    def load(self, base: Any, offset: Any, lanes: int | None = None) -> Any:
        place = self.place(base, offset, lanes or self.lanes)
        return self.builder.load(place, align=self.align)

    def store(self, value: Any, base: Any, offset: Any, lanes: int | None = None) -> None:
        self.builder.store(value, self.place(base, offset, lanes or self.lanes), align=self.align)

    def below(self, count: Any) -> Any:
        """Returns which lanes come before a number of them."""
        number = count.type
        places = ir.Constant(ir.VectorType(number, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", places, self.same(count))

    def some(self, base: Any, offset: Any, wanted: Any) -> Any:
        """Returns what is at a place in the lanes that are wanted, zeros in the others.

        **Arguments:** `wanted`: `None` for all, a number of the first ones, or a vector of which.
        """
        if wanted is None or isinstance(wanted, int):
            return self.padded(self.load(base, offset, wanted))
        return self._masked("load", self.vector(self.lanes), base, offset, wanted, self.zero())

    def put(self, value: Any, base: Any, offset: Any, wanted: Any) -> None:
        """Stores the lanes that are wanted."""
        if isinstance(wanted, int):
            value = self.chosen(value, value, list(range(wanted)))
        if wanted is None or isinstance(wanted, int):
            self.store(value, base, offset, wanted)
        else:
            self._masked("store", ir.VoidType(), base, offset, wanted, value)

    def _masked(self, name: str, kind: Any, base: Any, offset: Any, wanted: Any, value: Any) -> Any:
        place, number = self.place(base, offset, self.lanes), ir.IntType(32)
        align, given = number(self.align), (place.type, number, wanted.type)
        if name == "load":
            given, values = (*given, value.type), (place, align, wanted, value)
        else:
            given, values = (value.type, *given), (value, place, align, wanted)
        name = f"llvm.masked.{name}.v{self.lanes}{self.number.intrinsic_name}.p0"
        of = ir.FunctionType(kind, given)
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, of, name), values
        )

    def spread(self, base: Any, offset: Any) -> Any:
        one = self.builder.load(self.builder.gep(base, [offset]), align=self.align)
        return self.everywhere(one)

    def everywhere(self, one: Any) -> Any:
        if isinstance(one, float):
            return ir.Constant(self.vector(self.lanes), [one] * self.lanes)
        return self.same(one)

    def same(self, one: Any) -> Any:
        """Returns a vector of one value."""
        nothing = ir.Constant(ir.VectorType(one.type, self.lanes), ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        every = self.builder.insert_element(nothing, one, first)
        places = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(every, nothing, places)

    def zero(self, lanes: int | None = None) -> Any:
        lanes = lanes or self.lanes
        return ir.Constant(self.vector(lanes), [0.0] * lanes)

    def product(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=FLAGS)

    def root(self, a: Any) -> Any:
        name = f"llvm.sqrt.v{a.type.count}{a.type.element.intrinsic_name}"
        kind = ir.FunctionType(a.type, [a.type])
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, kind, name), [a]
        )

    def plus(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b, flags=FLAGS)

    def fused(self, total: Any, a: Any, b: Any) -> Any:
        return self.plus(total, self.product(a, b))

    def chosen(self, a: Any, b: Any, places: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
        return self.builder.shuffle_vector(a, b, mask)

    def padded(self, short: Any) -> Any:
        if short.type.count == self.lanes:
            return short
        return self.chosen(short, self.zero(short.type.count), list(range(self.lanes)))

    def rows(self, first: Any, step: Any, many: int) -> list[Any]:
        found = [first]
        while len(found) < many:
            found.append(self.builder.add(found[-1], step))
        return found


@intrinsic
def _fetch(typing: Any, a: Any, place: Any) -> Any:
    """Asks for a line of the cache that is soon to be read."""
    del typing, place

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = make_array(signature.args[0])(context, builder, args[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        at = builder.bitcast(builder.gep(data, [args[1]]), byte)
        # To read, into the second cache, of data.
        builder.call(fetch, [at, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(a, types.intp), generate


def _forward(rows: int, lanes: int) -> Any:
    """Returns an intrinsic that adds to some lanes of every stream what rows of weights bring."""

    @intrinsic
    def add_rows(
        typing: Any,
        w: Any,
        at: Any,
        step: Any,
        x: Any,
        x0: Any,
        x_step: Any,
        b: Any,
        b0: Any,
        b_step: Any,
        a: Any,
        a0: Any,
        a_step: Any,
        streams: Any,
    ) -> Any:
        del typing, at, step, x0, x_step, b0, b_step, a0, a_step, streams
        size = types.intp
        pair = size, size
        signature = types.void(w, *pair, x, *pair, b, *pair, a, *pair, size)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w, at, step, x, x0, x_step, b, b0, b_step, a, a0, a_step, streams = args
            kinds = signature.args[0:12:3]
            of = Numbers(context, builder, kinds, lanes)
            w, x, b, a = (of.data(*pair) for pair in zip(kinds, (w, x, b, a), strict=True))
            weights = [of.load(w, place) for place in of.rows(at, step, rows)]
            with cgutils.for_range(builder, streams) as loop:
                source, start, to = (
                    builder.add(first, builder.mul(loop.index, far))
                    for first, far in ((x0, x_step), (b0, b_step), (a0, a_step))
                )
                total, one = of.load(b, start), ir.Constant(source.type, 1)
                for weight, place in zip(weights, of.rows(source, one, rows), strict=True):
                    total = of.fused(total, of.spread(x, place), weight)
                of.store(total, a, to)
            return context.get_dummy_value()

        return signature, generate

    return add_rows


def _back(rows: int, streams: int) -> Any:
    """Returns an intrinsic that sums rows of weights times what comes back, of some streams."""

    @intrinsic
    def sum_rows(
        typing: Any,
        w: Any,
        at: Any,
        step: Any,
        wanted: Any,
        d: Any,
        d0: Any,
        d_step: Any,
        g: Any,
        g0: Any,
        g_step: Any,
    ) -> Any:
        del typing, at, step, wanted, d0, d_step, g0, g_step
        size = types.intp
        signature = types.void(w, size, size, size, d, size, size, g, size, size)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w, at, step, wanted, d, d0, d_step, g, g0, g_step = args
            kinds = signature.args[0], signature.args[4], signature.args[7]
            of = Numbers(context, builder, kinds, HALF)
            w, d, g = (of.data(*pair) for pair in zip(kinds, (w, d, g), strict=True))
            weights, backs = of.rows(at, step, rows), of.rows(d0, d_step, streams)
            sums = [[variable(builder, of.zero()) for _ in weights] for _ in backs]
            wide = ir.Constant(wanted.type, of.lanes)
            whole = builder.sdiv(wanted, wide)

            def add(offset: Any, totals: Any, lanes: int) -> None:
                loaded = [of.some(d, builder.add(back, offset), lanes) for back in backs]
                for r, place in enumerate(weights):
                    weight = of.some(w, builder.add(place, offset), lanes)
                    for back, own in zip(loaded, totals, strict=True):
                        builder.store(of.fused(builder.load(own[r]), weight, back), own[r])

            with cgutils.for_range(builder, whole) as loop:
                add(builder.mul(loop.index, wide), sums, of.lanes)
            if of.lanes > LANES:
                done = builder.mul(whole, wide)
                with builder.if_then(builder.icmp_signed("<", done, wanted)):
                    add(done, sums, LANES)
            for own, to in zip(sums, of.rows(g0, g_step, streams), strict=True):
                store_sums(of, own, g, to)
            return context.get_dummy_value()

        return signature, generate

    return sum_rows


def variable(builder: Any, value: Any) -> Any:
    return cgutils.alloca_once_value(builder, value)


def store_sums(of: Numbers, totals: list[Any], base: Any, to: Any) -> None:
    """Writes the sums over the lanes of variables, one, two, four or eight, side by side."""
    build, many = of.builder, len(totals)
    total = summed(of, [build.load(total) for total in totals])
    if many < LANES:
        total = of.chosen(total, total, list(range(many)))
    of.store(total, base, to, many)


def summed(of: Numbers, totals: list[Any]) -> Any:
    """Returns the sums over the lanes of one vector, two, four or eight, in turns."""
    add, width = of.builder.fadd, 1
    while width < LANES:
        # What is summed already stands side by side; half of each comes from either vector.
        low = [k - k % (2 * width) + k % width for k in range(of.lanes)]
        low = [p + of.lanes * (k // width % 2) for k, p in enumerate(low)]
        high = [p + width for p in low]
        pairs = zip(totals[::2], totals[1::2] or totals, strict=True)
        totals = [add(of.chosen(a, b, low), of.chosen(a, b, high)) for a, b in pairs]
        width *= 2
    parts = [list(range(k, k + LANES)) for k in range(0, of.lanes, LANES)]
    halves = [of.chosen(totals[0], totals[0], part) for part in parts]
    return halves[0] if len(halves) == 1 else add(*halves)


def _outer(rows: int, lanes: int, more: bool = False) -> Any:
    """Returns an intrinsic that sums products of some rows and lanes over the streams.

    **Arguments:** `more`: whether they are added to what is there.
    """

    @intrinsic
    def sum_streams(
        typing: Any,
        x: Any,
        x0: Any,
        x_step: Any,
        row_step: Any,
        d: Any,
        d0: Any,
        d_step: Any,
        streams: Any,
        f: Any,
        f0: Any,
        f_step: Any,
    ) -> Any:
        del typing, x0, x_step, row_step, d0, d_step, streams, f0, f_step
        size = types.intp
        signature = types.void(x, size, size, size, d, size, size, size, f, size, size)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, x0, x_step, row_step, d, d0, d_step, streams, f, f0, f_step = args
            kinds = signature.args[0], signature.args[4], signature.args[8]
            of = Numbers(context, builder, kinds, lanes)
            x, d, f = (of.data(*pair) for pair in zip(kinds, (x, d, f), strict=True))
            places = of.rows(f0, f_step, rows)
            begin = (of.load(f, to) if more else of.zero() for to in places)
            sums = [variable(builder, value) for value in begin]
            with cgutils.for_range(builder, streams) as loop:
                source = builder.add(x0, builder.mul(loop.index, x_step))
                back = of.load(d, builder.add(d0, builder.mul(loop.index, d_step)))
                for total, place in zip(sums, of.rows(source, row_step, rows), strict=True):
                    builder.store(of.fused(builder.load(total), of.spread(x, place), back), total)
            for total, to in zip(sums, places, strict=True):
                of.store(builder.load(total), f, to)
            return context.get_dummy_value()

        return signature, generate

    return sum_streams


_add_wide, _add_eight, _add_one = _forward(LANES, WIDE), _forward(LANES, LANES), _forward(1, LANES)
_back_two, _back_eight, _back_one = _back(LANES, 2), _back(LANES, 1), _back(1, 1)
_outer_wide, _outer_eight, _outer_one = _outer(LANES, WIDE), _outer(LANES, LANES), _outer(1, LANES)
_more_wide, _more_half = _outer(LANES, WIDE, True), _outer(LANES, HALF, True)
_more_eight = _outer(LANES, LANES, True)
_more_of_one = _outer(1, LANES, True)


@inner
def fetch(w, first, numbers):
    """Asks for numbers that are soon to be read."""
    for k in range(first, first + numbers, LINE):
        _fetch(w, k)  # pyright: ignore


@inner
def add_forward(w, at, rows, bias, lanes, x, x0, x_step, a, a0, a_step, streams, begin, end):
    """Writes $a_{si} = b_i + \\sum_j w_{ji} x_{sj}$, added up row after row.

    **Arguments:** of flat arrays. `w`: element $(j, i)$ at `at + j * lanes + i`, and $b_i$ at `bias
    + i`; `rows`: how many $j$, at least one; `lanes`: how many $i$, a multiple of eight; `x`:
    element $(s, j)$ at `x0 + s * x_step + j`; `a`: element $(s, i)$ at `a0 + s * a_step + i`;
    `streams`: how many $s$; `begin`, `end`: which $i$, multiples of eight.
    """
    panel = max(WIDE, PANEL // max(streams, 1) // WIDE * WIDE)
    for left in range(begin, end, panel):
        right, j = min(end, left + panel), 0
        b, b0, b_step = w, bias, 0
        while j < rows:
            place, of, i = at + j * lanes, x0 + j, left
            if j + LANES <= rows:
                while i + WIDE <= right:
                    if streams >= SEVERAL:
                        for row in range(place + LANES * lanes, place + 2 * LANES * lanes, lanes):
                            fetch(w, row + i, WIDE)
                    _add_wide(
                        w, place + i, lanes, x, of, x_step, b, b0 + i, b_step,
                        a, a0 + i, a_step, streams,
                    )  # fmt: skip
                    i += WIDE
                while i < right:
                    _add_eight(
                        w, place + i, lanes, x, of, x_step, b, b0 + i, b_step,
                        a, a0 + i, a_step, streams,
                    )  # fmt: skip
                    i += LANES
                j += LANES
            else:
                while i < right:
                    _add_one(
                        w, place + i, lanes, x, of, x_step, b, b0 + i, b_step,
                        a, a0 + i, a_step, streams,
                    )  # fmt: skip
                    i += LANES
                j += 1
            b, b0, b_step = a, a0, a_step


@inner
def _one_by_one(w, at, rows, step, lanes, x, x0, x_step, a, a0, a_step, streams):
    for s in range(streams):
        for j in range(rows):
            of, to = x0 + s * x_step, a0 + s * a_step + j
            _back_one(w, at + j * step, step, lanes, x, of, x_step, a, to, a_step)


@inner
def pull_back(w, at, rows, lanes, d, d0, d_step, g, g0, g_step, streams, turned):
    """Writes $g_{sj} = \\sum_i w_{ji} d_{si}$ for eight rows $j$, or fewer.

    **Arguments:** of flat arrays, as above; `d`: element $(s, i)$ at `d0 + s * d_step + i`; `g`:
    element $(s, j)$ at `g0 + s * g_step + j`; `turned`: room for eight rows of eight and zeros.
    """
    if rows < LANES:
        _one_by_one(w, at, rows, lanes, lanes, d, d0, d_step, g, g0, g_step, streams)
    elif lanes == LANES and streams >= FEW:
        for j in range(LANES):
            for i in range(LANES):
                turned[i * LANES + j] = w[at + j * LANES + i]
        zeros = LANES * LANES
        _add_eight(turned, 0, LANES, d, d0, d_step, turned, zeros, 0, g, g0, g_step, streams)
    else:
        s, share = 0, 2 * LANES * lanes // max(streams, 1)
        while s + 2 <= streams:
            of, to = d0 + s * d_step, g0 + s * g_step
            if streams >= SEVERAL:
                fetch(w, at + LANES * lanes + s // 2 * share, share)
            _back_two(w, at, lanes, lanes, d, of, d_step, g, to, g_step)
            s += 2
        if s < streams:
            of, to = d0 + s * d_step, g0 + s * g_step
            _back_eight(w, at, lanes, lanes, d, of, d_step, g, to, g_step)


@inner
def force(x, x0, x_step, d, d0, d_step, rows, lanes, f, f0, streams):
    """Writes $f_{ji} = \\sum_s x_{sj} d_{si}$ for eight rows $j$, or fewer.

    **Arguments:** of flat arrays, as above; `f`: element $(j, i)$ at `f0 + j * lanes + i`.
    """
    if rows < LANES:
        for j in range(rows):
            for i in range(0, lanes, LANES):
                to = f0 + j * lanes + i
                _outer_one(x, x0 + j, x_step, 1, d, d0 + i, d_step, streams, f, to, lanes)
        return
    i = 0
    while i + WIDE <= lanes:
        _outer_wide(x, x0, x_step, 1, d, d0 + i, d_step, streams, f, f0 + i, lanes)
        i += WIDE
    while i < lanes:
        _outer_eight(x, x0, x_step, 1, d, d0 + i, d_step, streams, f, f0 + i, lanes)
        i += LANES


@inner
def add_back(w, at, rows, step, lanes, d, d0, d_step, g, g0, g_step, streams):
    """Adds $\\sum_j w_{ji} d_{sj}$ to $g_{si}$ for eight rows $j$, or fewer.

    **Arguments:** of arrays in one piece, as above; `w`: element $(j, i)$ at `at + j * step + i`.
    """
    if rows < LANES:
        for j in range(rows):
            for i in range(0, lanes, LANES):
                _add_one(
                    w, at + j * step + i, step, d, d0 + j, d_step, g, g0 + i, g_step, g, g0 + i,
                    g_step, streams,
                )  # fmt: skip
        return
    i = 0
    while i + WIDE <= lanes:
        _add_wide(
            w, at + i, step, d, d0, d_step, g, g0 + i, g_step, g, g0 + i, g_step, streams
        )  # fmt: skip
        i += WIDE
    while i < lanes:
        _add_eight(
            w, at + i, step, d, d0, d_step, g, g0 + i, g_step, g, g0 + i, g_step, streams
        )  # fmt: skip
        i += LANES


@inner
def products(w, at, rows, step, lanes, x, x0, x_step, a, a0, a_step, streams):
    """Writes $a_{sj} = \\sum_i w_{ji} x_{si}$ for eight rows $j$, or fewer; arguments as above."""
    if rows < LANES:
        _one_by_one(w, at, rows, step, lanes, x, x0, x_step, a, a0, a_step, streams)
        return
    s = 0
    while s + 2 <= streams:
        of, to = x0 + s * x_step, a0 + s * a_step
        _back_two(w, at, step, lanes, x, of, x_step, a, to, a_step)
        s += 2
    if s < streams:
        of, to = x0 + s * x_step, a0 + s * a_step
        _back_eight(w, at, step, lanes, x, of, x_step, a, to, a_step)


@inner
def add_products(w, at, rows, step, next, count, x, x0, x_step, a, a0, a_step, lanes):
    """Adds $\\sum_j w_{ij} x_{js}$ to $a_{is}$ for eight rows $i$, or fewer.

    **Arguments:** of arrays in one piece. `w`: element $(i, j)$ at `at + i * step + j * next`;
    `count`: how many $j$; `x`: element $(j, s)$ at `x0 + j * x_step + s`; `a`: element $(i, s)$ at
    `a0 + i * a_step + s`; `lanes`: how many $s$, a multiple of eight, at most `WIDE`.
    """
    if rows < LANES:
        for i in range(rows):
            place, to = at + i * step, a0 + i * a_step
            for s in range(0, lanes, LANES):
                _more_of_one(w, place, next, step, x, x0 + s, x_step, count, a, to + s, a_step)
    elif lanes == WIDE:
        _more_wide(w, at, next, step, x, x0, x_step, count, a, a0, a_step)
    else:
        s = 0
        if lanes >= HALF:
            _more_half(w, at, next, step, x, x0, x_step, count, a, a0, a_step)
            s = HALF
        while s < lanes:
            _more_eight(w, at, next, step, x, x0 + s, x_step, count, a, a0 + s, a_step)
            s += LANES


@intrinsic
def turn_eight(
    typing: Any, of: Any, at: Any, of_step: Any, to: Any, place: Any, to_step: Any
) -> Any:
    """Writes eight rows of eight numbers as columns."""
    del typing, at, of_step, place, to_step
    size = types.intp

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of, at, of_step, to, place, to_step = args
        kinds = signature.args[0], signature.args[3]
        numbers = Numbers(context, builder, kinds, LANES)
        of, to = numbers.data(kinds[0], of), numbers.data(kinds[1], to)
        rows = [numbers.load(of, row) for row in numbers.rows(at, of_step, LANES)]
        width = 1
        while width < LANES:  # squares of so many change places
            low = [k - width + LANES if k // width % 2 else k for k in range(LANES)]
            high = [k + LANES if k // width % 2 else k + width for k in range(LANES)]
            for k in (k for k in range(LANES) if k // width % 2 == 0):
                a, b = rows[k], rows[k + width]
                rows[k], rows[k + width] = numbers.chosen(a, b, low), numbers.chosen(a, b, high)
            width *= 2
        for row, column in zip(rows, numbers.rows(place, to_step, LANES), strict=True):
            numbers.store(row, to, column)
        return context.get_dummy_value()

    return types.void(of, size, size, to, size, size), generate


@inner
def plain(number):
    """Returns a number whose type does not say which one it is.

    What is called with a literal is compiled for that very number, and again for another.
    """
    return number + 0
