"""Whether texts are sentences, of words that recur, or names of categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
WORD = rf"{UNSPACED}|[\p{{L}}\p{{M}}'’]+"
SEVERAL = 3  # words, from which on a value may be a sentence among many that differ
ENOUGH = 10  # values, below which nothing is known of how many differ
MANY = 6  # words, which say that by themselves


def are_sentences(array: pa.Array) -> bool:
    """Returns whether most values have several words, and most differ.

    Of fewer than ten values most must have six words.

    **Arguments:** `array`: `(rows,)`, strings without null.
    """
    if not len(array):
        return False
    counts = pc.count_substring_regex(array, WORD).to_numpy(zero_copy_only=False)
    if len(array) < ENOUGH:
        return bool(np.median(counts) >= MANY)
    distinct = pc.count_distinct(array).as_py() > len(array) / 2
    return bool(distinct and np.median(counts) >= SEVERAL)
