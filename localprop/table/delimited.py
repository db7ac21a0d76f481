"""CSV and its relatives, as blocks of whole rows whose fields are still text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from .block import SKIP, BadRow, Block
from .columns import ABSENT, check_names
from .source import MAGIC, PARQUET, Source

LONGEST_ROW = 1 << 24  # bytes
LONGEST_HEADER = 1 << 20
DELIMITERS = ",;\t|"  # the first wins a tie
BOM = b"\xef\xbb\xbf"
FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh9": "bzip2",
    b"\xfd7zXZ": "xz",
    b"ARROW1": "Arrow IPC (Feather)",
    b"\x89HDF": "HDF5",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    PARQUET: "Parquet inside a compressed file",
    MAGIC["gzip"]: "compressed twice",
    MAGIC["zstd"]: "compressed twice",
}
REMEDY = {"UTF-16 text": "convert it: iconv -f UTF-16 -t UTF-8"}


class Delimited:
    """The rows of a CSV file, in blocks that end where a row ends.

    A row is found as RFC 4180 says: a field that starts with a quotation mark runs to the next
    single one, over delimiters and line ends. The delimiter is the one of `, ; tab |` that the
    header has most of. Blocks are cut here and parsed by PyArrow, so that a live pipe is never
    kept waiting, lines are those of a text editor, and no thread outlives the reader.

    **Arguments:** `source`; `leave_unfinished`: leave a last line without an end, and say so in
    `unfinished`.

    **Raises:** `StreamError` for what is not UTF-8 text, or for a header without sense.
    """

    def __init__(self, source: Source, leave_unfinished: bool = False):
        self._source = source
        self._leave_unfinished, self.unfinished = leave_unfinished, False
        header, self._rest, self._ended = self._split_header()
        self.delimiter = _delimiter(header)
        self._record, self._records = _grammar(self.delimiter)
        try:
            fields = next(csv.reader(io.StringIO(header, newline=""), delimiter=self.delimiter))
        except csv.Error as error:
            problem = f"the header cannot be parsed ({error}); correct it"
            raise source.error(problem, line=self._header_line) from None
        self.names = check_names(fields, source, line=self._header_line)
        self._line = self._header_line + max(1, _line_ends(header.encode()))

    def blocks(self) -> Iterator[Block]:
        """Yields the rows; each block holds at least one, good or bad."""
        line = self._line
        for chunk, tail in self._chunks():
            block = self._parse(chunk, line)
            line += _line_ends(chunk)
            if tail:
                problem = f"a quotation mark is opened and never closed; {SKIP}"
                block.bad.append(BadRow(len(block.lines), line, problem))
            if len(block.lines) or block.bad:
                yield block

    def progress(self) -> float | None:
        """Returns the share of the bytes read."""
        return self._source.progress()

    def close(self) -> None:
        """Closes nothing: the source does."""

    def _split_header(self) -> tuple[str, bytes, bool]:
        head, ended = b"", False
        while not ended and _header_end(head, False) is None and len(head) <= LONGEST_HEADER:
            data = self._source.read()
            head, ended = head + data, not data
        if ended and self._source.stopped:
            raise KeyboardInterrupt  # before there was anything to learn
        self._reject_foreign(head)
        head = head.removeprefix(BOM)
        bare = head.lstrip(b"\r\n")
        if not bare.strip():
            raise self._source.error("it holds no text; a table has a header line and rows")
        self._header_line = 1 + _line_ends(head[: len(head) - len(bare)])
        end = _header_end(bare, True) or len(bare)
        if re.search(rb"[\x00-\x08\x0e-\x1f]", bare[:end]):
            problem = "binary content, neither CSV nor Parquet" + self._promise()
            raise self._source.error(f"{problem}; give a CSV or Parquet file")
        if end > LONGEST_HEADER:
            raise self._source.error("the first line is longer than a header can be; give a table")
        try:
            return bare[:end].decode(), bare[end:], ended
        except UnicodeDecodeError:
            problem = "the header is not UTF-8 text; convert it (iconv -f LATIN1 -t UTF-8), "
            problem += "or this is no table" + self._promise()
            raise self._source.error(problem, line=self._header_line) from None

    def _reject_foreign(self, head: bytes) -> None:
        for magic, what in FOREIGN.items():
            if head.startswith(magic):
                remedy = REMEDY.get(what, "give plain, gzip or zstd CSV, or a Parquet file")
                raise self._source.error(f"this is {what}; {remedy}")

    def _promise(self) -> str:
        promised = self._source.named_compression()
        if not promised or self._source.compression:
            return ""
        return f" (nor {promised}, as the name promises)"

    def _chunks(self) -> Iterator[tuple[bytes, bytes]]:
        """Yields whole records, and beside the last of them the rest of one that was cut off."""
        pending, data, line = bytearray(self._rest), self._rest, self._line
        ended = self._ended
        while not ended:
            end = self._whole(pending) if b"\n" in data or b"\r" in data else 0
            if end:
                chunk = bytes(pending[:end])
                del pending[:end]
                line += _line_ends(chunk)
                yield chunk, b""
            if len(pending) > LONGEST_ROW:
                problem = f"a row of more than {LONGEST_ROW >> 20} MiB; is a quotation mark open?"
                raise self._source.error(f"{problem} correct the file", line=line)
            data = self._source.read()
            pending += data
            ended = not data
        whole = pending.endswith((b"\n", b"\r")) or not _is_utf8(bytes(pending))
        if self._leave_unfinished and not whole:
            self.unfinished = bool(pending.strip())
        elif pending and not self._source.stopped:  # or the last row may be half of one
            chunk = bytes(pending) + b"\n"
            end = self._whole(chunk)
            yield chunk[:end], chunk[end:]

    def _whole(self, pending: bytes | bytearray) -> int:
        if b'"' in pending:
            return self._records.match(pending).end()  # type: ignore[union-attr]
        return max(pending.rfind(b"\n"), pending.rfind(b"\r", 0, len(pending) - 1)) + 1

    def _parse(self, chunk: bytes, line: int) -> Block:
        valid = _is_utf8(chunk)
        if valid:
            arrays, ragged = self._fields(chunk)
            rows = len(arrays[0]) + len(ragged)
            if rows == _line_ends(chunk):
                return self._block(arrays, np.arange(line, line + rows), ragged)
        records = [r for r in self._record.findall(chunk) if r]
        counts = np.array([_line_ends(r) for r in records], dtype=np.int64)
        lines = line + np.cumsum(counts) - counts
        full = [i for i, record in enumerate(records) if record.strip(b"\r\n")]
        records, lines = [records[i] for i in full], lines[full]
        bad = {
            i: f"bytes that are not UTF-8; {SKIP}, or convert the file (iconv -t UTF-8)"
            for i, record in enumerate(records)
            if not valid and not _is_utf8(record)
        }
        kept = [i for i in range(len(records)) if i not in bad]
        arrays, ragged = self._fields(b"".join(records[i] for i in kept))
        return self._block(arrays, lines, bad | {kept[i]: problem for i, problem in ragged.items()})

    def _block(self, arrays: list[pa.Array], lines: np.ndarray, bad: dict[int, str]) -> Block:
        places = sorted(bad)
        rows = [BadRow(i - k, int(lines[i]), bad[i]) for k, i in enumerate(places)]
        return Block(arrays, np.delete(lines, places).astype(np.int64), rows)

    def _fields(self, chunk: bytes) -> tuple[list[pa.Array], dict[int, str]]:
        """Returns the fields of the rows that fit the header, and what is wrong with the others."""
        ragged: dict[int, str] = {}
        names = [str(i) for i in range(len(self.names))]
        if not chunk:
            return [pa.array([], pa.string()) for _ in names], ragged

        def refuse(row: pa_csv.InvalidRow) -> str:
            fields = f"{row.actual_columns} field" + "s" * (row.actual_columns != 1)
            problem = f"{fields} where the header has {row.expected_columns}"
            ragged[row.number - 1] = f"{problem}; {SKIP}"
            return "skip"

        options = (
            pa_csv.ReadOptions(use_threads=False, block_size=len(chunk) + 1, column_names=names),
            pa_csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            pa_csv.ConvertOptions(
                check_utf8=False,  # done for the whole chunk
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=list(ABSENT),
            ),
        )
        try:
            table = pa_csv.read_csv(pa.BufferReader(chunk), *options)
        except pa.ArrowException as error:
            raise self._source.error(f"cannot be parsed as CSV ({error})") from None
        return [column.combine_chunks() for column in table.columns], ragged


def _grammar(delimiter: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Returns patterns of one record with its line end, and of as many as are surely whole."""
    d = re.escape(delimiter.encode())
    plain = rb"[^" + d + rb"\r\n]*+"
    field = rb'(?:"(?:[^"]++|"")*+"' + plain + rb'|(?!")' + plain + rb")"
    record = field + rb"(?:" + d + field + rb")*+"
    # A carriage return at the very end of a block may be half of a line end.
    whole = rb"(?:" + record + rb"(?:\r\n|\n|\r(?!\Z)))*+"
    return re.compile(record + rb"(?:\r\n?|\n)"), re.compile(whole)


def _delimiter(header: str) -> str:
    bare = re.sub(r'"(?:[^"]|"")*"', "", header)
    return max(DELIMITERS, key=bare.count)


def _header_end(head: bytes, settle: bool) -> int | None:
    """Returns where the first line that is not empty ends, over quoted line ends if they close."""
    start = len(head) - len(head.removeprefix(BOM).lstrip(b"\r\n"))
    first, last, quotes = None, start, 0
    for match in re.finditer(rb"\r\n|\n|\r(?!\Z)", head[start:]):
        end = start + match.end()
        first = first or end
        quotes += head.count(b'"', last, end)
        last = end
        if quotes % 2 == 0:
            return end
    return first if settle else None


def _line_ends(text: bytes) -> int:
    # Lines are short: to look for one after the other takes longer than to compare every byte.
    ends = int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))
    return ends + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else ends


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
