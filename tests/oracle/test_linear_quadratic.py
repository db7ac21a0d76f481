"""Linear-quadratic control by the law itself, against eigenvalues and closed forms (section 13)."""

from __future__ import annotations

from functools import cache
from itertools import accumulate

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.linalg import expm

from localprop import ConfigError
from localprop.oracle.linear_quadratic import Plant, bounds, growth, routh_hurwitz
from localprop.reproduce.stability import (
    GAIN,
    HORIZON,
    WAYS,
    follow,
    parts,
    phase_of,
    random_problems,
    vector_of,
)

pytestmark = pytest.mark.usefixtures("x64")

POINTS, DRAWN = 100, 130
HOPS = {"sign flip": 20_000}  # it converges at a rate in proportion to its step
FACTOR = np.log(10)


@cache
def _verdicts(name, neurons, drawn):
    """Returns of each random point the bounds on the log of its growth, and what the law made.

    A trajectory is between two bounds that hold for every transient; a point at which they do not
    agree on a factor of ten is too near the boundary to be judged in so many hops.
    """
    way, problems = WAYS[name], random_problems(drawn, neurons, seed=7)
    start = np.random.default_rng(8).standard_normal((drawn, 4 * neurons))
    start *= 1e-3 / np.linalg.norm(start, axis=1, keepdims=True)  # deep in the track's ball
    hops = HOPS.get(name, 4000)
    cycles = [way.cycle(problems.plant(k), float(problems.dissipation[k])) for k in range(drawn)]
    times = hops // len(way.gains)
    predicted = np.array([bounds(c, y, times) for c, y in zip(cycles, start, strict=True)])
    found = follow(name, jax.tree.map(jnp.asarray, problems), jnp.asarray(start), hops)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        grown = np.log(np.linalg.norm(np.asarray(found.end), axis=1) / 1e-3)
    return problems, start, cycles, predicted, grown, np.asarray(found.cost)


@pytest.mark.parametrize(
    ("name", "neurons", "points", "drawn"),
    [(name, 1, POINTS, DRAWN) for name in WAYS]
    + [(name, 3, 30, 40) for name in ("costate reversal", "fast costates")],
)
def test_the_law_converges_and_diverges_where_eigenvalues_say(name, neurons, points, drawn):
    _, _, _, predicted, found, _ = _verdicts(name, neurons, drawn)
    low, high = predicted.T
    converges, diverges = high < -FACTOR, low > FACTOR
    judged = np.flatnonzero(converges | diverges)[:points]
    assert len(judged) == points, "too many points are near the boundary"
    # What overflows is NaN or infinite, and has diverged.
    grown = ~(found < 0)
    np.testing.assert_array_equal(grown[judged], diverges[judged])
    far = np.abs(np.where(np.isfinite(found), found, np.inf))[judged]
    assert np.all(far > 0.99 * FACTOR)  # by the factor, but for rounding


def test_fast_costates_are_stable_on_more_of_the_random_points_and_on_all_that_reversal_is():
    stable = {}
    for name in ("costate reversal", "fast costates", "sign flip"):
        _, _, cycles, _, _, _ = _verdicts(name, 1, DRAWN)
        stable[name] = np.array([growth(c) < 1 for c in cycles])
    reversal, fast = stable["costate reversal"], stable["fast costates"]
    own = random_problems(DRAWN, 1, seed=7).a[:, 0, 0] < 0
    assert fast.mean() > 2 * reversal.mean()
    assert not np.any(reversal[::2])  # every second point is without dissipation
    assert fast[::2].mean() > 0.45
    assert fast[own].mean() > 0.95
    assert fast[~own].mean() < 0.2  # what fails is said
    assert np.all(stable["sign flip"])


@pytest.mark.parametrize("name", ["costate reversal", "fast costates"])
def test_the_cost_of_the_law_is_that_of_lyapunovs_equation_and_above_riccatis(name):
    problems, start, cycles, predicted, _, cost = _verdicts(name, 1, DRAWN)
    done = np.flatnonzero(predicted[:, 1] < -10)  # what is left costs e^-20 of it
    assert len(done) > 5
    for k in map(int, done):
        plant, y = problems.plant(k), start[k]
        spent = plant.cost(cycles[k], WAYS[name].tau)
        np.testing.assert_allclose(cost[k], y @ spent @ y / 2, rtol=1e-6)
        # From x = 1 with all else at rest; sums over hops of 0.02 are the integral to a percent.
        assert spent[0, 0] > 0.99 * plant.optimum()[0, 0]


@pytest.mark.parametrize("name", ["fast costates", "sign flip", "Hamiltonian track"])
def test_one_hop_of_the_law_is_the_matrix(name):
    way, problem = WAYS[name], jax.tree.map(lambda a: jnp.asarray(a[1]), random_problems(2, 2))

    @jax.jit
    def jacobian(y, hop):
        network, cost, law, u = parts(way, problem)

        def once(y):
            phase = phase_of(network, law, problem, y)
            phase = eqx.tree_at(lambda p: p.hop, phase, hop)  # what a sign flip goes by
            after = law.hop(network, cost, phase, u, jnp.zeros(2), way.tau)
            return vector_of(after, problem)

        return jax.jacfwd(once)(y)

    plant, theta = random_problems(2, 2).plant(1), float(problem.dissipation)
    for k, expected in enumerate(way.cycle(plant, theta)):
        found = jacobian(jnp.full(8, 0.01), jnp.asarray(k, jnp.int32))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_the_origin_of_every_plant_lies_in_the_ball_of_the_track_held_arcs_and_all():
    way, problems = WAYS["Hamiltonian track"], random_problems(DRAWN, 1, seed=7)
    slow = problems._replace(a=np.full((1, 1, 1), 2.0), speed=np.ones(1))  # the longest arc, 3
    for each in (problems, slow):
        held = 1 + each.a[:, 0, 0] / each.speed
        for k in (int(np.argmax(held)), int(np.argmin(held))):
            problem = jax.tree.map(lambda a, k=k: jnp.asarray(a[k % len(a)]), each)
            network, _, law, _ = parts(way, problem)
            assert law.policy.signs(phase_of(network, law, problem, jnp.zeros(4))) == (1.0, 1.0)


def test_the_friction_and_gain_of_the_table_are_those_of_the_policy():
    fast = WAYS["fast costates"]
    assert fast.policy.friction(0.7) == pytest.approx(fast.friction(0.7))
    assert fast.gains == ((1.0, -fast.policy.gain),)
    assert (fast.policy.gain, fast.policy.horizon) == (GAIN, HORIZON)


# The flow: Routh and Hurwitz -------------------------------------------------------------------


def _draw(points, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 2, points), *10 ** rng.uniform(-1, 1, (3, points)), rng


@pytest.mark.parametrize("costate", [-1.0, 1.0, -10.0, -0.3])
def test_routh_and_hurwitz_say_what_eigenvalues_say(costate):
    a, q, r, mass, rng = _draw(1000)
    friction = rng.uniform(0, 6, 1000) * (rng.uniform(size=1000) < 0.8)
    said = routh_hurwitz(a, q, r, mass, costate, friction)
    plants = [Plant(*point) for point in zip(a, q, r, mass, strict=True)]
    flows = [p.flow(1.0, costate, f) for p, f in zip(plants, friction, strict=True)]
    worst = np.linalg.eigvals(np.stack(flows)).real.max(axis=1)
    clear = np.abs(worst) > 1e-6  # eigenvalues are exact to about 1e-8 where two of them meet
    assert clear.mean() > 0.7  # Cauchy's, without friction, may all lie on the axis
    np.testing.assert_array_equal(said[clear], worst[clear] < 0)


def test_without_friction_no_choice_of_two_signs_is_stable():
    a, q, r, mass, _ = _draw(500, seed=1)
    for s_lambda in (-1.0, 1.0):
        for s_pi in (-1.0, 1.0):
            zero, one = np.zeros(500), np.ones(500)
            flow = np.array(
                [
                    [a, one, zero, zero],
                    [zero, zero, zero, 1 / mass],
                    [-s_lambda * q, zero, -s_lambda * a, zero],
                    [zero, s_pi * r, s_pi * one, zero],
                ]
            )
            worst = np.linalg.eigvals(np.moveaxis(flow, -1, 0)).real.max(axis=1)
            assert np.all(worst > -1e-6), (s_lambda, s_pi)
            if s_lambda == s_pi == -1:
                assert np.all(worst > 0)
                assert not np.any(routh_hurwitz(a, q, r, mass, -1.0))


def test_costate_reversal_diverges_on_a_stable_plant_without_friction_and_never_holds_a_weak_one():
    # (s + 1/2)² (s² + 1) + 1 = 0, solved by NumPy's companion matrix.
    worst = np.roots(np.polyadd(np.polymul([1, 1, 0.25], [1, 0, 1]), [1])).real.max()
    assert np.linalg.eigvals(Plant(-0.5).flow(1.0, -1.0)).real.max() == pytest.approx(worst)
    assert worst == pytest.approx(0.3065, abs=1e-4)
    assert not np.any(routh_hurwitz(0.3, 1.0, 1.0, 1.0, -1.0, np.linspace(0, 20, 2001)))


def test_every_stable_plant_is_held_by_costates_that_are_fast_enough():
    a, q, r, mass, rng = _draw(500, seed=2)
    a, f = -np.abs(a), rng.uniform(0.05, 5, 500)  # f = θ + 1/h
    enough = q / mass * (2 * f - a) / (f * (f - a) ** 2 * (r / mass - f * a))
    assert np.all(routh_hurwitz(a, q, r, mass, -enough, enough * f))
    assert not np.all(routh_hurwitz(a, q, r, mass, -1.0, f))


def test_the_limit_of_fast_costates_is_the_discounted_fixed_point_and_gradient_flow():
    a, q, r, mass, rng = _draw(300, seed=3)
    f = rng.uniform(0.1, 5, 300)
    said = (f > a) & (r / mass > a * f) & (q > r * a * (f - a))
    clear = np.min(np.abs([f - a, r / mass - a * f, q - r * a * (f - a)]), axis=0) > 0.02
    assert clear.sum() > 250
    found = routh_hurwitz(a, q, r, mass, -1e7, 1e7 * f)
    np.testing.assert_array_equal(found[clear], said[clear])


def test_the_sign_flip_is_stable_where_its_closed_form_says():
    a, q, r, mass, rng = _draw(300, seed=4)
    tau = rng.uniform(0.05, 1.5, 300)
    half = (mass * a**2 + r) / (2 * mass)
    root = np.sqrt(half**2 - (r * a**2 + q) / mass + 0j)
    squares = np.stack([half + root, half - root])  # μ²
    ratio = np.max(tau**2 * np.abs(squares) ** 2 / (2 * squares.real), axis=0)
    for k in np.flatnonzero(np.abs(ratio - 1) > 1e-3):
        plant = Plant(a[k], q[k], r[k], mass[k])
        factor = growth([plant.hop(tau[k], s, s) for s in (1.0, -1.0)])
        assert (factor < 1) == (ratio[k] < 1)


# Matrices ---------------------------------------------------------------------------------------


def _matrix_plant(seed=5, speed=3.0):
    problems = random_problems(1, 3, seed)
    return Plant(problems.a[0], problems.q[0], problems.r[0], 0.7, speed)


@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.parametrize("semi_implicit", [False, True])
def test_a_short_hop_is_the_flow(exponential, semi_implicit):
    plant, gains = _matrix_plant(), (1.0, -4.0, 2.0)
    flow, errors = plant.flow(*gains), []
    for tau in (1e-2, 1e-3):
        hop = plant.hop(tau, *gains, exponential=exponential, semi_implicit=semi_implicit)
        errors.append(np.linalg.norm((hop - np.eye(12)) / tau - flow))
    if exponential or semi_implicit:
        assert 8 < errors[0] / errors[1] < 12  # first order
    else:
        assert max(errors) < 1e-9


def test_the_cost_of_short_hops_is_that_of_the_flow():
    plant, gains = Plant(-0.6, 1.3, 0.7, 0.4, speed=3.0), (1.0, -5.0, 20.0)
    exact, errors = plant.flow_cost(*gains), []
    for tau in (4e-3, 2e-3, 1e-3):
        hop = plant.hop(tau, *gains, exponential=True, semi_implicit=True)
        errors.append(np.linalg.norm(plant.cost([hop], tau) - exact))
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 2, atol=0.2)
    # And the flow's, by quadrature of its exponential.
    start = np.array([1.0, 0.3, -0.2, 0.1])
    times, flow = np.linspace(0, 40, 20_001), plant.flow(*gains)
    step = expm(flow * times[1])
    y = np.array(list(accumulate(range(20_000), lambda y, _: step @ y, initial=start)))
    rates = plant.q[0, 0] * y[:, 0] ** 2 + plant.r[0, 0] * y[:, 1] ** 2
    rates += plant.mass * (y @ flow.T)[:, 1] ** 2
    assert simpson(rates, x=times) == pytest.approx(start @ exact @ start, rel=1e-8)


def test_without_mass_the_optimum_is_that_of_weights_that_move_at_once():
    a, q, r = -0.5, 1.3, 0.6
    light = Plant(a, q, r, mass=1e-8).optimum()[0, 0]
    assert light == pytest.approx(r * (a + np.sqrt(a**2 + q / r)), rel=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Plant(np.eye(2)),
        lambda: Plant(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3))),
        lambda: Plant(-1.0, mass=0.0),
        lambda: Plant(-1.0, speed=-1.0),
        lambda: Plant(1.0).cost([Plant(1.0).hop(0.1)], 0.1),
        lambda: Plant(-0.5).flow_cost(1.0, -1.0),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ConfigError):
        make()
