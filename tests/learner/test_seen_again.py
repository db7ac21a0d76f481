"""Samples that are seen again: what is kept, what is drawn, and what they do to the weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from localprop import (
    Adaptive,
    Block,
    CheckpointError,
    ConfigError,
    Cost,
    Digraph,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    SoftmaxCrossEntropy,
    SquaredError,
    StreamError,
    Traces,
    audit_sample,
    checkpoint,
)
from localprop.learner.reservoir import Reservoir, live
from localprop.learner.samples import Samples

NET, COST = Layered.dense([2, 4, 1]), Cost(SquaredError())
SGD = Hamiltonian(mass=20.0, dissipation=1.0)  # one hop that moves weights, by 1/20 of the force
ROWS = 30


def stream(streams=None, rows=ROWS, outputs=1):
    rng = np.random.default_rng(0)
    shape = (rows,) if streams is None else (rows, streams)
    return rng.normal(size=(*shape, 2)), rng.normal(size=(*shape, outputs))


def flat(tree):
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])


def mean_loss(w, u, z):
    hidden, output = w["hidden1"], w["output"]
    x = jnp.tanh(u @ hidden.weight.T + hidden.bias)
    return jnp.mean((x @ output.weight.T + output.bias - z) ** 2) / 2


@pytest.mark.parametrize("streams", [None, 2])
def test_weights_follow_the_gradient_of_the_mean_loss_of_new_and_kept(x64, streams):
    """Settled, one kept sample, which is drawn seven times: against autodiff, sample by sample."""
    learner = Learner(NET, COST, SGD, hops=5, settle=4, duration=5.0, streams=streams, review=1)
    u, z = stream(streams)
    z[3] = np.nan  # learns what is kept alone
    phase, w = learner.init(jax.random.key(0)), None
    for k in range(ROWS):
        w = phase.w if w is None else w
        new = u[k].reshape(-1, 2), z[k].reshape(-1, 1)
        kept = np.tile(phase.review.u[0], (7, 1)), np.tile(phase.review.z, (7, 1))
        shown = [np.concatenate(both) for both in zip(new, kept, strict=True)]
        labelled = ~np.isnan(shown[1][:, 0])
        labelled[len(new[0]) :] &= k > 0
        parts = (a[labelled] for a in shown)
        gradient = jax.grad(mean_loss)(w, *parts)
        w = jax.tree.map(lambda a, g: a - g / 20, w, gradient)
        phase, output = learner.step(phase, u[k], z[k])
        assert output.shape == z[k].shape
        np.testing.assert_allclose(flat(phase.w), flat(w), rtol=1e-10, atol=1e-12)
    assert phase.review.seen == (ROWS - 1) * (streams or 1)


def kept_after(seed, rows, size, labelled=None):
    """What is kept of samples 1, 2, ..., and what was drawn beside each, in one compiled loop.

    Only the first have a label, if it is said how many.
    """
    learner = Learner(Digraph.layered([1, 1]), COST, SGD, review=size)

    def one(review, k):
        here = jnp.full((1, 1), k + 1.0)
        z = jnp.where(k < (labelled or rows), -here, jnp.nan)
        sample = Samples(here, z, weight=jnp.ones(1))
        return review.after(sample), review.beside(sample).u[1:, 0]

    start = learner.init(jax.random.key(seed)).review
    return jax.jit(lambda start: jax.lax.scan(one, start, jnp.arange(rows)))(start)


def test_every_sample_is_kept_with_the_same_chance():
    size, rows, seeds = 20, 200, 15
    places = []
    for seed in range(seeds):
        review, _ = kept_after(seed, rows, size)
        kept = np.asarray(review.u[0][:, 0])
        np.testing.assert_array_equal(review.z[:, 0], -kept)
        assert len(set(kept)) == size  # different samples, none twice
        places.append(kept)
    counts = np.histogram(np.concatenate(places), bins=10, range=(0.5, rows + 0.5))[0]
    # Drawn without replacement counts vary less than in Pearson's test, which is thus on the safe
    # side; and the seeds are fixed.
    assert stats.chisquare(counts).pvalue > 1e-3
    assert len({tuple(kept) for kept in places}) == seeds


def test_every_kept_sample_is_drawn_with_the_same_chance():
    """Ten are kept, in their order, and stay because nothing after them has a label."""
    review, drawn = kept_after(0, 5_000, 10, labelled=10)
    np.testing.assert_array_equal(review.u[0][:, 0], np.arange(10) + 1)
    drawn = np.asarray(drawn)
    for k in range(1, 10):  # of those that came before, never of an empty place
        assert ((drawn[k] >= 1) & (drawn[k] <= k)).all()
    late = drawn[10:]
    counts = [np.sum(late == k) for k in range(1, 11)]
    assert sum(counts) == late.size
    assert stats.chisquare(counts).pvalue > 1e-3
    pairs = late[:-1] * 11 + late[1:]  # those of one sample tell nothing of the next one's
    assert stats.chisquare([np.sum(pairs == k) for k in np.unique(pairs)]).pvalue > 1e-3


def test_what_taught_nothing_is_not_kept(x64):
    learner = Learner(NET, COST, SGD, review=4)
    u, z = stream()
    start = learner.init(jax.random.key(0))
    blank, _ = learner.run(start, (u, np.full_like(z, np.nan)))
    weightless, _ = learner.run(start, Samples(u, z, weight=np.zeros(ROWS)))
    for phase in (blank, weightless):
        assert phase.review.seen == 0
        np.testing.assert_array_equal(flat(phase.w), flat(start.w))
        np.testing.assert_array_equal(phase.review.u[0], 0)
    some = Samples(u, z, weight=np.arange(ROWS) % 3.0)
    phase, _ = learner.run(start, some)
    assert phase.review.seen == np.sum(np.arange(ROWS) % 3 > 0)
    place = [int(np.flatnonzero(u[:, 0] == row)[0]) for row in phase.review.u[0][:, 0]]
    np.testing.assert_array_equal(phase.review.weight, some.weight[place])
    np.testing.assert_array_equal(phase.review.z, z[place])


MAKERS = {
    "digraph": lambda review=5: Learner(Digraph.layered([2, 3, 1]), COST, review=review),
    "least action": lambda review=5: Learner(NET, COST, LeastAction(), review=review),
    "streams": lambda review=5: Learner(NET, COST, SGD, streams=3, review=review),
    "average": lambda review=5: Learner(NET, COST, SGD, review=review, average=9),
    "many hops": lambda review=5: Learner(NET, COST, SGD, review=review, hops=20),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_stream_in_pieces_or_from_a_checkpoint_gives_the_same_bits(kind, tmp_path):
    learner = MAKERS[kind]()
    u, z = stream(learner.network.streams)
    start = learner.init(jax.random.key(0))
    whole, trace = learner.run(start, (u, z), chunk=10)
    half, first = learner.run(start, (u[:20], z[:20]), chunk=10)
    checkpoint.save(tmp_path / "c", learner, half, position=20)
    kept = checkpoint.load(tmp_path / "c")
    again, second = learner.run(kept.phase(MAKERS[kind]()), (u[20:], z[20:]), chunk=10)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    joined = np.concatenate([first["output"], second["output"]])
    np.testing.assert_array_equal(joined, trace["output"])
    with pytest.raises(CheckpointError, match="review was 5"):
        kept.phase(MAKERS[kind](review=6))


@pytest.mark.parametrize("kind", MAKERS)
def test_previews_are_the_predictions_and_shapes_are_those_of_the_stream(kind):
    learner = MAKERS[kind]()
    u, z = stream(learner.network.streams)
    phase, _ = learner.run(learner.init(jax.random.key(0)), (u, z))
    record = ("output", "loss", "answer", "hamiltonian", "input_slope")
    _, trace = learner.run(phase, (u[:1], z[:1], None, u[:1]), record)
    ahead = learner.preview_many(phase, Samples(u[:3], z[:3]))
    np.testing.assert_allclose(ahead[0], trace["output"][0], rtol=1e-5, atol=1e-6)
    assert trace["loss"].shape == (1,)
    assert trace["input_slope"].shape == u[:1].shape
    assert learner.predict_many(phase, u).shape == z.shape
    plain = jax.tree.map(jnp.shape, (phase.x, phase.costate))
    begun = learner.law.init(learner.network, COST, jax.random.key(0))
    assert plain == jax.tree.map(jnp.shape, (begun.x, begun.costate))


def test_named_inputs_partial_targets_and_classes_that_do_not_exist_yet():
    single = Layered.dense([5, 3]).modules["output"]
    network = Layered({"y": Block(single, ["b", "a"])}, inputs={"b": (3,), "a": (2,)}, output="y")
    learner = Learner(network, Cost(SoftmaxCrossEntropy()), review=4)
    rng = np.random.default_rng(0)
    z = np.eye(3)[rng.integers(0, 2, ROWS)]
    z[:, 2] = np.nan
    u = {"a": rng.normal(size=(ROWS, 2)), "b": rng.normal(size=(ROWS, 3))}
    phase, trace = learner.run(learner.init(jax.random.key(0)), (u, z))
    assert np.isfinite(trace["output"]).all()
    assert np.isnan(phase.review.z[:, 2]).all()
    for k in range(4):
        place = int(np.flatnonzero(u["a"][:, 0].astype(np.float32) == phase.review.u[0][k, 0])[0])
        np.testing.assert_array_equal(phase.review.u[1][k], u["b"][place].astype(np.float32))
        np.testing.assert_array_equal(phase.review.z[k], z[place].astype(np.float32))


def test_what_was_learned_first_is_still_known():
    """Two halves of a map, one after the other: with review the first is not forgotten."""
    rng = np.random.default_rng(0)
    u = rng.uniform(0, 1, (4_000, 1))
    u[2_000:] -= 1
    z = np.sin(3 * u)
    law = Hamiltonian(mass=Adaptive(1e-3), dissipation=0.7)
    errors = {}
    for review in (None, 100):
        learner = Learner(Layered.dense([1, 16, 1]), COST, law, review=review)
        phase, _ = learner.run(learner.init(jax.random.key(0)), (u, z))
        error = learner.predict_many(phase, u[:2_000]) - z[:2_000]
        errors[review] = float(np.mean(np.asarray(error) ** 2))
    assert errors[100] < 0.005
    assert errors[None] > 10 * errors[100]


class Own(Digraph.__mro__[1]):
    """A network of the user's own."""

    speed: float = np.inf
    plastic: None = None
    depth: int = 1
    streams: None = None

    def init(self, key):
        return jnp.zeros(1), jax.random.normal(key, (1,))

    def drive(self, x, w, u):
        return w * u + 0 * x

    def output(self, x):
        return x


def test_what_cannot_be_reviewed_is_refused():
    for wrong in (0, -1, True):
        with pytest.raises(ConfigError, match="review is"):
            Learner(NET, COST, review=wrong)
    with pytest.raises(ConfigError, match="give more hops, or no review"):
        Learner(NET, COST, hops=4, review=5)
    slow = Digraph.complete(3, inputs=1, speed=0.1)
    with pytest.raises(ConfigError, match="without what neurons remembered"):
        Learner(slow, COST, SGD, hops=9, clock="sample", review=5)
    traced = Hamiltonian(mass=20.0, dissipation=1.0, traces=Traces())
    with pytest.raises(ConfigError, match="without what neurons remembered"):
        Learner(slow, COST, traced, hops=9, review=5).init(jax.random.key(0))
    with pytest.raises(ConfigError, match="Digraph or a Layered network, not Own"):
        Learner(Own(), COST, SGD, review=5).init(jax.random.key(0))
    learner = Learner(NET, COST, SGD, review=5)
    assert repr(learner).endswith("duration=7, review=5)")
    with pytest.raises(ConfigError, match="audit without"):
        audit_sample(learner)
    u, z = stream(outputs=2)
    with pytest.raises(StreamError, match=r"targets of a sample have shape \(2,\)"):
        learner.run(learner.init(jax.random.key(0)), (u, z))
    with pytest.raises(ConfigError, match="does not fit"):
        Learner(NET, COST, SGD, review=6).predict(learner.init(jax.random.key(0)), u[0])


def test_divergence_is_still_named():
    from localprop import DivergenceError

    learner = Learner(NET, COST, Hamiltonian(mass=1e-3), review=5)
    u, z = stream()
    z[::4] = np.nan
    with pytest.raises(DivergenceError) as caught:
        learner.run(learner.init(jax.random.key(0)), (u, z))
    assert caught.value.sample > 0
    assert np.isfinite(flat(caught.value.phase.w)).all()


def test_the_reservoir_begins_alike_for_streams_and_single_samples():
    one, many = (Learner(NET, COST, SGD, streams=s, review=5) for s in (None, 3))
    a, b = (learner.init(jax.random.key(0)).review for learner in (one, many))
    assert isinstance(a, Reservoir)
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(left, right)
    sample = live(NET, Samples(jnp.ones(2), jnp.ones(1)))
    assert (sample.u.shape, sample.z.shape, sample.weight.shape) == ((1, 2), (1, 1), (1,))
