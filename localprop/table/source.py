"""Where the bytes of a table come from: a file or standard input, compressed or not."""

from __future__ import annotations

import difflib
import io
import os
import stat
import sys
from pathlib import Path

import pyarrow as pa

from ..errors import ConfigError, StreamError
from ..options import shown
from .stop import Stop

MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
PARQUET = b"PAR1"
FILE_BLOCK = 1 << 18  # bytes at a time; parsing is fastest near here, measured
PIPE_BLOCK = 1 << 16  # what a pipe holds: a live one is read as it fills
MAGIC_LENGTH = 4


class Source:
    """A file, or standard input for `-`, read as decompressed bytes.

    Compression is recognised by the first bytes, whatever the name says.

    **Arguments:**

    - `source`: a path, or `-`.
    - `stop`: asked to, a pipe ends where nothing more has come; files are read to their end.

    **Raises:** `StreamError` for what cannot be opened or is empty; `ConfigError` for what is no
    path.

    !!! example

        ```python
        >>> import pathlib, tempfile
        >>> from localprop.table.source import Source
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "a.csv")
        ...     _ = path.write_bytes(b"y\\n1\\n")
        ...     source = Source(path)
        ...     source.read(), source.progress()
        ...     source.close()
        (b'y\\n1\\n', 1.0)

        ```
    """

    def __init__(self, source: str | Path, stop: Stop | None = None):
        if not isinstance(source, str | os.PathLike):
            raise ConfigError(
                f"source is {shown(source)}; give the path of a file, or - for standard input; to "
                "learn rows that a program has, take Online"
            )
        self.path = None if str(source) == "-" else Path(source)
        self.name = "standard input" if self.path is None else str(source)
        self._raw = _Counted(_standard_input() if self.path is None else _open(self.path), stop)
        try:
            head = self._raw.peek(MAGIC_LENGTH)
        except OSError as error:
            raise self.error(f"cannot be read ({error.strerror or error})") from None
        if not head and self.stopped:
            raise KeyboardInterrupt  # before there was anything to learn
        if not head:
            raise self.error("it is empty; a table has a header line and at least one row")
        self.is_parquet = head == PARQUET
        self.compression = next((c for c, m in MAGIC.items() if head.startswith(m)), None)
        self._stream = None
        if self.compression:
            self._stream = pa.CompressedInputStream(
                pa.PythonFile(self._raw, mode="r"), self.compression
            )
        self.block = PIPE_BLOCK if self._raw.size is None else FILE_BLOCK

    def read(self) -> bytes:
        """Returns the next bytes: a block of a file, what a pipe holds now, none at the end."""
        try:
            return self._raw.read(self.block) if not self._stream else self._stream.read(self.block)
        except (OSError, pa.ArrowException) as error:
            if self.stopped:  # in the middle of what was compressed
                return b""
            raise self.error(self._damage(error)) from None

    @property
    def stopped(self) -> bool:
        """Whether the end came by request: what was read last may be cut off anywhere."""
        return self._raw.stopped

    @property
    def live(self) -> bool:
        """Whether this is a pipe, of which more may come at any time."""
        return self._raw.size is None

    @property
    def may_grow(self) -> bool:
        """Whether this is a file to which something may be added: not a pipe, not compressed."""
        return not self.live and not self.compression

    def progress(self) -> float | None:
        """Returns the share of the file that was read, in [0, 1]; nothing for a pipe."""
        size = self._raw.size
        return None if not size else min(1.0, self._raw.taken / size)

    def close(self) -> None:
        """Closes the file."""
        self._raw.close()

    def error(self, problem: str, line: int | None = None, column: str | None = None):
        """Returns the `StreamError` that names this source."""
        return StreamError(problem, file=self.name, line=line, column=column)

    def named_compression(self) -> str | None:
        """Returns the compression that the name promises."""
        return SUFFIXES.get(self.path.suffix.lower()) if self.path else None

    def _damage(self, error: Exception) -> str:
        if not self.compression:
            return f"cannot be read further ({error})"
        what = "cut off" if "runcated" in str(error) else "damaged"
        return f"this {self.compression} file is {what}; fetch or compress it again"


class _Counted(io.RawIOBase):
    """Raw bytes with a counter, and a head that can be looked at before it is read."""

    def __init__(self, file: io.RawIOBase | io.BufferedIOBase, stop: Stop | None):
        # One raw read at a time: `BufferedReader.read` would wait for a pipe to fill the request,
        # and would keep more of it than was asked for, unseen by `Stop.wait`.
        self._file, self._read_one = file, getattr(file, "read1", file.read)
        self._stop, self.stopped = None, False
        self._head, self.taken = b"", 0
        try:
            status = os.fstat(file.fileno())
            self.size = status.st_size if stat.S_ISREG(status.st_mode) else None
            self._stop = stop if self.size is None else None
        except (OSError, io.UnsupportedOperation):
            self.size = None

    def peek(self, length: int) -> bytes:
        while len(self._head) < length and (data := self._read(length - len(self._head))):
            self._head += data
        return self._head

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data, self._head = self._head, b""
        if not data:
            data = self._read(size)
        self.taken += len(data)
        return data

    def _read(self, size: int) -> bytes:
        if self.stopped or (self._stop and not self._stop.wait(self._file)):
            self.stopped = True
            return b""
        return self._read_one(size) or b""

    def close(self) -> None:
        if self._file is not getattr(sys.stdin, "buffer", None):
            self._file.close()
        super().close()


def _standard_input() -> io.BufferedIOBase:
    if sys.stdin is None:
        raise StreamError("it is closed; name a file instead of -", file="standard input")
    return sys.stdin.buffer  # type: ignore[return-value]


def _open(path: Path) -> io.RawIOBase:
    try:
        if path.is_dir():
            raise StreamError("it is a folder; name a file in it", file=str(path))
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise StreamError(_absent(path), file=str(path)) from None
    except PermissionError:
        problem = "no permission to read it; allow it (chmod u+r) or copy the file"
        raise StreamError(problem, file=str(path)) from None
    except (OSError, ValueError) as error:
        raise StreamError(f"cannot be opened ({error})", file=str(path)) from None


def _absent(path: Path) -> str:
    try:
        names = os.listdir(path.parent)
    except OSError:
        return f"no such file, for there is no folder '{path.parent}'; check the path"
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    if not close:
        return "no such file; check the path"
    return "no such file; did you mean " + " or ".join(f"'{name}'" for name in close) + "?"
