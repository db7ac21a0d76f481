"""Traces: T1 and T2 of laws.md, section 15, against autodiff through the unrolled layer."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from held_weights import INPUTS, OUTPUTS, STEPS, accumulated, sequence

from localprop import (
    Adaptive,
    Block,
    CheckpointError,
    ConfigError,
    Cost,
    Digraph,
    ExplicitEuler,
    FeedbackWeights,
    Hamiltonian,
    Layered,
    Learner,
    Samples,
    SignFlip,
    SquaredError,
    StreamError,
    Traces,
    checkpoint,
)

LEAKY = 4


def leaky(rates, x, drive, lasts):
    keep = jnp.exp(-rates * lasts)
    return keep * x + (1 - keep) * drive


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_t1_one_layer_of_leaky_neurons_has_the_gradient_of_bptt(x64, storage, activation):
    """Leaky neurons of unlike speeds read the input, a readout of infinite speed reads them."""
    rates = np.geomspace(0.01, 2.0, LEAKY)
    names = [f"h{k}" for k in range(LEAKY)]
    inputs, outputs = ["a", "b", "c"], ["y", "z"]
    arcs = [(u, h) for u in inputs for h in names] + [(h, y) for h in names for y in outputs]
    network = Digraph.from_edges(
        arcs,
        inputs=inputs,
        outputs=outputs,
        activation={**dict.fromkeys(names, activation), **dict.fromkeys(outputs, "identity")},
        speed=dict(zip(names, rates, strict=True)),
        storage=storage,
    )
    stream = sequence()
    u, z, weight = stream.u, stream.z, stream.weight
    w, force = accumulated(network, stream)
    lasts = 7.0  # a sample's hops, each a unit of time
    sigma = {"tanh": jnp.tanh, "silu": jax.nn.silu}[activation]
    order = [network.vertices.index(v) - INPUTS for v in names]

    def loss(w):
        x, total = jnp.zeros(LEAKY), 0.0
        dense = network.arcs.weigh  # a linear map; only how weights are stored is shared
        for t in range(STEPS):
            one = jnp.concatenate([u[t], jnp.ones(1), jnp.zeros(LEAKY + OUTPUTS)])
            x = leaky(rates, x, sigma(dense(w, one)[jnp.array(order)]), lasts)
            seen = jnp.zeros(INPUTS + 1 + LEAKY + OUTPUTS).at[INPUTS].set(1.0)
            seen = seen.at[INPUTS + 1 + jnp.array(order)].set(x)
            y = dense(w, seen)[network.outputs]
            total += weight[t] * jnp.sum((y - z[t]) ** 2) / 2
        return total

    expected = jax.grad(loss)(w)
    np.testing.assert_allclose(force, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    plain = accumulated(network, stream, None)[1]  # of the present alone
    into = np.asarray(expected != 0) & ~np.isclose(plain, expected, rtol=0.1)
    assert into.sum() >= LEAKY * INPUTS  # what traces are for


def test_t1_is_the_gradient_that_braintrace_finds_by_d_rtrl(x64):
    """Against another's program for the same traces (Wang et al., 2026)."""
    braintrace = pytest.importorskip("braintrace", reason="extra `references` is not installed")
    brainstate = pytest.importorskip("brainstate")
    rates = np.geomspace(0.01, 2.0, LEAKY)
    memory = partial(eqx.nn.Linear, INPUTS, LEAKY, use_bias=False)
    network = Layered(
        {
            "memory": Block(memory, ["input"], "tanh", rates),
            "readout": Block(partial(eqx.nn.Linear, LEAKY, OUTPUTS), ["memory"]),
        },
        inputs=(INPUTS,),
        output="readout",
    )
    stream = sequence()
    u, z, weight = stream.u, stream.z, stream.weight
    w, force = accumulated(network, stream)
    keep = jnp.exp(-rates * 7.0)

    class Layer(brainstate.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = brainstate.ParamState(w["memory"].weight.T)
            self.h = brainstate.HiddenState(jnp.zeros(LEAKY))

        def update(self, u):
            drive = jnp.tanh(braintrace.matmul(u, self.w.value))
            self.h.value = keep * self.h.value + (1 - keep) * drive
            return self.h.value

    with brainstate.environ.context(precision=64):
        layer = braintrace.compile(Layer(), braintrace.D_RTRL, jnp.asarray(u[0]))

        def loss(u, z, weight):
            y = w["readout"].weight @ layer(u) + w["readout"].bias
            return weight * jnp.sum((y - z) ** 2) / 2

        given = map(jnp.asarray, (u, z, weight))
        (mean,) = layer.etrace_grad(*given, step_fn=loss).values()
    expected = STEPS * mean.T  # theirs is the mean over steps
    np.testing.assert_allclose(
        force["memory"].weight, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max()
    )


CASES = {
    "dense": (partial(eqx.nn.Linear, 6, 5), (6,), "tanh"),
    "convolution": (
        partial(eqx.nn.Conv2d, 2, 3, 3, stride=2, padding=1, use_bias=True),
        (2, 5, 5),
        "gelu",
    ),
    "convolution of one dimension": (
        partial(eqx.nn.Conv1d, 2, 3, 2, dilation=2, use_bias=False),
        (2, 6),
        "tanh",
    ),
    "any module": (partial(eqx.nn.MLP, 6, 4, 3, 1), (6,), "tanh"),
    "any activation": (partial(eqx.nn.Linear, 6, 5), (6,), jax.nn.softmax),
}


@pytest.mark.parametrize("name", CASES)
def test_t1_holds_for_blocks(x64, name):
    make, shape, activation = CASES[name]
    module = make(key=jax.random.key(1))
    sigma = jnp.tanh if activation == "tanh" else activation
    sigma = jax.nn.gelu if activation == "gelu" else sigma
    size = int(np.prod(module(jnp.zeros(shape)).shape))
    readout = eqx.nn.Linear(size, OUTPUTS, key=jax.random.key(2))
    network = Layered(
        {
            "memory": Block(module, ["input"], activation, speed=0.05),
            "flat": Block(eqx.nn.Lambda(jnp.ravel), ["memory"]),
            "readout": Block(readout, ["flat"]),
        },
        inputs=shape,
        output="readout",
    )
    stream = sequence(shape=shape)
    u, z, weight = stream.u, stream.z, stream.weight
    _, force = accumulated(network, stream)

    def loss(modules):
        memory, readout = modules
        x, total = jnp.zeros(module(jnp.zeros(shape)).shape), 0.0
        for t in range(STEPS):
            x = leaky(0.05, x, sigma(memory(jnp.asarray(u[t]))), 9.0)
            total += weight[t] * jnp.sum((readout(x.ravel()) - z[t]) ** 2) / 2
        return total

    expected = eqx.filter_grad(loss)((module, readout))
    for own, theirs in zip(
        jax.tree.leaves((force["memory"], force["readout"])), jax.tree.leaves(expected), strict=True
    ):
        largest = np.abs(theirs).max()
        np.testing.assert_allclose(own, theirs, rtol=1e-11, atol=1e-12 * largest)


@pytest.mark.parametrize("costate", ["instantaneous", "reversed"])
@pytest.mark.parametrize("clock", ["hop", "sample"])
@pytest.mark.parametrize("streams", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_t2_at_infinite_speed_nothing_changes_to_the_last_bit(costate, clock, streams):
    conv = Block(partial(eqx.nn.Conv1d, 1, 2, 2), ["input"], "tanh")
    flat = Block(eqx.nn.Lambda(jnp.ravel), ["conv"])
    head = Block(partial(eqx.nn.Linear, 4, 2), ["flat"])
    layered = Layered({"conv": conv, "flat": flat, "head": head}, inputs=(1, INPUTS), output="head")
    networks = {
        "dense": (Digraph.layered([INPUTS, 5, OUTPUTS]), (INPUTS,)),
        "sparse": (Digraph.layered([INPUTS, 5, OUTPUTS], storage="sparse"), (INPUTS,)),
        "blocks": (layered, (1, INPUTS)),
    }
    for network, shape in networks.values():
        rng = np.random.default_rng(0)
        more = () if streams is None else (streams,)
        stream = rng.normal(size=(30, *more, *shape)), rng.normal(size=(30, *more, OUTPUTS))
        found = []
        for traces in (None, Traces(costate)):
            law = Hamiltonian(mass=30.0, dissipation=0.7, traces=traces)
            learner = Learner(
                network, Cost(SquaredError(), 0.01), law, clock=clock, streams=streams, hops=7
            )
            found.append(learner.run(learner.init(jax.random.key(0)), stream)[0])
        assert found[1].trace is None  # nothing is carried
        for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_streams_share_the_force_and_keep_traces_of_their_own(x64):
    network = Layered.dense([INPUTS, LEAKY, OUTPUTS], speed=0.1)
    one, two = sequence(0), sequence(1)
    both = jax.tree.map(lambda a, b: np.stack([a, b], 1), one, two)
    _, together = accumulated(network, both, Traces("reversed"), streams=2)
    alone = [accumulated(network, stream, Traces("reversed"))[1] for stream in (one, two)]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *alone)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(mean), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("streams", [None, 2])
def test_where_a_sequence_begins_nothing_of_the_last_one_is_left(streams):
    """As if the stream were stopped there, and its states, costates and traces put to rest."""
    network = Digraph.complete(LEAKY, inputs=INPUTS, outputs=(0, 1), speed=0.1)
    law = Hamiltonian(mass=50.0, dissipation=0.7, traces=Traces())
    learner = Learner(
        network, Cost(SquaredError()), law, hops=5, settle=4, clock="sample", streams=streams
    )
    u, z, *_ = sequence(2)
    begins = np.zeros((STEPS, streams or 1), bool)
    begins[8, 0] = begins[12, -1] = True
    if streams is None:
        begins = begins[:, 0]
    else:
        u, z = np.stack([u, -u], 1), np.stack([z, z], 1)
    start = learner.init(jax.random.key(3))
    after, trace = learner.run(start, Samples(u, z, begins=begins))
    phase, outputs = start, []
    for first, last, who in ((0, 8, 0), (8, 12, -1), (12, STEPS, None)):
        phase, part = learner.run(phase, (u[first:last], z[first:last]))
        outputs.append(part["output"])
        if who is not None:
            place = (Ellipsis,) if streams is None else (who,)
            rest = [a.at[place].set(0) for a in (phase.x, phase.costate, phase.trace)]
            phase = eqx.tree_at(lambda p: [p.x, p.costate, p.trace], phase, rest)
    np.testing.assert_array_equal(trace["output"], np.concatenate(outputs))
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(phase), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_weight_of_nothing_is_no_target():
    network = Digraph.complete(LEAKY, inputs=INPUTS, outputs=(0, 1), speed=0.1)
    law = Hamiltonian(mass=50.0, dissipation=0.7, traces=Traces())
    learner = Learner(network, Cost(SquaredError()), law, hops=5, settle=4, clock="sample")
    u, z, *_ = sequence(3)
    weight = (np.arange(STEPS) % 3 == 0) * 1.0
    start = learner.init(jax.random.key(3))
    weighed, _ = learner.run(start, Samples(u, z, weight=weight))
    missing, _ = learner.run(start, (u, np.where(weight[:, None] > 0, z, np.nan)))
    for a, b in zip(jax.tree.leaves(weighed), jax.tree.leaves(missing), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(StreamError, match="weight of sample 4 must be 0 or more"):
        learner.run(start, Samples(u, z, weight=np.where(np.arange(STEPS) == 4, -1.0, 1.0)))


def test_errors_say_what_is_wrong():
    with pytest.raises(ConfigError, match="instantaneous, reversed"):
        Traces("none")
    cost, network = Cost(SquaredError()), Digraph.complete(2, inputs=1, speed=0.5)
    flip = Hamiltonian(policy=SignFlip(period=4), traces=Traces())
    with pytest.raises(ConfigError, match="SignFlip runs states backward"):
        Learner(network, cost, flip, hops=2).init(jax.random.key(0))
    with pytest.raises(ConfigError, match="SignFlip runs states backward"):
        Learner(network, cost, Hamiltonian(policy=SignFlip(period=4)), hops=2, clock="sample")
    feedback = FeedbackWeights(Digraph.layered([1, 2, 1], speed=0.5))
    with pytest.raises(ConfigError, match="FeedbackWeights keeps no traces"):
        Learner(feedback, cost, Hamiltonian(traces=Traces()), hops=2).init(jax.random.key(0))
    euler = Hamiltonian(traces=Traces(), integrator=ExplicitEuler())
    with pytest.raises(ConfigError, match=r"take ExponentialEuler\(\), or Traces\('reversed'\)"):
        Learner(network, cost, euler, hops=2).init(jax.random.key(0))
    learner = Learner(network, cost, Hamiltonian(mass=9.0), hops=2)
    u, z = np.zeros((4, 1)), np.zeros((4, 1))
    for name in ("weight", "begins"):
        for shape in ((4, 2), (4, 1)):
            given = Samples(u, z, **{name: np.zeros(shape)})
            with pytest.raises(StreamError, match=f"{name} of a sample has shape"):
                learner.run(learner.init(jax.random.key(0)), given)
    with pytest.raises(ConfigError, match="take hop or sample"):
        Learner(network, cost, hops=2, clock="day")


def test_a_checkpoint_keeps_traces_and_goes_on_to_the_same_bits(tmp_path):
    speed = [*np.geomspace(0.02, 1.0, LEAKY), np.inf, np.inf]
    network = Digraph.complete(LEAKY + 2, INPUTS, outputs=(LEAKY, LEAKY + 1), speed=speed)
    law = Hamiltonian(mass=Adaptive(), dissipation=0.7, traces=Traces())
    learner = Learner(network, Cost(SquaredError()), law, hops=5, settle=4, clock="sample")
    u, z, *_ = sequence(4)
    phase, _ = learner.run(learner.init(jax.random.key(0)), (u, z))
    checkpoint.save(tmp_path / "c.npz", learner, phase, position=STEPS)
    kept = checkpoint.load(tmp_path / "c.npz").phase(learner)
    assert float(jnp.abs(kept.trace).max()) > 0
    ends = [learner.run(p, (u, z))[0] for p in (phase, kept)]
    for a, b in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_array_equal(a, b)
    other = Learner(network, Cost(SquaredError()), law, hops=5)
    with pytest.raises(CheckpointError, match="clock"):
        checkpoint.load(tmp_path / "c.npz").phase(other)


@pytest.mark.slow
def test_ten_million_steps_without_drift_growth_or_nan():
    """A recurrent memory follows a stream for as long as anybody would let it.

    With weight decay: without it the weights of the loops creep up by one in some five million
    steps, and after nine million this very run goes wrong.
    """
    speed = [*np.geomspace(0.02, 1.0, 5), np.inf]
    network = Digraph.complete(6, inputs=2, outputs=(5,), speed=speed)
    law = Hamiltonian(mass=Adaptive(rate=3e-4), dissipation=0.7, traces=Traces())
    learner = Learner(network, Cost(SquaredError(), 1e-4), law, hops=1)
    phase, piece = learner.init(jax.random.key(0)), 1_000_000
    # A period of the stream divides a piece, so that every piece is the same.
    t = np.arange(piece)
    u = np.stack([np.sin(2 * np.pi * t / 200), np.cos(2 * np.pi * t / 125)], axis=1)
    z = 0.5 * (u[:, :1] + np.roll(u[:, 1:], 10, axis=0))
    losses, traces = [], []
    for _ in range(10):
        phase, trace = learner.run(phase, (u, z), record=("loss",), chunk=piece)
        losses.append(float(trace["loss"][-100_000:].mean()))
        traces.append(float(jnp.abs(phase.trace).max()))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(phase))
    assert max(traces) <= 1.0 + 1e-6  # a leaky mean of slopes and states of at most 1
    assert max(losses) < 0.01 * float(np.var(z))
    assert max(losses[1:]) < 1.01 * min(losses[1:])
    assert np.abs(phase.w).max() < 2
