"""The running mean of the weights: what was learned, without the last few samples' own wishes."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


class Average(eqx.Module):
    """The mean of the weights so far, each of the last samples counting more than the one before.

    After sample $n$, $\\bar w \\leftarrow \\bar w + (w - \\bar w)/\\min(n, N)$: the plain mean of
    all samples up to $N$ of them, and from then on one that forgets with a time constant of $N$
    samples, a factor of $1 - 1/N$ each (Polyak and Juditsky, 1992). So it has no bias towards
    where it began. Every synapse keeps its own: one number per weight.

    **Fields:** `w`: the mean, a tree like the weights; `samples`: $\\min(n, N)$.
    """

    w: PyTree
    samples: Float[Array, ""]

    @classmethod
    def begin(cls, w: PyTree) -> Average:
        """Returns the mean of none: these weights, until the first sample was learned."""
        return cls(w, jnp.zeros(()))

    def after(self, w: PyTree, over: float) -> Average:
        """Returns the mean with the weights after one more sample, over `over` samples."""
        samples = jnp.minimum(self.samples + 1, over)
        return Average(jax.tree.map(lambda a, b: a + (b - a) / samples, self.w, w), samples)
