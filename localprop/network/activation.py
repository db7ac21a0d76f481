"""Activations σ of neurons, by name or as any smooth callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..errors import GraphError

Activation: TypeAlias = Callable[[Array], Array]


def identity(a: Array) -> Array:
    """The linear neuron, σ(a) = a."""
    return a


ACTIVATIONS: dict[str, Activation] = {
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "identity": identity,
}


def resolve(activation: str | Activation) -> Activation:
    """Returns the activation of that name, or the callable itself.

    **Raises:** `GraphError` for a name that is not in `ACTIVATIONS`.
    """
    if callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise GraphError(f"no activation '{activation}'; take one of {known}, or pass a callable")
    return ACTIVATIONS[activation]


def activate(activations: tuple[Activation, ...], a: Array) -> Array:
    """Returns σ_i(a_i) for every neuron, with one call per distinct activation."""
    groups: dict[Activation, list[int]] = {}
    for i, activation in enumerate(activations):
        groups.setdefault(activation, []).append(i)
    if len(groups) == 1:
        return activations[0](a)
    order = np.concatenate([np.asarray(members) for members in groups.values()])
    if np.all(np.diff(order) == 1):  # layers: slices instead of gathers
        bounds = np.cumsum([len(members) for members in groups.values()])[:-1]
        parts = jnp.split(a, bounds)
        return jnp.concatenate([f(p) for f, p in zip(groups, parts, strict=True)])
    parts = [f(a[np.asarray(members)]) for f, members in groups.items()]
    return jnp.concatenate(parts)[np.argsort(order)]
