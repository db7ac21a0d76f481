"""Feedback weights of their own, in place of weight transport."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree, Scalar

from ..errors import ConfigError
from .base import AbstractNetwork
from .digraph import Digraph
from .layered import Layered


class FeedbackWeights(AbstractNetwork):
    """A network whose errors come back by weights $b$ of their own, learned beside the forward $w$.

    Under the ordinary law $\\lambda_i$ reads $w_{ki}$, a number that belongs to a synapse of the
    child $k$ (weight transport). Here

    $$(D_x^\\top\\lambda)_i = \\sum_{k \\in ch(i)} b_{ki}\\,\\sigma'(a_k)\\,\\lambda_k, \\qquad
      f^w_{ki} = g_{ki} + k w_{ki}, \\quad f^b_{ki} = g_{ki} + k b_{ki}, \\quad
      g_{ki} = \\sigma'(a_k)\\lambda_k x_i .$$

    The increment $g_{ki}$ is known at both ends of the arc, and the same for both weights [Kolen
    and Pollack, *Backpropagation without weight transport*, 1994]. So their difference
    $d = w - b$ feels no stream at all, $m(\\ddot d + \\theta\\dot d) = -k d$ under one constant
    mass: with weight decay $k > 0$ it dies out and errors become backpropagation's; without, it
    stays as it was drawn while what is learned grows over it. A block of a `Layered` network has
    its parameters twice; those that are no factor of the block's input (biases) are copied idly.

    It works with any law. The force is no gradient until $b = w$, so what hangs on a potential
    (least action's energy balance) holds only then.

    The weights are a dictionary of two trees, `"forward"` and `"feedback"`.

    !!! example

        ```python
        >>> import jax, numpy as np
        >>> from localprop import Cost, Digraph, FeedbackWeights, Hamiltonian, Learner, SquaredError
        >>> network, cost = FeedbackWeights(Digraph.layered([2, 8, 1])), Cost(SquaredError(), 0.05)
        >>> learner = Learner(network, cost, Hamiltonian(mass=50.0, dissipation=0.5))
        >>> start = learner.init(jax.random.key(0))
        >>> u = np.random.default_rng(0).normal(size=(2000, 2))
        >>> phase, _ = learner.run(start, (u, u[:, :1] * u[:, 1:]))
        >>> before, after = (float(network.alignment(p.w)) for p in (start, phase))
        >>> before < 0.5, after > 0.99
        (True, True)

        ```
    """

    network: Digraph | Layered
    drawn: Digraph | Layered
    speed: Any
    plastic: Any
    depth: int = eqx.field(static=True)
    streams: None = eqx.field(static=True, default=None)

    def __init__(self, network: AbstractNetwork, drawn: Digraph | Layered | None = None):
        """**Arguments:**

        - `network`: of neurons or of blocks.
        - `drawn`: a network of the same shape whose own initial weights the feedback weights take,
          by default `network`: of use where the forward weights start at zero, as output layers
          do.

        **Raises:** `ConfigError` for another kind; to share weights, wrap this in `SharedWeights`,
        or give the learner `streams`.
        """
        if not isinstance(network, Digraph | Layered):
            kind = type(network).__name__
            raise ConfigError(f"feedback weights need a Digraph or a Layered network, not {kind}")
        if network.learns_speeds:
            raise ConfigError("feedback weights need plain speeds; they keep no traces to learn by")
        self.network, self.speed, self.depth = network, network.speed, network.depth
        self.drawn = network if drawn is None else drawn
        free = network.plastic
        self.plastic = None if free is None else {"forward": free, "feedback": free}

    def init(self, key: PRNGKeyArray) -> tuple[PyTree, dict[str, PyTree]]:
        """Returns the state at rest and two independent draws of weights.

        The forward ones are those that the network draws by itself from `key`.
        """
        x, w = self.network.init(key)
        _, b = self.drawn.init(jax.random.fold_in(key, 1))
        return x, {"forward": w, "feedback": b}

    def drive(self, x: PyTree, w: dict[str, PyTree], u: PyTree) -> PyTree:
        return self.network.drive(x, w["forward"], u, feedback=w["feedback"])

    def speeds(self, w: PyTree = None) -> PyTree:
        del w
        return self.network.speeds()

    def output(self, x: PyTree) -> Array:
        return self.network.output(x)

    def readouts(self, x: PyTree) -> Any:
        return self.network.readouts(x)

    def alignment(self, w: dict[str, PyTree]) -> Scalar:
        """Returns the cosine of the angle between forward and feedback weights."""
        dot = lambda a, b: sum(  # noqa: E731
            jnp.vdot(p, q) for p, q in zip(*map(jax.tree.leaves, (a, b)), strict=True)
        )
        there, back = w["forward"], w["feedback"]
        return dot(there, back) / jnp.sqrt(dot(there, there) * dot(back, back))

    def __repr__(self) -> str:
        return f"FeedbackWeights({self.network})"
