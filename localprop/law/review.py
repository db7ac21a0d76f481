"""What a phase that runs backward in time reads: the recent samples, latest first."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from ..errors import ConfigError


class Memory(eqx.Module):
    """A stack in a ring: `samples` with `size` rows, the place of the next, how many are left."""

    samples: PyTree
    top: Int[Array, ""]
    left: Int[Array, ""]


class Review(eqx.Module):
    """A buffer of bounded size, from which a reversed phase reviews its input backward.

    Forward, the live sample is read and remembered; the oldest gives way. Reversed, samples are
    taken off, latest first, and what is live goes by unseen; where none is left, the oldest is
    read on [NLP, section 4: "review of recent inputs backward in time"].

    **Arguments:** `size`: how many samples are remembered, at least 1; the memory never grows.

    **Raises:** `ConfigError` for a smaller size.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import Review
        >>> review, seen = Review(size=8), []
        >>> memory = review.init(jnp.array(0.0))
        >>> for live, backward in [(1.0, False), (2.0, False), (3.0, True), (4.0, True)]:
        ...     memory, sample = review.read(memory, jnp.array(live), backward)
        ...     seen.append(float(sample))
        >>> seen
        [1.0, 2.0, 2.0, 1.0]

        ```
    """

    size: int = eqx.field(static=True)

    def __check_init__(self):
        if self.size < 1:
            raise ConfigError(f"a review of {self.size} samples; give a size of 1 or more")

    def init(self, sample: PyTree) -> Memory:
        """Returns an empty memory for samples like this one, read if nothing else is there."""
        rows = jax.tree.map(lambda a: jnp.broadcast_to(a, (self.size, *jnp.shape(a))), sample)
        return Memory(rows, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def read(
        self, memory: Memory, live: PyTree, backward: bool | Bool[Array, ""]
    ) -> tuple[Memory, PyTree]:
        """Returns the memory after this hop and the sample that is read in it.

        **Arguments:** `memory`; `live`: the sample that the stream offers now; `backward`:
        whether the state moves backward.
        """
        some = memory.left > 0
        place = jnp.where(backward & some, (memory.top - 1) % self.size, memory.top)
        choose = lambda a, b: jnp.where(backward, a, b)  # noqa: E731

        def swap(rows: Array, new: Any) -> tuple[Array, Array]:
            seen = choose(rows[place], new)
            return rows.at[place].set(seen), seen

        pairs = jax.tree.map(swap, memory.samples, live)
        rows, seen = jax.tree.transpose(jax.tree.structure(live), jax.tree.structure((0, 0)), pairs)
        top = choose(place, (memory.top + 1) % self.size)
        left = choose(memory.left - some, jnp.minimum(memory.left + 1, self.size))
        return Memory(rows, top, left), seen
