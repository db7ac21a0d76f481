"""Locality in space and constant memory, by audit; what it takes elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..audit import Audit, audit
from ..cost import Cost, SquaredError
from ..law import AbstractLaw, Hamiltonian, LeastAction, Phase
from ..learner import Learner, Samples
from ..network import AbstractNetwork, Digraph, Layered
from .claim import Claim, Part

SAMPLES = 100, 1000  # of a short stream and of a long one


RECURRENT = 1  # of the audits: the network on which other methods are looked at


def default_audits(compare: bool = True) -> list[Audit]:
    """Returns audits of every kind of network, small enough for seconds, under both laws.

    **Arguments:** `compare`: whether other methods are measured beside all, or one of them.
    """
    pairs: list[tuple[AbstractNetwork, AbstractLaw]] = [
        (Digraph.layered([3, 4, 2]), Hamiltonian()),
        (Digraph.complete(4, 2), Hamiltonian()),
        (Digraph.complete(4, 2), LeastAction()),
        (Layered.dense([3, 4, 2]), Hamiltonian()),
    ]
    return [audit(*pair, compare=compare or k == RECURRENT) for k, pair in enumerate(pairs)]


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims."""
    del seeds
    audits = default_audits(compare=False)
    return Part([_space(audits), _carried(audits), *_memory(), *_elsewhere(audits[RECURRENT])])


def _space(audits: Sequence[Audit]) -> Claim:
    kinds = ", ".join(dict.fromkeys(f"{a.network} under {a.law}" for a in audits))
    followed = sum(sum(a.dependencies.values()) for a in audits)
    return Claim.at_most(
        "L-space",
        "every dependency within a hop runs along an arc (violations, of all followed)",
        "NLP Theorem 2, laws 10",
        against="the arcs; the control rows, in which the same audit finds violations",
        measured=sum(a.forbidden for a in audits),
        bound=0,
        note=f"{followed:,} dependencies; {kinds}",
    )


def _carried(audits: Sequence[Audit]) -> Claim:
    """Counts what is carried against the paper's variables."""
    excess = [sum(a.state.values()) - 2 * (a.neurons + a.weights) - 2 for a in audits]
    return Claim.at_most(
        "L-time",
        "from hop to hop goes (x, λ, w, π), the time and the count of hops, and nothing else "
        "(numbers beyond 2n + 2N + 2, most of all audits)",
        "NLP eqs. 11-14, laws 10",
        against="the paper's variables, counted",
        measured=max(excess),
        bound=0,
        note=f"numbers carried: {', '.join(dict.fromkeys(a.formula for a in audits))}",
    )


def _memory() -> list[Claim]:
    """Asks the compiler how much memory a run takes, and ten times the run."""
    learner = Learner(Digraph.layered([3, 5, 2]), Cost(SquaredError()), Hamiltonian())
    own, tape = ([_working_memory(f, learner, k) for k in SAMPLES] for f in (_learn, _through_time))
    short, long = SAMPLES
    return [
        Claim.at_most(
            "L-stream",
            f"memory is constant: what the compiled loop needs besides the stream, for {long:,} "
            f"samples over {short:,}",
            "laws 10",
            against="BPTT on the same stream, next row",
            measured=own[1] / own[0],
            bound=1.0,
            baselines={"BPTT": tape[1] / tape[0]},
            note=f"{own[0]:,} and {own[1]:,} bytes, by the compiler's account",
        ),
        Claim.at_least(
            "L-control-stream",
            "control: BPTT's memory grows with the stream by the same account (ratio)",
            "laws 10",
            against="T + 1 states on the tape: growth in proportion",
            measured=tape[1] / tape[0],
            bound=long / short / 2,
            note=f"{tape[0]:,} and {tape[1]:,} bytes",
        ),
    ]


def _working_memory(run: Callable, learner: Learner, samples: int) -> int:
    phase = learner.init(jax.random.key(0))
    stream = jnp.zeros((samples, 3)), jnp.zeros((samples, 2))
    compiled = jax.jit(partial(run, learner)).lower(phase, stream).compile()
    memory = compiled.memory_analysis()
    assert memory is not None  # which a backend may decline to tell
    return memory.temp_size_in_bytes


def _learn(learner: Learner, phase: Phase, stream: Any) -> Phase:
    present = lambda phase, sample: (learner.present(phase, Samples(*sample))[0], None)  # noqa: E731
    return jax.lax.scan(present, phase, stream)[0]


def _through_time(learner: Learner, phase: Phase, stream: Any) -> Any:
    """Returns the gradient of the loss of a whole stream: backpropagation through time."""
    network, cost = learner.network, learner.cost

    def loss(w: Any) -> Any:
        def step(x: Any, sample: Any) -> tuple[Any, Any]:
            u, z = sample
            x = network.drive(x, w, u)
            return x, cost.target_loss(network.output(x), z)

        return jnp.sum(jax.lax.scan(step, phase.x, stream)[1])

    return jax.grad(loss)(phase.w)


def _elsewhere(recurrent: Audit) -> list[Claim]:
    """The control: the same audit finds backprop, BPTT and RTRL not local."""
    ids = ("backprop", "bptt", "truncated-bptt", "rtrl")
    return [
        Claim.at_least(
            f"L-control-{id}",
            f"control: {m.method} is not local in space (dependencies off the arcs, "
            f"{recurrent.neurons} recurrent neurons)",
            "laws 10",
            against="the arcs",
            measured=np.nan if m.forbidden is None else m.forbidden,
            bound=1,
            note=f"it carries {m.formula} = {m.numbers:,} numbers, growing with {m.grows_with}; "
            f"{recurrent.law} {sum(recurrent.state.values()):,}",
        )
        for id, m in zip(ids, recurrent.methods, strict=True)
    ]
