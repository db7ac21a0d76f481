"""Streams on which neither the last target nor frozen hidden weights can answer.

A *lesson* is a sample to learn and a question to answer next, with what is then right. Whoever
answers may have learned nothing later than the lesson.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Lessons(NamedTuple):
    """A stream of lessons: inputs and targets to learn, then the question and its answer.

    **Fields:** `u`, `query` of shape `(T, d)`; `z`, `answer` of shape `(T, 1)`.
    """

    u: Any
    z: Any
    query: Any
    answer: Any

    def score(self, errors: np.ndarray) -> Any:
        """Returns the mean of squared errors `(..., T)` over the variance, in the last fifth."""
        late = slice(-(len(self.z) // 5), None)
        return np.mean(errors[..., late], axis=-1) / np.var(self.answer[late])

    def persistence(self) -> float:
        """Returns the score of answering with the last target that is known."""
        return float(self.score((self.answer - self.z)[:, 0] ** 2))

    def affine(self, known: np.ndarray) -> float:
        """Returns the score of the best affine map of what is known with every question.

        The map is the one of hindsight: fitted to the very answers that it is judged by.
        """
        late = slice(-(len(self.z) // 5), None)
        known = np.c_[known, np.ones(len(known))]
        map = np.linalg.lstsq(known[late], self.answer[late], rcond=None)[0]
        return float(self.score((self.answer - known @ map)[:, 0] ** 2))


Maker = Callable[[int, int], Lessons]


def teacher(seed: int, samples: int) -> Lessons:
    """Eight numbers at random, and what a net of hidden neurons makes of them.

    $z = \\tanh 2a_1^\\top u \\tanh 2a_2^\\top u + \\tanh 2a_3^\\top u \\tanh 2a_4^\\top u$ with
    directions $a_k$ at random. No sample tells of the next; no linear map comes closer than the
    mean, since $z(-u) = z(u)$; and few random features see the directions.
    """
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((samples + 1, 8))
    directions = rng.standard_normal((4, 8))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    z = np.prod(np.tanh(2 * u @ directions.T).reshape(-1, 2, 2), axis=2).sum(axis=1, keepdims=True)
    return _one_after_another(u, (z - z.mean()) / z.std())


def horizon(seed: int, samples: int) -> Lessons:
    """Two of Hénon's maps $x_{t+1} = 1 - 1.4x_t^2 + 0.3x_{t-1}$, their product asked a step ahead.

    The question is the two last values of both, its answer the product $x_{t+1}y_{t+1}$ of their
    next ones; at the same time the answer to the question before is learned. It is a polynomial
    of degree four, in which each map counts only with the other.
    """
    x = np.zeros((samples + 300, 2))
    x[:2] = np.random.default_rng(seed).uniform(-0.1, 0.1, (2, 2))
    for t in range(2, len(x)):
        x[t] = 1 - 1.4 * x[t - 1] ** 2 + 0.3 * x[t - 2]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    z = np.prod(x, axis=1, keepdims=True)
    z = (z - z.mean()) / z.std()
    t = 100 + np.arange(samples)  # on the attractor
    seen = lambda t: np.concatenate([x[t], x[t - 1]], axis=1)  # noqa: E731
    return Lessons(seen(t - 1), z[t], seen(t), z[t + 1])


def order(seed: int, samples: int, bends: int = 2) -> Lessons:
    """A slow path and what lies on it, met in another order than that of its targets.

    Inputs are $(\\cos a, \\sin a, \\cos b, \\sin b)$ with slow angles $a, b$, targets
    $0.8\\sin 2a\\cos kb$ of $k$ bends, in which each angle counts only with the
    other. The moments of the path come shuffled, so that its slowness helps nobody.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(samples + 1)
    a, b = 0.01 * t + rng.uniform(0, 6), 0.01 * np.sqrt(2) * t + rng.uniform(0, 6)
    u = np.stack([np.cos(a), np.sin(a), np.cos(b), np.sin(b)], axis=1)
    z = 0.8 * np.sin(2 * a) * np.cos(bends * b)
    shuffled = rng.permutation(samples + 1)
    return _one_after_another(u[shuffled], z[shuffled, None])


def _one_after_another(u: np.ndarray, z: np.ndarray) -> Lessons:
    return Lessons(u[:-1], z[:-1], u[1:], z[1:])
