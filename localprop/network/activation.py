"""Activations σ of neurons, by name or as any smooth callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
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
