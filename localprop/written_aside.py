"""Files that are written aside and take their place whole, or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def written_aside(
    path: Path, failure: type[Exception], there: str = "what was there before"
) -> Iterator[Any]:
    """Opens a file beside `path` that takes its place if, and only if, it was written whole.

    **Arguments:** `path`; `failure`: the error to raise; `there`: what the old file is, in words.

    **Raises:** `failure`, with the old file untouched, if the disk is full or the folder cannot be
    written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        _flush_folder(path.parent)
        _remove_orphans(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise failure(
            f"{path}: {error.strerror or error}; {there} is kept as it was; free some "
            "space or take another place"
        ) from error
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _remove_orphans(path: Path) -> None:
    """Removes what processes that were killed while they wrote have left beside `path`."""
    for aside in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
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
