"""How large the pages of a Parquet file are: the one thing that its footer does not say.

A page is decompressed and decoded whole, whatever is asked for, and may be as large as its writer
liked. Each begins with a header in Thrift's compact protocol, of which only two numbers are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedIOBase
from typing import NamedTuple

UNCOMPRESSED, COMPRESSED = 2, 3  # fields of a page's header [parquet.thrift, PageHeader]
STOP, TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12  # kinds


class Page(NamedTuple):
    """Bytes of a page: of its header, and of its content before and after decompression."""

    header: int
    compressed: int
    uncompressed: int


def pages(file: BufferedIOBase, start: int, length: int) -> Iterator[Page]:
    """Yields the pages of a column chunk.

    **Arguments:** `file`: buffered; `start`, `length`: of the chunk, in bytes. It ends early where
    the bytes make no sense: what is damaged is for the reader of the file to say.
    """
    end = start + length
    while start < end:
        file.seek(start)
        try:
            numbers = _struct(file, 0)
        except (EOFError, RecursionError):
            return
        header = file.tell() - start
        page = Page(header, numbers.get(COMPRESSED, -1), numbers.get(UNCOMPRESSED, -1))
        if page.compressed < 0 or page.uncompressed < 0:
            return
        yield page
        start += header + page.compressed


def _struct(file: BufferedIOBase, depth: int) -> dict[int, int]:
    """Reads a struct; returns its whole numbers by the number of their field."""
    if depth > 8:  # no header nests so deep
        raise EOFError
    field, numbers = 0, {}
    while (head := _byte(file)) != STOP:
        delta, kind = head >> 4, head & 15
        field = field + delta if delta else _zigzag(_varint(file))
        if BYTE < kind < DOUBLE:
            numbers[field] = _zigzag(_varint(file))
        elif kind not in (TRUE, FALSE):  # whose value is their kind
            _skip(file, kind, depth)
    return numbers


def _skip(file: BufferedIOBase, kind: int, depth: int) -> None:
    if kind in (TRUE, FALSE, BYTE):
        _byte(file)
    elif kind < DOUBLE:
        _varint(file)
    elif kind == DOUBLE:
        file.seek(8, 1)
    elif kind == BINARY:
        file.seek(_varint(file), 1)
    elif kind == STRUCT:
        _struct(file, depth + 1)
    elif kind in (LIST, SET):
        head = _byte(file)
        for _ in range(head >> 4 if head >> 4 < 15 else _varint(file)):
            _skip(file, head & 15, depth + 1)
    else:  # maps, which no header has
        raise EOFError


def _byte(file: BufferedIOBase) -> int:
    if not (byte := file.read(1)):
        raise EOFError
    return byte[0]


def _varint(file: BufferedIOBase) -> int:
    number, shift = 0, 0
    while shift < 70:
        byte = _byte(file)
        number |= (byte & 127) << shift
        if byte < 128:
            return number
        shift += 7
    raise EOFError


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
