"""The running mean of the weights, against the mean written out in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    CheckpointError,
    ConfigError,
    Cost,
    Digraph,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    SquaredError,
    Traces,
    audit_sample,
    checkpoint,
)

pytestmark = pytest.mark.usefixtures("x64")

LAW = Hamiltonian(mass=50.0, dissipation=0.7)
KINDS = {
    "digraph": lambda **more: Learner(Digraph.layered([2, 3, 1]), Cost(SquaredError()), **more),
    "cycles": lambda **more: Learner(
        Digraph.complete(4, 2, (3,), speed=[0.2, 0.3, 2.0, np.inf]),
        Cost(SquaredError()),
        Hamiltonian(mass=50.0, dissipation=0.7, traces=Traces()),
        hops=5,
        clock="sample",
        **more,
    ),
    "blocks": lambda **more: Learner(
        Layered.dense([2, 5, 5, 1]), Cost(SquaredError()), LeastAction(), engine="xla", **more
    ),
    "streams": lambda **more: Learner(
        Layered.dense([2, 5, 1]), Cost(SquaredError()), LAW, streams=3, **more
    ),
    "many hops": lambda **more: Learner(
        Digraph.layered([2, 3, 1]), Cost(SquaredError()), LAW, hops=20, **more
    ),
}
ROWS = 30


def stream(learner, rows=ROWS):
    rng, streams = np.random.default_rng(0), learner.network.streams
    shape = (rows,) if streams is None else (rows, streams)
    return rng.normal(size=(*shape, 2)), rng.normal(size=(*shape, 1))


def written_out(weights, over):
    """Their mean after each sample: of all so far, then with the factor 1 - 1/over."""
    mean = np.zeros_like(weights[0])
    for n, w in enumerate(weights, start=1):
        share = 1 / n if n <= over else 1 / over
        mean = (1 - share) * mean + share * w
        yield mean


def flat(w):
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(w)])


@pytest.mark.parametrize("over", [1, 7.5, np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_mean_of_the_weights_after_every_sample(kind, over):
    learner, plain = KINDS[kind](average=over), KINDS[kind]()
    start, other = learner.init(jax.random.key(0)), plain.init(jax.random.key(0))
    u, z = stream(learner)
    np.testing.assert_array_equal(learner.predict(start, u[0]), plain.predict(other, u[0]))
    means, weights = [], []
    for phase, _ in learner.chunks(start, (u, z), chunk=1):
        means.append(flat(phase.average.w))
        weights.append(flat(phase.w))
    np.testing.assert_allclose(means, [*written_out(weights, over)], rtol=1e-12, atol=1e-14)
    if over == np.inf:
        np.testing.assert_allclose(means[-1], np.mean(weights, axis=0), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_learn_as_without_it_and_predict_answers_from_the_mean(kind):
    learner, plain = KINDS[kind](average=10), KINDS[kind]()
    u, z = stream(learner)
    phase, trace = learner.run(learner.init(jax.random.key(0)), (u, z, None, u), ("output",))
    other, without = plain.run(plain.init(jax.random.key(0)), (u, z, None, u), ("output",))
    # Two programs: rounding alone.
    np.testing.assert_allclose(trace["output"], without["output"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(flat(phase.w), flat(other.w), rtol=1e-9, atol=1e-12)
    assert other.average is None
    assert np.abs(flat(phase.w) - flat(phase.average.w)).max() > 1e-4
    averaged = jax.tree.unflatten(
        jax.tree.structure(other),
        jax.tree.leaves((phase.x, phase.costate, phase.average.w))
        + jax.tree.leaves((phase.momentum, phase.mass, phase.time, phase.hop, phase.trace)),
    )
    expected = plain.predict_many(averaged, u)
    np.testing.assert_allclose(learner.predict_many(phase, u), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(learner.predict(phase, u[3]), expected[3], rtol=1e-9, atol=1e-12)
    assert np.abs(expected - plain.predict_many(other, u)).max() > 1e-4
    # The mean in the weights' place: the same answers, by whatever means they are asked for.
    again = learner.averaged(phase)
    np.testing.assert_array_equal(flat(again.w), flat(phase.average.w))
    np.testing.assert_array_equal(flat(again.momentum), flat(phase.momentum))
    assert plain.averaged(other) is other


def test_the_record_answer_is_what_predict_says_after_the_sample():
    learner = KINDS["digraph"](average=5)
    u, z = stream(learner)
    start = learner.init(jax.random.key(0))
    _, trace = learner.run(start, (u, z, None, u[::-1].copy()), ("answer",))
    phase, _ = learner.run(start, (u[:12], z[:12]))
    expected = learner.predict(phase, u[::-1][11])
    np.testing.assert_allclose(trace["answer"][11], expected, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_goes_on_bit_for_bit(kind, tmp_path):
    learner = KINDS[kind](average=12)
    u, z = stream(learner)
    start = learner.init(jax.random.key(0))
    whole, _ = learner.run(start, (u, z), chunk=10)
    half, _ = learner.run(start, (u[:20], z[:20]), chunk=10)
    checkpoint.save(tmp_path / "c", learner, half, position=20)
    kept = checkpoint.load(tmp_path / "c")
    again, _ = learner.run(kept.phase(KINDS[kind](average=12)), (u[20:], z[20:]), chunk=10)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(CheckpointError, match="average was 12"):
        kept.phase(KINDS[kind](average=13))


def test_it_is_still_local_and_constant_in_size():
    proof = audit_sample(KINDS["digraph"](average=12))
    assert proof.local
    assert proof.constant


def test_float32_reaches_a_constant_after_many_samples():
    """Weights that no force moves are their own mean, with no drift of rounding."""
    with jax.enable_x64(False):
        network = Digraph.layered([2, 3, 1])
        learner = Learner(network, Cost(SquaredError()), Hamiltonian(mass=1e30), average=1e6)
        start = learner.init(jax.random.key(0))
        u = np.ones((20_000, 2), np.float32)
        phase, _ = learner.run(start, (u, u[:, :1]), record=())
        np.testing.assert_allclose(phase.average.w, start.w, rtol=1e-7, atol=1e-20)
        assert phase.average.samples == 20_000
        assert phase.average.w.dtype == jnp.float32


@pytest.mark.parametrize("wrong", [0, 0.5, -3, np.nan, True])
def test_other_numbers_are_refused(wrong):
    with pytest.raises(ConfigError, match="average"):
        KINDS["digraph"](average=wrong)
    phase = KINDS["digraph"](average=3).init(jax.random.key(0))
    with pytest.raises(ConfigError, match="does not fit"):
        KINDS["digraph"]().predict(phase, np.ones(2))
