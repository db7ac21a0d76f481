"""Parquet files, as blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from .block import Block
from .columns import check_names, is_supported, plain
from .parquet_pages import pages
from .source import Source

ROWS = 8192  # in a block, at most
BYTES = 1 << 25  # in a block, as far as the file says how long its rows are
PAGE = 1 << 27  # bytes of a page: it is decoded whole, in about three times its size
PAGE_BUFFER = 1 << 16  # bytes per column: a row group is never in memory whole


class Parquet:
    """The rows of a Parquet file.

    **Arguments:** `source`.

    **Raises:** `StreamError` for a damaged file, a column that is not a column of values, or one
    with a page too large to be decoded.
    """

    def __init__(self, source: Source):
        self._source, self._taken = source, 0
        if source.path is None or source.progress() is None:
            raise source.error("Parquet cannot be read from a pipe; save it and name the file")
        try:
            self._file = pa_parquet.ParquetFile(
                source.path, buffer_size=PAGE_BUFFER, pre_buffer=False
            )
            schema = self._file.schema_arrow
            self._rows = self._file.metadata.num_rows
            self._block = _rows_in_a_block(self._file.metadata)
        except (OSError, pa.ArrowException) as error:
            raise source.error(_damaged(error)) from None
        if not schema.names:
            raise source.error("it has no columns")
        self.names = check_names(schema.names, source)
        for name, kind in zip(self.names, schema.types, strict=True):
            if not is_supported(kind):
                problem = f"unsupported column type {kind}; flatten or drop the column"
                raise source.error(problem, column=name)
        self._check_pages()

    def _check_pages(self) -> None:
        """Raises `StreamError` for a page that would not fit into a modest memory."""
        metadata = self._file.metadata
        chunks = [
            (metadata.row_group(i).column(k), self.names[k])
            for i in range(metadata.num_row_groups)
            for k in range(min(metadata.num_columns, len(self.names)))
        ]
        # Only a chunk as large as that can hold such a page; most files have none.
        large = [(c, name) for c, name in chunks if c.total_uncompressed_size > PAGE]
        if not large:
            return
        with open(str(self._source.path), "rb") as file:
            for chunk, name in large:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                sizes = (p.uncompressed for p in pages(file, start, chunk.total_compressed_size))
                if (largest := max(sizes, default=0)) > PAGE:
                    raise self._source.error(
                        f"a page of {largest / 1e6:,.0f} MB, and a page is decoded whole; write "
                        f"the file with pages of at most {PAGE / 1e6:.0f} MB (data_page_size=2**20 "
                        "of pyarrow, say)",
                        column=name,
                    )

    def blocks(self) -> Iterator[Block]:
        """Yields the rows; lines are row numbers, from 1."""
        batches = self._file.iter_batches(self._block, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (OSError, pa.ArrowException) as error:
                raise self._source.error(_damaged(error), line=self._taken + 1) from None
            if batch is None:
                return
            lines = np.arange(self._taken + 1, self._taken + 1 + len(batch))
            self._taken += len(batch)
            yield Block([self._plain(i, array) for i, array in enumerate(batch.columns)], lines)

    def _plain(self, column: int, array: pa.Array) -> pa.Array:
        try:
            array = plain(array)
            array.validate(full=True)  # files may hold any bytes as text
            return array
        except pa.ArrowException:
            problem = f"{array.type} values that are not UTF-8 text; convert or drop the column"
            raise self._source.error(problem, column=self.names[column]) from None

    def progress(self) -> float | None:
        """Returns the share of the rows read."""
        return self._taken / self._rows if self._rows else 1.0

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _rows_in_a_block(metadata: pa_parquet.FileMetaData) -> int:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    longest = max((g.total_byte_size / max(g.num_rows, 1) for g in groups), default=1.0)
    return int(max(1, min(ROWS, BYTES / max(longest, 1.0))))


def _damaged(error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"this Parquet file is cut off or damaged ({first.rstrip('.')}); fetch or write it again"
