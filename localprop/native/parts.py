"""Pairs and learned speeds of a phase, as the loops take them: see `oscillating`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..law import Phase
from .plan import Plan


def arcs(tree: Any) -> Any:
    """Returns what belongs to arcs alone."""
    return tree["arcs"] if isinstance(tree, dict) else tree


class Parts:
    """Takes phases of a learner apart, and puts them together.

    **Arguments:** `plan`: of the learner.
    """

    def __init__(self, plan: Plan):
        self.plan, self.pair = plan, 1 if plan.frequencies is None else 2
        self.streams, self.n = plan.ints["streams"], plan.ints["neurons"]
        self.names = {"arcs", *plan.learned}
        free = np.isfinite(plan.speeds).astype(np.uint8)
        self._free = np.broadcast_to(free, self.n).copy()

    def leaves(self, kind: str, tree: Any) -> list[tuple[Any, tuple[int, ...]]]:
        """Returns what should be arrays of a phase, and the shapes that they should have.

        **Arguments:** `kind`: in the plan's shapes; `tree`: what is of that kind.
        """
        shape = self.plan.shapes[kind]
        if kind not in ("w", "trace") or not self.plan.learned:
            return [(tree, shape)]
        if not isinstance(tree, dict) or set(tree) != self.names:
            return [(None, shape)]
        of_speeds = (self.n,) if kind == "w" else self.plan.shapes["x"]
        return [(tree["arcs"], shape), *((tree[name], of_speeds) for name in self.plan.learned)]

    def neurons(self, a: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns real and imaginary parts, `(streams, neurons)`; without pairs, twice the same."""
        parts = np.asarray(a).reshape(self.streams, self.pair, self.n)
        real = parts[:, 0].copy()
        return real, real if self.pair == 1 else parts[:, 1].copy()

    def paired(self, real: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Returns states or costates as a phase has them."""
        whole = real if self.pair == 1 else np.stack([real, side], axis=1)
        return whole.reshape(self.plan.shapes["x"])

    def turned(
        self, c: dict[str, Any], x: np.ndarray, costate: np.ndarray
    ) -> tuple[np.ndarray, ...] | None:
        """Returns what the loops are handed of pairs.

        **Arguments:** `c`: scratch; `x`, `costate`: imaginary parts.
        """
        if self.plan.frequencies is None:
            return None
        return self.plan.frequencies, c["turns"], x, c["sides"], costate

    def rates(self, phase: Phase) -> tuple[np.ndarray, ...] | None:
        """Returns what the loops are handed of learned speeds."""
        names = self.plan.learned
        if not names:
            return None
        mean = None if phase.average is None else phase.average.w
        trees = phase.w, phase.momentum, phase.mass, mean
        moving = (self.learned(tree) for tree in trees)
        each = [np.reshape(phase.trace[name], (self.streams, self.pair, -1)) for name in names]
        force = np.zeros(self.n, self.plan.dtype)
        return *moving, self._free, np.stack(each, axis=1), force

    def learned(self, tree: Any) -> np.ndarray:
        """Returns what is learned of speeds, or 0 where a phase has none of the kind."""
        if tree is None:
            return np.zeros((len(self.plan.learned), self.n), self.plan.dtype)
        return np.stack([tree[name] for name in self.plan.learned])

    def whole(self, of_arcs: np.ndarray, rates: tuple[np.ndarray, ...] | None, which: int) -> Any:
        """Returns what is stored as weights are, as a phase has it; `which`: of the rates."""
        if rates is None:
            return of_arcs
        return {"arcs": of_arcs, **dict(zip(self.plan.learned, rates[which], strict=True))}

    def whole_trace(self, of_arcs: np.ndarray, rates: tuple[np.ndarray, ...] | None) -> Any:
        """Returns traces as a phase has them."""
        of_arcs = of_arcs.reshape(self.plan.shapes["trace"])
        if rates is None:
            return of_arcs
        each = [rates[5][:, k].reshape(self.plan.shapes["x"]) for k in range(len(rates[0]))]
        return {"arcs": of_arcs, **dict(zip(self.plan.learned, each, strict=True))}
