"""Pages of a Parquet file: walked as the file's own footer adds them up, and bounded."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from localprop.errors import StreamError
from localprop.table import parquet
from localprop.table.parquet_pages import pages
from localprop.table.table import Table

RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "number": RNG.standard_normal(20_000),
        "flag": RNG.random(20_000) < 0.5,
        "word": [f"{k % 7} words, of which some are long " * (k % 3) for k in range(20_000)],
        "unlike": [f"{k} {k * k}" for k in range(20_000)],
        "gap": pa.array([k if k % 3 else None for k in range(20_000)]),
    }
)
WRITTEN = {
    "plain": {"compression": "none", "use_dictionary": False},
    "small pages": {"data_page_size": 1000, "write_batch_size": 100},
    "second version": {"data_page_version": "2.0", "compression": "zstd"},
    "page index": {"write_page_index": True, "write_page_checksum": True},
    "groups": {"row_group_size": 3000, "compression": "gzip"},
}


@pytest.mark.parametrize("way", WRITTEN)
def test_pages_add_up_to_what_the_footer_says(way):
    file = io.BytesIO()
    pq.write_table(TABLE, file, **WRITTEN[way])
    metadata = pq.ParquetFile(file).metadata
    for i in range(metadata.num_row_groups):
        for k in range(metadata.num_columns):
            chunk = metadata.row_group(i).column(k)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            found = list(pages(file, start, chunk.total_compressed_size))
            # Both sums count the headers [parquet.thrift, ColumnMetaData].
            assert sum(p.header + p.compressed for p in found) == chunk.total_compressed_size
            assert sum(p.header + p.uncompressed for p in found) == chunk.total_uncompressed_size


def test_what_is_no_page_ends_the_walk():
    for seed in range(200):
        noise = np.random.default_rng(seed).bytes(300)
        assert sum(p.header for p in pages(io.BytesIO(noise), 0, len(noise))) <= len(noise)


def columns(path):
    with Table(path) as table:
        return table.columns


def test_a_page_too_large_to_be_decoded_is_refused_in_one_line(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, data_page_size=1 << 30, use_dictionary=False)
    assert len(columns(path)) == 5  # 20,000 rows are no danger
    monkeypatch.setattr(parquet, "PAGE", 100_000)
    with pytest.raises(StreamError, match=r"a\.parquet, column 'number': a page of 0 MB") as raised:
        columns(path)
    assert "\n" not in str(raised.value)
    # The same rows in pages of a usual size, in chunks as large as before.
    pq.write_table(TABLE, path, data_page_size=10_000, write_batch_size=100, use_dictionary=False)
    assert len(columns(path)) == 5
