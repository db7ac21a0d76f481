"""The folder in which compiled programs are kept between runs: bounded, shared, never in the way.

It is the user's own cache folder, `~/.cache/localprop` on Linux; `LOCALPROP_CACHE` names another
one, and an empty value keeps nothing. Whatever fails here costs a compilation and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from .processors import cores

VARIABLE = "LOCALPROP_CACHE"
MOST_BYTES = 1 << 28
LEFT = 0.75  # of the bound, after files had to go
STAMP = 3600.0  # seconds after which reading an entry marks it as used
ENDING = ".program"


def cache_folder() -> Path | None:
    """Returns the folder, which need not exist; `None` where nothing is to be kept."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Path(given).expanduser().absolute() if given.strip() else None
    try:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "localprop"
        base = Path(os.environ.get("XDG_CACHE_HOME") or "")
        return (base if base.is_absolute() else Path.home() / ".cache") / "localprop"
    except RuntimeError:  # nobody's home
        return None


class Entries:
    """Bytes by name, each in a file of its own; those read longest ago make room for new ones.

    A file takes its place whole or not at all, so that processes can share the folder, and one that
    is not as it was written counts as none.

    **Arguments:** `folder`; `most`: bytes that everything in it may take.

    !!! example

        ```python
        >>> import tempfile
        >>> from pathlib import Path
        >>> from localprop.cache_folder import Entries
        >>> entries = Entries(Path(tempfile.mkdtemp()))
        >>> entries.put("a name", b"a program")
        >>> entries.get("a name"), entries.get("another name")
        (b'a program', None)

        ```
    """

    def __init__(self, folder: Path, most: int = MOST_BYTES):
        self.folder, self.most = folder, most
        self._bytes: int | None = None  # in the folder; not known before something is written

    def place(self, name: str) -> Path:
        """Returns the file of an entry."""
        return self.folder / (hashlib.sha256(name.encode()).hexdigest() + ENDING)

    def get(self, name: str) -> bytes | None:
        """Returns an entry, or `None` if there is none, or none that can be read."""
        place = self.place(name)
        try:
            content = place.read_bytes()
            if place.stat().st_mtime < time.time() - STAMP:
                os.utime(place)
        except OSError:
            return None
        digest, value = content[:32], content[32:]
        if hashlib.sha256(value).digest() != digest:
            with contextlib.suppress(OSError):
                place.unlink()
            return None
        return value

    def put(self, name: str, value: bytes) -> None:
        """Keeps an entry, if that can be done."""
        if len(value) > self.most // 2:
            return
        aside = None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(value).digest() + value)
            os.replace(aside, self.place(name))
        except OSError:
            if aside is not None:
                with contextlib.suppress(OSError):
                    os.unlink(aside)
            return
        if self._bytes is not None:
            self._bytes += len(value)
        if self._bytes is None or self._bytes > self.most:
            self._bytes = make_room(self.folder, self.most)


def make_room(folder: Path, most: int = MOST_BYTES) -> int:
    """Removes the files that were not used for longest, if all take too much; returns their bytes.

    Another process may do the same at the same time, or read a file that goes.
    """
    found = []
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with contextlib.suppress(OSError):
                state = os.lstat(path)
                found.append((state.st_mtime, state.st_size, path))
    total = sum(size for _, size, _ in found)
    if total <= most:
        return total
    for _, size, path in sorted(found):
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
        if total <= LEFT * most:
            break
    return total


@cache
def sources() -> str:
    """Returns a digest of localprop's own code."""
    digest, here = hashlib.sha256(), Path(__file__).parent
    for path in sorted(here.rglob("*.py")):
        digest.update(f"{path.relative_to(here)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def machine() -> str:
    """Describes the processor: a program made for one need not run on another."""
    parts = [platform.system(), platform.machine(), platform.processor()]
    parts.append(str(cores()))  # by which the compiler divides the work
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        first = file.read().split("\n\n")[0]
        told = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        parts += [line for line in first.splitlines() if line.startswith(told)]
    return "\n".join(parts)
