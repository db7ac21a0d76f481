"""Every claim can fail: each test swaps in something broken and sees the claim fall.

That the claims hold when nothing is broken is told by `test_reproduce.py`, and here where a claim
is measured on a shorter run than there.
"""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import oracle
from localprop.law import (
    Adaptive,
    CostateReversal,
    ExplicitEuler,
    FastCostates,
    Hamiltonian,
    LeastAction,
    SignFlip,
    Traces,
    hamiltonian,
)
from localprop.law.integrator import ExponentialEuler
from localprop.learner import Learner
from localprop.network import Digraph, Layered
from localprop.reproduce import (
    conjecture,
    friction,
    learning,
    least_action,
    locality,
    memory,
    optimum,
    plants,
    propagation,
    riccati,
    sampling,
    sign_flip,
    theorems,
    tracking,
)
from localprop.tracking.tracker import LinearQuadratic, tracker

SEEDS = (0, 1)


@pytest.fixture(autouse=True)
def fresh_programs():
    """Nothing compiled before is taken for what is broken now, nor the other way round."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture
def hop(monkeypatch):
    """Breaks the hop of the Hamiltonian law: what `change(before, after)` returns is the phase."""
    whole = Hamiltonian.hop

    def swap(change):
        def broken(self, network, cost, phase, u, z, tau, lapse=None):
            return change(phase, whole(self, network, cost, phase, u, z, tau, lapse))

        monkeypatch.setattr(Hamiltonian, "hop", broken)

    return swap


def failing(claims):
    return {claim.id for claim in claims if not claim.holds}


def momentum_of(factor):
    """A force that is wrong by a factor."""

    def change(before, after):
        del before
        return eqx.tree_at(lambda p: p.momentum, after, factor * after.momentum)

    return change


def test_a_policy_with_the_costate_forward_is_no_reversal(monkeypatch, x64):
    monkeypatch.setattr(CostateReversal, "signs", lambda self, phase: (1.0, 1.0))
    assert {"T1-reversed"} <= failing(theorems._theorems(SEEDS)) <= {"T1-reversed"}


def test_a_force_off_by_a_thousandth_is_no_gradient(hop, x64):
    hop(momentum_of(1.001))
    assert failing(propagation._exact(SEEDS)) == {"I1", "I1-bits"}


def test_a_force_off_by_one_rounding_is_not_equal_to_the_bit_but_to_rounding(hop, x64):
    hop(momentum_of(1 + 2.3e-16))
    assert failing(propagation._exact(SEEDS)) == {"I1-bits"}


@pytest.mark.slow
def test_what_is_remembered_is_credited_by_traces_and_to_one_level_alone(monkeypatch, x64):
    def claims():
        return failing([*memory._one_layer(SEEDS), *memory._stack(SEEDS)])

    assert claims() == set()
    with monkeypatch.context() as patch:
        patch.setattr(Traces, "force", lambda self, network, costate, trace, w, direct: direct)
        assert claims() == {"TR1", "TR3", "TR3-cosine"}
    with monkeypatch.context() as patch:  # errors cross from level to level
        patch.setattr(Traces, "felt", lambda self, network, costate: costate)
        assert claims() == {"TR3"}
    with monkeypatch.context() as patch:  # a trace that forgets at another rate
        advance = Layered.advance_traces
        patch.setattr(
            Layered, "advance_traces",
            lambda self, trace, x, w, u, move: advance(
                self, trace, x, w, u, lambda speed, e, f: move(0.03, e, f)
            ),
        )  # fmt: skip
        assert claims() == {"TR1", "TR3"}


def test_a_costate_without_friction_misses_its_law_along_paths_and_cycles(monkeypatch, x64):
    plain = ExponentialEuler.gains
    monkeypatch.setattr(
        ExponentialEuler, "gains",
        lambda self, speed, sign, dissipation, tau: plain(self, speed, sign, 0.0, tau),
    )  # fmt: skip
    claims = [friction.instantly(SEEDS), friction.along_paths(SEEDS), friction.around_cycles(SEEDS)]
    assert failing(claims) == {"I2-paths", "I2-cycles"}


def test_a_costate_that_takes_friction_once_misses_the_law_of_longer_paths(monkeypatch, x64):
    # As if θ stood in the outputs' leak alone.
    monkeypatch.setattr(
        friction, "_gains",
        lambda network, theta: np.where(
            np.isin(np.arange(len(network.activations)), network.outputs), 0.8 / (0.8 + theta), 1.0
        ),
    )  # fmt: skip
    assert failing([friction.along_paths(SEEDS)]) == {"I2-paths"}


def test_weights_that_move_with_the_old_momentum_are_no_heavy_ball(monkeypatch, x64):
    explicit = lambda **settings: Hamiltonian(weights="explicit", **settings)  # noqa: E731
    monkeypatch.setattr(propagation, "Hamiltonian", explicit)
    assert failing([propagation._heavy_ball(SEEDS)]) == {"P4"}


def test_states_under_explicit_euler_are_not_bounded(monkeypatch, x64):
    explicit = lambda: Hamiltonian(integrator=ExplicitEuler())  # noqa: E731
    monkeypatch.setattr(propagation, "Hamiltonian", explicit)
    monkeypatch.setattr(ExplicitEuler, "gains", lambda self, c, s, d, tau: (1 - 3 * s, 3 * s))
    assert failing([propagation._bounded(SEEDS)]) == {"P1"}


@pytest.mark.slow
def test_a_sign_that_never_flips_neither_moves_as_a_pair_nor_converges(monkeypatch, x64):
    monkeypatch.setattr(SignFlip, "signs", lambda self, phase: (1.0, 1.0))
    monkeypatch.setattr(sign_flip, "PAIRS", 2000)
    assert {"SF-pair", "SF-euler"} <= failing(sign_flip.measure(SEEDS).claims)


@pytest.mark.slow
def test_an_integrator_that_is_not_reversible_does_not_stay_where_it_is(monkeypatch, x64):
    euler = lambda y, tau: y + tau * sign_flip.flow.hamiltonian_rate(sign_flip.HELD, y, 0.0)  # noqa: E731
    monkeypatch.setattr(sign_flip, "_midpoint", euler)
    monkeypatch.setattr(sign_flip, "PAIRS", 2000)
    assert "SF-midpoint" in failing(sign_flip.measure(SEEDS).claims)


@pytest.mark.slow
def test_a_learner_deaf_to_durations_misses_the_solution_of_uneven_samples(monkeypatch, x64):
    even = sampling.END / sampling.SAMPLES / 2
    monkeypatch.setattr(sampling, "Learner", partial(Learner, engine="xla"))  # which asks for it
    monkeypatch.setattr(Learner, "_tau", lambda self, sample: jnp.asarray(even))
    assert "I11-uneven" in failing(sampling.measure(SEEDS).claims)


def test_riccatis_equation_with_the_wrong_sign_is_not_the_closed_form(monkeypatch, x64):
    plain = oracle.riccati.reversed_in_time
    monkeypatch.setattr(
        oracle.riccati, "reversed_in_time", lambda a, b, q, r, t: plain(-np.asarray(a), b, q, r, t)
    )
    claims = [riccati._scalar(SEEDS), riccati._matrix(SEEDS), riccati._costate(SEEDS)]
    assert failing(claims) == {"E2-scalar", "P3", "P3-costate"}


@pytest.fixture
def few_plants():
    """A dozen plants, under the one policy that is broken."""
    problems = plants.random_problems(12, seed=plants.SEED)

    def claims():
        found = {"fast costates": plants.run("fast costates", problems)}
        return [plants._predicted(found), plants.brought_to_rest("fast", problems, found)]

    return claims


def test_costates_without_a_horizon_hold_no_plant_and_do_not_what_eigenvalues_say(
    few_plants, monkeypatch, x64
):
    assert not failing(few_plants())
    jax.clear_caches()
    monkeypatch.setattr(FastCostates, "friction", lambda self, dissipation: dissipation)
    assert failing(few_plants()) == {"LQ-eigenvalues", "LQ-fast"}


def test_weights_of_another_mass_do_not_diverge_at_the_papers_rate(monkeypatch, x64):
    monkeypatch.setattr(hamiltonian.Constant, "value", lambda self, m, w: 1.1 * self.m)
    assert failing([riccati._divergence()]) == {"E1"}


def test_least_action_without_friction_in_its_account_does_not_close_the_balance(monkeypatch, x64):
    whole = LeastAction.energies

    def forgetful(self, *arguments):
        energies = whole(self, *arguments)
        return eqx.tree_at(lambda e: e.dissipated, energies, 0.9 * energies.dissipated)

    monkeypatch.setattr(LeastAction, "energies", forgetful)
    monkeypatch.setattr(least_action, "TAUS", np.array([0.04, 0.02]))
    gaps = least_action._balance(SEEDS).gaps
    orders = np.polyfit(np.log(least_action.TAUS), np.log(gaps).T, 1)[0]
    assert orders.max() < 1.95


def test_weights_that_do_not_feel_the_connections_follow_no_heavy_ball(monkeypatch, x64):
    stiffnesses = (10.0, 20.0, 40.0)
    whole = LeastAction.hop

    def still(self, network, cost, phase, u, z, tau):
        after = whole(self, network, cost, phase, u, z, tau)
        return eqx.tree_at(lambda p: p.momentum, after, 0.999 * after.momentum)

    monkeypatch.setattr(LeastAction, "hop", still)
    assert "S2-weights" in failing(least_action.hard(SEEDS, stiffnesses))


class Nosy(Hamiltonian.__mro__[1]):  # a law like any other
    """Its momentum hears of the norm of all weights, as a global clip would."""

    law: Hamiltonian = Hamiltonian(mass=Adaptive())

    def init(self, network, cost, key):
        return self.law.init(network, cost, key)

    def hop(self, network, cost, phase, u, z, tau):
        after = self.law.hop(network, cost, phase, u, z, tau)
        clipped = after.momentum / jnp.sqrt(1 + jnp.sum(phase.w**2))
        return eqx.tree_at(lambda p: p.momentum, after, clipped)

    def relax(self, *arguments):
        return self.law.relax(*arguments)

    def energies(self, *arguments):
        return self.law.energies(*arguments)

    def blind_hops(self, settle):
        return self.law.blind_hops(settle)

    def error(self, *arguments):
        return self.law.error(*arguments)

    def output(self, *arguments):
        return self.law.output(*arguments)

    def settle_hops(self, depth, hops):
        return self.law.settle_hops(depth, hops)

    def settle(self, *arguments):
        return self.law.settle(*arguments)


def test_a_law_that_reads_a_norm_of_all_is_not_local_and_one_that_remembers_more_is_seen():
    audits = [locality.audit(Digraph.complete(2, 1), Nosy(), compare=False)]
    assert failing([locality._space(audits), locality._carried(audits)]) == {"L-space", "L-time"}


def test_a_loop_that_keeps_what_it_saw_has_no_constant_memory(monkeypatch):
    def hoarding(learner, phase, stream):
        kept = jax.lax.scan(lambda p, s: ((p := learner.present(p, locality.Samples(*s))[0]), p.x),
                            phase, stream)[1]  # fmt: skip
        return jnp.sum(jnp.sort(kept, axis=0) * kept)

    monkeypatch.setattr(locality, "_learn", hoarding)
    assert "L-stream" in failing(locality._memory())


@pytest.mark.slow
def test_an_oracle_that_stops_short_leaves_a_way_down(x64):
    how = tracker(SignFlip(2), LinearQuadratic(optimum.Q), speed=2.0, dt=0.1)
    problem = optimum._problem(how, 0, 0.05)
    solution = oracle.solve(problem, random_starts=1)
    assert optimum.stationary("x", "a short target", problem, solution).holds
    bent = solution.w + 1e-3 * np.linspace(0, 1, len(solution.w))[:, None, None]
    short = eqx.tree_at(lambda s: s.w, solution, bent)
    assert not optimum.stationary("x", "a short target", problem, short).holds


LESSONS = 3000


@pytest.fixture
def quick(monkeypatch):
    """A short stream, with twice the rate and half the factor of the claims."""
    monkeypatch.setattr(learning, "RATE", 4e-3)
    monkeypatch.setattr(learning, "FACTOR", 1.5)


@pytest.mark.slow
def test_learning_holds_on_a_short_stream_and_falls_where_errors_do_not_flow(quick, monkeypatch):
    assert learning.taught(1, SEEDS, LESSONS).holds
    jax.clear_caches()
    plain = hamiltonian.pull_back

    def deaf(network, cost, phase, u, z, costate):
        # No vertex hears of its children: only the outputs feel an error.
        drive, _, force = plain(network, cost, phase, u, z, costate)
        hidden = jax.tree.map(jnp.zeros_like, phase.x)
        loss = jax.grad(lambda x: hamiltonian.output_loss(network, cost, x, z))(phase.x)
        return drive, jax.tree.map(jnp.add, hidden, loss), force

    monkeypatch.setattr(hamiltonian, "pull_back", deaf)
    assert not learning.taught(1, SEEDS, LESSONS).holds
    claims, _ = conjecture.at_depth(1, SEEDS, LESSONS)
    assert failing(claims) == {"CJ1-1", "CJ1-1-credit"}


@pytest.mark.slow
def test_a_network_at_rest_tracks_nothing(monkeypatch):
    row = tracking.REVERSALS[1]
    assert tracking.tracked(row, tracking.runs(row, range(2))).holds
    jax.clear_caches()
    monkeypatch.setattr(Digraph, "drive", lambda self, x, w, u: 0 * x + 0 * jnp.sum(w))
    assert not tracking.tracked(row, tracking.runs(row, range(2))).holds
