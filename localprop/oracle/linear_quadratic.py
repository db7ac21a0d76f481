"""Where the laws of motion are stable on a linear plant: matrices, eigenvalues, closed forms.

The plant is $\\dot x = Ax + w$ with the cost $\\int \\tfrac12(x^\\top Qx + w^\\top Rw
+ m|\\dot w|^2)\\,dt$. There Hamilton's equations are linear in $y = (x, w, p, \\pi)$, with
$p = \\lambda/c$, and a policy that gives the state equations the gain $s_x$, the costate equations
the gain $s_p$ and the costates the friction $f$ makes them (laws.md, section 13)

$$\\dot x = s_x(Ax + w),\\quad \\dot p = -s_p(A^\\top p + Qx) - fp,\\quad
  \\dot\\pi = s_p(p + Rw) - f\\pi,\\quad \\dot w = s_x\\pi/m .$$

Everything here is written down from these equations, in NumPy, and shares no code with the hop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ..errors import ConfigError
from .riccati import algebraic

Matrix = Float[np.ndarray, "N N"]


@dataclass(frozen=True)
class Plant:
    """A linear plant $\\dot x = Ax + w$, what it costs, and the mass of its weights.

    **Arguments:** `a`: $A$, `(n, n)`, per unit of time; `q`, `r`: $Q$, $R$, `(n, n)`, symmetric;
    `mass`: $m > 0$; `speed`: $c > 0$ of the neurons, which hops feel and the flow does not.
    Scalars are accepted for matrices.

    **Raises:** `ConfigError` for shapes that do not fit, or a mass or speed that is not above 0.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.oracle.linear_quadratic import Plant
        >>> plant = Plant(a=-0.5)
        >>> eigenvalues = np.linalg.eigvals(plant.flow(costate=-1.0))  # costate reversal
        >>> print(f"{eigenvalues.real.max():.2f}")  # diverges
        0.31

        ```
    """

    a: Any
    q: Any = 1.0
    r: Any = 1.0
    mass: float = 1.0
    speed: float = 1.0

    def __post_init__(self):
        size = np.atleast_2d(np.asarray(self.a, dtype=float)).shape
        for name in ("a", "q", "r"):
            value = np.atleast_2d(np.asarray(getattr(self, name), dtype=float))
            if value.shape != size or size[0] != size[1]:
                raise ConfigError(f"{name} has shape {value.shape}, expected {(size[0],) * 2}")
            object.__setattr__(self, name, value)
        for name in ("mass", "speed"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")

    @property
    def size(self) -> int:
        """How many neurons there are, and how many weights."""
        return len(self.a)

    def flow(self, state: float = 1.0, costate: float = 1.0, friction: float = 0.0) -> Matrix:
        """Returns the matrix of $\\dot y = Fy$ under the gains $s_x$, $s_p$ and the friction $f$.

        **Arguments:** `state`, `costate`: $s_x$, $s_p$; `friction`: $f$, per unit of time.
        """
        one, none = np.eye(self.size), np.zeros((self.size, self.size))
        return np.block(
            [
                [state * self.a, state * one, none, none],
                [none, none, none, state / self.mass * one],
                [-costate * self.q, none, -costate * self.a.T - friction * one, none],
                [none, costate * self.r, costate * one, -friction * one],
            ]
        )

    def hop(
        self,
        tau: float,
        state: float = 1.0,
        costate: float = 1.0,
        friction: float = 0.0,
        *,
        exponential: bool = False,
        semi_implicit: bool = False,
    ) -> Matrix:
        """Returns the matrix of one hop of length `tau` (laws.md, section 5).

        **Arguments:** as for `flow`; `exponential`: whether leaks are solved exactly;
        `semi_implicit`: whether the weights move with the new momentum.
        """
        c, one, none = self.speed, np.eye(self.size), np.zeros((self.size, self.size))
        keep_x, pull_x = _leak(state * c, 0.0, tau, exponential)
        keep_p, pull_p = _leak(-costate * c, friction, tau, exponential)
        keep_w = max(1 - friction * tau, 0)
        x = [(keep_x + pull_x) * one + pull_x / c * self.a, pull_x / c * one, none, none]
        p = [pull_p / c * self.q, none, (keep_p + pull_p) * one + pull_p / c * self.a.T, none]
        pi = [none, tau * costate * self.r, tau * costate * one, keep_w * one]
        moving = np.block(pi if semi_implicit else [none, none, none, one])
        w = np.block([none, one, none, none]) + state * tau / self.mass * moving
        return np.vstack([np.block([x]), w, np.block([p]), np.block([pi])])

    def optimum(self) -> Matrix:
        """Returns $P$ with which $\\tfrac12 x(0)^\\top P x(0)$ is the least cost from $w(0) = 0$.

        The weights are states themselves, moved by their rate: the stabilising solution of
        Riccati's equation for $(x, w)$, by SciPy, and of it the part that belongs to $x$.
        """
        n = self.size
        system = np.block([[self.a, np.eye(n)], [np.zeros((n, 2 * n))]])
        control = np.vstack([np.zeros((n, n)), np.eye(n)])
        p = algebraic(
            system, control, scipy.linalg.block_diag(self.q, self.r), self.mass * np.eye(n)
        )
        return p[:n, :n]

    def flow_cost(self, state: float = 1.0, costate: float = 1.0, friction: float = 0.0) -> Matrix:
        """Returns $X$ with which $\\tfrac12 y(0)^\\top X y(0)$ is the cost of the flow.

        $F^\\top X + XF + W = 0$ with $y^\\top Wy = x^\\top Qx + w^\\top Rw + m|\\dot w|^2$:
        Lyapunov's equation, by SciPy. It is not weighed by $e^{\\theta t}$.

        **Arguments:** as for `flow`.

        **Raises:** `ConfigError` where the cost is infinite.
        """
        flow = self.flow(state, costate, friction)
        if np.linalg.eigvals(flow).real.max() >= 0:
            raise ConfigError("this flow does not converge, and costs infinitely much")
        rate = flow[self.size : 2 * self.size]
        return scipy.linalg.solve_continuous_lyapunov(
            flow.T, -self._still() - self.mass * rate.T @ rate
        )

    def _still(self) -> Matrix:
        nothing = np.zeros((2 * self.size, 2 * self.size))
        return np.asarray(scipy.linalg.block_diag(self.q, self.r, nothing))

    def cost(self, cycle: Sequence[Matrix], tau: float) -> Matrix:
        """Returns $X$ with which $\\tfrac12 y(0)^\\top X y(0)$ is the cost of hops in a cycle.

        $\\sum_k \\tau\\,\\ell_k$ with half of the first, $\\ell = x^\\top Qx + w^\\top Rw +
        m|\\dot w|^2$ and $\\dot w$ the difference over the hop, by Lyapunov's equation.

        **Arguments:** `cycle`: the matrices of hops that are repeated for ever; `tau`.

        **Raises:** `ConfigError` where the cost is infinite.
        """
        if growth(cycle) >= 1:
            raise ConfigError("these hops do not converge, and cost infinitely much")
        n, size = self.size, 4 * self.size
        still, pick = self._still(), np.eye(size)[n : 2 * n]
        through, costs = np.eye(size), []
        for hop in cycle:
            rate = pick @ (hop - np.eye(size)) / tau
            costs.append(through.T @ (still + self.mass * rate.T @ rate) @ through)
            through = hop @ through
        spent = tau * np.sum(costs, axis=0)
        return scipy.linalg.solve_discrete_lyapunov(through.T, spent) - tau / 2 * costs[0]


def growth(cycle: Sequence[Matrix]) -> float:
    """Returns the factor per hop by which hops in a cycle grow: below 1 they converge.

    The spectral radius of their product, and of it the root.

    !!! example

        ```python
        >>> from localprop.oracle.linear_quadratic import Plant, growth
        >>> plant = Plant(a=-0.5)
        >>> flip = [plant.hop(0.1, sign, sign) for sign in (1.0, -1.0)]
        >>> growth(flip) < 1 < growth(flip[:1])  # the sign flip, and Cauchy
        True

        ```
    """
    product = np.linalg.multi_dot([*cycle[::-1], np.eye(len(cycle[0]))])
    return float(np.max(np.abs(np.linalg.eigvals(product))) ** (1 / len(cycle)))


def bounds(cycle: Sequence[Matrix], y: Float[np.ndarray, " N"], times: int) -> tuple[float, float]:
    """Returns between what $\\log|y_k|/|y_0|$ lies after a cycle of hops was made so many times.

    For the product $M$ of the cycle, with eigenvectors $V$, $|M^ky| \\le
    \\mathrm{cond}(V)\\,\\rho^k|y|$; and for the left eigenvector $l$ of the largest eigenvalue,
    $|M^ky| \\ge |l^*M^ky|/|l| = \\rho^k|l^*y|/|l|$. Where both are below 0 the point converges,
    where both are above it diverges, whatever the transient.

    **Arguments:** `cycle`: matrices of hops; `y`: where it starts; `times`.
    """
    product = np.linalg.multi_dot([*cycle[::-1], np.eye(len(cycle[0]))])
    values, vectors = np.linalg.eig(product)
    largest = int(np.argmax(np.abs(values)))
    left = np.linalg.inv(vectors)[largest]
    total = times * np.log(np.abs(values[largest]))
    low = np.abs(left @ y) / np.linalg.norm(left) / np.linalg.norm(y)
    return float(total + np.log(low)), float(total + np.log(np.linalg.cond(vectors)))


def routh_hurwitz(
    a: Any, q: Any, r: Any, mass: Any, costate: Any, friction: Any = 0.0
) -> np.ndarray:
    """Returns whether the flow of a scalar plant with $s_x = 1$ is asymptotically stable.

    Its characteristic polynomial is (laws.md, section 13)

    $$(s - a)(s + s_pa + f)\\bigl(s^2 + fs - s_p\\tfrac rm\\bigr) + s_p^2\\tfrac qm
      = (s^2 + \\alpha s + \\beta)(s^2 + fs + \\gamma) + k,$$

    with all zeros on the left if and only if $\\alpha + f$, $\\alpha\\gamma + f\\beta$,
    $\\beta\\gamma + k$ and $\\alpha f[(\\beta-\\gamma)^2 + (\\alpha+f)(\\alpha\\gamma + f\\beta)]
    - (\\alpha+f)^2k$ are all above 0.

    **Arguments:** numbers or arrays; `costate`, `friction`: $s_p$ and $f$, as for `Plant.flow`.

    !!! example

        ```python
        >>> from localprop.oracle.linear_quadratic import routh_hurwitz
        >>> routh_hurwitz(-0.5, 1.0, 1.0, 1.0, costate=-1.0, friction=[0.0, 0.5, 1.0, 2.0])
        array([False, False,  True,  True])

        ```
    """
    a, q, r, mass, s, f = (np.asarray(v, dtype=float) for v in (a, q, r, mass, costate, friction))
    alpha, beta, gamma, k = f + (s - 1) * a, -a * (s * a + f), -s * r / mass, s**2 * q / mass
    last = alpha * f * ((beta - gamma) ** 2 + (alpha + f) * (alpha * gamma + f * beta))
    last = last - (alpha + f) ** 2 * k
    others = (alpha + f > 0) & (alpha * gamma + f * beta > 0) & (beta * gamma + k > 0)
    return others & (last > 0)


def _leak(rate: float, friction: float, tau: float, exponential: bool) -> tuple[float, float]:
    """Returns `(keep, pull)` of $\\dot y = \\text{rate}\\,(f - y) - \\text{friction}\\,y$."""
    leak = rate + friction
    if not exponential:
        return 1 - tau * leak, tau * rate
    if leak == 0:
        return 1.0, tau * rate
    return float(np.exp(-leak * tau)), float(-np.expm1(-leak * tau) * rate / leak)
