"""The compiled loops: over the samples of a chunk, and over the many hops of a sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..law import Phase
from .compact import compact
from .divergence import sound
from .fit import Fit
from .samples import Samples, count

# Equal hops up to here are written out one after the other, which saves the turns of a loop and
# leaves out what the next hop overwrites. Beyond, they are a loop: what is compiled does not grow.
WRITTEN_OUT = 8

Hop = Callable[[Phase], Phase]
Repeat = Callable[[Hop, Phase, int], Phase]


def repeat(hop: Hop, phase: Phase, times: int) -> Phase:
    """Returns the phase after a number of equal hops, a loop where they are more than a few."""
    hop = jax.jit(_in_place(hop))  # traced once, however often it is written out
    if times <= WRITTEN_OUT:
        return write_out(hop, phase, times)
    return jax.lax.fori_loop(0, times, lambda _, p: hop(p), phase)


def write_out(hop: Hop, phase: Phase, times: int) -> Phase:
    """Returns the phase after a number of equal hops, in a program that has each of them."""
    for _ in range(times):
        phase = hop(phase)
    return phase


def _in_place(hop: Hop) -> Hop:
    """Returns a hop whose new weights may take the place of the old ones, without a copy of them.

    XLA keeps a copy of old weights for whatever may read them after the new ones are written, as
    both products of the drive may. Here new weights wait for the neurons and costates that these
    products make: where one of those is no number, and nothing is to be saved, weights hold still.
    """

    def ordered(phase: Phase) -> Phase:
        after = hop(phase)
        made = [a for a in jax.tree.leaves((after.x, after.costate)) if a.size]
        lost = jnp.isnan(sum(a[(0,) * a.ndim] for a in made))
        w = jax.tree.map(lambda old, new: jnp.where(lost, old, new), phase.w, after.w)
        return dataclasses.replace(after, w=w)

    return ordered


@runtime_checkable
class Presenter(Protocol):
    """What the loop needs of a learner, whose phase is one `Phase` or a tree of several."""

    def present(self, phase: Any, sample: Samples) -> tuple[Any, Array]:
        """Presents one sample; returns the phase after it and its prediction."""
        ...

    def preview(self, phase: Any, sample: Samples) -> Array:
        """Returns the prediction that `present` would make, learning nothing."""
        ...

    def observe(
        self, record: tuple[str, ...], phase: Any, output: Array, sample: Samples
    ) -> dict[str, Array]:
        """Returns what is to be recorded of a sample."""
        ...


# The learner, its check of phases, a padded chunk, how many of its samples count, what to record.
Fixed = tuple[Presenter, Fit, Samples, Any, tuple[str, ...]]


@eqx.filter_jit
def _learn_chunk(fixed: Fixed, phase: PyTree) -> tuple[PyTree, dict[str, Array], PyTree]:
    """Learns the first `n` samples of a padded chunk in one compiled loop."""
    learner, fits, part, n, record = fixed
    fits(phase)
    learner, phase, laid_out = compact(learner, phase)
    phase, trace, largest = learn_loop(learner, part, n, record, phase)
    return laid_out(phase), trace, largest


def learn_loop(
    learner: Presenter, part: Samples, n: Any, record: tuple[str, ...], phase: PyTree
) -> tuple[PyTree, dict[str, Array], PyTree]:
    """Learns the first `n` samples of a padded chunk, to be compiled.

    The loop's bound is traced, so a last, shorter chunk needs no compilation of its own and no
    work for its padding. Beside the phase and what was recorded it returns the largest magnitudes
    that neurons had on the way: they may recover where weights that go wrong stay wrong.
    """

    @jax.jit  # traced once, here for its shapes and below for its work
    def one(phase: PyTree, i: Any) -> tuple[PyTree, dict[str, Array]]:
        sample = jax.tree.map(lambda a: a[i], part)
        phase, output = learner.present(phase, sample)
        return phase, learner.observe(record, phase, output, sample)

    def body(i: Any, carry: Any) -> Any:
        phase, trace, largest = carry
        phase, values = one(phase, i)
        trace = {name: trace[name].at[i].set(values[name]) for name in record}
        now = neurons(phase)
        return phase, trace, jax.tree.map(lambda m, a: jnp.maximum(m, jnp.abs(a)), largest, now)

    shapes = jax.eval_shape(one, phase, jnp.int32(0))[1]
    capacity = count(part)
    trace = {name: jnp.zeros((capacity, *s.shape), s.dtype) for name, s in shapes.items()}
    still = jax.tree.map(jnp.zeros_like, neurons(phase))
    return jax.lax.fori_loop(0, n, body, (phase, trace, still))


def neurons(phase: PyTree) -> PyTree:
    """Returns states and costates of a phase, or of several."""
    both = lambda p: (p.x, p.costate)  # noqa: E731
    return jax.tree.map(both, phase, is_leaf=lambda p: isinstance(p, Phase))


def learn_chunk(fixed: Fixed, phase: PyTree) -> tuple[Any, dict[str, Array], bool]:
    """Returns the phase after a chunk, what was recorded, and whether all was finite.

    **Arguments:** `fixed`: the learner, its check of phases, the padded chunk, how many of its
    samples to learn, and what to record; `phase`: it stays valid, the loop works in the buffers of
    a copy.
    """
    phase, trace, largest = _learn_chunk(fixed, phase)
    return phase, trace, sound((_computed(phase), largest))


def _computed(phase: PyTree) -> PyTree:
    """Leaves out samples that are kept: their targets may be NaN, and were looked at before."""
    strip = lambda p: dataclasses.replace(p, review=None)  # noqa: E731
    return jax.tree.map(strip, phase, is_leaf=lambda p: isinstance(p, Phase))


@eqx.filter_jit
def preview_chunk(fixed: Fixed, phase: PyTree) -> Array:
    """Returns the prediction of each sample of a padded chunk, each as if it were the next one."""
    learner, fits, part, n, _ = fixed
    fits(phase)
    learner, phase, _ = compact(learner, phase)
    return preview_loop(learner, part, n, phase)


def preview_loop(learner: Presenter, part: Samples, n: Any, phase: PyTree) -> Array:
    """Returns what `preview_chunk` does, to be compiled."""

    def sample(i: Any) -> Samples:
        return jax.tree.map(lambda a: a[i], part)

    def body(i: Any, outputs: Array) -> Array:
        return outputs.at[i].set(learner.preview(phase, sample(i)))

    # Not the method itself: JAX would compare its learner with others, whose arrays are traced.
    preview = lambda p, s: learner.preview(p, s)  # noqa: E731
    shape = jax.eval_shape(preview, phase, jax.eval_shape(sample, 0))
    outputs = jnp.zeros((count(part), *shape.shape), shape.dtype)
    return jax.lax.fori_loop(0, n, body, outputs)
