"""Retention: does it know, or does it only follow?

Three streams that are not shuffled, and what is known once they are over: the weights of the end
are held and answer what the stream showed. *Frozen* is with the weights as they stand, *averaged*
with their running mean over the last 3000 samples (`Learner(average=3000)`), and *predicted* the
error along the way, each sample answered before it is learned. Three seeds, the mean and in
brackets the least and the largest.

* *backprop*: one step on every sample, SGD or Adam, without this package; *buffer*: 1000 samples
  (100 of digits), a fair draw of all so far, seven of which stand in every step beside the new
  one; *latest*: the same with the last ones.
* *reversal*: costate reversal, K hops per sample, one step of the force in each; *settled*: K = 7
  (5 with one hidden layer), weights held until the error has arrived; *default*: what a `Learner`
  without a law takes; *least action*: `LeastAction()`.
* *growing mass*: settled, under `Growing(rate)`: what was much used is hard to move.
* *review*: `Learner(review=N)`, as many samples kept as in the buffer, or a tenth of them, seven of
  which are learned beside the new one.

Every method has its best rate of a grid, by its mean frozen error; under *follows* stands what it
gives at the rate by which it predicts best.

    python -m benchmarks.retention
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from localprop import (
    Adaptive,
    Constant,
    Cost,
    Growing,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    Samples,
    SoftmaxCrossEntropy,
    SquaredError,
)

from .page import write_page
from .timescales import SIZES, teacher_stream

SEEDS, OVER, BESIDE = (0, 1, 2), 3000, 7
TIME_SCALE, BOUND = 100, 0.05
TASKS, VISITS, BLOCK, FIRST = 5, 6, 1000, 100  # FIRST samples after a return


class Stream(NamedTuple):
    """What is shown, one stream per seed, and what is asked afterwards.

    **Fields:** `network`; `cost`; `u`, `z`: `(seeds, T, ...)`; `asked`, `answers`: of each task,
    `(seeds, tasks, n, ...)`, the last visited task first; `returns`: `(seeds, T)`, whether a
    sample is one of the first after a return; `kept`: how many samples a method may keep.
    """

    network: Layered
    cost: Cost
    u: np.ndarray
    z: np.ndarray
    asked: np.ndarray
    answers: np.ndarray
    returns: np.ndarray
    kept: int


class Found(NamedTuple):
    """Scores at one rate, with one row per seed."""

    predicted: np.ndarray  # (seeds,)
    returned: np.ndarray  # (seeds,)
    frozen: np.ndarray  # (seeds, tasks)
    averaged: np.ndarray  # (seeds, tasks)


@dataclasses.dataclass(frozen=True)
class Method:
    """A line of the tables: `run(rate, stream, key, u, z, beside)` gives predictions, and what
    answers with the last weights and with their mean."""

    name: str
    run: Callable[..., Any]
    rates: Sequence[float]
    pool: str = ""  # whence rows stand beside the new one, where the method does not draw them


def teacher() -> Stream:
    """The teacher-student stream at time scale 100, its second half asked again."""
    pairs = [teacher_stream(TIME_SCALE, seed) for seed in SEEDS]
    u, z = (np.stack(part) for part in zip(*pairs, strict=True))
    half = u.shape[1] // 2
    network = Layered.dense(SIZES, bias_scale=0.0)
    no_returns = np.zeros(u.shape[:2], bool)
    again = u[:, None, half:], z[:, None, half:]
    return Stream(network, Cost(SquaredError()), u, z, *again, no_returns, 1000)


def visits(rng: np.random.Generator) -> np.ndarray:
    """Returns which task each block shows: all five in random order, again and again."""
    return np.concatenate([rng.permutation(TASKS) for _ in range(VISITS)])


def five_teachers() -> Stream:
    """Five teachers, each in a region of its own of one space of five inputs."""
    parts = []
    for seed in SEEDS:
        rng = np.random.default_rng([seed, TASKS])
        nets = [(rng.normal(size=(16, 5)) / 2, rng.normal(size=16) / 4) for _ in range(TASKS)]

        def task(k: int, n: int, rng: Any = rng, nets: Any = nets) -> tuple[Any, Any]:
            xi = rng.normal(size=(n, 5))
            z = np.tanh(xi @ nets[k][0].T) @ nets[k][1]
            return xi + 4 * np.eye(5)[k], z[:, None]

        scale = [task(k, 4000)[1].std() for k in range(TASKS)]
        order = visits(rng)
        shown = [task(k, BLOCK) for k in order]
        asked = [task(k, 2000) for k in order[: -TASKS - 1 : -1]]
        parts.append(
            (
                np.concatenate([u for u, _ in shown]),
                np.concatenate([z / scale[k] for k, (_, z) in zip(order, shown, strict=True)]),
                np.stack([u for u, _ in asked]),
                np.stack([z / scale[k] for k, (_, z) in zip(order[::-1], asked, strict=False)]),
                np.tile(np.arange(BLOCK) < FIRST, len(order)),
            )
        )
    return _stream(Layered.dense([5, 32, 32, 1]), Cost(SquaredError()), parts, 1000)


def digits() -> Stream:
    """The ten digits in five pairs of classes that come and go, ten outputs throughout."""
    images, labels = load_digits(return_X_y=True)
    parts = []
    for seed in SEEDS:
        rng = np.random.default_rng([seed, 10])
        mixed = rng.permutation(len(labels))
        groups = [mixed[labels[mixed] // 2 == k] for k in range(TASKS)]
        order = visits(rng)
        shown = [rng.permutation(groups[k][70:350]) for k in order]
        asked = [groups[k][:70] for k in order[: -TASKS - 1 : -1]]
        rows = np.concatenate(shown)
        begins = np.concatenate([np.arange(len(block)) < FIRST for block in shown])
        u, z = images / 16, np.eye(10)[labels]
        held_out = np.stack(asked)
        parts.append((u[rows], z[rows], u[held_out], z[held_out], begins))
    return _stream(Layered.dense([64, 32, 10]), Cost(SoftmaxCrossEntropy()), parts, 100)


def _stream(network: Layered, cost: Cost, parts: list[Any], kept: int) -> Stream:
    u, z, asked, answers, first = (np.stack(part) for part in zip(*parts, strict=True))
    first[:, : u.shape[1] // VISITS] = False  # the first visit is no return
    numbers = (a.astype(np.float32) for a in (u, z, asked, answers))
    return Stream(network, cost, *numbers, first, kept)


def beside(pool: str, kept: int, rows: int, seed: int) -> np.ndarray:
    """Returns which earlier samples stand beside each, `(rows, 7)`, -1 for none.

    **Arguments:** `pool`: `""` for none, `"latest"` for the last that are `kept`, `"fair"` for as
    many drawn from all.
    """
    rng, found = np.random.default_rng([seed, 7]), np.full((rows, BESIDE if pool else 0), -1)
    held: list[int] = []
    for n in range(rows if pool else 0):
        if n:
            drawn = rng.integers(min(n, kept), size=BESIDE)
            found[n] = n - 1 - drawn if pool == "latest" else np.take(held, drawn)
        place = n if n < kept else int(rng.integers(n + 1))
        held[place : place + 1] = [n] if place < kept else []
    return found


def shown(u: Any, z: Any, others: Any, n: Any) -> tuple[Any, Any]:
    """Returns sample `n` and behind it those that stand beside it."""
    missing = (others[n] < 0)[:, None]
    targets = jnp.where(missing, jnp.nan, z[others[n]])
    return jnp.concatenate([u[n][None], u[others[n]]]), jnp.concatenate([z[n][None], targets])


def by_backprop(
    optimiser: Callable[..., Any], rate: Any, stream: Stream, key: Any, u: Any, z: Any, others: Any
) -> Any:
    """One step per sample on the mean loss of what is shown; written without this package."""
    softmax = stream.answers.shape[-1] > 1

    def answer(w: Any, u: Any) -> Any:
        *hidden, last = (w[name] for name in stream.network.wiring)
        for layer in hidden:
            u = jnp.tanh(u @ layer.weight.T + layer.bias)
        return u @ last.weight.T + last.bias

    def loss(w: Any, u: Any, z: Any) -> Any:
        known, output = ~jnp.isnan(z[:, 0]), answer(w, u)
        z = jnp.where(known[:, None], z, 0)
        if softmax:
            losses = optax.softmax_cross_entropy(output, z)
        else:
            losses = jnp.sum((output - z) ** 2, axis=1) / 2
        return jnp.sum(jnp.where(known, losses, 0)) / jnp.sum(known), output[0]

    rule = optimiser(rate)

    def one(carry: Any, n: Any) -> Any:
        w, state, mean = carry
        gradient, output = jax.grad(loss, has_aux=True)(w, *shown(u, z, others, n))
        step, state = rule.update(gradient, state)
        w = optax.apply_updates(w, step)
        share = 1 / jnp.minimum(n + 1.0, OVER)
        return (w, state, jax.tree.map(lambda a, b: a + share * (b - a), mean, w)), output

    w = stream.network.init(key)[1]
    start = w, rule.init(w), w
    (w, _, mean), outputs = jax.lax.scan(one, start, jnp.arange(len(u)))
    return outputs, partial(answer, w), partial(answer, mean)


def by_law(
    law: Callable[..., Any],
    more: dict[str, Any],
    rate: Any,
    stream: Stream,
    key: Any,
    u: Any,
    z: Any,
    others: Any,
) -> Any:
    """A `Learner`, with review of its own or, as further streams, with what it is handed."""
    streams = 1 + others.shape[1] if others.shape[1] else None
    network, depth = stream.network, stream.network.depth
    hops = more.get("hops", 2 * depth + 1)
    more = {"duration": float(hops), **more, "hops": hops} if hops != "auto" else more
    if "review" in more:
        more["review"] = max(1, int(more["review"] * stream.kept))
    learner = Learner(network, stream.cost, law(rate), streams=streams, average=OVER, **more)

    def one(phase: Any, n: Any) -> Any:
        if streams is None:
            return learner.present(phase, Samples(u[n], z[n]))
        phase, output = learner.present(phase, Samples(*shown(u, z, others, n)))
        return phase, output[0]

    phase, outputs = jax.lax.scan(one, learner.init(key), jnp.arange(len(u)))
    alone = Learner(network, stream.cost, law(1.0), **more | {"review": None})
    rest = alone.init(key)

    def answer(w: Any, rows: Any) -> Any:
        return alone.predict_many(dataclasses.replace(rest, w=w), rows)

    return outputs, partial(answer, phase.w), partial(answer, phase.average.w)


def constant(rate: Any) -> Hamiltonian:
    """Weights move by `rate` times the force in one hop of length 1."""
    return Hamiltonian(mass=Constant(1 / rate), dissipation=1.0)


def growing(rate: Any) -> Hamiltonian:
    return Hamiltonian(mass=Growing(rate), dissipation=1.0)


def default(rate: Any) -> Hamiltonian:
    return Hamiltonian(mass=Adaptive(rate), dissipation=0.7)


def action(rate: Any) -> LeastAction:
    return LeastAction(mass=Constant(1 / rate))


def law(name: str, law: Callable[..., Any], rates: Sequence[float], pool: str = "", **more: Any):
    """Returns the method of a law."""
    return Method(name, partial(by_law, law, more), rates, pool)


LOW = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
GROWING = (3e-3, 1e-2, 3e-2, 0.1, 0.2, 0.5, 1.0)
HIGH = (3e-3, 1e-2, 3e-2, 1e-1, 0.2)
ADAM = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
ADAPTIVE = (3e-6, 1e-5, 3e-5, 1e-4, 3.5e-4, 1e-3)
ACTION = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 0.2)
SGD_STEP, ADAM_STEP = partial(by_backprop, optax.sgd), partial(by_backprop, optax.adam)
FOLLOWERS = (
    law("reversal, K = 1", constant, LOW, hops=1, settle=0),
    law("reversal, K = 2", constant, LOW, hops=2, settle=0),
    law("reversal, K = 6", constant, LOW, hops=6, settle=0),
    law("least action, K = 2", action, ACTION, hops=2),
)
DEMANDED = "default, review"
METHODS = (
    Method("backprop, SGD", SGD_STEP, LOW),
    Method("backprop, Adam", ADAM_STEP, ADAM),
    law("reversal, settled", constant, LOW),
    law("default", default, ADAPTIVE, hops="auto"),
    law("least action, settled", action, ACTION, hops="auto"),
    law("growing mass", growing, GROWING),
    Method("backprop, SGD, latest", SGD_STEP, HIGH, "latest"),
    Method("backprop, SGD, buffer", SGD_STEP, HIGH, "fair"),
    Method("backprop, Adam, buffer", ADAM_STEP, ADAM, "fair"),
    law("reversal, settled, latest", constant, HIGH, "latest"),
    law("reversal, settled, a tenth of the review", constant, HIGH, review=0.1),
    law("reversal, settled, review", constant, HIGH, review=1.0),
    law("growing mass, review", growing, GROWING, review=1.0),
    law("default, review", default, ADAPTIVE, hops="auto", review=1.0),
    law("least action, settled, review", action, ACTION, hops="auto", review=1.0),
)


def wrong(stream: Stream, output: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Returns the error of each answer: whether the class is wrong, or the squared error."""
    if z.shape[-1] > 1:
        return (output.argmax(-1) != z.argmax(-1)).astype(float)
    return np.sum((output.astype(np.float64) - z) ** 2, axis=-1)


def measure(method: Method, stream: Stream) -> list[Found]:
    """Returns the scores at every rate: shares of wrong answers, or NMSE."""
    others = np.stack([beside(method.pool, stream.kept, stream.u.shape[1], seed) for seed in SEEDS])

    def one(rate: Any, key: Any, u: Any, z: Any, asked: Any, others: Any) -> Any:
        outputs, *answers = method.run(rate, stream, key, u, z, others)
        return outputs, *(jax.vmap(answer)(asked) for answer in answers)

    over_seeds = jax.vmap(one, in_axes=(None, 0, 0, 0, 0, 0))
    keys = jax.vmap(jax.random.key)(jnp.array(SEEDS))
    program = jax.jit(jax.vmap(over_seeds, in_axes=(0, None, None, None, None, None)))
    rates = jnp.array(method.rates, jnp.float32)
    every = program(rates, keys, stream.u, stream.z, stream.asked, others)
    outputs, frozen, averaged = (np.asarray(a) for a in every)
    half = stream.u.shape[1] // 2
    classes = stream.z.shape[-1] > 1
    size = 1.0 if classes else stream.z[:, half:].var(axis=(1, 2))
    of_tasks = 1.0 if classes else stream.answers.var(axis=(2, 3))
    found = []
    for k in range(len(method.rates)):
        with np.errstate(all="ignore"):
            errors = wrong(stream, outputs[k], stream.z)
            late = errors[:, half:].mean(axis=1) / size
            after_returns = np.where(stream.returns, errors, 0).sum(axis=1)
            first = after_returns / np.maximum(stream.returns.sum(axis=1), 1)
            after = [
                wrong(stream, a[k], stream.answers).mean(axis=-1) / of_tasks
                for a in (frozen, averaged)
            ]
        dead = ~np.isfinite(outputs[k]).all(axis=(1, 2))
        after = [np.where(dead[:, None], np.inf, a) for a in after]
        found.append(Found(np.where(dead, np.inf, late), first, *after))
    return found


def number(value: float) -> str:
    """Returns an error as a table shows it."""
    if not np.isfinite(value):
        return "diverges"
    return f"{value:.2g}" if value < 0.01 else f"{value:.3f}"


def spread(values: np.ndarray) -> str:
    """Returns mean, least and largest of the seeds."""
    low, high = number(values.min()), number(values.max())
    return f"{number(values.mean())} ({low}–{high})"


def best(found: list[Found], score: Callable[[Found], float]) -> int:
    """Returns the place of the best rate."""
    scores = [score(f) for f in found]
    return int(np.nanargmin(np.where(np.isfinite(scores), scores, np.inf)))


def cells(method: Method, stream: Stream) -> tuple[list[str], list[Found]]:
    """Measures a method on a stream; returns what a line of the table shows, and all scores."""
    began = time.perf_counter()
    found = measure(method, stream)
    k = best(found, lambda f: f.frozen.mean())
    here = found[k]
    shows = [method.name, f"{method.rates[k]:g}", number(here.predicted.mean())]
    if here.frozen.shape[1] > 1:
        shows.append(number(here.returned.mean()))
        shows += [number(task.mean()) for task in here.frozen.T]
    shows += [spread(here.frozen.mean(axis=1)), number(here.averaged.mean())]
    k = best(found, lambda f: f.predicted.mean())
    other = found[k]
    follows = [other.predicted.mean(), other.frozen.mean(), other.averaged.mean()]
    shows.append(f"{method.rates[k]:g}: {' / '.join(map(number, follows))}")
    seconds = f"{time.perf_counter() - began:.0f} s"
    print(*shows, seconds, sep=" | ", file=sys.stderr, flush=True)
    return shows, found


NOTE = """\
Written by `python -m benchmarks.retention`. *Rate*: of the grid, the one with the least frozen
error. *Follows*: the rate that predicts best, and there predicted / frozen / averaged.

## One teacher, inputs that drift slowly

The stream of `timescales` at time scale 100, 60 000 samples; NMSE, predicted over the second half
of the stream, frozen and averaged on that half once it is over. Demanded: frozen at most {bound}
for `Learner(network, cost, review=1000)`, whose own rate is {rate:g}: {verdict}."""

TEACHERS = """\
## Five teachers that come and go

Five random teachers 5-16-1, each in a region of its own (inputs $N(4e_k, 1)$), blocks of 1000
samples, all five in random order, six times over; nothing says which is which. Student 5-32-32-1.
NMSE on 2000 fresh samples of each task; *-1* is the task that was visited last, *-5* the one
that was left four blocks ago; *return*: the first 100 predictions after a task came back."""

DIGITS = """\
## Five pairs of digits that come and go

scikit-learn's digits, blocks of one pair of classes, 280 samples, all five pairs in random order,
six times over; ten outputs, 64-32-10, and nothing says which pair it is. Share of wrong classes of
ten among 70 held-out samples of each pair. 100 samples are kept here, 10 are the tenth."""


STREAMS = {
    teacher: (*FOLLOWERS, *METHODS),
    five_teachers: METHODS,
    digits: METHODS,
}


def line(stream: Callable[[], Stream], k: int) -> tuple[list[str], list[Found]]:
    """Measures one method on one stream."""
    return cells(STREAMS[stream][k], stream())


def main() -> int:
    """Measures and writes `retention.md`; 1 if the demand does not hold."""
    jobs = [(stream, k) for stream, methods in STREAMS.items() for k in range(len(methods))]
    # A process each: after another stream's programs some loops take ten times as long.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        found = dict(zip(jobs, pool.map(line, *zip(*jobs, strict=True)), strict=True))
    tables = [
        [f"| {' | '.join(shows)} |" for (where, _), (shows, _) in found.items() if where is stream]
        for stream in STREAMS
    ]
    demanded = next(k for k, m in enumerate(STREAMS[teacher]) if m.name == DEMANDED)
    own = found[teacher, demanded][1][ADAPTIVE.index(Adaptive().rate)]
    kept = float(own.frozen.max())
    verdict = f"the worst seed has {number(kept)}" if kept <= BOUND else "it does not hold"
    tasks = [f"-{k + 1}" for k in range(TASKS)]
    ends = ["frozen", "averaged", "follows"]
    one, five = (
        ["method", "rate", "predicted", *between, *ends] for between in ([], ["return", *tasks])
    )
    note = NOTE.format(bound=BOUND, rate=Adaptive().rate, verdict=verdict)
    more = ((TEACHERS, five, tables[1]), (DIGITS, five, tables[2]))
    write_page(Path(__file__), __doc__, note, one, tables[0], more)
    return 0 if kept <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
