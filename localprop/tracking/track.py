"""Linear-quadratic tracking: a recurrent net whose output follows a target, online."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import DivergenceError, StreamError
from ..law import Hamiltonian, Phase
from .bounds import check, check_trajectory, check_turn, count_steps
from .signals import AbstractSignal
from .tracker import Tracker

CHUNK = 1 << 16  # steps in one call of the compiled loop
REMEDY = (
    "take a shorter dt, a smaller q, rw, rx or speed, a larger r, or another policy; Cauchy's is "
    "unstable by nature"
)


@dataclass(frozen=True)
class Tracking:
    """What a tracking run gave.

    **Fields:**

    - `policy`: its name.
    - `nrmse`: rms error over rms target after the first third, in flip time: $x_0$ when step $k$
      begins against $z_k$, which the network has not seen yet.
    - `replayed_nrmse`: the same for the forward network under the same weights $w(t)$.
    - `cost`: the integral of the cost over the replay, the only trajectory that a network can
      follow; `flip_cost`: over the policy's own.
    - `untracked_cost`: $\\int\\tfrac q2 z^2$, of doing nothing at $x = w = 0$.
    - `settings`: of the run, plain numbers and words.
    - `trace`: arrays over `time`: `target`, `state`, `replay`, `lagrangian`, `hamiltonian`
      (costs per unit of time), and `w` and `x` if asked for. A long run is decimated to the
      frames asked for; the numbers above are not.
    """

    policy: str
    nrmse: float
    replayed_nrmse: float
    cost: float
    flip_cost: float
    untracked_cost: float
    settings: dict[str, Any]
    trace: dict[str, np.ndarray]

    def summary(self) -> dict[str, Any]:
        """Returns what `localprop track --json` prints."""
        names = ("policy", "nrmse", "replayed_nrmse", "cost", "settings")
        return {name: getattr(self, name) for name in names}


def track(
    signal: AbstractSignal,
    tracker: Tracker,
    *,
    duration: float | None = None,
    seed: int = 0,
    frames: int = 2000,
    trajectory: bool = False,
) -> Tracking:
    """Tracks a signal, and replays the weights in the forward network at the same time.

    The replay moves by $\\dot x = c(D(x, w(t)) - x)$ alone, from the same $x(0)$, beside the
    policy, so that memory does not grow with the duration.

    **Arguments:**

    - `signal`: the target; `tracker`: from `tracker(policy, ...)`.
    - `duration`: in units of time, at least three steps; by default the signal's span.
    - `seed`: of $x(0)$ and $w(0)$.
    - `frames`: most points in time that the trace keeps.
    - `trajectory`: whether the trace keeps all weights `w` and states `x`.

    **Raises:** `DivergenceError`, with the step; `ConfigError` for numbers out of range and for
    runs of more steps than can be waited for; `StreamError` for a target that ends up at 0.

    !!! example

        ```python
        >>> from localprop import CostateReversal
        >>> from localprop.tracking.signals import Sine
        >>> from localprop.tracking.track import track
        >>> from localprop.tracking.tracker import tracker
        >>> run = track(Sine(omega=0.02), tracker(CostateReversal()))
        >>> run.nrmse < 0.03, run.nrmse == run.replayed_nrmse
        (True, True)

        ```
    """
    span, neurons = signal.span if duration is None else duration, len(tracker.network.vertices)
    check(seed=seed, frames=frames)
    check_turn("omega", signal.omega, tracker.dt)
    steps = count_steps(span, tracker.dt, neurons)
    if trajectory:
        check_trajectory(min(frames, steps), neurons)
    stride = -(-steps // frames)
    phase = tracker.init(seed)
    carry = _Carry(phase, phase.x, _remember(tracker, signal), jnp.zeros((), jnp.int32))
    parts = []
    for start, z in _targets(signal, tracker.dt, steps, stride):
        carry, part = _run_frames((tracker, trajectory, jnp.asarray(z, carry.replay.dtype)), carry)
        part = {name: np.asarray(a, np.float64) for name, a in part.items()}
        if int(carry.sound) < start + z.size:
            raise DivergenceError(int(carry.sound), _culprit(carry), REMEDY)
        _check_finite(part, start, stride)
        parts.append(part)
    trace = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    trace["time"] = np.arange(len(trace["target"])) * stride * tracker.dt
    run = {"duration": float(span), "steps": steps // stride * stride, "seed": seed}
    return _evaluate(tracker, trace, signal.settings() | tracker.settings() | run)


class Starts(NamedTuple):
    """What a tracker reaches from many starts, one number each; ∞ where a run diverged.

    **Fields:** `nrmse`, `replayed_nrmse`, `cost`: as of `Tracking`; `untracked_cost`: of doing
    nothing, the same for all.
    """

    nrmse: Float[np.ndarray, " seeds"]
    replayed_nrmse: Float[np.ndarray, " seeds"]
    cost: Float[np.ndarray, " seeds"]
    untracked_cost: float


def track_starts(
    signal: AbstractSignal,
    tracker: Tracker,
    seeds: Sequence[int],
    *,
    duration: float | None = None,
    frames: int = 2000,
) -> Starts:
    """Tracks a signal from many starts at once, in one compiled loop.

    **Arguments:** as for `track`; `seeds`: of $x(0)$ and $w(0)$.

    **Raises:** as `track`, but for `DivergenceError`: a run that diverges counts as infinite.

    !!! example

        ```python
        >>> from localprop import CostateReversal
        >>> from localprop.tracking.signals import Sine
        >>> from localprop.tracking.track import track_starts
        >>> from localprop.tracking.tracker import tracker
        >>> runs = track_starts(Sine(omega=0.02), tracker(CostateReversal()), range(3))
        >>> runs.nrmse.shape, bool(runs.nrmse.max() < 0.03)
        ((3,), True)

        ```
    """
    span, neurons = signal.span if duration is None else duration, len(tracker.network.vertices)
    check(frames=frames)
    check_turn("omega", signal.omega, tracker.dt)
    steps = count_steps(span, tracker.dt, neurons)
    stride = -(-steps // frames)
    phases = [tracker.init(seed) for seed in seeds]
    phase = jax.tree.map(lambda *a: jnp.stack(a), *phases)
    none = jnp.zeros(len(phases), jnp.int32)
    memory = jax.tree.map(lambda a: jnp.stack([a] * len(phases)), _remember(tracker, signal))
    carry, parts = _Carry(phase, phase.x, memory, none), []
    for _, z in _targets(signal, tracker.dt, steps, stride):
        carry, part = _run_many((tracker, False, jnp.asarray(z, carry.replay.dtype)), carry)
        parts.append({name: np.asarray(a, np.float64) for name, a in part.items()})
    trace = {name: np.concatenate([p[name] for p in parts], axis=1) for name in parts[0]}
    sound = np.asarray(carry.sound) == steps // stride * stride
    settings = signal.settings() | tracker.settings()
    every = [
        _evaluate(tracker, {name: a[k] for name, a in trace.items()}, settings)
        for k in range(len(phases))
    ]
    known = lambda field: np.array([  # noqa: E731
        value if whole and np.isfinite(value) else np.inf
        for whole, value in ((s, getattr(run, field)) for s, run in zip(sound, every, strict=True))
    ])  # fmt: skip
    return Starts(known("nrmse"), known("replayed_nrmse"), known("cost"), every[0].untracked_cost)


class _Carry(NamedTuple):
    phase: Phase
    replay: Float[Array, " neurons"]
    memory: Any
    sound: Array  # steps before the first number that is not finite


def _remember(tracker: Tracker, signal: AbstractSignal) -> Any:
    return tracker.review and tracker.review.init(jnp.asarray(signal(np.zeros(1)), float))


def _targets(signal: AbstractSignal, dt: float, steps: int, stride: int) -> Iterator[Any]:
    """Yields `(first step, targets (frames, stride))`, a bounded number at a time.

    The last frame, if it is not whole, is left out.
    """
    whole = steps // stride
    several = max(1, CHUNK // stride)
    for frame in range(0, whole, several):
        k = np.arange(frame * stride, min(frame + several, whole) * stride)
        yield int(k[0]), signal(k * dt).reshape(-1, stride)


@eqx.filter_jit
def _run_frames(
    fixed: tuple[Tracker, bool, Array], carry: _Carry
) -> tuple[_Carry, dict[str, Array]]:
    """Runs frames of `stride` steps; returns per frame what its first step shows, and sums."""
    tracker, trajectory, targets = fixed

    def frame(carry: _Carry, z: Array) -> tuple[_Carry, dict[str, Array]]:
        phase, first = carry.phase, z[:1]
        e = tracker.law.energies(tracker.network, tracker.cost, phase, jnp.zeros(0), first)
        seen = {
            "target": z[0],
            "state": phase.x[0],
            "replay": carry.replay[0],
            "lagrangian": e.lagrangian * tracker.scale,
            "hamiltonian": e.hamiltonian * tracker.scale,
        }
        if trajectory:
            seen |= {"w": phase.w, "x": phase.x}
        carry, terms = jax.lax.scan(lambda c, zk: _step(tracker, c, zk), carry, z)
        return carry, seen | {name: jnp.sum(a) for name, a in terms.items()}

    return jax.lax.scan(frame, carry, targets)


_run_many = eqx.filter_jit(eqx.filter_vmap(_run_frames, in_axes=(None, 0)))


def _step(tracker: Tracker, carry: _Carry, z: Array) -> tuple[_Carry, dict[str, Array]]:
    phase, replay, memory, sound = carry
    u, tau, seen = jnp.zeros(0), tracker.dt / tracker.hops, z[None]
    if tracker.review is not None and isinstance(tracker.law, Hamiltonian):
        backward = tracker.law.policy.signs(phase)[0] < 0
        memory, seen = tracker.review.read(memory, seen, backward)
    before = phase
    for _ in range(tracker.hops):
        along = eqx.tree_at(lambda p: p.x, phase, replay)
        replay = tracker.forward.relax(tracker.network, along, u, tau).x
        phase = tracker.law.hop(tracker.network, tracker.cost, phase, u, seen, tau)
    terms = {
        "error": (before.x[0] - z) ** 2,
        "replay_error": (carry.replay[0] - z) ** 2,
        "square": z**2,
        "rate": jnp.sum((phase.w - before.w) ** 2) / tracker.dt**2,
        "weight": jnp.sum(before.w**2),
        "state_square": jnp.sum(before.x**2),
        "replay_square": jnp.sum(carry.replay**2),
    }
    total = jnp.sum(jnp.stack([jnp.sum(a) for a in (*_moving(phase).values(), replay)]))
    # A sum is finite only if all its terms are; once it was not, the count stands still.
    whole = jnp.isfinite(total) & (sound == phase.hop // tracker.hops - 1)
    return _Carry(phase, replay, memory, sound + whole), terms


def _moving(phase: Phase) -> dict[str, Array]:
    return {"momentum": phase.momentum, "w": phase.w, "costate": phase.costate, "x": phase.x}


def _culprit(carry: _Carry) -> str:
    bad = [name for name, a in _moving(carry.phase).items() if not np.isfinite(a).all()]
    return bad[0] if bad else "x"


def _check_finite(part: dict[str, np.ndarray], start: int, stride: int) -> None:
    """Looks whether sums and energies are finite, as squares overflow before what is squared."""
    for name, values in part.items():
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not finite.all():
            frame = int(np.argmin(finite))
            quantity = name if name in ("lagrangian", "hamiltonian") else "cost"
            raise DivergenceError(start + frame * stride, f"the {quantity}", REMEDY)


def _evaluate(tracker: Tracker, trace: dict[str, np.ndarray], settings: dict) -> Tracking:
    names = ("square", "rate", "weight", "error", "state_square", "replay_error", "replay_square")
    square, rate, weight, error, states, replay_error, replays = (trace.pop(n) for n in names)
    late = slice(len(error) // 3, None)
    if not square[late].sum() > 0:
        raise StreamError(
            f"{settings['signal']}: the target is 0 after the first third of the run, so that no "
            "error is relative to it; give another duration or signal"
        )
    nrmse = lambda e: float(np.sqrt(e[late].sum() / square[late].sum()))  # noqa: E731
    p, dt = tracker.problem, tracker.dt
    control = p.r / 2 * rate + p.rw * weight
    integral = lambda e, x: float(dt * (p.q / 2 * e + p.rx * x + control).sum())  # noqa: E731
    return Tracking(
        policy=tracker.name,
        nrmse=nrmse(error),
        replayed_nrmse=nrmse(replay_error),
        cost=integral(replay_error, replays),
        flip_cost=integral(error, states),
        untracked_cost=float(dt * p.q / 2 * square.sum()),
        settings=settings,
        trace=trace,
    )
