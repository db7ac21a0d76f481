"""Calls of compiled loops, written down once and made as often as is wanted, by a single call.

To unwrap an array that Python hands over takes Numba a quarter of a microsecond, and a row by
itself needs two hundred of them. Here addresses are written into a table instead, and a few
instructions for each loop call it with what the table says. The loop is called where it lies: it is
the very same code that Python calls.

This module imports Numba: import it late, for Numba takes its time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype

AXES = 4  # at most
WIDTH = 1 + 2 * AXES  # numbers for an argument: its address, and sizes and steps along the axes
WELL = -1  # what a loop that returns a number returns where all is well
WORD = ir.IntType(64)
KINDS = {bool: types.boolean, int: types.int64, float: types.float64}


class Now(NamedTuple):
    """A number that is what stands in an array at the time of the call: `place`, `(1,)`."""

    place: np.ndarray


class Calls:
    """Calls of loops on arrays that stay where they are.

    !!! example

        ```python
        >>> import numpy as np
        >>> from numba import njit
        >>> from localprop.native.calls import Calls, Now
        >>> @njit
        ... def add(a, number):
        ...     for k in range(len(a)):
        ...         a[k] += number
        >>> a, number, calls = np.zeros(2), np.ones(1), Calls()
        >>> calls.add(add, a, 1.5)
        >>> calls.add(add, a, Now(number))
        >>> calls.make()
        []
        >>> number[0] = 100.0
        >>> calls.make()
        []
        >>> a.tolist()
        [104.0, 104.0]

        ```
    """

    def __init__(self) -> None:
        self._arguments: list[np.ndarray] = []  # kept, for they are known by their addresses
        self._steps: list[tuple[int, int, int]] = []
        self._made: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        """Returns how many calls there are."""
        return len(self._steps)

    def add(self, loop: Any, *arguments: Any) -> None:
        """Adds a call.

        **Arguments:** `loop`: compiled by Numba; `arguments`: arrays, numbers, tuples of arrays and
        of numbers, `None`.
        """
        given = [*_flat(arguments)]
        known = _known(loop, _sort(arguments), arguments)
        table = np.zeros((len(given), WIDTH), np.int64)
        for row, a in zip(table, given, strict=True):
            if a is None:
                continue
            place = a.place if isinstance(a, Now) else np.asarray(a)
            row[0] = place.__array_interface__["data"][0]
            row[1 : 1 + place.ndim] = place.shape
            row[1 + AXES : 1 + AXES + place.ndim] = place.strides
            self._arguments.append(place)
        self._arguments.append(table)
        self._steps.append((*known, table.__array_interface__["data"][0]))
        self._made = None

    def make(self) -> list[int]:
        """Makes the calls in their order; returns the numbers of those that did not go well.

        **Raises:** `ArithmeticError` where a loop raises.
        """
        if self._made is None:
            steps = np.array(self._steps, np.int64).reshape(-1, 3)
            found = np.full(len(steps), WELL)
            at = (a.__array_interface__["data"][0] for a in (steps, found))
            self._made = _run(), (*at, len(steps)), steps, found
        run, given, _, found = self._made
        wrong = run(*given)
        if wrong < 0:
            raise ArithmeticError("a loop stopped at a number that it cannot take")
        return np.flatnonzero(found != WELL).tolist() if wrong else []


def _flat(arguments: tuple[Any, ...]) -> Iterator[Any]:
    for a in arguments:
        if isinstance(a, tuple) and not isinstance(a, Now):
            yield from _flat(a)
        else:
            yield a


def _sort(a: Any) -> Any:
    """Returns what tells arguments of one kind from others, soon: Numba takes its time."""
    if isinstance(a, np.ndarray):
        return a.dtype.num, a.ndim, _layout(a)
    if isinstance(a, tuple) and not isinstance(a, Now):
        return tuple(map(_sort, a))
    return a.place.dtype.num if isinstance(a, Now) else type(a)


_loops: dict[Any, tuple[int, int]] = {}


def _known(loop: Any, sorts: tuple[Any, ...], arguments: tuple[Any, ...]) -> tuple[int, int]:
    """Returns the addresses of what calls a loop, and of the loop."""
    if (loop, sorts) not in _loops:
        kinds = tuple(map(_kind, arguments))
        if kinds not in loop.overloads:
            loop.compile(kinds)
        found = loop.overloads[kinds]
        own = found.library.get_pointer_to_function(found.fndesc.llvm_func_name)
        _loops[loop, sorts] = _caller(found.signature.return_type, kinds), own
    return _loops[loop, sorts]


def _kind(a: Any) -> Any:
    if a is None:
        return types.none
    if isinstance(a, Now):
        return KINDS[type(a.place[0].item())]
    if isinstance(a, tuple):
        return types.BaseTuple.from_types([_kind(part) for part in a])
    if isinstance(a, np.ndarray):
        return types.Array(from_dtype(a.dtype), a.ndim, _layout(a))
    return KINDS[type(a)]


def _layout(a: np.ndarray) -> str:
    """Returns in what order an array's numbers lie, as Numba calls it."""
    return "C" if a.flags.c_contiguous else "F" if a.flags.f_contiguous else "A"


_libraries: list[Any] = []  # kept, for what they hold is called by its address


@global_compiler_lock
def _compiled(name: str, kind: ir.FunctionType, write: Any) -> int:
    """Returns the address of a function that is written instruction by instruction."""
    context: Any = cpu_target.target_context
    library = context.codegen().create_library(f"localprop.{name}.{len(_libraries)}")
    module = library.create_ir_module(name)
    function = ir.Function(module, kind, f"localprop.{name}.{len(_libraries)}")
    write(context, ir.IRBuilder(function.append_basic_block()), function)
    library.add_ir_module(module)
    library.finalize()
    _libraries.append(library)
    return library.get_pointer_to_function(function.name)


@cache
def _caller(returns: Any, kinds: tuple[Any, ...]) -> int:
    """Returns the address of what calls a loop with arguments of these kinds.

    Its own: the loop's address, the table of arguments, and where to write what is returned. It
    returns whether the loop raised.
    """

    def write(context: Any, builder: Any, function: Any) -> None:
        loop, table, result = function.args
        place = 0

        def read(k: int) -> Any:
            return builder.load(builder.gep(table, [WORD(place * WIDTH + k)]))

        def argument(kind: Any) -> Any:
            nonlocal place
            if isinstance(kind, types.BaseTuple):
                parts = [argument(part) for part in kind.types]  # pyright: ignore
                return context.make_tuple(builder, kind, parts)
            if isinstance(kind, types.Array):
                found = _array(context, builder, kind, read)
            elif kind == types.none:
                found = context.get_dummy_value()
            else:
                kept = builder.inttoptr(read(0), context.get_data_type(kind).as_pointer())
                found = context.unpack_value(builder, kind, kept)
            place += 1
            return found

        values = [argument(kind) for kind in kinds]
        convention = context.call_conv
        own = convention.get_function_type(returns, kinds).as_pointer()
        callee = builder.inttoptr(loop, own)
        status, found = convention.call_function(builder, callee, returns, kinds, values)
        if returns != types.none:
            builder.store(context.cast(builder, found, returns, types.int64), result)
        builder.ret(builder.zext(status.is_error, WORD))

    pointer = WORD.as_pointer()
    return _compiled("caller", ir.FunctionType(WORD, [WORD, pointer, pointer]), write)


def _array(context: Any, builder: Any, kind: Any, read: Any) -> Any:
    """Returns an array as loops take it, of the address, sizes and steps that are read."""
    a = make_array(kind)(context, builder)
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    shape = [read(1 + axis) for axis in range(kind.ndim)]
    strides = [read(1 + AXES + axis) for axis in range(kind.ndim)]
    populate_array(
        a,
        data=builder.inttoptr(read(0), a.data.type),
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=WORD(size),
        meminfo=None,
    )
    return a._getvalue()


@cache
def _run() -> Any:
    """Returns what makes calls, `run(steps, found, number)`: how many went wrong, -1 for an error.

    Each step: the addresses of its caller, of its loop, and of the table of its arguments.
    """
    pointer = WORD.as_pointer()

    def write(context: Any, builder: Any, function: Any) -> None:
        del context
        steps, found, number = function.args
        wrong = cgutils.alloca_once_value(builder, WORD(0))
        kind = ir.FunctionType(WORD, [WORD, pointer, pointer]).as_pointer()
        with cgutils.for_range(builder, number) as loop:
            step = builder.gep(steps, [builder.mul(loop.index, WORD(3))])
            caller, own, table = (
                builder.load(builder.gep(step, [WORD(part)])) for part in range(3)
            )
            result = builder.gep(found, [loop.index])
            given = own, builder.inttoptr(table, pointer), result
            raised = builder.call(builder.inttoptr(caller, kind), given)
            with cgutils.if_unlikely(builder, builder.icmp_signed("!=", raised, WORD(0))):
                builder.ret(WORD(-1))
            bad = builder.icmp_signed("!=", builder.load(result), WORD(WELL))
            builder.store(builder.add(builder.load(wrong), builder.zext(bad, WORD)), wrong)
        builder.ret(builder.load(wrong))

    address = _compiled("run", ir.FunctionType(WORD, [pointer, pointer, WORD]), write)
    return ctypes.PYFUNCTYPE(*[ctypes.c_int64] * 4)(address)
