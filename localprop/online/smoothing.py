"""Exponential smoothing along a stream, strictly in the order of its rows."""

from __future__ import annotations

import numpy as np


def smooth(values: np.ndarray, keep: float, gain: float, start: np.ndarray | float) -> np.ndarray:
    """Returns $m_t = \\text{keep}\\,m_{t-1} + \\text{gain}\\,v_t$ after every row.

    **Arguments:** `values`: `(T, …)`, with T at least 1; `keep`, `gain`; `start`: what was there
    before the first row, `(…)`.
    """
    from scipy.signal import lfilter  # which takes a third of a second to import

    before = keep * np.asarray(start, dtype=float)[None]
    return lfilter([gain], [1.0, -keep], values, axis=0, zi=before)[0]
