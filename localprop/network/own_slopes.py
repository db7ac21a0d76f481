"""What the drive of a block owes to each of its own weights, one number per arc."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .activation import ACTIVATIONS, Activation


def own_slopes(frame: Any, activation: Activation, w: PyTree, s: Array) -> PyTree:
    """Returns the slopes of a block's drive by its weights, vertex by vertex.

    Of dense layers, $\\sigma'_i s_j$, as many as there are weights. Of convolutions, one for every
    place at which a weight stands, `(channels, places, weights of a channel)`. Of any other
    module, or under an activation of the user's own, the whole Jacobian, `(*state, *weight)`.

    **Arguments:** `frame`: the module without its weights; `activation`; `w`; `s`: its argument.
    """
    module = eqx.combine(w, frame)
    if not _is_known(frame, activation):
        return jax.jacrev(lambda w: activation(eqx.combine(w, frame)(s)))(w)
    a = module(s)
    _, slope = jax.jvp(activation, (a,), (jnp.ones_like(a),))
    if isinstance(module, eqx.nn.Linear):
        return _like(w, slope[:, None] * s, slope)
    slope = slope.reshape(len(slope), -1)
    places = jax.lax.conv_general_dilated_patches(
        s[None], module.kernel_size, module.stride, module.padding, rhs_dilation=module.dilation
    )[0]  # (weights of a channel, *places)
    return _like(w, slope[:, :, None] * places.reshape(len(places), -1).T, slope)


def own_force(frame: Any, activation: Activation, costate: Array, trace: PyTree) -> PyTree:
    """Returns $\\lambda_i e_{ij}$ of a block's weights, summed over the places of each.

    **Arguments:** `frame`, `activation`: as for `own_slopes`; `costate` of the block; `trace`.
    """
    if not _is_known(frame, activation):
        return jax.tree.map(lambda e: jnp.tensordot(costate, e, costate.ndim), trace)
    if isinstance(frame, eqx.nn.Linear):
        bias = None if trace.bias is None else costate * trace.bias
        return _like(trace, costate[:, None] * trace.weight, bias)
    flat = costate.reshape(len(costate), -1)
    weight = jnp.einsum("cp,cpk->ck", flat, trace.weight)
    channels = (frame.out_channels, frame.in_channels, *frame.kernel_size)
    bias = None
    if trace.bias is not None:
        bias = jnp.sum(flat * trace.bias, axis=1).reshape(-1, *(1,) * (costate.ndim - 1))
    return _like(trace, weight.reshape(channels), bias)


def spread(frame: Any, activation: Activation, values: Any, slope: Array) -> Any:
    """Returns values of a block's vertices for each of the slopes of one of its weights.

    **Arguments:** `frame`, `activation`: as for `own_slopes`; `values`: `(modes, *state)`, or with
    ones in place of its axes; `slope`: as `own_slopes` returns it.
    """
    if _is_known(frame, activation) and isinstance(frame, eqx.nn.Conv):
        values = values.reshape(*values.shape[:2], -1)
    return values.reshape(*values.shape, *(1,) * (slope.ndim + 1 - values.ndim))


def _is_known(frame: Any, activation: Activation) -> bool:
    """Returns whether a neuron reads one row of weights, through a function of its own sum."""
    if activation not in ACTIVATIONS.values():
        return False
    if isinstance(frame, eqx.nn.Linear):
        return isinstance(frame.in_features, int) and isinstance(frame.out_features, int)
    return isinstance(frame, eqx.nn.Conv) and frame.groups == 1 and frame.padding_mode == "ZEROS"


def _like(w: PyTree, weight: Array, bias: Array | None) -> PyTree:
    w = eqx.tree_at(lambda m: m.weight, w, weight)
    return w if w.bias is None else eqx.tree_at(lambda m: m.bias, w, bias)
