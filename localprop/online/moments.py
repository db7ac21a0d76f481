"""Running mean and standard deviation, one value at a time, computed a piece at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ..table.columns import is_known

CLIP = 5.0  # standardised inputs beyond this are clipped


@dataclass
class Moments:
    """Running count, mean and standard deviation of the finite values of one column.

    The sums are taken about the column's first value, against cancellation, and strictly in the
    order of the stream, so that the numbers do not depend on how the stream is cut into pieces.
    """

    shift: float = 0.0
    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def update(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes values in and returns the mean and the deviation around each of them.

        **Arguments:** `values`: `(T,)`, NaN or infinite where missing.

        **Returns:** mean and standard deviation, each `(T + 1,)`: entry `t` knows the values
        before row `t`, entry `t + 1` also row `t`. Before the first value both are 0.
        """
        known = is_known(values)
        if self.count == 0 and known.any():
            self.shift = float(values[np.argmax(known)])
        shifted = np.where(known, values - self.shift, 0.0)
        count = running(self.count, known)
        total, squares = running(self.total, shifted), running(self.squares, shifted**2)
        self.count = int(count[-1])
        self.total, self.squares = float(total[-1]), float(squares[-1])
        n = np.maximum(count, 1)
        mean = total / n
        variance = np.maximum(squares / n - mean**2, 0.0)
        return np.where(count > 0, mean + self.shift, 0.0), np.sqrt(variance)

    def look(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mean and the deviation as each value, by itself, would leave them.

        **Arguments:** `values`: `(T,)`, NaN or infinite where missing. Nothing is taken in.
        """
        known = is_known(values)
        shift = self.shift if self.count else np.where(known, values, 0.0)
        shifted = np.where(known, values - shift, 0.0)
        count = self.count + known
        n = np.maximum(count, 1)
        mean = (self.total + shifted) / n
        variance = np.maximum((self.squares + shifted**2) / n - mean**2, 0.0)
        return np.where(count > 0, mean + shift, 0.0), np.sqrt(variance)

    def state(self) -> dict[str, float]:
        """Returns what a checkpoint must keep."""
        return asdict(self)


def standardised(
    values: np.ndarray, mean: np.ndarray, deviation: np.ndarray, clip: float
) -> np.ndarray:
    """Returns $(v - \\mu)/\\sigma$ within ±clip; 0 where the value is missing or σ vanishes."""
    known = is_known(values) & (deviation > 0)
    safe = np.where(known, deviation, 1.0)
    centred = np.where(known, values - mean, 0.0)
    with np.errstate(over="ignore"):  # a quotient too large to represent is clipped anyway
        return np.clip(centred / safe, -clip, clip)


def hold(values: np.ndarray) -> np.ndarray:
    """Returns the values with the last one before it in place of every gap."""
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    return values[last]


def running(start: int | float, values: np.ndarray) -> np.ndarray:
    """Returns `start` and the sums after each value, added strictly in order, as cumsum does.

    Hence they do not depend, to the last bit, on how a stream is cut into pieces.
    """
    return np.cumsum(np.concatenate([[start], values]))
