"""Networks beside the same maps written out by hand, which share no code with localprop.

Every `Case` holds a network and an independent account of it on the same weights: `forward`, the
feed-forward map from input to output, where the digraph has no cycle, and `drive`, the right-hand
side of the relaxation. Weights are laid out as the documentation of `Digraph` and `Layered` says:
a matrix `(neurons, sources)` or one number per arc sorted by head and then by tail, the sources
being the inputs, the constant input and the neurons, in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from localprop import Block, Digraph, Layered
from localprop.network import AbstractNetwork

SIGMA = {
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
    "identity": lambda a: a,
}


class Case(NamedTuple):
    network: AbstractNetwork
    input_shape: tuple[int, ...]
    outputs: int
    forward: Callable[[Any, Any], Any] | None
    drive: Callable[[Any, Any, Any], Any] | None
    output: Callable[[Any], Any]


def layered_digraph(sizes: list[int], activation: str, storage: str) -> Case:
    """A feed-forward digraph of neurons, hidden layers of `activation`, linear outputs."""
    network = Digraph.layered(sizes, activation=activation, storage=storage)
    inputs, neurons = sizes[0], sum(sizes[1:])
    source_starts = [0, *(inputs + 1 + np.cumsum([0, *sizes[1:]]))]
    arcs = []
    head = 0
    for layer, size in enumerate(sizes[1:]):
        parents = [*range(source_starts[layer], source_starts[layer] + sizes[layer])]
        for _ in range(size):
            arcs += [(head, tail) for tail in sorted([*parents, inputs])]
            head += 1
    heads, tails = np.array(arcs).T
    weigh = {"dense": _matrix(heads, tails, neurons), "sparse": _list(heads, tails, neurons)}
    layers = np.cumsum([0, *sizes[1:]])

    def forward(w, u):
        x = jnp.zeros(neurons)
        for k, (a, b) in enumerate(pairwise(layers)):
            sigma = SIGMA["identity" if k == len(sizes) - 2 else activation]
            activations = weigh[storage](w, jnp.concatenate([u, jnp.ones(1), x]))
            x = x.at[a:b].set(sigma(activations[a:b]))
        return x[-sizes[-1] :]

    return Case(network, (inputs,), sizes[-1], forward, None, lambda x: x[-sizes[-1] :])


def dense_layers(sizes: list[int], activation: str) -> Case:
    """The same as blocks: hidden layers of `activation`, a linear one on top."""
    network = Layered.dense(sizes, activation=activation)

    def forward(w, u):
        for k in range(1, len(sizes) - 1):
            u = SIGMA[activation](w[f"hidden{k}"].weight @ u + w[f"hidden{k}"].bias)
        return w["output"].weight @ u + w["output"].bias

    return Case(network, (sizes[0],), sizes[-1], forward, None, lambda x: x["output"])


def cyclic_digraph(storage: str, speed: Any = np.inf, neurons: int = 9, seed: int = 4) -> Case:
    """A random digraph of tanh neurons with many cycles, two inputs, two outputs."""
    network = Digraph.random(
        neurons, 2, outputs=(0, 3), density=0.4, seed=seed, storage=storage, speed=speed
    )
    names = {f"u{k}": k for k in range(2)} | {"1": 2}
    names |= {f"x{k}": 3 + k for k in range(neurons)}
    arcs = sorted((names[head] - 3, names[tail]) for tail, head in network.edges())
    heads, tails = np.array(arcs).T
    weigh = (_matrix if storage == "dense" else _list)(heads, tails, neurons)

    def drive(x, w, u):
        return jnp.tanh(weigh(w, jnp.concatenate([u, jnp.ones(1), x])))

    return Case(network, (2,), 2, None, drive, lambda x: x[jnp.array([0, 3])])


def convolution(activation: str = "tanh") -> Case:
    """A convolution, a flattening and a linear layer, feed-forward."""
    blocks = {
        "conv": Block(partial(eqx.nn.Conv2d, 1, 3, 3, stride=2), ["input"], activation),
        "flat": Block(eqx.nn.Lambda(jnp.ravel), ["conv"]),
        "head": Block(partial(eqx.nn.Linear, 12, 2), ["flat"]),
    }
    network = Layered(blocks, inputs=(1, 6, 6), output="head")

    def forward(w, u):
        y = SIGMA[activation](_convolve(w["conv"], u, 2)).ravel()
        return w["head"].weight @ y + w["head"].bias

    return Case(network, (1, 6, 6), 2, forward, None, lambda x: x["head"])


def cyclic_convolution(speeds: tuple[float, ...] = (np.inf,) * 5) -> Case:
    """A convolution whose reader has feedback arcs: from the head, and from itself."""
    conv, flat, hidden, head, context = speeds
    blocks = {
        "conv": Block(partial(eqx.nn.Conv2d, 1, 2, 3), ["input"], "tanh", conv),
        "flat": Block(eqx.nn.Lambda(jnp.ravel), ["conv"], speed=flat),
        "hidden": Block(
            partial(eqx.nn.Linear, 8 + 3 + 5, 5), ["flat", "context", "hidden"], "tanh", hidden,
            shape=(5,),
        ),
        "head": Block(partial(eqx.nn.Linear, 5, 2), ["hidden"], speed=head),
        "context": Block(partial(eqx.nn.Linear, 2, 3), ["head"], "logistic", context, shape=(3,)),
    }  # fmt: skip
    network = Layered(blocks, inputs=(1, 4, 4), output="head")

    def drive(x, w, u):
        joined = jnp.concatenate([x["flat"], x["context"], x["hidden"]])
        return {
            "conv": jnp.tanh(_convolve(w["conv"], u, 1)),
            "flat": x["conv"].ravel(),
            "hidden": jnp.tanh(w["hidden"].weight @ joined + w["hidden"].bias),
            "head": w["head"].weight @ x["hidden"] + w["head"].bias,
            "context": SIGMA["logistic"](w["context"].weight @ x["head"] + w["context"].bias),
        }

    return Case(network, (1, 4, 4), 2, None, drive, lambda x: x["head"])


def squared_error(output: Any, z: Any) -> Any:
    return 0.5 * jnp.sum((output - z) ** 2)


def random_weights(network: AbstractNetwork, seed: int, scale: float = 1.0) -> Any:
    """Every weight that exists, biases too, drawn anew: none of them at its initial value."""
    rng = np.random.default_rng(seed)
    _, w = network.init(jax.random.key(seed))
    if isinstance(network, Digraph):
        return network.arcs.place(
            jnp.asarray(scale * rng.standard_normal(len(network.edges())) / 2)
        )
    return jax.tree.map(lambda a: jnp.asarray(scale * rng.standard_normal(a.shape) / 2), w)


def relative_distance(a: Any, b: Any) -> float:
    """Euclidean distance of two trees of weights, over the norm of the second."""
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (a, b))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def _matrix(heads: np.ndarray, tails: np.ndarray, neurons: int) -> Callable:
    def weigh(w, s):
        is_arc = np.zeros((neurons, len(s)), bool)
        is_arc[heads, tails] = True
        return jnp.where(is_arc, w, 0) @ s

    return weigh


def _list(heads: np.ndarray, tails: np.ndarray, neurons: int) -> Callable:
    return lambda w, s: jnp.zeros(neurons).at[heads].add(w * s[tails])


def _convolve(weights: Any, image: Any, stride: int) -> Any:
    result = jax.lax.conv_general_dilated(
        image[None], weights.weight, (stride, stride), "VALID",
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    )  # fmt: skip
    return result[0] + weights.bias
