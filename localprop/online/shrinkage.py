"""How far a forecast deserves to be followed, learned from how far it was right."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .smoothing import smooth

MEMORY = 200.0  # rows over which past forecasts count


@dataclass
class Shrinkage:
    """The factor in [0, 1] by which forecast changes would have served best, lately.

    The least-squares slope $g = \\sum \\rho^k a c / \\sum \\rho^k a^2$ of the changes $c$ that came
    on the changes $a$ that were forecast, forgetting with $\\rho = 1 - 1/200$. On a series that
    cannot be foretold it goes to 0, and the forecast to the last value.
    """

    product: float = 0.0
    square: float = 0.0

    def update(self, forecast: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Takes in forecasts whose change has come, and returns the factor after each row.

        **Arguments:** `forecast`, `change`: `(T,)`, NaN where nothing can be compared.
        """
        known = np.isfinite(forecast) & np.isfinite(change)
        a, c = np.where(known, forecast, 0.0), np.where(known, change, 0.0)
        product, square = self._remember(self.product, a * c), self._remember(self.square, a * a)
        self.product, self.square = float(product[-1]), float(square[-1])
        positive = square > 0
        return np.clip(np.where(positive, product, 0.0) / np.where(positive, square, 1.0), 0.0, 1.0)

    def state(self) -> dict[str, float]:
        """Returns what a checkpoint must keep."""
        return asdict(self)

    @staticmethod
    def _remember(start: float, values: np.ndarray) -> np.ndarray:
        keep = 1 - 1 / MEMORY
        return smooth(values, keep, 1.0, start)
