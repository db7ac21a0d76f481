"""Exponential smoothing along a stream, strictly in the order of its rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .compiled import compiled

FEW = 8  # rows for which it is not worth while to have a loop compiled


def smooth(values: np.ndarray, keep: float, gain: float, start: np.ndarray | float) -> np.ndarray:
    """Returns $m_t = \\text{keep}\\,m_{t-1} + \\text{gain}\\,v_t$ after every row.

    **Arguments:** `values`: `(T, …)`, with T at least 1; `keep`, `gain`; `start`: what was there
    before the first row, `(…)`.
    """
    smoothed = gain * np.asarray(values, dtype=float)
    rows = smoothed.reshape(len(smoothed), math.prod(smoothed.shape[1:]))
    last = np.ravel(np.asarray(start, dtype=float))
    if len(rows) < FEW:
        for row in rows:
            row += keep * last
            last = row
    else:  # scipy.signal.lfilter does the same, and takes a second to import
        compiled(_smooth)(rows, float(keep), np.ascontiguousarray(last))
    return smoothed


def prepare() -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    smooth(np.zeros((FEW, 1)), 1.0, 1.0, 0.0)


def _smooth(rows: Any, keep: float, last: Any) -> None:
    for k in range(rows.shape[1]):
        rows[0, k] += keep * last[k]
    for t in range(1, len(rows)):
        for k in range(rows.shape[1]):
            rows[t, k] += keep * rows[t - 1, k]
