"""Masses of the weights: constant, or by the force that each synapse feels or has felt."""

from __future__ import annotations

import abc
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..errors import ConfigError
from ..network.uncompiled import zeros_like


class AbstractMass(eqx.Module):
    """The inertia $m_{ij}$ of weights; local in space and time."""

    @abc.abstractmethod
    def init(self, w: PyTree) -> PyTree:
        """Returns what the mass remembers at the start."""

    @abc.abstractmethod
    def update(self, memory: PyTree, force: PyTree, tau: Any) -> PyTree:
        """Returns the memory after the force acted for a time `tau`."""

    @abc.abstractmethod
    def value(self, memory: PyTree, w: PyTree) -> PyTree:
        """Returns the mass of every weight, a tree like `w` (leaves may be scalars)."""


class Constant(AbstractMass):
    """One mass $m$ for all weights, $\\dot w = \\pi/m$ [NLP, eqs. 11-14].

    With settled costates and hops of length τ it makes the learning rate $\\tau^2/m$.

    **Arguments:** `m`: above 0, in units of force × time² per weight.

    **Raises:** `ConfigError` otherwise.

    !!! example

        ```python
        >>> from localprop import Constant, Hamiltonian
        >>> Hamiltonian(mass=20.0).mass == Constant(20.0)  # a plain number means it
        True

        ```
    """

    m: float = 1.0

    def __check_init__(self):
        # An array may be traced, and then its value is not known here.
        if isinstance(self.m, int | float) and not self.m > 0:
            raise ConfigError(f"mass is {self.m}; it must be above 0")

    def init(self, w: PyTree) -> PyTree:
        del w
        return None

    def update(self, memory: PyTree, force: PyTree, tau: Any) -> PyTree:
        del memory, force, tau
        return None

    def value(self, memory: PyTree, w: PyTree) -> PyTree:
        del memory
        return jax.tree.map(lambda _: self.m, w)


class Adaptive(AbstractMass):
    """Mass in proportion to the root mean square force on the weight's own synapse.

    $m_{ij} = (\\sqrt{v_{ij}} + \\epsilon)/\\eta$ with $\\dot v_{ij} = r (f_{ij}^2 - v_{ij})$: every
    weight, whatever the scale of its inputs, moves at about the rate $\\eta$ (RMSProp's idea,
    local in space and time; laws.md, section 5).

    $v$ begins at 0 and is at first too small, by $1 - e^{-rt}$: under a steady force a weight
    moves at $\\eta/\\sqrt{1 - e^{-rt}}$. At $r = 10^{-3}$ and hops of length 1 that is 32 times
    $\\eta$ in the first hop, 3.2 times in hop 100, 1.3 times in hop 1000, less what the floor
    takes; settle hops do not count. This early push is kept on purpose: without it, corrected as in
    Adam, most streams are learned less well (benchmarks/early_push.md).

    Since every weight moves at its own pace, the drive of a neuron moves at about
    $\\eta\\sum_j|x_j|$: at .007 where the 64 pixels of a digit are in 0 to 1, at .11 where they
    are in 0 to 16. Friction lets a push last $1/\\theta$, and the early push is on top of both. Far
    beyond 1 neurons are thrown out of the range in which they bend, in the first few samples and
    for good. The defaults keep clear of that for inputs of either scale (benchmarks/defaults.md).
    They want a friction beside them, as in `Learner`'s own law: without one, pushes never end.

    **Arguments:**

    - `rate`: $\\eta$, above 0, weight per squared unit of time; a number, or a tree that is a
      prefix of the weights', one for each group of them. Given as arrays it may follow a schedule
      without compiling anew, by `eqx.tree_at(lambda l: l.law.mass.rate, learner, rate)`.
    - `decay`: $r$, above 0, per unit of time.
    - `floor`: $\\epsilon$, above 0, in units of force.

    **Raises:** `ConfigError` for a value that is not above 0.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import Adaptive
        >>> mass, w = Adaptive(rate=0.01, decay=0.1, floor=1e-3), jnp.zeros(2)
        >>> memory, force = mass.init(w), jnp.array([0.5, 50.0])
        >>> for _ in range(200):
        ...     memory = mass.update(memory, force, tau=1.0)
        >>> (force / mass.value(memory, w)).round(3)  # the rates of both weights
        Array([0.01, 0.01], dtype=float32)

        ```
    """

    rate: Any = 3.5e-4
    decay: float = 5e-4
    floor: float = 3e-4

    def __check_init__(self):
        for name in ("rate", "decay", "floor"):
            for value in jax.tree.leaves(getattr(self, name)):
                if isinstance(value, int | float) and not value > 0:
                    raise ConfigError(f"{name} of the adaptive mass is {value}; it must be above 0")

    def init(self, w: PyTree) -> PyTree:
        return jax.tree.map(zeros_like, w)

    def update(self, memory: PyTree, force: PyTree, tau: Any) -> PyTree:
        keep = jnp.exp(-self.decay * tau)
        return jax.tree.map(lambda v, f: keep * v + (1 - keep) * f**2, memory, force)

    def value(self, memory: PyTree, w: PyTree) -> PyTree:
        del w
        mass = lambda rate, v: (jnp.sqrt(v) + self.floor) / rate  # noqa: E731
        of_group = lambda rate, part: jax.tree.map(partial(mass, rate), part)  # noqa: E731
        return jax.tree.map(of_group, self.rate, memory)


class Growing(AbstractMass):
    """Mass that grows with use: with the squared force that the weight's own synapse has felt.

    $$m_{ij} = \\frac1\\eta\\Bigl(1 + \\frac1s\\int_0^t f_{ij}^2\\,dt\\Bigr)$$

    At the start weights move as under `Constant(1 / rate)`; what was much used, for whatever was
    taught, is hard to move later, and other weights take what comes (as in Adagrad, with the sum
    itself in place of its root, Duchi et al. 2011; a diagonal measure of importance as in elastic
    weight consolidation, Kirkpatrick et al. 2017, that asks for no mark between tasks). Of the
    means that store no sample it keeps most (benchmarks/retention.md); a stream that changes for
    good is followed less and less.

    **Arguments:**

    - `rate`: $\\eta$, above 0, weight per force and squared unit of time.
    - `scale`: $s$, above 0, in units of force² × time: what a synapse has felt when its mass has
      doubled.

    **Raises:** `ConfigError` for a value that is not above 0.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import Growing
        >>> mass, w = Growing(rate=0.1), jnp.zeros(2)
        >>> memory = mass.init(w)
        >>> for _ in range(3):
        ...     memory = mass.update(memory, jnp.array([0.0, 1.0]), tau=1.0)
        >>> mass.value(memory, w)
        Array([10., 40.], dtype=float32)

        ```
    """

    rate: float
    scale: float = 1.0

    def __check_init__(self):
        for name in ("rate", "scale"):
            value = getattr(self, name)
            if isinstance(value, int | float) and not value > 0:
                raise ConfigError(f"{name} of the growing mass is {value}; it must be above 0")

    def init(self, w: PyTree) -> PyTree:
        return jax.tree.map(zeros_like, w)

    def update(self, memory: PyTree, force: PyTree, tau: Any) -> PyTree:
        return jax.tree.map(lambda v, f: v + tau * f**2, memory, force)

    def value(self, memory: PyTree, w: PyTree) -> PyTree:
        del w
        return jax.tree.map(lambda v: (1 + v / self.scale) / self.rate, memory)


def as_mass(mass: float | AbstractMass) -> AbstractMass:
    """A plain number means `Constant`."""
    return mass if isinstance(mass, AbstractMass) else Constant(mass)
