"""Exponential smoothing along a stream, strictly in the order of its rows."""

from __future__ import annotations

import numpy as np


def smooth(values: np.ndarray, keep: float, gain: float, start: np.ndarray | float) -> np.ndarray:
    """Returns $m_t = \\text{keep}\\,m_{t-1} + \\text{gain}\\,v_t$ after every row.

    **Arguments:** `values`: `(T, …)`, with T at least 1; `keep`, `gain`; `start`: what was there
    before the first row, `(…)`.
    """
    smoothed = gain * np.asarray(values, dtype=float)
    last = np.atleast_1d(np.asarray(start, dtype=float))
    # A microsecond a row; scipy.signal.lfilter does the same, and takes a second to import.
    for row in smoothed if smoothed.ndim > 1 else smoothed[:, None]:
        row += keep * last
        last = row
    return smoothed
