"""Hamilton's equations twice: as the law moves, and as derivatives of the Hamiltonian.

The second account shares nothing with the first: the drive is written out, and the derivatives
are automatic. Both are flat vectors in $(x, \\lambda, w, \\pi)$ of one digraph of tanh neurons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Scalar

from ..cost import Cost, SquaredError
from ..law import ExplicitEuler, Hamiltonian, Phase
from ..law.policy import AbstractPolicy, Cauchy
from ..network import Digraph

Vector = Float[Array, " phase"]


@dataclass(frozen=True)
class Setting:
    """A complete digraph of tanh neurons under a smooth input and target, and its cost.

    **Fields:** `speeds`: $c_i$, one per neuron; `inputs`: how many, 0 for none and no constant
    input; `mass`, `dissipation`, `decay`: $m$, $\\theta$, $k$; `scale`: $s$ of the squared error;
    `moving`: whether input and target change with time; `target`: whether there is one.
    """

    speeds: tuple[float, ...] = (0.7, 1.5, 2.0, 1.1)
    inputs: int = 2
    mass: float = 1.7
    dissipation: float = 0.3
    decay: float = 0.2
    scale: float = 1.5
    moving: bool = True
    target: bool = True

    @property
    def neurons(self) -> int:
        return len(self.speeds)

    def network(self) -> Digraph:
        return Digraph.complete(
            self.neurons, self.inputs, bias=self.inputs > 0, speed=np.asarray(self.speeds)
        )

    def cost(self) -> Cost:
        return Cost(SquaredError(self.scale), weight_decay=self.decay)

    def law(self, policy: AbstractPolicy) -> Hamiltonian:
        return Hamiltonian(
            policy, self.mass, self.dissipation, integrator=ExplicitEuler(), weights="explicit"
        )

    def input(self, t: Any) -> Float[Array, " inputs"]:
        t = t if self.moving else 0.0
        return jnp.sin((1 + jnp.arange(self.inputs) / 3) * t + 0.5)

    def goal(self, t: Any) -> Float[Array, " outputs"]:
        if not self.target:
            return jnp.full(1, jnp.nan)
        t = t if self.moving else 0.0
        return 0.5 * jnp.sin(1.3 * t + 0.4) * jnp.ones(1)

    def draw(self, seed: int, spread: float = 1.0) -> Vector:
        """Returns a phase with every component drawn at random."""
        rng = np.random.default_rng(seed)
        size = len(ravel_pytree(_tuple(self.blank()))[0])
        return jnp.asarray(spread * rng.uniform(-1, 1, size))

    def split(self, y: Vector) -> tuple[Array, Array, Array, Array]:
        """Returns $x, \\lambda, w, \\pi$; weights are `(neurons, sources)`."""
        return ravel_pytree(_tuple(self.blank()))[1](y)

    def blank(self) -> Phase:
        """Returns the phase at rest."""
        return self.law(Cauchy()).init(self.network(), self.cost(), jax.random.key(0))


def _tuple(phase: Phase) -> tuple[Array, Array, Array, Array]:
    return phase.x, phase.costate, phase.w, phase.momentum


def hop(
    setting: Setting, policy: AbstractPolicy, y: Vector, t: Any, tau: Any, k: Any = 0
) -> Vector:
    """Returns the phase one hop later, moved by the law; `k` is the number of the hop."""
    phase = setting.blank()
    parts = (*setting.split(y), jnp.asarray(t, float), jnp.asarray(k, jnp.int32))
    phase = eqx.tree_at(lambda p: (p.x, p.costate, p.w, p.momentum, p.time, p.hop), phase, parts)
    after = setting.law(policy).hop(
        setting.network(), setting.cost(), phase, setting.input(t), setting.goal(t), tau
    )
    return ravel_pytree(_tuple(after))[0]


def law_rate(setting: Setting, policy: AbstractPolicy, y: Vector, t: Any) -> Vector:
    """Returns $\\dot y$ as the law has it: what one explicit Euler hop of length 1 adds."""
    return hop(setting, policy, y, t, 1.0) - y


def law_hamiltonian(setting: Setting, y: Vector, t: Any) -> Scalar:
    """Returns $\\mathcal H$ as the law reports it."""
    parts = setting.split(y)
    phase = eqx.tree_at(lambda p: (p.x, p.costate, p.w, p.momentum), setting.blank(), parts)
    energies = setting.law(Cauchy()).energies(
        setting.network(), setting.cost(), phase, setting.input(t), setting.goal(t)
    )
    return energies.hamiltonian


def sources(setting: Setting, x: Array, t: Any) -> Array:
    """Returns what weights multiply: the inputs, the constant input, the neurons."""
    return jnp.concatenate([setting.input(t), jnp.ones(int(setting.inputs > 0)), x])


def _paper_hamiltonian(setting: Setting, raw: tuple[Array, ...], t: Any) -> Scalar:
    """$H = c\\varphi\\ell + p_x\\cdot c_i(\\tanh(ws) - x) - |p_w|^2/2mc\\varphi$ [NLP, eq. 10]."""
    x, p_x, w, p_w = raw
    speeds = jnp.asarray(setting.speeds)
    c, phi = jnp.mean(speeds), jnp.exp(setting.dissipation * t)
    loss = setting.scale / 2 * (x[0] - setting.goal(t)[0]) ** 2 if setting.target else 0.0
    rate = loss + setting.decay / 2 * jnp.sum(w**2)
    velocity = speeds * (jnp.tanh(w @ sources(setting, x, t)) - x)
    return c * phi * rate + p_x @ velocity - jnp.sum(p_w**2) / (2 * setting.mass * c * phi)


def raw(setting: Setting, y: Vector, t: Any) -> tuple[Array, Array, Array, Array]:
    """Returns $x, p_x, w, p_w$, with $p_x = c\\varphi\\lambda/c_i$ and $p_w = -c\\varphi\\pi$."""
    x, costate, w, momentum = setting.split(y)
    speeds = jnp.asarray(setting.speeds)
    weight = jnp.mean(speeds) * jnp.exp(setting.dissipation * t)
    return x, weight * costate / speeds, w, -weight * momentum


def hamiltonian_rate(setting: Setting, y: Vector, t: Any, sign: float = 1.0) -> Vector:
    """Returns $\\dot y$ from the derivatives of the Hamiltonian; `sign` −1 reverses the costates.

    $\\dot x = H_{p_x}$, $\\dot w = H_{p_w}$, $\\dot p = -H$'s other derivatives, carried over to
    $\\lambda$ and $\\pi$ by the product rule.
    """
    now = raw(setting, y, t)
    H_x, H_px, H_w, H_pw = jax.grad(lambda r: _paper_hamiltonian(setting, r, t))(now)
    _, costate, _, momentum = setting.split(y)
    speeds = jnp.asarray(setting.speeds)
    weight = jnp.mean(speeds) * jnp.exp(setting.dissipation * t)
    costate_rate = -sign * speeds * H_x / weight - setting.dissipation * costate
    momentum_rate = sign * H_w / weight - setting.dissipation * momentum
    return ravel_pytree((H_px, costate_rate, H_pw, momentum_rate))[0]
