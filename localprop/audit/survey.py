"""Whole samples on every kind of network, under both laws and every policy."""

from __future__ import annotations

from collections.abc import Sequence

from ..cost import Cost, SquaredError
from ..law import (
    AbstractLaw,
    AbstractPolicy,
    Cauchy,
    ExplicitEuler,
    FastCostates,
    Hamiltonian,
    HamiltonianTrack,
    LeastAction,
    SignFlip,
)
from ..learner import Learner
from ..network import AbstractNetwork, Digraph, Layered
from .sample import SampleAudit, audit_sample


def survey() -> list[SampleAudit]:
    """Returns audits of whole samples, with the settle hops that a learner takes by itself.

    Of a digraph without cycles, a complete one and one of blocks, small enough for seconds; under
    costate reversal, least action, fast costates, the sign flip, the Hamiltonian track and
    Cauchy's policy.
    """
    networks: list[AbstractNetwork] = [
        Digraph.layered([2, 3, 1], speed=2.0),
        Digraph.complete(3, 1, speed=2.0),
        Layered.dense([2, 3, 1], speed=2.0),
    ]
    policies: list[AbstractPolicy] = [SignFlip(), HamiltonianTrack(radius=100.0), Cauchy()]
    laws: list[AbstractLaw] = [Hamiltonian(), LeastAction(), Hamiltonian(FastCostates())]
    laws += [Hamiltonian(p, integrator=ExplicitEuler(), weights="explicit") for p in policies]
    cost = Cost(SquaredError())
    return [audit_sample(Learner(network, cost, law)) for network in networks for law in laws]


def table(samples: Sequence[SampleAudit]) -> str:
    """Returns the audits, one line each."""
    head = (
        f"{'a whole sample':40}{'hops':>5}{'held':>5}{'space':>14}{'sample joins':>14}"
        f"{'prediction':>12}{'transport':>11}{'one sign of':>13}"
    )
    lines = [
        f"{f'{s.network}, {s.policy or s.law}':40}{s.hops:>5}{s.held['w']:>5}"
        f"{'local' if s.local else f'{s.forbidden + s.beyond} breaks':>14}{s.reach[1]:>14.0%}"
        f"{'honest' if s.honest else 'TOLD':>12}{s.transport:>11}{s.heard or '-':>13}"
        for s in samples
    ]
    words = """
held: hops in which the weights wait for an error that is under way (update locking); space: of
each hop; sample joins: the share of all pairs that some hop of the sample joins, directly or
through others; prediction: whether a target can reach it; transport: pairs of a neuron and a
weight of its child's own synapse, which it reads (λ_i reads w_ki); one sign of: numbers of the
phase from which a policy makes the sign that all obey."""
    return "\n".join([head, *lines]) + "\n" + words
