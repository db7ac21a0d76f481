"""Whole samples on every kind of network, under both laws and every policy."""

from __future__ import annotations

from collections.abc import Mapping

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


def networks() -> dict[str, AbstractNetwork]:
    """Returns a digraph without cycles, a complete one and one of blocks, each very small."""
    return {
        "neurons in layers": Digraph.layered([2, 3, 1], speed=2.0),
        "neurons in cycles": Digraph.complete(3, 1, speed=2.0),
        "blocks": Layered.dense([2, 3, 1], speed=2.0),
    }


def survey() -> dict[str, SampleAudit]:
    """Returns audits of whole samples by what they are of.

    Of 2 × depth + 3 hops, with the settle hops that the law asks for, on each of `networks()`;
    under costate reversal, least action, fast costates, the sign flip, the Hamiltonian track and
    Cauchy's policy.
    """
    policies: list[AbstractPolicy] = [
        SignFlip(),
        HamiltonianTrack(radius=100.0, speed=2.0),
        Cauchy(),
    ]
    laws: list[AbstractLaw] = [Hamiltonian(), LeastAction(), Hamiltonian(FastCostates())]
    laws += [Hamiltonian(p, integrator=ExplicitEuler(), weights="explicit") for p in policies]
    cost = Cost(SquaredError())
    found = {}
    for kind, network in networks().items():
        for law in laws:
            hops = 2 * network.depth + 3
            settle = law.settle_hops(network.depth, hops)
            sample = audit_sample(Learner(network, cost, law, hops=hops, settle=settle))
            found[f"{kind}, {sample.policy or sample.law}"] = sample
    return found


def table(samples: Mapping[str, SampleAudit]) -> str:
    """Returns the audits, one line each."""
    head = (
        f"{'a whole sample':40}{'hops':>5}{'held':>5}{'space':>14}{'sample joins':>14}"
        f"{'prediction':>12}{'transport':>11}{'one sign of':>13}"
    )
    lines = [
        f"{title:40}{s.hops:>5}{s.held['w']:>5}"
        f"{'local' if s.local else f'{s.forbidden + s.beyond} breaks':>14}{s.reach[1]:>14.0%}"
        f"{'honest' if s.honest else 'TOLD':>12}{s.transport:>11}{s.heard or '-':>13}"
        for title, s in samples.items()
    ]
    words = """
held: hops in which the weights wait for an error that is under way (update locking); space: of
each hop; sample joins: the share of all pairs that some hop of the sample joins, directly or
through others; prediction: whether a target can reach it; transport: pairs of a neuron and a
weight of its child's own synapse, which it reads (λ_i reads w_ki); one sign of: numbers of the
phase from which a policy makes the sign that all obey."""
    return "\n".join([head, *lines]) + "\n" + words
