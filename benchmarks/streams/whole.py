"""Learners that take a stream whole: localprop, and its network by plain backpropagation.

Each takes a stream and a seed and returns what it scored, with what it took.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .data import Stream
from .scoring import moments, score, standardised

HIDDEN = (64, 64)  # of the network by backpropagation: as of one of localprop
RATES = {"adam": 1e-3, "sgd": 1e-2}


class Learned(NamedTuple):
    """What came of a stream; `seconds` of processor time, `compiling` beside them."""

    score: float
    seconds: float
    compiling: float


class AbsentError(Exception):
    """A method that this installation does not have."""


def localprop(settings: dict[str, Any], stream: Stream, seed: int) -> Learned:
    """Learns the stream's CSV as `localprop learn` does, reading and scoring included.

    The task is given, as it is to rivals; all else is as the command line has it.
    """
    from localprop.online.learn import learn
    from localprop.online.settings import Settings

    if missing := settings.keys() - {field.name for field in fields(Settings)}:
        raise AbsentError(f"this localprop has no setting '{missing.pop()}'")
    options = dict(settings)
    if stream.task == "forecast":
        options["horizon"] = stream.horizon
    else:
        options["task"] = stream.task
    with tempfile.TemporaryDirectory() as folder, _CompilingClock() as clock:
        path = Path(folder) / "stream.csv"
        stream.write(path)
        began = time.process_time()
        watch = clock.watch
        result, _ = learn(path, Settings("target", seed=seed, **options), watch=watch)
        seconds = time.process_time() - began
    if result.score is None:
        raise ValueError("nothing was scored")
    return Learned(result.score, seconds - clock.seconds, clock.seconds)


class _CompilingClock:
    """How much processor time goes into building and compiling; localprop tells the wall's."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> _CompilingClock:
        from localprop.online.growing import Model

        self.model, self.make_room = Model, Model.make_room

        def timed(*arguments: Any) -> None:
            self.turn(True)
            self.make_room(*arguments)
            self.turn(False)

        Model.make_room = timed
        return self

    def __exit__(self, *_: Any) -> None:
        self.model.make_room = self.make_room

    def watch(self, run: Any, table: Any) -> None:
        """Looks on at a run of `learn`, which tells when compiling begins and ends."""
        del table
        run.online.on_compile = self.turn

    def turn(self, on: bool) -> None:
        self.seconds += -time.process_time() if on else time.process_time()


def backpropagation(name: str, stream: Stream, seed: int) -> Learned:
    """Learns with one dense network by `jax.grad`, a row at a time, in one compiled scan.

    Inputs are z-scores; cross-entropy, or the squared error of the scaled target. Weights begin as
    localprop's do: Gaussian, hidden biases of 0.8, and nothing in the last layer.
    """
    import jax
    import jax.numpy as jnp
    import optax

    classify = stream.task == "classification"
    truth, late = stream.truth(), stream.horizon - 1
    u = standardised(stream.features()[1]).astype(np.float32)
    change = truth - stream.base()
    mean, deviation = moments(change)
    y = truth if classify else (change - mean[1:]) / deviation[1:]
    outputs = len(stream.classes) if classify else 1
    optimizer = (optax.adam if name == "adam" else optax.sgd)(RATES[name])

    def answer(w: Any, u: Any) -> Any:
        for weight, bias in w[:-1]:
            u = jnp.tanh(weight @ u + bias)
        return w[-1][0] @ u + w[-1][1]

    def loss(w: Any, u: Any, y: Any) -> Any:
        if classify:
            return -jax.nn.log_softmax(answer(w, u))[y.astype(int)]
        return ((answer(w, u)[0] - y) ** 2).sum() / 2

    def step(carry: Any, row: Any) -> Any:
        w, memory = carry
        asked, u, y, taught = row
        out = answer(w, asked)
        force = jax.tree.map(lambda g: jnp.where(taught, g, 0.0), jax.grad(loss)(w, u, y))
        move, new = optimizer.update(force, memory)
        memory = jax.tree.map(lambda a, b: jnp.where(taught, a, b), new, memory)
        w = jax.tree.map(lambda a, b: a + jnp.where(taught, b, 0.0), w, move)
        return (w, memory), jnp.argmax(out) if classify else out[0]

    draw, sizes = np.random.default_rng(seed), [u.shape[1], *HIDDEN, outputs]
    w = [
        (draw.normal(0, n**-0.5, (m, n)).astype(np.float32), draw.normal(0, 0.8, m).astype("f4"))
        for n, m in pairwise(sizes[:-1])
    ]
    w.append((np.zeros((outputs, sizes[-2]), np.float32), np.zeros(outputs, np.float32)))
    # Row k is asked for; then row k - late, whose target is known now, is learned.
    learned = np.maximum(np.arange(len(u)) - late, 0)
    rows = (u, u[learned], y[learned].astype(np.float32), np.arange(len(u)) >= late)
    carry = (w, optimizer.init(w))
    began = time.process_time()
    run: Callable = jax.jit(lambda c, r: jax.lax.scan(step, c, r)).lower(carry, rows).compile()
    compiled = time.process_time()
    answers = np.asarray(run(carry, rows)[1], float)
    done = time.process_time()
    if not classify:
        known = np.maximum(np.arange(len(u)) - late, 0)
        answers = stream.base() + mean[known] + deviation[known] * answers
    return Learned(score(stream, answers), done - compiled, compiled - began)
