"""Locality in space and constant memory, by audit; what it takes elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from ..audit import Audit, audit
from ..cost import Cost, SquaredError
from ..law import AbstractLaw, Hamiltonian, LeastAction
from ..learner import Learner
from ..network import AbstractNetwork, Digraph, Layered
from .claim import Claim, Part


def default_audits() -> list[Audit]:
    """Returns audits of every kind of network, small enough for seconds, under both laws."""
    pairs: list[tuple[AbstractNetwork, AbstractLaw]] = [
        (Digraph.layered([3, 4, 2]), Hamiltonian()),
        (Digraph.complete(4, 2), Hamiltonian()),
        (Digraph.complete(4, 2), LeastAction()),
        (Layered.dense([3, 4, 2]), Hamiltonian()),
    ]
    return [audit(network, law) for network, law in pairs]


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims."""
    del seeds
    audits = default_audits()
    kinds = ", ".join(dict.fromkeys(f"{a.network} under {a.law}" for a in audits))
    followed = sum(sum(a.dependencies.values()) for a in audits)
    return Part(
        [
            Claim.at_most(
                "L-space",
                "every dependency within a hop runs along an arc (violations, of all followed)",
                "NLP Theorem 2, laws 10",
                measured=sum(a.forbidden for a in audits),
                bound=0,
                note=f"{followed:,} dependencies; {kinds}",
            ),
            _time(audits),
            _stream(),
            *_elsewhere(audits),
        ]
    )


def _time(audits: list[Audit]) -> Claim:
    formulas = ", ".join(dict.fromkeys(a.formula for a in audits))
    return Claim.at_most(
        "L-time",
        "a hop leaves the carried state's size as it was (networks and laws where it grows)",
        "laws 10",
        measured=sum(not a.constant for a in audits),
        bound=0,
        note=f"numbers carried: {formulas}",
    )


def _stream() -> Claim:
    """Carries a stream and one ten times as long."""
    law = Hamiltonian(mass=100.0, dissipation=0.5)
    learner = Learner(Digraph.layered([3, 5, 2]), Cost(SquaredError()), law)
    sizes = []
    for samples in (100, 1000):
        rng = np.random.default_rng(0)
        u, z = rng.standard_normal((samples, 3)), rng.standard_normal((samples, 2))
        phase, _ = learner.run(learner.init(jax.random.key(0)), (u, z), chunk=100)
        sizes.append(sum(a.nbytes for a in jax.tree.leaves(phase)))
    return Claim.within(
        "L-stream",
        "memory is constant: bytes carried after 1000 samples over bytes after 100",
        "laws 10",
        measured=sizes[1] / sizes[0],
        low=1.0,
        high=1.0,
        note=f"{sizes[1]} bytes",
    )


def _elsewhere(audits: list[Audit]) -> list[Claim]:
    """The control: the same audit finds backprop, BPTT and RTRL not local."""
    recurrent = audits[1]
    ids = ("backprop", "bptt", "truncated-bptt", "rtrl")
    return [
        Claim.at_least(
            f"L-control-{id}",
            f"control: {m.method} is not local in space (dependencies off the arcs, "
            f"{recurrent.neurons} recurrent neurons)",
            "laws 10",
            measured=np.nan if m.forbidden is None else m.forbidden,
            bound=1,
            note=f"it carries {m.formula} = {m.numbers:,} numbers, growing with {m.grows_with}; "
            f"{recurrent.law} {sum(recurrent.state.values()):,}",
        )
        for id, m in zip(ids, recurrent.methods, strict=True)
    ]
