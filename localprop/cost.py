"""What is minimised: losses on the output and the regulariser of the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Scalar

from .errors import ConfigError, StreamError

Loss = Callable[[Array, Array], Scalar]


class SquaredError(eqx.Module):
    """Half the squared error, $L = \\frac s2 |x_O - z|^2$ [NLP, section 5: $s = q$].

    Called with the output and the target `z`, arrays of one shape in the target's own unit. A
    component of `z` that is NaN has no target and adds nothing.

    **Arguments:** `scale`: $s > 0$, cost per squared unit of the target.

    **Raises:** `ConfigError` for another scale; `StreamError`, when called, for another shape of
    `z` than of the output.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import SquaredError
        >>> float(SquaredError()(jnp.array([1.0, 5.0]), jnp.array([3.0, jnp.nan])))
        2.0

        ```
    """

    scale: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not 0 < self.scale < float("inf"):
            raise ConfigError(f"scale of the squared error is {self.scale}; give one above 0")

    def __call__(self, output: Float[Array, ...], z: Float[Array, ...]) -> Scalar:
        _check_shape(output, z)
        error = jnp.where(jnp.isnan(z), 0, output - z)
        return self.scale / 2 * jnp.sum(error**2)


class Huber(eqx.Module):
    """Huber's loss: half the squared error up to δ, beyond it linear.

    $$L = \\sum_k \\begin{cases} e_k^2/2 & |e_k| \\le \\delta \\\\
                               \\delta(|e_k| - \\delta/2) & \\text{else} \\end{cases},
      \\qquad e = x_O - z$$

    (Huber, *Robust estimation of a location parameter*, 1964). No target pulls with more than δ,
    however far it lies. Called as `SquaredError`; a component of `z` that is NaN adds nothing.

    **Arguments:** `delta`: $\\delta > 0$, in the target's unit.

    **Raises:** `ConfigError` for another δ; `StreamError`, when called, for another shape of `z`
    than of the output.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import Huber
        >>> float(Huber()(jnp.array([0.5, 3.0, 1.0]), jnp.array([0.0, 0.0, jnp.nan])))
        2.625

        ```
    """

    delta: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not 0 < self.delta < float("inf"):
            raise ConfigError(f"delta of Huber's loss is {self.delta}; give one above 0")

    def __call__(self, output: Float[Array, ...], z: Float[Array, ...]) -> Scalar:
        _check_shape(output, z)
        size = jnp.abs(jnp.where(jnp.isnan(z), 0, output - z))
        near = jnp.minimum(size, self.delta)
        return jnp.sum(near * (size - near / 2))


class SoftmaxCrossEntropy(eqx.Module):
    """Cross-entropy of the outputs as logits, $L = -\\sum_k q_k \\log \\mathrm{softmax}(x_O)_k$.

    Called with the output and `z`, both of shape `(classes,)`; `z` gives one probability per class,
    and the loss is in nats. A component that is NaN is a class that does not exist (yet): it takes
    no part in the softmax. With smoothing, $q_k = (1 - s) z_k + s/K$ over the $K$ classes that
    exist, so that no logit is driven to infinity.

    **Arguments:** `smoothing`: $s$ in [0, 1).

    **Raises:** `ConfigError` for another smoothing; `StreamError`, when called, for another shape
    of `z` than of the output.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import SoftmaxCrossEntropy
        >>> loss = SoftmaxCrossEntropy()
        >>> print(f"{loss(jnp.zeros(3), jnp.array([1.0, 0.0, jnp.nan])):.4f}")  # ln 2: two classes
        0.6931

        ```
    """

    smoothing: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"smoothing is {self.smoothing}; give one from 0 to below 1")

    def __call__(self, output: Float[Array, " classes"], z: Float[Array, " classes"]) -> Scalar:
        _check_shape(output, z)
        exists = ~jnp.isnan(z)
        z = jnp.where(exists, z, 0)
        if self.smoothing:
            share = self.smoothing / jnp.maximum(jnp.sum(exists), 1)
            z = jnp.where(exists, (1 - self.smoothing) * z + share, 0)
        # A finite floor: with -inf, a sample without any class would give NaN gradients.
        logits = jnp.where(exists, output, jnp.finfo(output.dtype).min)
        return -jnp.sum(z * jax.nn.log_softmax(logits))


def _check_shape(output: Array, z: Array) -> None:
    # Broadcasting would take a wrong target for a right one.
    if output.shape != z.shape:
        raise StreamError(
            f"the target of a sample has shape {z.shape}, the output {output.shape}; give targets "
            "as an array with one row per sample and one column per output"
        )


class Cost(eqx.Module):
    """The rate of cost $\\ell = k V(w) + L(x_O, z)$ [NLP, eq. 8], by default $V = |w|^2/2$.

    A sample whose target is NaN throughout has $L = 0$: the network runs on, unsupervised.

    **Arguments:**

    - `loss`: $L(\\text{output}, z) \\to$ scalar; `SquaredError()`, `Huber()`,
      `SoftmaxCrossEntropy()` or any differentiable callable. Of a network with several readouts
      each has this loss; or a mapping from readouts to losses.
    - `weight_decay`: $k \\ge 0$.
    - `regulariser`: $V(w) \\to$ scalar, or `None` for $|w|^2/2$.

    **Fields:** beside these, `weight`: of the losses of the present sample, one for each stream;
    `None` for 1. The learner sets it where samples come with weights.

    **Raises:** `ConfigError` for a negative weight decay.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import Cost, SquaredError
        >>> cost = Cost(SquaredError(), weight_decay=0.1)
        >>> float(cost.target_loss(jnp.array([1.0]), jnp.array([3.0])))
        2.0

        ```
    """

    loss: Loss | Mapping[str, Loss]
    weight_decay: float = 0.0
    regulariser: Callable[[PyTree], Scalar] | None = eqx.field(static=True, default=None)
    weight: Array | None = None

    def __check_init__(self):
        if not self.weight_decay >= 0:
            raise ConfigError(f"weight_decay is {self.weight_decay}; it must be 0 or more")
        each = self.loss.values() if isinstance(self.loss, Mapping) else [self.loss]
        if not all(callable(loss) for loss in each):
            raise ConfigError(f"loss is {self.loss!r}; pass a callable of (output, z)")

    def of(self, readout: str) -> Cost:
        """Returns the cost with the loss of that readout alone.

        **Raises:** `ConfigError` where it has none.
        """
        if not isinstance(self.loss, Mapping):
            return self
        if readout not in self.loss:
            known = ", ".join(self.loss)
            raise ConfigError(f"the cost has no loss for readout '{readout}'; it has {known}")
        return dataclasses.replace(self, loss=self.loss[readout])

    def target_loss(self, output: Array, z: Array) -> Scalar:
        """Returns $L(x_O, z)$, 0 where there is no target; the mean of several losses."""
        if isinstance(self.loss, Mapping):
            each = [self.of(name).target_loss(output, z) for name in self.loss]
            return jnp.mean(jnp.stack(each))
        none = jnp.all(jnp.isnan(z))
        # The inner wheres keep NaN and infinity out of the gradient of an arbitrary loss.
        loss = self.loss(*(jnp.where(none, jnp.zeros_like(a), a) for a in (output, z)))
        return jnp.where(none, jnp.zeros_like(loss), loss)

    def penalty(self, w: PyTree) -> Any:
        """Returns $k V(w)$."""
        if self.regulariser is not None:
            return self.weight_decay * self.regulariser(w)
        squares = sum(jnp.sum(a**2) for a in jax.tree.leaves(w))
        return self.weight_decay / 2 * squares

    def penalty_gradient(self, w: PyTree) -> PyTree:
        """Returns $k V_w$, or `None` where it is known to vanish."""
        if self.weight_decay == 0:
            return None
        if self.regulariser is not None:
            return jax.grad(self.penalty)(w)
        return jax.tree.map(lambda a: self.weight_decay * a, w)
