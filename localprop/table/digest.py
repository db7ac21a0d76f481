"""Fingerprints of rows, by which a table is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from .block import Block
from .columns import convert, kind_of_type

pc: Any = pyarrow.compute
LENGTH = 8  # bytes of a fingerprint
DIGESTED = 10  # first rows by which a table is told from another one


class Digest:
    """A hash of all rows so far, as their fields stand; the same however they come in pieces.

    A hash per column of its values, and for text one of their lengths, so that neither may move
    from one field to the next.

    !!! example

        ```python
        >>> import pyarrow as pa
        >>> from localprop.table.digest import Digest
        >>> whole, parts = Digest(1), Digest(1)
        >>> whole.update([pa.array(["a", "bc", None])])
        >>> parts.update([pa.array(["a"])]), parts.update([pa.array(["bc", None])])
        (None, None)
        >>> whole.value() == parts.value()
        True

        ```
    """

    def __init__(self, columns: int):
        self._values = [hashlib.blake2b(digest_size=LENGTH) for _ in range(columns)]
        self._lengths = [hashlib.blake2b(digest_size=LENGTH) for _ in range(columns)]

    def update(self, arrays: Sequence[pa.Array]) -> None:
        """Takes rows in, an array per column, of types that `plain` returns."""
        for array, values, lengths in zip(arrays, self._values, self._lengths, strict=True):
            if pa.types.is_string(array.type):
                sizes = pc.fill_null(pc.binary_length(array), -1).to_numpy(zero_copy_only=False)
                lengths.update(sizes.astype("<i4").tobytes())
                values.update(_bytes_of(array))
            else:
                numbers, _ = convert(array, kind_of_type(array))
                values.update(np.asarray(numbers, "<f8").tobytes())

    def value(self) -> str:
        """Returns the fingerprint of the rows so far, in hexadecimal digits."""
        everything = hashlib.blake2b(digest_size=LENGTH)
        for hash_ in (*self._values, *self._lengths):
            everything.update(hash_.digest())
        return everything.hexdigest()


class Identity:
    """By what a table is known again: the digests of its first rows, and that of all so far.

    Rows are kept from when they are read until they are delivered, and only then count.

    **Arguments:** `kept`: whether there is to be any; else everything passes by.
    """

    def __init__(self, *, kept: bool = True) -> None:
        self._kept = kept
        self.first: list[str] = []  # of the first row, of the first two, and so on, `DIGESTED`
        self._head: Digest | None = None  # by which those are made
        self._all: Digest | None = None
        self._read: list[tuple[np.ndarray, list[pa.Array]]] = []

    def watch(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yields the blocks, which are as they were read."""
        if not self._kept:
            yield from blocks
            return
        for block in blocks:
            for row in range(min(len(block.lines), DIGESTED - len(self.first))):
                self._head = self._head or Digest(len(block.arrays))
                self._head.update([array.slice(row, 1) for array in block.arrays])
                self.first.append(self._head.value())
            self._read.append((block.lines, block.arrays))
            yield block

    def deliver(self, lines: np.ndarray) -> None:
        """Takes in all rows that were read, up to the last of these lines."""
        if not len(lines):
            return
        while self._read:
            there, arrays = self._read.pop(0)
            stop = int(np.searchsorted(there, lines[-1], side="right"))
            self._all = self._all or Digest(len(arrays))
            self._all.update([array.slice(0, stop) for array in arrays])
            if stop < len(there):
                self._read.insert(0, (there[stop:], [array.slice(stop) for array in arrays]))
                return

    def value(self) -> str:
        """Returns the digest of all rows that were delivered."""
        return self._all.value() if self._all else ""


def _bytes_of(array: pa.StringArray) -> memoryview | bytes:
    """Returns the text of all values, one after the other."""
    bare = array.drop_null() if array.null_count else array
    _, offsets, data = bare.buffers()
    if data is None or not len(bare):
        return b""
    places = np.frombuffer(offsets, np.int32)[bare.offset : bare.offset + len(bare) + 1]
    return memoryview(data)[places[0] : places[-1]]
