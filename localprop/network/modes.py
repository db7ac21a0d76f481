"""Banks of oscillating modes behind the features of a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray, PyTree

from ..errors import GraphError
from .activation import Activation, resolve
from .base import Move, advance_speed_trace, as_rate
from .own_slopes import own_force, own_slopes, spread

Values = tuple[float, ...]


class ModeBank(eqx.Module):
    """Modes that every feature $y$ feeds: in one unit of time

    $$h_m \\leftarrow a_m h_m + \\sqrt{1 - |a_m|^2}\\,y, \\qquad
      a_m = e^{-1/\\tau_m + i\\omega_m} .$$

    **Arguments:**

    - `time_constants`: $\\tau_m > 0$, in units of time.
    - `frequencies`: $\\omega_m$, radians per unit of time, as many.
    - `learned`: whether leaks and frequencies are, per mode and feature; with `Traces` only.
    - `silent`: whether errors stop here. The weights of the features then learn from other banks
      alone, and no traces are kept.

    **Raises:** `GraphError` for numbers that make no sense, and for modes that are learned but
    silent.

    !!! example

        ```python
        >>> from localprop import ModeBank
        >>> ModeBank.harmonics(period=20.0, time_constant=6.0, count=3).frequencies[1]
        0.3141592653589793
        >>> ModeBank.leaks(1.0, 100.0, 3).time_constants
        (1.0, 10.0, 100.0)

        ```
    """

    time_constants: Values = eqx.field(static=True, converter=lambda v: tuple(map(float, v)))
    frequencies: Values = eqx.field(static=True, converter=lambda v: tuple(map(float, v)))
    learned: bool = eqx.field(static=True, default=False)
    silent: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if not self.time_constants or len(self.time_constants) != len(self.frequencies):
            raise GraphError(
                f"a bank of {len(self.time_constants)} time constants and {len(self.frequencies)} "
                "frequencies: give one of each for every mode"
            )
        if not all(0 < tau < np.inf for tau in self.time_constants):
            raise GraphError(f"time constants {self.time_constants}: above 0, and finite")
        if not all(np.isfinite(self.frequencies)):
            raise GraphError(f"frequencies {self.frequencies}: finite numbers")
        if self.learned and self.silent:
            raise GraphError("a silent bank hears no error, so its modes cannot be learned")

    @classmethod
    def harmonics(cls, period: float, time_constant: float, count: int, **kinds: bool) -> ModeBank:
        """Modes of one time constant and the frequencies $2\\pi m/P$, from $m = 0$ on."""
        turns = 2 * np.pi * np.arange(count) / period
        return cls([time_constant] * count, turns.tolist(), **kinds)

    @classmethod
    def leaks(cls, shortest: float, longest: float, count: int, **kinds: bool) -> ModeBank:
        """Modes that do not oscillate, their time constants evenly spaced on a logarithmic axis."""
        return cls(np.geomspace(shortest, longest, count).tolist(), [0.0] * count, **kinds)

    @property
    def count(self) -> int:
        """How many modes."""
        return len(self.time_constants)

    @property
    def gains(self) -> Complex[np.ndarray, " modes"]:
        """$g_m = \\sqrt{1 - |a_m|^2}/(1 - a_m)$, by which the drive is $D_m = g_m y$."""
        a = np.exp(-1 / np.array(self.time_constants) + 1j * np.array(self.frequencies))
        return np.sqrt(1 - np.abs(a) ** 2) / (1 - a)

    def speeds(self, leak: Any, frequency: Any, axes: int) -> Any:
        """Returns $c_m = \\nu_m - i\\omega_m$, with so many axes of features behind the modes'.

        **Arguments:** `leak`: the logarithm of $\\nu$ over its initial value, `frequency`: the
        difference of $\\omega$ to its own, per mode and feature; or `None`.
        """
        shape = (self.count, *(1,) * axes)
        nu = 1 / np.array(self.time_constants).reshape(shape)
        omega = np.array(self.frequencies).reshape(shape)
        if leak is None or frequency is None:
            return as_rate(nu, omega)
        return as_rate(nu * jnp.exp(leak), omega + frequency)


class Modes(eqx.Module):
    """A module whose every feature $y = \\sigma(f_w(s))$ feeds banks of oscillating modes.

    The state of its block is `(2, modes, *features)`, real and imaginary part, and obeys
    $\\dot h_m = (\\nu_m - i\\omega_m)(g_m y - h_m)$ (recurrent trace units, Elelimy et al. 2024;
    laws.md, section 15). All banks share the weights of the features. The modes of several banks
    lie one behind the other.

    !!! example

        ```python
        >>> from functools import partial
        >>> import equinox as eqx, jax
        >>> from localprop import Block, Layered, ModeBank, Modes, read_modes
        >>> short = ModeBank.harmonics(20.0, 6.0, 3)
        >>> banks = [short, ModeBank.harmonics(48.0, 30.0, 3, learned=True)]
        >>> memory = partial(Modes, partial(eqx.nn.Linear, 4, 5), "gelu", banks)
        >>> network = Layered(
        ...     {
        ...         "memory": Block(memory, ["input"]),
        ...         "top": Block(partial(eqx.nn.Linear, 60, 1), ["memory"], join=read_modes()),
        ...     },
        ...     inputs=(4,),
        ...     output="top",
        ... )
        >>> network.init(jax.random.key(0))[0]["memory"].shape
        (2, 6, 5)

        ```
    """

    module: Any
    leak: tuple[Array | None, ...]
    frequency: tuple[Array | None, ...]
    activation: Activation = eqx.field(static=True)
    banks: tuple[ModeBank, ...] = eqx.field(static=True)

    def __init__(
        self,
        module: Any,
        activation: str | Activation,
        banks: ModeBank | Sequence[ModeBank],
        *,
        features: tuple[int, ...] | None = None,
        key: PRNGKeyArray | None = None,
    ):
        """**Arguments:**

        - `module`: an Equinox module, or a function that makes one from `key=`; `None` for the
          input itself.
        - `activation`: of the features, a name or a callable.
        - `banks`: one or several.
        - `features`: their shape, where modes are learned and `module` is no linear layer.
        - `key`: to make the module; `Layered` gives it.

        **Raises:** `GraphError` for learned modes of features of unknown shape.
        """
        if not isinstance(module, eqx.Module | None) or isinstance(module, eqx.Partial):
            module = module(key=key)
        self.module, self.activation = module, resolve(activation)
        self.banks = (banks,) if isinstance(banks, ModeBank) else tuple(banks)
        if features is None and isinstance(module, eqx.nn.Linear):
            features = module.weight.shape[:1]
        if features is None and any(bank.learned for bank in self.banks):
            raise GraphError("learned modes need the shape of the features; give features=...")
        start = [jnp.zeros((b.count, *(features or ()))) if b.learned else None for b in self.banks]
        self.leak, self.frequency = tuple(start), tuple(start)

    def __call__(self, s: Array) -> Float[Array, "2 modes ..."]:
        """Returns the drive $g_m y$ of every mode."""
        y = self.activation(s if self.module is None else self.module(s))
        still = jax.lax.stop_gradient(y)
        drives = [self._driven(b, still if b.silent else y) for b in self.banks]
        return jnp.concatenate(drives, axis=1)

    def _driven(self, bank: ModeBank, y: Array) -> Array:
        gains = bank.gains.reshape(-1, *(1,) * y.ndim)
        parts = [np.real(gains) * y, np.imag(gains) * y]
        return jnp.concatenate([part[None] for part in parts]).astype(y.dtype)

    def speeds(self, axes: int) -> Any:
        """Returns the speeds of all modes, complex, with so many axes of features."""
        each = [self._speeds_of(k, axes) for k in range(len(self.banks))]
        shape = np.broadcast_shapes(*(c.shape[1:] for c in each))
        xp = np if all(isinstance(c, np.ndarray) for c in each) else jnp
        join = lambda part: xp.concatenate(  # noqa: E731
            [xp.broadcast_to(part(c), (len(c), *shape)) for c in each]
        )
        return as_rate(join(xp.real), -join(xp.imag))

    def _speeds_of(self, k: int, axes: int) -> Any:
        return self.banks[k].speeds(self.leak[k], self.frequency[k], axes)

    @property
    def learns(self) -> bool:
        """Whether any mode does."""
        return any(bank.learned for bank in self.banks)

    def _cut(self, modes: Array) -> list[Array]:
        """Returns the parts of each bank of what has modes along its second axis."""
        return jnp.split(modes, np.cumsum([bank.count for bank in self.banks])[:-1], axis=1)

    def _inner(self) -> tuple[PyTree, PyTree]:
        return eqx.partition(self.module, eqx.is_inexact_array)

    def slopes(self, s: Array) -> PyTree:
        """Returns the slopes of the features by the module's weights."""
        w, frame = self._inner()
        return own_slopes(frame, self.activation, w, s) if jax.tree.leaves(w) else None

    def zero_traces(self, s: Array, x: Array) -> tuple[PyTree, ...]:
        """Returns the traces at rest, of every bank: `None` of silent ones."""
        slopes, found = self.slopes(s), []
        for bank, state in zip(self.banks, self._cut(x), strict=True):
            own = jax.tree.map(lambda a, b=bank: jnp.zeros((2, b.count, *a.shape)), slopes)
            still = jnp.zeros(state.shape) if bank.learned else None
            found.append(None if bank.silent else (own, still, still))
        return tuple(found)

    def advance_traces(self, trace: Any, x: Array, s: Array, move: Move) -> tuple[PyTree, ...]:
        """Returns the traces of every bank after a hop from the state `x` under the input `s`.

        Of the weights: $E_m$ goes, as $h_m$ does, towards $g_m\\sigma' s$. Of what is learned of a
        mode, the slope $Q$ of its state: what is left of it after the hop, and the slope of the
        hop from $h$ to $h'$ by the leak, or the frequency.
        """
        _, frame = self._inner()
        slopes, drive, axes = self.slopes(s), self(s), x.ndim - 2
        after = []
        for k, (h, d) in enumerate(zip(self._cut(x), self._cut(drive), strict=True)):
            bank = self.banks[k]
            if bank.silent:
                after.append(None)
                continue
            speed = self._speeds_of(k, axes)
            own, *learned = trace[k]
            towards = lambda e, f, b=bank, c=speed: move(  # noqa: E731
                spread(frame, self.activation, c, f), e, self._driven(b, f)
            )
            own = jax.tree.map(towards, own, slopes)
            learned = self._advance_speed_traces(k, learned, h, d, move)
            after.append((own, *learned))
        return tuple(after)

    def _advance_speed_traces(
        self, k: int, traces: Sequence[Any], h: Array, drive: Array, move: Move
    ) -> Sequence[Any]:
        """Returns the traces of what is learned of a bank's leaks and frequencies after a hop."""
        leak, frequency = self.leak[k], self.frequency[k]
        if leak is None or frequency is None:
            return traces
        speeds, axes = self.banks[k].speeds, h.ndim - 2
        by_leak = lambda nu: speeds(nu, frequency, axes)  # noqa: E731
        by_frequency = lambda omega: speeds(leak, omega, axes)  # noqa: E731
        return (
            advance_speed_trace(traces[0], h, drive, leak, by_leak, move),
            advance_speed_trace(traces[1], h, drive, frequency, by_frequency, move),
        )

    def own_force(self, costate: Array, trace: Any) -> Modes:
        """Returns $\\mathrm{Re}\\sum_m \\bar\\lambda_m E_m$ of every weight, in the shape of the
        weights."""
        w, frame = self._inner()
        leak, frequency = list(self.leak), list(self.frequency)
        forces = []
        of_mode = lambda c, e: own_force(frame, self.activation, c, e)  # noqa: E731
        for k, costates in enumerate(self._cut(costate)):
            if self.banks[k].silent:
                continue
            own, *learned = trace[k]
            if jax.tree.leaves(own):
                each = jax.vmap(jax.vmap(of_mode))(costates, own)
                forces.append(jax.tree.map(lambda f: jnp.sum(f, axis=(0, 1)), each))
            if self.banks[k].learned:
                leak[k], frequency[k] = (jnp.sum(costates * q, axis=0) for q in learned)
        total = jax.tree.map(jnp.zeros_like, w)
        if forces:
            total = jax.tree.map(lambda *parts: sum(parts[1:], start=parts[0]), *forces)
        fields = lambda m: (m.module, m.leak, m.frequency)  # noqa: E731
        whole = (total, tuple(leak), tuple(frequency))
        weights = eqx.filter(self, eqx.is_inexact_array)
        return eqx.tree_at(fields, weights, whole, is_leaf=lambda leaf: leaf is None)


def read_modes(first: int = 0, last: int | None = None) -> Callable[..., Array]:
    """Returns a block's `join` that reads the modes `first` to `last - 1` of its parents.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import read_modes
        >>> read_modes(0, 3)(jnp.zeros((2, 6, 5))).shape
        (30,)

        ```
    """
    return _ReadModes(first, last)


class _ReadModes(eqx.Module):
    first: int = eqx.field(static=True)
    last: int | None = eqx.field(static=True)

    def __call__(self, *parents: Array) -> Array:
        return jnp.concatenate([jnp.ravel(x[:, self.first : self.last]) for x in parents])
