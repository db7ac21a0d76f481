"""Linear-quadratic control: the one case in which the costate is known in closed form.

For $\\min \\int \\frac12 (x^\\top Q x + v^\\top R v)\\,dt$ with $\\dot x = A x + B v$ the costate
is $p = P x$, and $P$ obeys Riccati's equation backward from $P(T) = 0$. Reversed in time, it runs
forward from $P(0) = 0$ [NLP, Proposition 3 and Example 2]. Scalars are accepted for matrices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.integrate
import scipy.linalg
from jaxtyping import Float

from ..errors import ConfigError


def reversed_in_time(
    a: Any, b: Any, q: Any, r: Any, times: Float[np.ndarray, " T"], p0: Any = 0.0
) -> Float[np.ndarray, "T n n"]:
    """Returns the solution of Riccati's differential equation reversed in time.

    $$\\dot P = Q + A^\\top P + P A - P B R^{-1} B^\\top P, \\qquad P(0) = P_0$$

    (scalar: $\\dot\\theta = q + 2a\\theta - \\frac{b^2}{r}\\theta^2$) [NLP, Example 2], by SciPy's
    DOP853 at relative tolerance 1e-12.

    **Arguments:** `a`: `(n, n)`; `b`: `(n, k)`; `q`: `(n, n)`, positive semidefinite; `r`:
    `(k, k)`, positive definite; `times`: increasing, from 0 on; `p0`: $P(0)$.

    **Raises:** `ConfigError` for shapes that do not fit or a solution that does not exist so long.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop import oracle
        >>> p = oracle.riccati.reversed_in_time(0.0, 1.0, 1.0, 1.0, np.array([0.0, 1.0, 20.0]))
        >>> p[:, 0, 0].round(6)  # tanh t
        array([0.      , 0.761594, 1.      ])

        ```
    """
    a, b, q, r = _matrices(a, b, q, r)
    gain = b @ np.linalg.solve(r, b.T)
    start = np.broadcast_to(np.asarray(p0, dtype=float), a.shape)

    def rate(t: float, flat: np.ndarray) -> np.ndarray:
        del t
        p = flat.reshape(a.shape)
        return (q + a.T @ p + p @ a - p @ gain @ p).ravel()

    span = (0.0, float(times[-1]))
    found = scipy.integrate.solve_ivp(
        rate, span, start.ravel(), "DOP853", t_eval=times, rtol=1e-12, atol=1e-13
    )
    if not found.success:
        raise ConfigError(f"Riccati's equation cannot be integrated to {span[1]}: {found.message}")
    return found.y.T.reshape(-1, *a.shape)


def algebraic(a: Any, b: Any, q: Any, r: Any) -> Float[np.ndarray, "n n"]:
    """Returns the stabilising solution of $Q + A^\\top P + PA - PBR^{-1}B^\\top P = 0$.

    The limit of `reversed_in_time` [NLP, Example 2].

    **Arguments:** as for `reversed_in_time`.

    **Raises:** `ConfigError` where there is none.

    !!! example

        ```python
        >>> from localprop import oracle
        >>> oracle.riccati.algebraic(1.0, 1.0, 3.0, 1.0)  # (1 + √(1 + 3))
        array([[3.]])

        ```
    """
    try:
        a, b, q, r = _matrices(a, b, q, r)
        return scipy.linalg.solve_continuous_are(a, b, q, r)
    except np.linalg.LinAlgError as error:
        raise ConfigError(f"no stabilising solution: {error}") from error


def _matrices(a: Any, b: Any, q: Any, r: Any) -> tuple[np.ndarray, ...]:
    a, b, q, r = (np.atleast_2d(np.asarray(m, dtype=float)) for m in (a, b, q, r))
    n, k = a.shape[0], b.shape[1]
    expected = {"A": (n, n), "B": (n, k), "Q": (n, n), "R": (k, k)}
    for (name, shape), given in zip(expected.items(), (a, b, q, r), strict=True):
        if given.shape != shape:
            raise ConfigError(f"{name} has shape {given.shape}, expected {shape}")
    return a, b, q, r
