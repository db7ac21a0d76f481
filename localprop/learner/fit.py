"""Whether a phase is one of this learner."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.tree_util import keystr, tree_flatten_with_path
from jaxtyping import PRNGKeyArray, PyTree

from ..errors import ConfigError


class Fit:
    """Checks a phase where the loop is traced, and costs nothing once it is compiled.

    A compiled loop sees a learner whose arrays are traced; this is the learner as it was outside.
    All are equal to each other, so that none of them compiles anything anew: what is checked,
    shapes and types, compiles anew by itself. Compiled loops are kept, and their checks with them.
    A learner that is itself traced outside, by `jax.grad` over a rate say, must not be: its phase
    is checked by `of`, at once.

    **Arguments:** `init`: of the learner; `None` where the phase was checked.
    """

    def __init__(self, init: Callable[[PRNGKeyArray], PyTree] | None):
        self.init = init

    @classmethod
    def of(cls, init: Callable[[PRNGKeyArray], PyTree], learner: PyTree, phase: PyTree) -> Fit:
        """Returns the check of a learner's phase, or of one that was checked here."""
        if not is_traced(learner):
            return cls(init)
        # Not the method itself: JAX would keep its learner, and compare others with it.
        cls(lambda key: init(key))(phase)
        return cls(None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fit) and (self.init is None) == (other.init is None)

    def __hash__(self) -> int:
        return hash(Fit)

    def __call__(self, phase: PyTree) -> None:
        """Raises `ConfigError` for a phase of another network, law or precision."""
        if self.init is None:
            return
        try:
            own = jax.eval_shape(self.init, jax.eval_shape(jax.random.key, 0))
        except jax.errors.JAXTypeError:  # a network of the user's that begins outside of JAX
            return
        found, expected = _looks(phase), _looks(own)
        for name in [*expected, *(name for name in found if name not in expected)]:
            if found.get(name) != expected.get(name):
                raise ConfigError(
                    f"the phase does not fit this learner: {name.lstrip('.')} is "
                    f"{found.get(name, 'not there')}, and should be "
                    f"{expected.get(name, 'not there')}; take a phase that this learner's own init "
                    "or run returned, in the same precision"
                )


def is_traced(*trees: PyTree) -> bool:
    """Returns whether any array of some trees is traced, by `jax.jit`, `jax.vmap` or `jax.grad`."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def _looks(phase: PyTree) -> dict[str, str]:
    """Returns the type and shape of every array, by name."""
    leaves = tree_flatten_with_path(phase)[0]
    return {keystr(path): f"{jnp.result_type(a)}{list(jnp.shape(a))}" for path, a in leaves}
