"""The checkpoint of a run on the disk: nobody else's is replaced, and nobody else writes to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .. import checkpoint as checkpoints
from ..errors import CheckpointError
from ..written_aside import beside, locked, unlock


class CheckpointFile:
    """A file that one run at a time writes to; a context, outside of which it is nobody's.

    `kept` is the checkpoint to go on from, if any.

    **Arguments:** `path`; `resume`: whether to go on from what is there; `overwrite`: whether to
    replace it.

    **Raises:** `CheckpointError`, on entering, for a path that cannot be written or read, for
    another run's checkpoint that nobody asked for, and while another run is at it.
    """

    def __init__(self, path: Path, *, resume: bool, overwrite: bool):
        self.path, self.kept = path, None
        self._resume, self._overwrite = resume, overwrite
        self._there: tuple[int, int, int] | None = None  # the file as this run found or left it

    def __enter__(self) -> CheckpointFile:
        checkpoints.check_writable(self.path)
        self._lock = beside(self.path.resolve(), ".lock")
        try:
            self._handle = locked(self._lock)
        except BlockingIOError:
            raise CheckpointError(
                f"{self.path}: another run is writing to it now; wait for its end, or name "
                "another file"
            ) from None
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: {error.strerror or error}; name another file"
            ) from error
        try:
            self._look()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        unlock(self._lock, self._handle)

    def write(self, save: Callable[[Path], None]) -> None:
        """Has a checkpoint written by `save`.

        **Raises:** `CheckpointError`, with nothing written, if a file came there that this run
        neither found nor wrote.
        """
        if _identity(self.path) not in (None, self._there):
            raise CheckpointError(
                f"{self.path}: another file came there during the run, and is left as it is; move "
                "it away, or name another file"
            )
        save(self.path)
        self._there = _identity(self.path)

    def _look(self) -> None:
        if not self.path.exists():
            return
        found = checkpoints.load(self.path)  # nothing but a checkpoint is ever replaced
        if not self._resume and not self._overwrite:
            raise CheckpointError(
                f"{self.path}: holds what another run learned; go on with it (--resume), replace "
                "it (--overwrite), or name another file"
            )
        self.kept = found if self._resume else None
        self._there = _identity(self.path)


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Returns what tells one file from another at the same path; `None` where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
