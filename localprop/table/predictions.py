"""A file of predictions: a row per row of the table, whole or not there."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from ..errors import CheckpointError, ConfigError
from ..options import path as as_path
from ..written_aside import LONGEST_NAME, beside, locked, open_afresh, unlock, written_aside

pc: Any = pyarrow.compute
ENDINGS = (".csv", ".csv.gz", ".parquet")
GROUP = 65_536  # rows that are converted together
SPECIAL = set('",\r\n')  # what makes CSV quote a field
LENGTH = 8  # bytes that say how long the next batch is


@dataclass(frozen=True)
class Answered:
    """Rows with what was predicted of them.

    **Fields:** `lines`: `(rows,)`; `predictions`, `truths`: `(rows,)`, as text for classes, as
    float64 for numbers, null where there is none; `numbers`: `(rows, n)`, probabilities of the
    classes, or the bounds of an interval; `classes` met so far, or `None` for numbers; `decided`:
    whether it is known which of the two they will be.
    """

    lines: np.ndarray
    predictions: pa.Array
    truths: pa.Array
    numbers: np.ndarray
    classes: list[str] | None
    decided: bool = True


Predictions = Union["PipedPredictions", "FiledPredictions"]


def open_predictions(path: str | Path, classes: Sequence[str] | None, mark: int = 0) -> Predictions:
    """Returns where rows go: standard output for `-`, else a file that goes on from its mark."""
    return PipedPredictions(classes) if str(path) == "-" else FiledPredictions(path, mark)


class PipedPredictions:
    """CSV on standard output, every row at once.

    The header names `classes`; the probability of one that comes later is in no column, though it
    may be the prediction. `broken` says whether the reader has left.

    **Arguments:** `classes` to have a column for; `None` where numbers are predicted.
    """

    def __init__(self, classes: Sequence[str] | None = None):
        self._file, self.broken = sys.stdout, False
        if isinstance(self._file, io.TextIOWrapper):  # data, in one encoding wherever it is read
            self._file.reconfigure(encoding="utf-8", errors="surrogateescape")
        self._classes = None if classes is None else list(classes)
        self._begun = False
        self._held: list[int] = []  # lines of rows before it was known what is predicted

    def add(self, answered: Answered) -> None:
        if not self._begun and not answered.decided:
            self._held += answered.lines.tolist()
            return
        if not self._begun:
            self._begin(answered.classes)
        numbers = answered.numbers
        if self._classes is not None:
            places = {name: k for k, name in enumerate(answered.classes or ())}
            found = np.pad(numbers, ((0, 0), (0, 1)))  # the last: of a class not met yet
            numbers = found[:, [places.get(name, -1) for name in self._classes]]
        columns = (a.to_pylist() for a in (answered.predictions, answered.truths))
        rows = zip(answered.lines.tolist(), *columns, numbers.tolist(), strict=True)
        self._write([line, *map(_spelled, (p, t, *more))] for line, p, t, more in rows)

    def _begin(self, classes: Sequence[str] | None) -> None:
        self._begun = True
        if self._classes is None and classes is not None:
            self._classes = list(classes)
        names = header(self._classes)
        nothing = ["", ""] if self._classes is None else [0.0] * len(self._classes)
        self._write([names, *([line, "", "", *nothing] for line in self._held)])
        self._held = []

    def close(self, *, kept: bool) -> None:
        """A pipe leaves nothing."""

    def keep(self) -> int:
        """Nothing of a pipe survives."""
        return 0

    def finish(self, classes: list[str] | None) -> None:
        if not self._begun:
            self._begin(classes)

    def _write(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        try:
            if not self.broken:
                self._file.write(text.getvalue())
                self._file.flush()
        except BrokenPipeError:  # nobody reads any more, which is no error
            self.broken = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())


class FiledPredictions:
    """A CSV (also gzip) or Parquet file, written from a spool when the run ends.

    The spool stands beside the file, `.NAME.rows`: batches of Arrow, each behind its length, so
    that it can be cut at any mark. New classes need no new header until the end, and a run that was
    killed goes on from the mark in its checkpoint. It is kept as long as there is a checkpoint.

    **Arguments:** `path`; `mark`: where to go on; 0 begins afresh.

    **Raises:** `ConfigError` for a name of another ending, or a folder that cannot be written;
    `CheckpointError` where the spool is gone or shorter than the mark.
    """

    def __init__(self, path: str | Path, mark: int = 0):
        self.path = Path(path)
        check_predictions(self.path)
        self.spool, self._lock = beside(self.path, ".rows"), beside(self.path, ".lock")
        self._special = False  # whether a truth needs quotation marks
        if mark and (not self.spool.is_file() or self.spool.stat().st_size < mark):
            raise CheckpointError(
                f"{self.path}: the rows that were predicted before are gone ('{self.spool.name}' "
                "beside it was removed or cut); name another file, to hold the rows from here on"
            )
        try:
            self._handle = locked(self._lock)
            self._file = _opened(self.spool) if mark else open_afresh(self.spool)
            self._file.truncate(mark)
            self._file.seek(mark)
        except BlockingIOError:
            raise ConfigError(
                f"{self.path}: another run is writing it now; wait for its end, or name another "
                "file"
            ) from None
        except OSError as error:
            raise ConfigError(f"{self.spool}: {error.strerror}; name another file") from error

    def add(self, answered: Answered) -> None:
        rows, width = answered.numbers.shape
        ends = pa.array(np.arange(rows + 1) * width, pa.int32())
        numbers = pa.ListArray.from_arrays(ends, pa.array(answered.numbers.ravel(), pa.float64()))
        exact = answered.classes is None
        if not exact:
            odd = pc.any(pc.match_substring_regex(answered.truths, '[",\r\n]')).as_py()
            self._special = self._special or bool(odd)
        columns = [pa.array(answered.lines), answered.predictions, answered.truths, numbers]
        data = pa.record_batch(columns, schema=_schema(exact)).serialize()
        self._guard(lambda: self._file.write(len(data).to_bytes(LENGTH, "little")))
        self._guard(lambda: self._file.write(bytes([exact])))
        self._guard(lambda: self._file.write(data))

    def keep(self) -> int:
        self._guard(self._file.flush)
        self._guard(lambda: os.fsync(self._file.fileno()))
        return self._file.tell()

    def finish(self, classes: list[str] | None) -> None:
        """Writes the file.

        **Arguments:** `classes`: all that were met, in the order of the probabilities, or `None`.
        """
        self.keep()
        with written_aside(self.path, ConfigError) as file:
            self._convert(file, classes)

    def close(self, *, kept: bool) -> None:
        """Leaves what was spooled where the run may go on later, and else nothing."""
        if not self._file.closed:
            self._file.close()
            if not kept:
                self.spool.unlink(missing_ok=True)
            unlock(self._lock, self._handle)

    def _guard(self, act: Any) -> None:
        try:
            act()
        except OSError as error:
            raise ConfigError(
                f"{self.spool}: {error.strerror or error}; free some space or name another file"
            ) from error

    def _convert(self, file: Any, classes: list[str] | None) -> None:
        schema = result_schema(classes)
        if self.path.suffix == ".parquet":
            with pa_parquet.ParquetWriter(file, schema) as writer:
                for table in self._tables(classes):
                    writer.write_table(table, row_group_size=GROUP)
            return
        sink: Any = file
        if self.path.suffix == ".gz":
            sink = gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0)
        # PyArrow's "needed" would quote all text.
        special = self._special or any(SPECIAL & set(name) for name in classes or ())
        style = "needed" if special else "none"
        options = pa_csv.WriteOptions(include_header=False, quoting_style=style)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(schema.names)
        sink.write(text.getvalue().encode())
        for table in self._tables(classes):
            pa_csv.write_csv(table, sink, options)
        if sink is not file:
            sink.close()

    def _tables(self, classes: list[str] | None) -> Iterator[pa.Table]:
        """Yields all rows as tables of `GROUP` rows, however they came."""
        waiting: list[pa.Table] = []
        rows = 0
        for table in self._spooled(classes):
            waiting.append(table)
            rows += len(table)
            while rows >= GROUP:
                whole = pa.concat_tables(waiting)
                yield whole.slice(0, GROUP).combine_chunks()
                waiting, rows = [whole.slice(GROUP)], rows - GROUP
        if rows:
            yield pa.concat_tables(waiting).combine_chunks()

    def _spooled(self, classes: list[str] | None) -> Iterator[pa.Table]:
        schema = result_schema(classes)
        width = 2 if classes is None else len(classes)
        with open(self.spool, "rb") as file:
            while size := file.read(LENGTH):
                exact = bool(file.read(1)[0])
                data = pa.py_buffer(file.read(int.from_bytes(size, "little")))
                batch = pa.ipc.read_record_batch(data, _schema(exact))
                numbers, first = np.zeros((len(batch), width)), list(batch.columns[:3])
                if exact == (classes is None):
                    found = batch.column(3).values.to_numpy().reshape(len(batch), -1)
                    numbers[:, : found.shape[1]] = found
                else:  # nothing was known yet of what is predicted
                    numbers[:] = np.nan if classes is None else 0.0
                    first[1:] = [pa.nulls(len(batch), schema.types[1])] * 2
                columns = [*first, *(with_nulls(c) for c in numbers.T)]
                yield pa.table(columns, schema=schema)


def _opened(path: Path) -> Any:
    """Opens a file to go on with; follows no link."""
    return os.fdopen(os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)), "r+b")


def check_distinct(predictions: Any, **others: Any) -> None:
    """Raises `ConfigError` where the file of predictions is another one too, which would be lost.

    **Arguments:** `predictions`, a path, `-` or `None`; `others` by what they are.
    """
    if predictions is None or str(predictions) == "-":
        return
    place = as_path("predictions", predictions).resolve()
    for name, path in others.items():
        if path is not None and str(path) != "-" and as_path(name, path).resolve() == place:
            raise ConfigError(
                f"--predictions {predictions}: is the {name} at once; name another file"
            )


def check_predictions(path: Path) -> None:
    """Raises `ConfigError` for a file of predictions that could not be written in the end."""
    if not path.name.endswith(ENDINGS):
        raise ConfigError(f"--predictions {path}: give a name that ends in {', '.join(ENDINGS)}")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise ConfigError(f"--predictions {path}: the name is too long; give a shorter one")
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise ConfigError(f"--predictions {path}: is no regular file; give the name of one")
    if path.exists() and not _is_predictions(path):
        raise ConfigError(
            f"--predictions {path}: holds something else than predictions; remove it, or name "
            "another file"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"--predictions {path}: there is no folder '{path.parent}'; create it")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--predictions {path}: the folder '{path.parent}' cannot be written")


def _is_predictions(path: Path) -> bool:
    """Returns whether a file is empty, or was written here."""
    first = header(None)[:3]
    try:
        if not path.stat().st_size:
            return True
        if path.suffix == ".parquet":
            return pa_parquet.read_schema(path).names[:3] == first
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(100).startswith(",".join(first).encode())
    except (OSError, EOFError, pa.ArrowException, zlib.error):
        return False


def header(classes: Sequence[str] | None) -> list[str]:
    """Returns the names of the columns."""
    more = ["low", "high"] if classes is None else [f"p({name})" for name in classes]
    return ["line", "prediction", "truth", *more]


def result_schema(classes: Sequence[str] | None) -> pa.Schema:
    """Returns the columns of the file, for these classes, or for numbers."""
    kind = pa.float64() if classes is None else pa.string()
    names = header(classes)
    kinds = [pa.int64(), kind, kind, *[pa.float64()] * (len(names) - 3)]
    return pa.schema(list(zip(names, kinds, strict=True)))


def _schema(exact: bool) -> pa.Schema:
    kind = pa.float64() if exact else pa.string()
    numbers = pa.list_(pa.float64())
    return pa.schema([("line", pa.int64()), ("p", kind), ("t", kind), ("numbers", numbers)])


def with_nulls(values: np.ndarray) -> pa.Array:
    """Returns numbers as an Arrow array, null for NaN."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def _spelled(value: Any) -> Any:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "" if missing else value
