"""I2 at finite speed under dissipation: every neuron on the way takes $c_i/(c_i+\\theta)$.

At rest the reversed costate obeys
$(c_i + \\theta)\\lambda_i = c_i((D_x^\\top\\lambda)_i + L_{x_i})$. With $g_i = c_i/(c_i+\\theta)$
and $G$ the diagonal of them

$$\\lambda = (1 - G D_x^\\top)^{-1} G L_x
  = \\sum_{i = k_0 \\to k_1 \\to \\dots \\to k_n} \\prod_{j=0}^n g_{k_j}
    \\prod_{j=1}^n \\sigma'(a_{k_j}) w_{k_j k_{j-1}} \\; L_{x_{k_n}} ,$$

the sum over all paths from $i$ to an output (docs/laws.md, section 6). A neuron hands its error on
after a time drawn from $c e^{-ct}$, and dissipation discounts that time: $E[e^{-\\theta t}] = g$.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
from jaxtyping import Array, Float

from .. import oracle
from ..cost import Cost, SquaredError
from ..law import Hamiltonian, Phase
from ..network import Digraph
from .claim import Claim

COST, THETA, HOPS = Cost(SquaredError()), 0.7, 600
# Ways of one, two, three and four neurons, of speeds of their own, to the output.
ARCS = (
    ("u", "a"), ("u", "b"), ("a", "c"), ("b", "c"), ("a", "d"), ("c", "d"), ("b", "o"),
    ("d", "o"), ("c", "o"), ("u", "o"),
)  # fmt: skip
SPEEDS = {"a": 0.5, "b": 3.0, "c": 1.0, "d": 2.0, "o": 0.8}


def measure(seeds: Sequence[int]) -> list[Claim]:
    """Returns the claims; to be called in float64."""
    return [instantly(seeds), along_paths(seeds), around_cycles(seeds)]


def settled_force(
    network: Digraph, theta: float, w: Array, u: Array, z: Array
) -> Float[np.ndarray, "neurons sources"]:
    """Returns the law's force $D_w^\\top\\lambda$ once nothing but the weights would move."""
    law = Hamiltonian(dissipation=theta)
    phase = law.init(network, COST, jax.random.key(0))
    return np.asarray(_settled_force(law, network, eqx.tree_at(lambda p: p.w, phase, w), u, z))


@eqx.filter_jit
def _settled_force(law: Hamiltonian, network: Digraph, phase: Phase, u: Array, z: Array) -> Array:
    move = lambda _, p: law.settle(network, COST, p, u, z, 1.0)  # noqa: E731
    at_rest = jax.lax.fori_loop(0, HOPS, move, phase)
    # With π = 0 and τ = 1 the new momentum is the force's negative.
    return -law.hop(network, COST, at_rest, u, z, 1.0).momentum


def instantly(seeds: Sequence[int]) -> Claim:
    """Compares with the gradient where speed is infinite: θ leaves the costate."""
    network, worst = Digraph.random(9, 2, outputs=(0, 3), density=0.4, seed=4), 0.0
    for seed in seeds:
        w, u, z = _draw(network, seed)
        gradient = oracle.backprop.settled(network, COST, w, u, z).gradient
        worst = max(worst, _relative(settled_force(network, THETA, w, u, z), gradient))
    return Claim.at_most(
        "I2-infinite",
        f"the same at θ = {THETA:g} where speed is infinite: θ leaves the costate (relative "
        "distance of force and gradient)",
        "laws I2",
        against="implicit differentiation",
        measured=worst,
        bound=1e-12,
        note="9 neurons at random, with cycles",
    )


def along_paths(seeds: Sequence[int]) -> Claim:
    """Compares with the sum over all paths, enumerated by NetworkX."""
    network = Digraph.from_edges(ARCS, inputs=["u"], outputs=["o"], speed=SPEEDS)
    worst, plain = 0.0, 0.0
    for seed in seeds:
        w, u, z = _draw(network, seed)
        force = settled_force(network, THETA, w, u, z)
        worst = max(worst, _relative(force, path_force(network, THETA, w, u, z)))
        plain = max(plain, _relative(force, path_force(network, 0.0, w, u, z)))
    return Claim.at_most(
        "I2-paths",
        f"at θ = {THETA:g} and finite speeds the force is backprop's with a factor c/(c + θ) for "
        "every neuron on every path to the output (relative distance)",
        "laws I2",
        against="the sum over paths, enumerated by NetworkX",
        measured=worst,
        bound=1e-12,
        note=f"{len(SPEEDS)} neurons of speeds from {min(SPEEDS.values()):g} to "
        f"{max(SPEEDS.values()):g}, with skips; from the gradient itself the force is "
        f"{plain:.0%} away",
    )


def around_cycles(seeds: Sequence[int]) -> Claim:
    """Compares with the linear system where paths are without end."""
    speeds = np.linspace(0.5, 3.0, 9)
    network = Digraph.random(9, 2, outputs=(0, 3), density=0.4, seed=4, speed=speeds)
    worst, plain = 0.0, 0.0
    for seed in seeds:
        w, u, z = _draw(network, seed)
        force = settled_force(network, THETA, w, u, z)
        worst = max(worst, _relative(force, linear_force(network, THETA, w, u, z)))
        plain = max(plain, _relative(force, linear_force(network, 0.0, w, u, z)))
    return Claim.at_most(
        "I2-cycles",
        "with cycles too: λ = (1 - G D_xᵀ)⁻¹ G L_x, G of c/(c + θ) (relative distance of force)",
        "laws I2",
        against="NumPy's solution of the linear system, the network written out",
        measured=worst,
        bound=1e-12,
        note=f"9 neurons at random; from the gradient itself the force is {plain:.0%} away",
    )


def path_force(network: Digraph, theta: float, w: Array, u: Array, z: Array) -> np.ndarray:
    """Returns the force that the sum over paths gives, for a digraph without cycles."""
    neurons = network.vertices[network.inputs :]
    x, slopes, matrix = _at_rest(network, w, u)
    graph = nx.DiGraph([(t, h) for t, h in network.edges() if t in neurons])
    graph.add_nodes_from(neurons)
    gain, place = _gains(network, theta), {name: k for k, name in enumerate(neurons)}
    costate = np.zeros(len(neurons))
    for output, target in zip(network.outputs, np.asarray(z), strict=True):
        for i, name in enumerate(neurons):
            end = neurons[output]
            paths = [[end]] if name == end else nx.all_simple_paths(graph, name, end)
            for path in paths:
                ways = [place[vertex] for vertex in path]
                arcs = [slopes[b] * matrix[b, a] for a, b in pairwise(ways)]
                costate[i] += np.prod(gain[ways]) * np.prod(arcs) * (x[output] - target)
    return _force(network, w, u, x, slopes, costate)


def linear_force(network: Digraph, theta: float, w: Array, u: Array, z: Array) -> np.ndarray:
    """Returns the force that the linear system of the costates at rest gives."""
    x, slopes, matrix = _at_rest(network, w, u)
    gain = _gains(network, theta)
    pull = np.zeros(len(x))
    pull[network.outputs] = x[network.outputs] - np.asarray(z)
    back = (slopes[:, None] * matrix).T
    costate = np.linalg.solve(np.eye(len(x)) - gain[:, None] * back, gain * pull)
    return _force(network, w, u, x, slopes, costate)


def _gains(network: Digraph, theta: float) -> np.ndarray:
    speeds = np.broadcast_to(np.asarray(network.speed, float), len(network.activations))
    return speeds / (speeds + theta)


def _sources(u: Array, x: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(u), [1.0], x])


def _at_rest(network: Digraph, w: Array, u: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the state at rest, $\\sigma'(a)$, and the weights between neurons, in NumPy."""
    weights, x = np.asarray(w), np.zeros(w.shape[0])
    for _ in range(HOPS):
        x = np.tanh(weights @ _sources(u, x))
    return x, 1 - x**2, weights[:, network.inputs + 1 :]


def _force(
    network: Digraph, w: Array, u: Array, x: np.ndarray, slopes: np.ndarray, costate: np.ndarray
) -> np.ndarray:
    is_arc = np.asarray(network.arcs.place(jnp.ones(len(network.edges()), bool)))
    return np.outer(slopes * costate, _sources(u, x)) * is_arc


def _draw(network: Digraph, seed: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    _, w = network.init(jax.random.key(seed))
    u, z = rng.standard_normal(network.inputs), rng.standard_normal(len(network.outputs))
    return 0.7 * w, jnp.asarray(u), jnp.asarray(z)  # so that it settles


def _relative(a: np.ndarray, b: Array | np.ndarray) -> float:
    return float(np.linalg.norm(a - np.asarray(b)) / np.linalg.norm(np.asarray(b)))
