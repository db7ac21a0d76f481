"""Files that are written aside and take their place whole, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST_NAME = 255  # bytes that file systems allow


@contextlib.contextmanager
def written_aside(
    path: Path, failure: type[Exception], there: str = "what was there before"
) -> Iterator[Any]:
    """Opens a file beside `path` that takes its place if, and only if, it was written whole.

    Where `path` is a symbolic link, the file that it leads to is replaced, and the link stays. The
    new file has the permissions of the old one.

    **Arguments:** `path`; `failure`: the error to raise; `there`: what the old file is, in words.

    **Raises:** `failure`, with the old file untouched, if the disk is full or the folder cannot be
    written.
    """
    place = path.resolve() if path.is_symlink() else path
    aside = beside(place, f".{os.getpid()}.partial")
    try:
        with open_afresh(aside) as file:
            yield file
            file.flush()
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(place.stat().st_mode))
            os.fsync(file.fileno())
        os.replace(aside, place)
        _flush_folder(place.parent)
        _remove_orphans(place)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise failure(
            f"{path}: {error.strerror or error}; {there} is kept as it was; free some "
            "space or take another place"
        ) from error
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def beside(path: Path, ending: str) -> Path:
    """Returns the hidden file `.NAME` with this ending beside a file, its name cut where too long.

    !!! example

        ```python
        >>> from pathlib import Path
        >>> from localprop.written_aside import beside
        >>> beside(Path("run.npz"), ".lock").name
        '.run.npz.lock'

        ```
    """
    room = LONGEST_NAME - len(os.fsencode(ending)) - 1
    name = os.fsdecode(os.fsencode(path.name)[:room])
    return path.with_name(f".{name}{ending}")


def locked(path: Path) -> int:
    """Returns a handle that keeps others from this lock until `unlock`, or this process's end.

    **Raises:** `BlockingIOError` if another process holds it.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who held it before may have removed the file between these two lines.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def unlock(path: Path, handle: int) -> None:
    """Ends a lock, and removes its file."""
    path.unlink(missing_ok=True)
    os.close(handle)


def open_afresh(path: Path) -> Any:
    """Opens a new file to write bytes to, in place of whatever was there; follows no link."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def _remove_orphans(path: Path) -> None:
    """Removes what processes that were killed while they wrote have left beside `path`."""
    first, last = beside(path, "\0.partial").name.split("\0")
    for aside in path.parent.glob(f"{glob.escape(first)}.*{last}"):
        process = aside.name.split(".")[-2]
        if process.isdecimal() and not _runs(int(process)):
            aside.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it runs, and is another's
        return True
    return True


def _flush_folder(folder: Path) -> None:
    """Makes the renaming itself survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
