"""From sentences to inputs: which words a text has, by their hashes, in bounded room."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ..table.columns import Column
from ..table.sentences import UNSPACED

pc: Any = pyarrow.compute
NORM = 2.0  # of a row's inputs: 1 learns real sentences more slowly, 4 no faster
BUCKETS = 256  # inputs of a column of words, at most
ROLE = "word bucket {}"


def bags(column: Column) -> np.ndarray:
    r"""Returns the words of each row as inputs, `(rows, 256)`, zero where the value is missing.

    Every distinct word $v$ of a row adds $\pm 1$ to one bucket, both taken from its CRC-32 (the
    hashing trick: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009;
    signs keep the expected product of two texts without common words at zero). Rows are then
    given the Euclidean norm 2, so a long text moves the network as much as a short one:

    $$u_b = \frac{2\,s_b}{\lVert s\rVert},\qquad s_b = \sum_{v:\,h(v) = b} \xi(v).$$

    Words are runs of letters and digits, lower-cased in Unicode's form NFKC; of scripts without
    blanks between words every character is one. A text without any is in bucket 0. Nothing is
    remembered: the same text has the same inputs in every process.

    **Arguments:** `column`: of texts, as codes of categories.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.words import bags
        >>> from localprop.table.columns import Column, ColumnKind
        >>> texts = ["Good value, good food.", "GOOD food: value", "Never again"]
        >>> u = bags(Column(ColumnKind.WORDS, np.array([0, 1, 2, -1]), texts))
        >>> u.shape, bool((u[0] == u[1]).all()), int((u[2] != 0).sum())
        ((4, 256), True, 2)
        >>> np.linalg.norm(u, axis=1).round(6).tolist()
        [2.0, 2.0, 2.0, 0.0]

        ```
    """
    table = np.zeros((len(column.categories) + 1, BUCKETS))  # the last for what is missing
    if column.categories:
        table[:-1] = _of_texts(pa.array(column.categories, pa.string()))
    return table[column.values]


def _of_texts(texts: pa.Array) -> np.ndarray:
    """Returns the inputs of each text."""
    texts = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    texts = pc.replace_substring_regex(texts, "['’]", "")
    texts = pc.replace_substring_regex(texts, f"({UNSPACED})", r" \1 ")
    split = pc.split_pattern_regex(texts, r"[^\p{L}\p{M}\p{N}]+")
    words = split.flatten().dictionary_encode()
    distinct = words.dictionary.to_pylist()
    places = words.indices.to_numpy(zero_copy_only=False)
    of_text = pc.list_parent_indices(split).to_numpy(zero_copy_only=False)
    pairs = np.unique(of_text * len(distinct) + places)  # a word counts once in a text
    text, word = np.divmod(pairs, len(distinct))

    hashes = np.array([zlib.crc32(w.encode()) for w in distinct], np.int64)
    signs = np.where(hashes >> 31, -1.0, 1.0) * np.array([w != "" for w in distinct], float)
    flat = text * BUCKETS + (hashes % BUCKETS)[word]
    sums = np.bincount(flat, signs[word], len(texts) * BUCKETS).reshape(-1, BUCKETS)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    sums[norms[:, 0] == 0, 0] = 1.0
    return NORM * sums / np.where(norms > 0, norms, 1.0)
