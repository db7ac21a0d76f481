"""A map that is gone forward by one set of weights and back by another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

Weigh = Callable[[Any, PyTree, Array], Array]


@eqx.filter_custom_vjp
def two_way(weights_and_source: tuple[PyTree, PyTree, Array], weigh: Weigh, frame: Any) -> Array:
    """Returns $a = f_w(s)$, pulled back by $b$, $\\bar s = (f_b)_s^\\top \\bar a$.

    Both kinds of weights get the force of the forward ones,
    $\\bar w = \\bar b = (f_w)_w^\\top \\bar a$: for arcs $\\bar a_i s_j$, known at both ends.

    **Arguments:** $(w, b, s)$, where $b$ is a tree like $w$; `weigh`: $f$ of `frame`, weights and
    source; `frame`: what it needs besides, with no derivative.
    """
    w, _, s = weights_and_source
    return weigh(frame, w, s)


@two_way.def_fwd
def _(perturbed: Any, weights_and_source: Any, weigh: Weigh, frame: Any) -> tuple[Array, None]:
    del perturbed
    w, _, s = weights_and_source
    return weigh(frame, w, s), None


@two_way.def_bwd
def _(
    residuals: None,
    pulled: Array,
    perturbed: Any,
    weights_and_source: Any,
    weigh: Weigh,
    frame: Any,
) -> Any:
    del residuals, perturbed
    w, b, s = weights_and_source
    (force,) = jax.vjp(lambda w: weigh(frame, w, s), w)[1](pulled)
    (back,) = jax.vjp(lambda s: weigh(frame, b, s), s)[1](pulled)
    return force, force, back
