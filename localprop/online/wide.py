"""Tables that get more columns."""

from __future__ import annotations

import numpy as np


def widened(a: np.ndarray, width: int, value: float = 0.0) -> np.ndarray:
    """Returns the array with so many last columns, the new ones filled with a value.

    Those beyond are cut off. For arrays as small as a row's, `np.pad` takes ten times as long.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.wide import widened
        >>> widened(np.array([[1.0, 2.0]]), 3).tolist(), widened(np.array([1.0, 2.0]), 1).tolist()
        ([[1.0, 2.0, 0.0]], [1.0])

        ```
    """
    here = a.shape[-1]
    if here >= width:
        return a[..., :width]
    wide = np.empty((*a.shape[:-1], width), a.dtype)
    wide[..., :here] = a
    wide[..., here:] = value
    return wide
