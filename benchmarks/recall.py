"""Delayed recall: an answer that hangs on one input long ago.

A trial shows a sign (marked by a second input), then T steps of random signs that mean nothing, and
asks for the first one at the last of them; chance is one half. 28 tanh neurons, every one a parent
of every other, with time constants from 1 to 2T steps, and a readout of all of them; 16 trials side
by side share the weights, 1500 trials each. Weights move at the last step of a trial, where the
answer is told, and states begin anew with the next one. Accuracy over the last 100 trials, mean of
three seeds and, where they differ, the least and the largest.

* *frozen*: the recurrent and input weights stay as they were drawn, the readout learns.
* *reversal*: the law without traces, costates at the speed of their neurons.
* *traces*: `Traces()`; *traces, reversed*: `Traces("reversed")`.
* *BPTT*, *RTRL*: the exact gradient of a trial, backward over a tape or forward with the influence
  of every weight on every neuron, for Adam. They are the same gradient, because weights stand still
  in a trial; RTRL is run as far as its 28 times 900 numbers per step allow.

    python -m benchmarks.recall
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from localprop import Cost, Learner, Traces
from localprop.reproduce import recall
from localprop.reproduce.recall import HOPS, NEURONS

from .page import write_page

TRIALS, PIECE, LAST = 1500, 100, 100
DELAYS, SEEDS = (5, 20, 50, 100), (0, 1, 2)
ADAM = 1e-3
RTRL_UP_TO = 20
CREDIT = {
    "frozen": None,
    "reversal": None,
    "traces": Traces(),
    "traces, reversed": Traces("reversed"),
}


def logistic(output: Any, z: Any) -> Any:
    """Returns the logistic loss of a sign."""
    return jnp.sum(jax.nn.softplus(-z * output))


def by_the_law(delay: int, kind: str, seed: int) -> tuple[float, float]:
    """Returns accuracy over the last trials, and microseconds per step of all streams."""
    learner = recall.learner(recall.network(delay, kind == "frozen"), logistic, CREDIT[kind])
    phase, rng = recall.drawn(learner.init(jax.random.key(seed))), np.random.default_rng(seed)
    right, seconds, steps = [], 0.0, PIECE * (delay + 1)
    for _ in range(TRIALS // PIECE):
        u, sign = recall.trials(rng, delay, PIECE)
        stream = recall.stream(u, sign)
        began = time.perf_counter()
        phase, trace = learner.run(phase, stream, record=("output",), chunk=steps)
        seconds = time.perf_counter() - began  # of the last piece: compiled
        right.append(recall.right(trace["output"], sign))
    return float(np.concatenate(right)[-LAST:].mean()), 1e6 * seconds / steps


def exact(delay: int, kind: str, seed: int) -> tuple[float, float]:
    """Returns the same of the exact gradient, by BPTT or RTRL, with Adam."""
    net = recall.network(delay)
    w = recall.drawn(Learner(net, Cost(logistic), hops=HOPS, settle=0).init(jax.random.key(seed))).w
    keep = jnp.exp(-jnp.asarray(net.speed)[:NEURONS] * HOPS)
    optimiser = optax.adam(ADAM)

    def step(w: Any, x: Any, u: Any) -> Any:
        a = w[:NEURONS] @ jnp.concatenate([u, jnp.ones(1), x, jnp.zeros(1)])
        return keep * x + (1 - keep) * jnp.tanh(a)

    def read(w: Any, x: Any) -> Any:
        return w[NEURONS] @ jnp.concatenate([jnp.zeros(2), jnp.ones(1), x, jnp.zeros(1)])

    def loss(w: Any, x: Any, sign: Any) -> Any:
        return logistic(read(w, x), sign)

    def backward(w: Any, u: Any, sign: Any) -> Any:
        def total(w: Any) -> Any:
            x, _ = jax.lax.scan(lambda x, u: (step(w, x, u), None), jnp.zeros(NEURONS), u)
            return loss(w, x, sign), read(w, x)

        return jax.grad(total, has_aux=True)(w)

    def forward(w: Any, u: Any, sign: Any) -> Any:
        def move(carry: Any, u: Any) -> Any:
            x, influence = carry  # of every weight on every neuron
            by_w, by_x = jax.jacfwd(step, (0, 1))(w, x, u)
            return (step(w, x, u), jnp.einsum("ij,jkl->ikl", by_x, influence) + by_w), None

        start = jnp.zeros(NEURONS), jnp.zeros((NEURONS, *w.shape))
        (x, influence), _ = jax.lax.scan(move, start, u)
        by_w, by_x = jax.grad(loss, (0, 1))(w, x, sign)
        return by_w + jnp.einsum("i,ikl->kl", by_x, influence), read(w, x)

    gradient = jax.vmap(backward if kind == "BPTT" else forward, in_axes=(None, 1, 0))

    @partial(jax.jit, donate_argnums=(0, 1))
    def learn(w: Any, state: Any, u: Any, sign: Any) -> Any:
        def one(carry: Any, trial: Any) -> Any:
            w, state = carry
            force, output = gradient(w, *trial)
            change, state = optimiser.update(jnp.mean(force, axis=0), state)
            return (w + change, state), output

        (w, state), outputs = jax.lax.scan(one, (w, state), (u, sign))
        return w, state, outputs

    rng, state, right, seconds = np.random.default_rng(seed), optimiser.init(w), [], 0.0
    for _ in range(TRIALS // PIECE):
        u, sign = recall.trials(rng, delay, PIECE)
        began = time.perf_counter()
        w, state, outputs = learn(w, state, u, sign)
        right.append(np.sign(np.asarray(outputs)) == sign)
        seconds = time.perf_counter() - began
    return float(np.concatenate(right)[-LAST:].mean()), 1e6 * seconds / (PIECE * (delay + 1))


def cell(found: list[float]) -> str:
    """Returns a cell of the table."""
    low, high = min(found), max(found)
    mean = f"{np.mean(found):.2f}"
    return mean if high - low < 0.005 else f"{mean} ({low:.2f}–{high:.2f})"


def main() -> int:
    """Measures and writes `recall.md`."""
    rows, times = [], {}
    for kind in (*CREDIT, "BPTT", "RTRL"):
        cells = []
        for delay in DELAYS:
            if kind == "RTRL" and delay > RTRL_UP_TO:
                cells.append("–")
                continue
            run = by_the_law if kind in CREDIT else exact
            found = [run(delay, kind, seed) for seed in SEEDS]
            cells.append(cell([accuracy for accuracy, _ in found]))
            times[kind, delay] = float(np.median([t for _, t in found]))
            print(kind, delay, cells[-1], f"{times[kind, delay]:.0f} µs", flush=True)
        numbers = {"BPTT": "grows with T", "RTRL": "28 × 900"}.get(kind, "900")
        carried = numbers if "traces" in kind or kind in ("BPTT", "RTRL") else "0"
        rows.append(f"| {kind} | {' | '.join(cells)} | {times[kind, 20]:.0f} | {carried} |")
    note = (
        "Every law has the same mass, `Adaptive(rate=1e-3, decay=1e-4, floor=1e-3)`, and "
        "dissipation 0.5, chosen for traces at T = 100 on these seeds. µs: one step of all 16 "
        "streams at T = 20. *Credit*: numbers carried per stream for it. Written by "
        "`python -m benchmarks.recall`."
    )
    columns = ["method", *(f"T = {delay}" for delay in DELAYS), "µs", "credit"]
    write_page(Path(__file__), __doc__, note, columns, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
