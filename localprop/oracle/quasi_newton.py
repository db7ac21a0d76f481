"""L-BFGS for a learning problem on a grid, in variables in which the regulariser is round."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize
from jaxtyping import Float
from scipy.linalg import cholesky_banded, get_lapack_funcs

from .transcription import Grid, slope


def minimise(grid: Grid, w: Float[Any, "T1 N"], iterations: int) -> np.ndarray:
    """Returns a weights' trajectory of lower action.

    In $w$ itself the kinetic term has condition number $\\sim (T/\\tau)^2$. With
    $A = U^\\top U$ the tridiagonal Hessian of kinetic term plus regulariser, $y = U w$ removes it.

    **Arguments:** `w`: the start; `iterations`: at most.
    """
    factor = _factor(grid)
    (solve_banded,) = get_lapack_funcs(("tbtrs",), (factor,))

    def weights(y: np.ndarray) -> np.ndarray:
        step = solve_banded(factor, y.reshape(-1, w.shape[1]), uplo="U", trans="N")[0]
        return np.concatenate([w[:1], w[1:] + step * grid.free])

    def value_and_gradient(y: np.ndarray) -> tuple[float, np.ndarray]:
        here = slope(grid, weights(y))
        gradient = solve_banded(factor, np.array(here.gradient[1:]), uplo="U", trans="T")[0]
        return float(here.action), gradient.ravel()

    found = scipy.optimize.minimize(
        value_and_gradient,
        np.zeros(w[1:].size),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": iterations,
            "maxfun": 2 * iterations,
            "maxcor": 20,
            "ftol": 1e-15,
            "gtol": 1e-9,
        },
    )
    return weights(found.x)


def _factor(grid: Grid) -> np.ndarray:
    """Cholesky factor, in upper banded form, of the regulariser's Hessian in one weight."""
    decay = max(float(grid.problem.cost.weight_decay), 1e-3)
    kinetic = grid.phi * grid.m * grid.c / grid.tau
    diagonal = kinetic.copy()
    diagonal[:-1] += kinetic[1:] + (grid.tau * grid.phi)[1:] * grid.c * decay
    banded = np.zeros((2, len(diagonal)))
    banded[0, 1:], banded[1] = -kinetic[1:], diagonal
    return cholesky_banded(banded)
