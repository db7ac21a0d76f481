"""Policies: their two signs, both directions of time, and what the sign flip really does."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engines import hop, hopper, on_both_engines
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from localprop import (
    Cauchy,
    ConfigError,
    Cost,
    CostateReversal,
    Digraph,
    ExplicitEuler,
    ExponentialEuler,
    FastCostates,
    Hamiltonian,
    HamiltonianTrack,
    Phase,
    Review,
    SignFlip,
    SquaredError,
)

NETWORK = Digraph.complete(3, bias=False, speed=2.0)
NO_INPUT = jnp.zeros(0)


def _phase(policy, seed=0, network=NETWORK):
    """A phase with every component drawn at random."""
    phase = Hamiltonian(policy).init(network, Cost(SquaredError()), jax.random.key(seed))
    rng = np.random.default_rng(seed)
    draw = lambda a: jnp.asarray(rng.uniform(-1, 1, a.shape), a.dtype)  # noqa: E731
    parts = draw(phase.x), draw(phase.costate), draw(phase.w), draw(phase.momentum)
    return eqx.tree_at(lambda p: (p.x, p.costate, p.w, p.momentum), phase, parts)


def test_the_signs_of_cauchy_and_costate_reversal_are_those_of_section_4():
    assert Cauchy().signs(_phase(Cauchy())) == (1.0, 1.0)
    assert CostateReversal().signs(_phase(CostateReversal())) == (1.0, -1.0)


def _hops(engine, law, network, count=5, momentum=1.0):
    """A phase after a number of hops, from the same one but for the unit of its momentum."""
    phase = _phase(law.policy, network=network)
    phase = eqx.tree_at(lambda p: p.momentum, phase, momentum * phase.momentum)
    cost = Cost(SquaredError(), weight_decay=0.1)
    learner = hopper(engine, network, cost, law, 0.1)
    for _ in range(count):
        phase = hop(learner, phase, NO_INPUT, np.ones(1))
    return phase


@on_both_engines
def test_costates_as_fast_as_the_state_and_without_horizon_are_reversed_costates(engine):
    fast = Hamiltonian(FastCostates(1.0, float("inf")), 0.5, dissipation=0.3)
    plain = Hamiltonian(CostateReversal(), 0.5, dissipation=0.3)
    same = jax.tree.map(np.array_equal, *(_hops(engine, law, NETWORK) for law in (fast, plain)))
    assert all(jax.tree.leaves(same))


@pytest.mark.usefixtures("x64")
@on_both_engines
def test_fast_costates_of_infinite_speed_are_reversed_ones_of_another_mass_and_friction(engine):
    network, gain, horizon = Digraph.complete(3, bias=False), 4.0, 2.0
    fast = Hamiltonian(FastCostates(gain, horizon), 0.5, dissipation=0.3)
    plain = Hamiltonian(mass=0.5 / gain, dissipation=gain * (0.3 + 1 / horizon))
    found = _hops(engine, fast, network)
    expected = _hops(engine, plain, network, momentum=1 / gain)
    np.testing.assert_allclose(found.w, expected.w, rtol=1e-12)
    np.testing.assert_allclose(found.costate, expected.costate, rtol=1e-12)
    expected_momentum = gain * np.asarray(expected.momentum)
    np.testing.assert_allclose(found.momentum, expected_momentum, rtol=1e-12)


@pytest.mark.parametrize("period", [1, 2, 5])
def test_a_sign_flip_of_period_p_turns_both_signs_every_p_hops(period):
    policy = SignFlip(period)
    law = Hamiltonian(policy, integrator=ExplicitEuler(), weights="explicit")
    phase, seen = _phase(policy), []
    for _ in range(4 * period):
        seen.append([float(s) for s in policy.signs(phase)])
        phase = law.hop(NETWORK, Cost(SquaredError()), phase, NO_INPUT, jnp.zeros(1), 0.01)
    expected = ([1.0] * period + [-1.0] * period) * 2
    assert seen == [[s, s] for s in expected]


def test_a_sign_flip_of_frequency_omega_follows_the_sign_of_the_cosine():
    policy, phase = SignFlip(omega=0.7), _phase(Cauchy())
    for t in np.linspace(0.05, 30, 200):
        now = eqx.tree_at(lambda p: p.time, phase, jnp.asarray(t))
        assert [float(s) for s in policy.signs(now)] == [np.sign(np.cos(0.7 * t))] * 2


@pytest.mark.parametrize("hops", [0, 2**24, 2**27])
def test_a_sign_flip_of_frequency_omega_goes_on_where_float32_no_longer_counts_hops(hops):
    half_turn = 8  # in hops of length 1
    policy = SignFlip(omega=np.pi / half_turn)
    law = Hamiltonian(policy, 1e9, integrator=ExplicitEuler(), weights="explicit")
    start = eqx.tree_at(lambda p: p.time, _phase(policy), jnp.asarray(hops + 0.5, jnp.float32))

    def hop(phase, _):
        after = law.hop(NETWORK, Cost(SquaredError()), phase, NO_INPUT, jnp.zeros(1), 1.0)
        return after, policy.signs(phase)[0]

    signs = np.asarray(jax.lax.scan(hop, start, None, 1000)[1])
    turns = np.flatnonzero(np.diff(signs))
    np.testing.assert_array_equal(np.diff(turns), half_turn)
    assert turns[0] < half_turn
    assert len(turns) >= 1000 // half_turn - 1


def test_a_hamiltonian_track_is_forward_inside_the_ball_of_raw_costates_and_backward_outside():
    speed, phase = 2.0, _phase(Cauchy())
    x, w, lam, pi = (np.asarray(a) for a in (phase.x, phase.w, phase.costate, phase.momentum))
    p_x, p_w = lam, -speed * pi  # laws.md section 3 with one speed and no dissipation
    size = float(sum((a**2).sum() for a in (x, w, p_x, p_w)))
    inside = HamiltonianTrack(1.001 * size, speed=speed).signs(phase)
    outside = HamiltonianTrack(0.999 * size, speed=speed).signs(phase)
    assert [float(s) for s in inside] == [1, 1]
    assert [float(s) for s in outside] == [-1, -1]


def test_a_hamiltonian_track_takes_any_predicate_of_the_phase():
    policy, phase = HamiltonianTrack(predicate=lambda p: p.x[0] > 0), _phase(Cauchy())
    for x, sign in [(0.1, 1), (-0.1, -1)]:
        assert float(policy.signs(eqx.tree_at(lambda p: p.x, phase, jnp.full(3, x)))[0]) == sign


def test_a_hamiltonian_track_of_another_speed_than_the_network_is_refused():
    cost, key = Cost(SquaredError()), jax.random.key(0)
    policy = Hamiltonian(HamiltonianTrack(10.0, speed=2.0))
    policy.init(Digraph.complete(2, speed=2.0), cost, key)
    with pytest.raises(ConfigError, match=r"speed 2 and the network 3;.*\(radius, speed=3\)"):
        policy.init(Digraph.complete(2, speed=3.0), cost, key)
    mixed = Digraph.complete(2, speed=[2.0, 3.0])
    with pytest.raises(
        ConfigError, match=r"one speed.*from 2 to 3; give the bounded set as a pred"
    ):
        policy.init(mixed, cost, key)
    # A predicate weighs what it likes.
    Hamiltonian(HamiltonianTrack(predicate=lambda p: p.x[0] > 0)).init(mixed, cost, key)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SignFlip(0),
        lambda: SignFlip(2**31 + 1),
        lambda: SignFlip(2, omega=1.0),
        lambda: SignFlip(omega=-1.0),
        lambda: SignFlip(omega=float("inf")),
        lambda: FastCostates(gain=0.5),
        lambda: FastCostates(gain=float("inf")),
        lambda: FastCostates(horizon=0.0),
        lambda: FastCostates(horizon=-1.0),
        lambda: HamiltonianTrack(),
        lambda: HamiltonianTrack(1.0, predicate=lambda p: p.x[0] > 0),
        lambda: HamiltonianTrack(-1.0),
        lambda: HamiltonianTrack(1.0, speed=0.0),
    ],
)
def test_settings_without_sense_are_refused(make):
    with pytest.raises(ConfigError):
        make()


@pytest.mark.usefixtures("x64")
@on_both_engines
def test_exponential_euler_grows_by_exp_c_tau_where_the_state_runs_backward(engine):
    c, tau = 2.0, 0.3
    law = Hamiltonian(SignFlip(1), integrator=ExponentialEuler())
    before, learner = _phase(SignFlip(1)), hopper(engine, NETWORK, Cost(SquaredError()), law, tau)
    for number, sign in [(0, 1), (1, -1)]:
        before = eqx.tree_at(lambda p: p.hop, before, jnp.asarray(number, jnp.int32))
        after = hop(learner, before, NO_INPUT, np.zeros(1))
        drive = np.tanh(np.asarray(before.w) @ np.asarray(before.x))
        # x' = s c (D - x) with D held, as a linear system with a constant, by matrix exponential.
        system = np.array([[-sign * c, sign * c], [0, 0]])
        x = (expm(system * tau) @ np.stack([np.asarray(before.x), drive]))[0]
        np.testing.assert_allclose(after.x, x, rtol=1e-12)
        growth = (after.x - drive) / (np.asarray(before.x) - drive)
        np.testing.assert_allclose(growth, np.exp(-sign * c * tau), rtol=1e-10)


@pytest.mark.parametrize("integrator", [ExponentialEuler(), ExplicitEuler()])
def test_infinite_speed_cannot_run_backward_and_says_so(integrator):
    network = Digraph.complete(2, bias=False)
    law = Hamiltonian(SignFlip(1), integrator=integrator)
    with pytest.raises(ConfigError, match="finite"):
        law.init(network, Cost(SquaredError()), jax.random.key(0))
    phase = Hamiltonian().init(network, Cost(SquaredError()), jax.random.key(0))
    with pytest.raises(ConfigError, match="finite"):
        law.hop(network, Cost(SquaredError()), phase, NO_INPUT, jnp.zeros(1), 0.1)


# What the sign flip really does (section 7), with F from the derivatives of the Hamiltonian
# H(x, w, p_x, p_w, t) = c L + c k V + p_x . c (D - x) - |p_w|^2 / (2 m c), raw costates.

C, M, K, Q = 2.0, 0.4, 0.3, 5.0
COST = Cost(SquaredError(scale=Q), weight_decay=K)


def _target(t):
    return 0.5 * jnp.sin(1.3 * t + 0.4)


def _hamiltonian(y, t, n=3):
    x, w, p_x, p_w = jnp.split(y, [n, n + n * n, 2 * n + n * n])
    rate = Q / 2 * (x[0] - _target(t)) ** 2 + K / 2 * w @ w
    velocity = C * (jnp.tanh(w.reshape(n, n) @ x) - x)
    return C * rate + p_x @ velocity - p_w @ p_w / (2 * M * C)


def _flow(y, t):
    """Returns F by Hamilton's equations, y' = J grad H."""
    half = len(y) // 2
    gradient = jax.grad(_hamiltonian)(y, t)
    return jnp.concatenate([gradient[half:], -gradient[:half]])


def _as_vector(phase: Phase):
    return jnp.concatenate([phase.x, phase.w.ravel(), phase.costate, -C * phase.momentum.ravel()])


def _pair(engine, phase, tau, z=(None, None)):
    """Two hops, forward and backward, under the target at their times or at given ones."""
    law = Hamiltonian(SignFlip(1), M, integrator=ExplicitEuler(), weights="explicit")
    learner = hopper(engine, NETWORK, COST, law, tau)
    for k in range(2):
        target = _target(phase.time)[None] if z[k] is None else z[k]
        phase = hop(learner, phase, NO_INPUT, target)
    return phase


@pytest.mark.usefixtures("x64")
@on_both_engines
@pytest.mark.parametrize("review", ["live", "buffer"])
def test_one_pair_of_euler_steps_moves_by_minus_tau_squared_times_f_y_f_plus_f_t(review, engine):
    taus, errors = np.array([0.02, 0.01, 0.005, 0.0025]), []
    for tau in taus:
        phase = _phase(SignFlip(1), seed=3)
        y, t = _as_vector(phase), phase.time
        flow = _flow(y, t)
        f_y_f = jax.jvp(lambda y, t=t: _flow(y, t), (y,), (flow,))[1]
        f_t = jax.jvp(lambda t, y=y: _flow(y, t), (t,), (jnp.ones(()),))[1]
        if review == "live":
            after, expected = _pair(engine, phase, tau), f_y_f + f_t
        else:  # both hops read the same sample, and what moves with time drops out
            memory = Review(1).init(jnp.zeros(1))
            memory, first = Review(1).read(memory, _target(t)[None], False)
            memory, second = Review(1).read(memory, _target(t + tau)[None], True)
            after, expected = _pair(engine, phase, tau, (first, second)), f_y_f
        residual = _as_vector(after) - y + tau**2 * expected
        errors.append(float(jnp.linalg.norm(residual)))
    orders = np.diff(np.log(errors)) / np.diff(np.log(taus))
    # O(tau^3) against a leading term of tau^2; live, F_t at t + tau leaves tau^3 as well.
    np.testing.assert_array_less(2.9, orders)


@pytest.mark.usefixtures("x64")
@on_both_engines
def test_sign_flip_contracts_a_saddle_by_one_minus_tau_squared_mu_squared_per_pair(engine):
    # Example 1: no loss, V = |w|^2/2. With m = M and k = K, w'' = (K/M) w, a saddle with
    # mu^2 = K/M, on which A^2 = mu^2 I: (1 - tau A)(1 + tau A) = (1 - tau^2 mu^2) I.
    law = Hamiltonian(SignFlip(1), M, integrator=ExplicitEuler(), weights="explicit")
    phase, tau, none = _phase(SignFlip(1)), 0.1, jnp.full(1, jnp.nan)
    phase = eqx.tree_at(lambda p: p.costate, phase, jnp.zeros(3))
    start, learner = phase, hopper(engine, NETWORK, COST, law, tau)
    for _ in range(2 * 50):
        phase = hop(learner, phase, NO_INPUT, none)
    shrink = (1 - tau**2 * K / M) ** 50
    np.testing.assert_allclose(phase.w, shrink * start.w, rtol=1e-12)
    np.testing.assert_allclose(phase.momentum, shrink * start.momentum, rtol=1e-12)


def _midpoint(y, tau):
    """One step of the implicit midpoint rule, which is reversible, by fixed-point iteration."""
    end = y
    for _ in range(60):
        end = y + tau * FLOW((y + end) / 2)
    return end


FLOW = jax.jit(lambda y: _flow(y, 0.0))


@pytest.mark.usefixtures("x64")
@on_both_engines
def test_a_reversible_integrator_shows_no_convergence_where_euler_contracts(engine):
    phase, tau, pairs = _phase(SignFlip(1), seed=3), 0.02, 40
    phase = eqx.tree_at(lambda p: (p.costate, p.momentum), phase, replace_fn=lambda a: 0.1 * a)
    start = _as_vector(phase)
    y = start
    for _ in range(pairs):
        y = _midpoint(_midpoint(y, tau), -tau)
    np.testing.assert_allclose(y, start, atol=1e-12)

    for _ in range(pairs):
        phase = _pair(engine, phase, tau, (_target(0.0)[None],) * 2)
    # It moved towards rest, and by what the midpoint rule's 1e-12 cannot hide.
    assert float(jnp.linalg.norm(_as_vector(phase) - start)) > 0.01
    assert float(jnp.linalg.norm(FLOW(_as_vector(phase)))) < float(jnp.linalg.norm(FLOW(start)))


@pytest.mark.usefixtures("x64")
def test_the_exact_flow_forward_and_backward_returns_to_its_start():
    start, span = np.asarray(_as_vector(_phase(SignFlip(1), seed=3))), 0.5
    precise = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12}
    forward = lambda _, y: np.asarray(FLOW(jnp.asarray(y)))  # noqa: E731
    there = solve_ivp(forward, (0, span), start, **precise).y[:, -1]
    back = solve_ivp(forward, (span, 0), there, **precise).y[:, -1]
    assert np.linalg.norm(there - start) > 0.1
    np.testing.assert_allclose(back, start, atol=1e-9)


@settings(deadline=None, derandomize=True)
@given(
    size=st.integers(1, 5),
    moves=st.lists(st.booleans(), max_size=40),
)
def test_a_review_reads_as_a_stack_that_forgets_its_oldest(size, moves):
    review = Review(size)
    memory = review.init(jnp.array(-1.0))
    shapes = jax.tree.map(jnp.shape, memory)
    stack, last = [], -1.0
    for k, backward in enumerate(moves):
        memory, sample = review.read(memory, jnp.array(float(k)), jnp.array(backward))
        if backward:
            last = stack.pop() if stack else last
            assert float(sample) == last
        else:
            stack = [*stack, float(k)][-size:]
            assert float(sample) == k
        assert jax.tree.map(jnp.shape, memory) == shapes


def test_a_review_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="size"):
        Review(0)


@pytest.mark.parametrize("policy", [Cauchy(), SignFlip()], ids=["cauchy", "sign flip"])
def test_a_policy_that_reverses_refuses_any_infinite_speed(policy):
    network = Digraph.complete(2, speed=[1.0, np.inf])
    with pytest.raises(ConfigError, match="finite speed"):
        Hamiltonian(policy).init(network, Cost(SquaredError()), jax.random.key(0))
