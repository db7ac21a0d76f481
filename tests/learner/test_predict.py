"""One row, many rows, traced rows: the same answers."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Adaptive,
    Block,
    ConfigError,
    Cost,
    Digraph,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    SquaredError,
)

LEARNERS = {
    "digraph": (Digraph.complete(4, 2, (0, 3), speed=2.0), Hamiltonian(mass=50.0), None),
    "sparse": (Digraph.random(9, 2, (0, 1), storage="sparse"), Hamiltonian(mass=50.0), None),
    "blocks": (Layered.dense([2, 5, 5, 2]), LeastAction(), None),
    "streams": (Digraph.layered([2, 3, 2]), Hamiltonian(mass=50.0), 3),
}


@pytest.fixture(params=LEARNERS)
def begun(request):
    network, law, streams = LEARNERS[request.param]
    learner = Learner(network, Cost(SquaredError()), law, streams=streams)
    rng = np.random.default_rng(0)
    shape = (20,) if streams is None else (20, streams)
    u, z = (rng.standard_normal((*shape, 2)).astype(np.float32) for _ in range(2))
    phase, _ = learner.run(learner.init(jax.random.key(0)), (u, z))
    return learner, phase, u[:7]


def test_many_rows_are_answered_as_each_alone(begun):
    learner, phase, u = begun
    many = learner.predict_many(phase, u)
    alone = np.stack([learner.predict(phase, row) for row in u])
    # Compiled apart, sums of at most nine terms round otherwise: a few units in the last place.
    np.testing.assert_allclose(many, alone, rtol=1e-5, atol=1e-6)
    for rows in (0, 1, 2, 3):
        np.testing.assert_array_equal(learner.predict_many(phase, u[:rows]), many[:rows])


def test_predict_is_traced_by_jit_vmap_and_grad(begun):
    learner, phase, u = begun
    expected = learner.predict_many(phase, u)
    ways = {
        "vmap": jax.vmap(learner.predict, in_axes=(None, 0)),
        "jit of vmap": jax.jit(jax.vmap(learner.predict, in_axes=(None, 0))),
        "map": lambda phase, u: jax.lax.map(lambda row: learner.predict(phase, row), u),
        "jit of many": jax.jit(learner.predict_many),
    }
    for name, way in ways.items():
        answers = way(phase, jnp.asarray(u))
        np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-6, err_msg=name)
    phases = jax.tree.map(lambda a: jnp.stack([a, a]), phase)
    twice = jax.vmap(learner.predict, in_axes=(0, None))(phases, u[0])
    np.testing.assert_allclose(twice, [expected[0]] * 2, rtol=1e-5, atol=1e-6)
    slope = jax.grad(lambda row: learner.predict(phase, row).sum())(jnp.asarray(u[0]))
    step = 1e-2 / np.linalg.norm(slope)
    along = [learner.predict(phase, u[0] + s * step * slope).sum() for s in (1, -1)]
    # Central differences: an error of order step² beside the rounding of float32 over the step.
    rise = (along[0] - along[1]) / (2 * step)
    np.testing.assert_allclose(rise, (slope**2).sum(), rtol=2e-2, atol=1e-3)


def test_a_step_is_traced_by_jit_and_vmap(begun):
    learner, phase, u = begun
    z = np.ones_like(u)
    expected = [learner.step(phase, row, target) for row, target in zip(u, z, strict=True)]
    expected = jax.tree.map(lambda *a: np.stack(a), *expected)
    several = jax.vmap(learner.step, in_axes=(None, 0, 0))
    for way in (several, jax.jit(several)):
        for a, b in zip(*map(jax.tree.leaves, (way(phase, u, z), expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    once = jax.jit(learner.step)(phase, u[0], z[0], 2.0)[0]
    again = learner.step(phase, u[0], z[0], 2.0)[0]
    for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def weighing(law, rate):
    return eqx.tree_at(lambda law: law.mass.m, law, 50.0 / rate)


RATED = {
    "mass": lambda rate: weighing(Hamiltonian(dissipation=0.7), rate),
    "adaptive mass": lambda rate: Hamiltonian(mass=Adaptive(rate=1e-2 * rate), dissipation=0.7),
    "least action": lambda rate: weighing(LeastAction(), rate),
}


@pytest.mark.parametrize(
    "kind", ["mass", pytest.param("adaptive mass", marks=pytest.mark.slow), "least action"]
)
def test_a_learner_may_be_made_of_traced_rates(x64, kind):
    """One function after another, so that nothing traced is kept from one to the next."""
    network, u, z = Digraph.layered([2, 3, 1]), np.array([0.5, 1.0]), np.array([2.0])

    def answers(rate):
        learner = Learner(network, Cost(SquaredError()), RATED[kind](rate))
        phase = learner.init(jax.random.key(0))
        for _ in range(3):
            phase, _ = learner.step(phase, u, z)
        one = learner.predict(phase, u)
        return jnp.concatenate([one, learner.predict_many(phase, u[None])[0]])

    rates = np.array([0.7, 1.0])
    expected = np.stack([answers(rate) for rate in rates])
    assert np.abs(expected[0] - expected[1]).min() > 1e-6  # rates count
    close = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(jax.jit(answers)(rates[0]), expected[0], **close)
    np.testing.assert_allclose(
        jax.jit(lambda r: answers(r) + 1)(rates[1]), expected[1] + 1, **close
    )
    np.testing.assert_allclose(jax.vmap(answers)(rates), expected, **close)
    slope, step = jax.grad(lambda r: answers(r)[0])(1.0), 1e-5
    rise = (answers(1 + step)[0] - answers(1 - step)[0]) / (2 * step)
    np.testing.assert_allclose(slope, rise, rtol=1e-6)  # central differences: of order step²
    np.testing.assert_allclose(answers(rates[0]), expected[0], **close)
    wider = Learner(Digraph.layered([2, 4, 1]), Cost(SquaredError()))
    wrong = wider.init(jax.random.key(0))
    rated = lambda rate: Learner(network, Cost(SquaredError()), RATED[kind](rate))  # noqa: E731
    with pytest.raises(ConfigError, match="does not fit"):
        jax.jit(lambda rate: rated(rate).predict(wrong, u))(0.5)


def test_lists_are_read_as_arrays(begun):
    learner, phase, u = begun
    np.testing.assert_array_equal(
        learner.predict(phase, u[0].tolist()), learner.predict(phase, u[0])
    )
    np.testing.assert_array_equal(
        learner.predict_many(phase, u.tolist()), learner.predict_many(phase, u)
    )


def test_named_inputs_are_answered_by_rows():
    shapes = {"a": (2,), "b": (3,)}
    single = Layered.dense([5, 2]).modules["output"]
    network = Layered({"y": Block(single, ["a", "b"])}, inputs=shapes, output="y")
    learner = Learner(network, Cost(SquaredError()))
    phase = learner.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    u = {name: rng.standard_normal((4, *shape)) for name, shape in shapes.items()}
    many = learner.predict_many(phase, {name: a.tolist() for name, a in u.items()})
    for k in range(4):
        one = learner.predict(phase, {name: a[k] for name, a in u.items()})
        np.testing.assert_allclose(many[k], one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("hops", "duration"), [(4, None), (4, 1.0), (1, 3.0)])
def test_an_answer_is_relaxed_to_for_depth_hops_of_the_usual_length(hops, duration):
    """ẋ = c (D - x) for a time of depth × duration / hops; by default a hop lasts 1."""
    network = Digraph.layered([2, 3, 1], speed=0.7)
    learner = Learner(network, Cost(SquaredError()), hops=hops, settle=0, duration=duration)
    start = learner.init(jax.random.key(0))
    u, x, w = np.array([0.8, -0.5]), np.array([0.3, -0.2, 0.5, 0.1]), np.asarray(start.w)
    phase = eqx.tree_at(lambda p: p.x, start, jnp.asarray(x, jnp.float32))
    keep = np.exp(-0.7 * (1.0 if duration is None else duration / hops))
    for _ in range(2):
        a = w @ np.array([*u, 1.0, *x])
        x = keep * x + (1 - keep) * np.array([*np.tanh(a[:3]), a[3]])
    np.testing.assert_allclose(learner.predict(phase, u), x[3:], rtol=1e-5)
    np.testing.assert_allclose(learner.predict_many(phase, u[None])[0], x[3:], rtol=1e-5)
    assert abs(x[3] - 0.1) > 0.05  # it has moved
