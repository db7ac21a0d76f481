"""Networks that track: the cost of NLP's experiments, and a setting for every policy.

The cost is $\\int \\tfrac q2 (x_0 - z)^2 + \\tfrac r2 |\\dot w|^2 + r_w |w|^2 + r_x |x|^2 \\, dt$,
without dissipation. In `Cost` and `Hamiltonian` that is $L = \\tfrac{q}{2c}(x_0 - z)^2 +
\\tfrac{r_x}{c}|x|^2$, $kV = \\tfrac{r_w}{c}|w|^2$, $m = r/c$ for neurons of speed $c$. The paper
prints no $r_x$ and no bias; its authors' script has both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..cost import Cost, SquaredError
from ..errors import ConfigError
from ..law import (
    AbstractLaw,
    CostateReversal,
    ExplicitEuler,
    Hamiltonian,
    HamiltonianTrack,
    LeastAction,
    Phase,
    Review,
)
from ..law.motion import Inertial
from ..law.policy import AbstractPolicy, Cauchy, SignFlip
from ..network import Digraph
from .bounds import check, check_turn

NAMES = {
    CostateReversal: "costate-reversal",
    SignFlip: "sign-flip",
    HamiltonianTrack: "hamiltonian-track",
    Cauchy: "cauchy",
}
LEAST_ACTION = "least-action"


@dataclass(frozen=True)
class LinearQuadratic:
    """The paper's cost parameters, and the cost of the state that its authors' script adds.

    **Arguments:** `q`: of the squared error, above 0; `r`: of the rate of the weights, above 0;
    `rw`: of the weights themselves, 0 or more; `rx`: of the states of all neurons, 0 or more.

    **Raises:** `ConfigError`.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop.tracking.tracker import LinearQuadratic
        >>> x, z = jnp.array([1.0, 2.0]), jnp.array([0.0])  # 10/2 1² + 3 (1² + 2²)
        >>> float(LinearQuadratic(q=10.0, rx=3.0).cost(speed=1.0).target_loss(x, z))
        20.0

        ```
    """

    q: float = 1000.0
    r: float = 0.1
    rw: float = 1.0
    rx: float = 0.0

    def __post_init__(self):
        check(q=self.q, r=self.r, rw=self.rw, rx=self.rx)

    def cost(self, speed: float) -> Cost:
        """Returns the rate of cost divided by the speed $c$.

        Its loss takes the output neuron, or, where states cost something, all neurons.
        """
        error: Any = SquaredError(scale=self.q / speed)
        loss = _StateCost(error, self.rx / speed) if self.rx else error
        return Cost(loss, weight_decay=2 * self.rw / speed)

    def seen(self, neurons: int) -> tuple[int, ...]:
        """Returns the neurons that the loss of `cost` takes."""
        return tuple(range(neurons)) if self.rx else (0,)


class _StateCost(eqx.Module):
    """$L = \\tfrac s2 (x_0 - z)^2 + k|x|^2$ of all neurons."""

    error: SquaredError
    scale: float = eqx.field(static=True)

    def __call__(self, x: Array, z: Array) -> Array:
        return self.error(x[:1], z) + self.scale * jnp.sum(x**2)


class Tracker(eqx.Module):
    """A network that tracks, and how. Build one with `tracker`.

    **Fields:** `network`, `cost`, `law`; `forward`: the law whose state runs forward, for the
    replay; `review`: what a reversed phase reads, `None` for live; `problem`; `dt`: of a sample;
    `hops` in it; `scale`: what the cost was divided by.
    """

    network: Digraph
    cost: Cost
    law: AbstractLaw
    forward: Hamiltonian
    review: Review | None
    problem: LinearQuadratic = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    hops: int = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def init(self, seed: int) -> Phase:
        """Returns the phase with $x, w \\sim U(0, 1)$ and costates 0, as in the paper.

        Beyond five neurons $w \\sim U(0, 5/n)$, which keeps them out of saturation.
        """
        phase = self.law.init(self.network, self.cost, jax.random.key(seed))
        key_x, key_w = jax.random.split(jax.random.key(seed))
        uniform = lambda key, a: jax.random.uniform(key, a.shape, a.dtype)  # noqa: E731
        scale = min(1.0, 5 / len(self.network.vertices))
        drawn = uniform(key_x, phase.x), scale * uniform(key_w, phase.w)
        return eqx.tree_at(lambda p: (p.x, p.w), phase, drawn)

    @property
    def name(self) -> str:
        """The policy's name on the command line; of a policy made elsewhere, its class's."""
        if not isinstance(self.law, Hamiltonian):
            return LEAST_ACTION
        kind = type(self.law.policy)
        return NAMES.get(kind, kind.__name__)

    def settings(self) -> dict[str, Any]:
        """Returns numbers and words from which the tracker can be built again."""
        own = vars(self.law.policy) if isinstance(self.law, Hamiltonian) else {}
        policy = {name: value for name, value in own.items() if value is not None}
        if "predicate" in policy:
            policy["predicate"] = getattr(policy["predicate"], "__name__", "predicate")
        return {
            **{f"policy_{name}": value for name, value in policy.items()},
            **asdict(self.problem),
            "neurons": len(self.network.vertices),
            "bias": self.network.bias,
            "speed": "inf" if self.network.speed == np.inf else self.network.speed,
            "dt": self.dt,
            "hops": self.hops,
            "mass": self.law.mass.m,  # pyright: ignore[reportAttributeAccessIssue]
            "dissipation": self.law.dissipation,  # pyright: ignore[reportAttributeAccessIssue]
            "review": self.review.size if self.review else "live",
        }


def tracker(
    policy: AbstractPolicy | None,
    problem: LinearQuadratic = LinearQuadratic(),
    *,
    neurons: int = 5,
    speed: float | None = None,
    dt: float | None = None,
    bias: bool | None = None,
    review: str = "live",
    buffer: int = 1024,
) -> Tracker:
    """Returns a complete digraph of tanh neurons that tracks under a policy.

    Policies that reverse the state take the paper's setting: no input, no bias, explicit Euler
    for everything (its error is what contracts), $m = r/c$, one hop per step. Costate reversal
    descends, so it has a constant input, without which it cannot leave $x = 0$, infinite speed,
    four hops per sample, and a mass of its own, $m = 4q\\tau^2$ with $\\theta = 3/4\\tau$: at
    settled costates that is gradient descent at the rate $\\tau^2 q/m = 1/4$ per unit of
    curvature, with momentum one quarter, for every $q$ and $\\tau$. Beyond five neurons the mass
    grows with the number of parents, as the curvature does. There $r$ enters the reported cost
    only.

    Without a policy the law is least action, causal as it stands. It too has a constant input and
    four hops per sample; masses and frictions of order 1 in units of a hop, and the cost divided
    by $q$, so that target and connections pull about equally.

    **Arguments:**

    - `policy`, `problem`: how it is made causal, `None` for `LeastAction`; what is minimised.
    - `neurons`: at least 1; neuron 0 is the output.
    - `speed`: $c$ per unit of time; by default 1, for costate reversal infinite.
    - `dt`: of a step, in units of time; by default 0.1, for the Hamiltonian track 0.05, for
      costate reversal (the duration of a sample) 1.
    - `bias`: whether a constant input of value 1 has an arc to every neuron; by default as said
      above.
    - `review`: what a reversed phase reads: the target `"live"`, or backward from a `"buffer"`.
    - `buffer`: the size of that buffer, in steps.

    **Raises:** `ConfigError`.
    """
    if review not in ("live", "buffer"):
        raise ConfigError(f"review '{review}'; take live or buffer")
    check(neurons=neurons, dt=dt, speed=speed, buffer=buffer)
    forward = policy is None or isinstance(policy, CostateReversal)
    build = _acting if policy is None else _descending if forward else _flipping
    default = 1.0 if forward else 0.05 if isinstance(policy, HamiltonianTrack) else 0.1
    dt = default if dt is None else float(dt)
    _check_policy(policy, dt)
    memory = Review(buffer) if review == "buffer" and not forward else None
    bias = forward if bias is None else bias
    return build(policy, problem, int(neurons), bias, speed, dt, memory)


def _check_policy(policy: AbstractPolicy | None, dt: float) -> None:
    if isinstance(policy, SignFlip):
        check(period=policy.period, flip_omega=policy.omega)
        check_turn("flip_omega", policy.omega or 0.0, dt)
    if isinstance(policy, HamiltonianTrack):
        check(radius=policy.radius)


def _flipping(policy, problem, neurons, bias, speed, dt, review) -> Tracker:
    c = 1.0 if speed is None else float(speed)
    if c == np.inf:
        raise ConfigError("a policy that reverses the state needs a finite speed")
    law = Hamiltonian(policy, problem.r / c, integrator=ExplicitEuler(), weights="explicit")
    forward = Hamiltonian(integrator=ExplicitEuler())
    network = Digraph.complete(neurons, outputs=problem.seen(neurons), bias=bias, speed=c)
    return Tracker(network, problem.cost(c), law, forward, review, problem, dt, 1, c)


def _descending(policy, problem, neurons, bias, speed, dt, review) -> Tracker:
    hops = 4
    tau = dt / hops
    speed = np.inf if speed is None else float(speed)
    network = Digraph.complete(neurons, outputs=problem.seen(neurons), bias=bias, speed=speed)
    mass = 4 * problem.q * tau**2 * max(1.0, (neurons + 1) / 6)
    law = Hamiltonian(policy, mass, dissipation=0.75 / tau)
    return Tracker(network, problem.cost(1.0), law, law, review, problem, dt, hops, 1.0)


def _acting(policy, problem, neurons, bias, speed, dt, review) -> Tracker:
    del policy
    hops = 4
    tau = dt / hops
    speed = np.inf if speed is None else float(speed)
    network = Digraph.complete(neurons, outputs=problem.seen(neurons), bias=bias, speed=speed)
    law = LeastAction(
        stiffness=1.0,
        neurons=Inertial(mass=tau**2, dissipation=1 / tau),
        mass=tau**2 * max(1.0, (neurons + 1) / 6),
        dissipation=0.5 / tau,
    )
    return Tracker(
        network, problem.cost(problem.q), law, Hamiltonian(), review, problem, dt, hops, problem.q
    )
