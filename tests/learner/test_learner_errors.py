"""What a learner says when a stream is wrong or a quantity stops being finite."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from localprop import (
    Adaptive,
    ConfigError,
    Cost,
    Digraph,
    DivergenceError,
    ExplicitEuler,
    Hamiltonian,
    Learner,
    Samples,
    SquaredError,
    StreamError,
)


def diverging(name):
    """A learner that diverges after some tens of samples, and the stream it does so on."""
    network = Digraph.complete(3, 1, activation="identity", speed=1.0)
    cost, law = Cost(SquaredError()), Hamiltonian(mass=20.0)
    rng = np.random.default_rng(0)
    u, z = rng.standard_normal((200, 1)), rng.standard_normal((200, 1))
    settings = {"hops": 3, "settle": 0, "duration": 1.5}
    if name == "x":  # explicit Euler beyond its limit of stability, nothing to learn
        law, z = Hamiltonian(integrator=ExplicitEuler()), np.full_like(z, np.nan)
        settings["duration"] = 7.0
    elif name == "costate":  # the same for the costate: no input, so that the state stays 0
        network = Digraph.complete(3, 1, activation="identity", speed=1.0, bias=False)
        law, u = Hamiltonian(mass=1e30, integrator=ExplicitEuler()), np.zeros_like(u)
        settings["duration"] = 7.0
    elif name == "mass":  # the square of a force overflows before the force does
        cost, law = Cost(SquaredError()), Hamiltonian(mass=Adaptive(1e-6))
        z = z * np.where(np.arange(200) == 60, 1e25, 1.0)[:, None]
    else:
        law = Hamiltonian(mass=0.01)
    return Learner(network, cost, law, **settings), u, z


@pytest.mark.parametrize("name", ["x", "costate", "mass", "momentum"])
def test_divergence_names_sample_and_quantity_and_keeps_the_last_good_phase(name):
    learner, u, z = diverging(name)
    start = learner.init(jax.random.key(0))
    run = lambda *stream: learner.run(start, stream, record=(), chunk=7)  # noqa: E731
    with pytest.raises(DivergenceError) as caught:
        run(u, z)
    error = caught.value
    n = error.sample
    assert 2 < n < 200
    assert error.quantity == name
    assert f"{name} stopped being finite at sample {n}:" in str(error)
    assert "smaller" in str(error)
    good, _ = run(u[:n], z[:n])
    for a, b in zip(jax.tree.leaves(error.phase), jax.tree.leaves(good), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)
    with pytest.raises(DivergenceError) as again:
        run(u[: n + 1], z[: n + 1])
    assert again.value.sample == n
    with pytest.raises(DivergenceError) as by_step:
        learner.step(error.phase, u[n], z[n])
    assert by_step.value.quantity == name
    assert by_step.value.phase is error.phase
    pieces = ((u[k : k + 7], z[k : k + 7]) for k in range(0, 200, 7))
    with pytest.raises(DivergenceError) as in_pieces:
        learner.run(start, pieces, record=())
    assert (in_pieces.value.sample, in_pieces.value.quantity) == (n, name)


WRONG = {
    "duration zero": ("duration", 0.0),
    "duration below zero": ("duration", -1.0),
    "duration NaN": ("duration", np.nan),
    "duration infinite": ("duration", np.inf),
    "input NaN": ("u", np.nan),
    "input infinite": ("u", -np.inf),
    "query NaN": ("query", np.nan),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_sample_is_named_by_its_number_and_nothing_after_it_is_learned(wrong):
    field, value = WRONG[wrong]
    learner = Learner(Digraph.complete(3, 2), Cost(SquaredError()))
    start = learner.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    samples = Samples(
        rng.standard_normal((20, 2)), rng.standard_normal((20, 1)), np.ones(20),
        rng.standard_normal((20, 2)),
    )  # fmt: skip
    getattr(samples, field)[13] = value
    pieces = (Samples(*(a[k : k + 5] for a in samples[:4])) for k in range(0, 20, 5))
    for stream in (samples, pieces):
        with pytest.raises(StreamError, match=f"{field} of sample 13 must be"):
            learner.run(start, stream)
    if field != "query":
        with pytest.raises(StreamError, match=f"{field} of sample 0 must be"):
            learner.step(start, samples.u[13], samples.z[13], samples.duration[13])


def test_samples_are_numbered_from_0_also_where_no_stream_counts_them():
    learner = Learner(Digraph.complete(3, 2), Cost(SquaredError()))
    start = learner.init(jax.random.key(0))
    u = np.ones((4, 2))
    u[2] = np.nan
    for call in (
        lambda: learner.advance(start, Samples(u, np.ones((4, 1)))),
        lambda: learner.predict_many(start, u),
        lambda: learner.preview_many(start, Samples(u, np.ones((4, 1)))),
    ):
        with pytest.raises(StreamError, match="u of sample 2 must be finite"):
            call()
    with pytest.raises(StreamError, match="u of sample 0 must be finite"):
        learner.predict(start, u[2])


def test_neurons_that_overflow_and_recover_in_the_same_chunk_are_told():
    arc = {("u0", "x0"): 1e30}
    network = Digraph.layered([1, 1], bias=False, fixed=arc, storage="sparse")
    learner = Learner(network, Cost(SquaredError()), Hamiltonian(), hops=2, settle=0)
    start, u = learner.init(jax.random.key(0)), np.zeros((6, 1))
    stream = (u, np.full((6, 1), np.nan))
    after, _ = learner.run(start, stream)
    assert np.isfinite(after.x).all()
    u[3] = 1e30  # beyond float32 while it is there; without arcs among neurons nothing stays
    with pytest.raises(DivergenceError) as caught:
        learner.run(start, stream)
    assert (caught.value.sample, caught.value.quantity) == (3, "x")


def test_an_infinite_target_is_a_wrong_sample_but_a_missing_one_is_not():
    learner = Learner(Digraph.complete(3, 2), Cost(SquaredError()))
    start = learner.init(jax.random.key(0))
    z = np.zeros((5, 1))
    z[2] = np.nan
    learner.run(start, (np.ones((5, 2)), z))
    z[3] = np.inf
    with pytest.raises(StreamError, match="z of sample 3 must be finite, or NaN"):
        learner.run(start, (np.ones((5, 2)), z))


def test_pieces_that_do_not_fit_are_refused():
    learner = Learner(Digraph.complete(3, 2), Cost(SquaredError()))
    start = learner.init(jax.random.key(0))
    with pytest.raises(StreamError, match="4 rows of z for 5 samples"):
        learner.run(start, (np.ones((5, 2)), np.ones((4, 1))))
    with pytest.raises(StreamError, match="target of a sample has shape"):
        learner.run(start, (np.ones((5, 2)), np.ones((5, 3))))
    with pytest.raises(StreamError, match="one row per sample"):
        learner.run(start, (np.ones((5, 2)), np.ones(5)))
    with pytest.raises(ConfigError, match="no record 'los'"):
        learner.run(start, (np.ones((5, 2)), np.ones((5, 1))), record=("los",))
