"""The heavy ball, which local propagation follows when signals are infinitely fast.

$m\\ddot w + m\\theta\\dot w = -\\nabla f(w, t)$ [NLP, Proposition 4].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.integrate
from jaxtyping import Float

from ..errors import ConfigError

Gradient = Callable[[np.ndarray, float], np.ndarray]


def flow(
    gradient: Gradient,
    w0: Float[np.ndarray, " N"],
    momentum0: Float[np.ndarray, " N"],
    times: Float[np.ndarray, " T"],
    *,
    mass: float = 1.0,
    dissipation: float = 0.0,
) -> tuple[Float[np.ndarray, "T N"], Float[np.ndarray, "T N"]]:
    """Returns weights and momentum of the continuous heavy ball at `times`.

    $$\\dot w = \\pi/m, \\qquad \\dot\\pi = -\\theta\\pi - \\nabla f(w, t)$$

    by SciPy's DOP853 at relative tolerance 1e-11.

    **Arguments:** `gradient`: $(w, t) \\mapsto \\nabla f$; `w0`, `momentum0`: at `times[0]`;
    `times`: increasing; `mass` above 0; `dissipation` $\\theta \\ge 0$, per unit of time.

    **Raises:** `ConfigError` for a motion that cannot be integrated.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop import oracle
        >>> w, momentum = oracle.heavy_ball.flow(
        ...     lambda w, t: w, np.ones(1), np.zeros(1), np.array([0.0, np.pi])
        ... )
        >>> w[:, 0].round(6)  # cos t
        array([ 1., -1.])

        ```
    """
    size = len(w0)

    def rate(t: float, y: np.ndarray) -> np.ndarray:
        w, momentum = y[:size], y[size:]
        return np.concatenate([momentum / mass, -dissipation * momentum - gradient(w, t)])

    start, span = np.concatenate([w0, momentum0]), (float(times[0]), float(times[-1]))
    found = scipy.integrate.solve_ivp(
        rate, span, start, "DOP853", t_eval=times, rtol=1e-11, atol=1e-12
    )
    if not found.success:
        raise ConfigError(f"the heavy ball cannot be followed to {span[1]}: {found.message}")
    return found.y[:size].T, found.y[size:].T


def recursion(
    gradient: Gradient,
    w0: Float[np.ndarray, " N"],
    momentum0: Float[np.ndarray, " N"],
    steps: int,
    tau: float,
    *,
    mass: float = 1.0,
    dissipation: float = 0.0,
) -> tuple[Float[np.ndarray, "T1 N"], Float[np.ndarray, "T1 N"]]:
    """Returns weights and momentum of stochastic gradient descent with momentum.

    $$\\pi \\leftarrow (1 - \\theta\\tau)\\,\\pi - \\tau\\nabla f(w, t), \\qquad
      w \\leftarrow w + \\frac{\\tau}{m}\\pi$$

    which is momentum $\\mu = 1 - \\theta\\tau$ and learning rate $\\tau^2/m$ [NLP, Proposition 4;
    laws.md, I4].

    **Arguments:** as for `flow`; `steps` of length `tau`. Both results have `steps + 1` rows.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop import oracle
        >>> w, _ = oracle.heavy_ball.recursion(lambda w, t: w, np.ones(1), np.zeros(1), 2, 1.0)
        >>> w[:, 0]
        array([ 1.,  0., -1.])

        ```
    """
    w, momentum = np.asarray(w0, dtype=float), np.asarray(momentum0, dtype=float)
    path = [(w, momentum)]
    for k in range(steps):
        momentum = (1 - dissipation * tau) * momentum - tau * gradient(w, k * tau)
        w = w + tau / mass * momentum
        path.append((w, momentum))
    return np.stack([p[0] for p in path]), np.stack([p[1] for p in path])
