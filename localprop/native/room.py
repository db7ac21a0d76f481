"""Memory of arrays, used again once nobody looks at what was in it."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

ALIGNED = 64  # bytes, a line of the cache
SMALL, LARGE = 1 << 14, 1 << 22  # bytes for which to align takes long; and to come by


class Room:
    """Gives out arrays of one shape, in memory that came back where there is any.

    Memory that a process never touched comes page by page, and that can take longer than to learn
    in it. Where a phase is dropped once the next one is known, a stream is learned in the same two
    pieces of memory, chunk after chunk.

    **Arguments:** `shape`, `dtype`: of the arrays; `most`: how many may wait to be used again.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.native.room import Room
        >>> room = Room((1 << 20, 2), np.float32, most=1)
        >>> a = room.array()
        >>> place = a.ctypes.data
        >>> del a
        >>> room.array().ctypes.data == place
        True

        ```
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, most: int):
        self.shape, self.dtype, self.most = shape, np.dtype(dtype), most
        self.bytes = int(np.prod(shape)) * self.dtype.itemsize
        self.free: list[np.ndarray] = []

    def array(self) -> np.ndarray:
        """Returns an array with anything in it."""
        if self.bytes < LARGE:
            return unset(self.shape, self.dtype)
        try:
            memory = self.free.pop()
        except IndexError:
            memory = unset(self.shape, self.dtype)
        return np.asarray(_Lent(memory, self))


class _Lent:
    """What an array and all its views hold on to: when the last is gone, its memory comes back."""

    def __init__(self, memory: np.ndarray, room: Room):
        self.memory, self.room = memory, weakref.ref(room)
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        room = self.room()
        if room is not None and len(room.free) < room.most:
            room.free.append(self.memory)


def unset(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Returns an array with anything in it, `aligned` unless it is a small one."""
    if int(np.prod(shape)) * np.dtype(dtype).itemsize < SMALL:
        return np.empty(shape, dtype)
    return aligned(shape, dtype, empty=True)


def aligned(shape: tuple[int, ...], dtype: Any, empty: bool = False) -> np.ndarray:
    """Returns an array that begins where a line of the cache does."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = (np.empty if empty else np.zeros)(size + ALIGNED, np.uint8)
    start = -raw.ctypes.data % ALIGNED
    return raw[start : start + size].view(dtype).reshape(shape)
