"""Readouts of one's own and silent arcs, against autodiff."""

from __future__ import annotations

from functools import partial

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
    GraphError,
    Hamiltonian,
    Huber,
    Layered,
    Learner,
    LeastAction,
    SquaredError,
    Traces,
    audit,
)

INPUTS, WIDTH, OUTPUTS = 3, 4, 2


def heads(answer=None, silent=("lower",)):
    """Two levels, each with a readout; the upper one reads the lower one by a silent arc."""
    linear = lambda a, b: partial(eqx.nn.Linear, a, b)  # noqa: E731
    return Layered(
        {
            "lower": Block(linear(INPUTS, WIDTH), ["input"], "tanh"),
            "upper": Block(linear(WIDTH, WIDTH), ["lower"], "tanh", silent=silent),
            "a": Block(linear(WIDTH, OUTPUTS), ["lower"]),
            "b": Block(linear(WIDTH, OUTPUTS), ["upper"]),
        },
        inputs=(INPUTS,),
        output=["a", "b"],
        answer=answer,
    )


def settled_force(network, cost, u, z, streams=None):
    """The weights, and the force of a hop that comes after all has settled."""
    learner = Learner(network, cost, Hamiltonian(mass=1e30), hops=9, settle=8, streams=streams)
    phase = learner.init(jax.random.key(0))
    after, _ = learner.run(phase, (u[None], z[None]))
    return phase.w, jax.tree.map(lambda p: -p, after.momentum)


def written_out(w, u, cut=True):
    lower = jnp.tanh(w["lower"].weight @ u + w["lower"].bias)
    heard = jax.lax.stop_gradient(lower) if cut else lower
    upper = jnp.tanh(w["upper"].weight @ heard + w["upper"].bias)
    return {
        "a": w["a"].weight @ lower + w["a"].bias,
        "b": w["b"].weight @ upper + w["b"].bias,
    }


@pytest.mark.parametrize("kind", ["one loss", "two losses", "not silent", "streams"])
def test_the_force_is_the_gradient_of_the_sum_of_losses_cut_at_silent_arcs(x64, kind):
    rng = np.random.default_rng(0)
    several = (2,) if kind == "streams" else ()
    u, z = 2 * rng.normal(size=(*several, INPUTS)), 3 * rng.normal(size=(*several, OUTPUTS))
    each = {"a": SquaredError(2.0), "b": Huber()} if kind == "two losses" else SquaredError()
    cut = kind != "not silent"
    network = heads(silent=("lower",) if cut else ())
    w, force = settled_force(network, Cost(each), u, z, 2 if several else None)

    def of_one(w, u, z):
        said, squares = written_out(w, u, cut), lambda e: jnp.sum(e**2) / 2
        error = said["b"] - z
        upper = squares(error)
        if kind == "two losses":
            size = jnp.abs(error)
            upper = jnp.sum(jnp.where(size < 1, error**2 / 2, size - 0.5))
        return (2 if kind == "two losses" else 1) * squares(said["a"] - z) + upper

    def loss(w):
        return jnp.mean(jax.vmap(of_one, (None, 0, 0))(w, u, z)) if several else of_one(w, u, z)

    for own, theirs in zip(jax.tree.leaves(force), jax.tree.leaves(jax.grad(loss)(w)), strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("law", [Hamiltonian(mass=1e30), LeastAction(mass=1e30)])
@pytest.mark.parametrize("answer", [None, "last", "a"])
def test_the_answer_is_one_readout_or_their_mean_and_its_loss_is_recorded(x64, answer, law):
    network = heads(answer)
    learner = Learner(network, Cost(SquaredError()), law)
    rng = np.random.default_rng(1)
    u, z = rng.normal(size=(5, INPUTS)), rng.normal(size=(5, OUTPUTS))
    phase = learner.init(jax.random.key(0))
    _, trace = learner.run(phase, (u, z), record=("output", "loss"))
    for k in range(5):
        said = written_out(phase.w, u[k])
        right = {None: (said["a"] + said["b"]) / 2, "last": said["b"], "a": said["a"]}[answer]
        np.testing.assert_allclose(learner.predict(phase, u[k]), right, rtol=1e-9)
        if isinstance(law, Hamiltonian):
            np.testing.assert_allclose(trace["output"][k], right, rtol=1e-12)
            np.testing.assert_allclose(trace["loss"][k], np.sum((right - z[k]) ** 2) / 2, rtol=1e-9)


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_a_silent_arc_of_a_digraph_carries_states_and_no_error(x64, storage):
    arcs = [("u", "p"), ("v", "q"), ("p", "q"), ("q", "y"), ("p", "y")]
    make = partial(
        Digraph.from_edges, arcs, inputs=["u", "v"], outputs=["y"], storage=storage, bias=False
    )
    network = make(silent=[("p", "q")])
    cost, u, z = Cost(SquaredError()), np.array([0.7, -1.2]), np.array([0.4])
    w, force = settled_force(network, cost, u, z)
    arc = {pair: k for k, pair in enumerate(network.edges())}

    def loss(flat):
        p = jnp.tanh(flat[arc["u", "p"]] * u[0])
        heard = jax.lax.stop_gradient(p)
        q = jnp.tanh(flat[arc["v", "q"]] * u[1] + flat[arc["p", "q"]] * heard)
        y = jnp.tanh(flat[arc["q", "y"]] * q + flat[arc["p", "y"]] * p)
        return (y[0] - z[0]) ** 2 / 2 if y.ndim else (y - z[0]) ** 2 / 2

    expected = jax.grad(loss)(jnp.asarray(network.arcs.take(w)))
    np.testing.assert_allclose(network.arcs.take(force), expected, rtol=1e-12, atol=1e-15)
    heard, unheard = (settled_force(n, cost, u, z)[1] for n in (make(), network))
    assert not np.allclose(heard, unheard)
    back = Digraph.from_networkx(network.to_networkx())
    assert [a for a, s in zip(back.edges(), back.arcs.take(back.silent), strict=True) if s] == [
        ("p", "q")
    ]


def test_several_readouts_are_audited_as_outputs():
    proof = audit(heads(), Hamiltonian(mass=Adaptive()), compare=False)
    assert proof.local_in_space, str(proof)


@pytest.mark.slow
def test_memory_learns_what_was_seen_some_steps_ago():
    """A sign of five steps ago, told at every step."""
    network = Layered.memory(1, 1, levels=(6, 6), hidden=8)
    law = Hamiltonian(mass=Adaptive(rate=0.02), dissipation=0.7 * 7, traces=Traces())
    learner = Learner(
        network, Cost(SquaredError()), law, clock="sample", duration=1.0, hops=7, settle=6
    )
    u = np.sign(np.random.default_rng(0).normal(size=(3000, 1)))
    z = np.roll(u, 5, axis=0)
    phase, trace = learner.run(learner.init(jax.random.key(0)), (u, z))
    assert trace["loss"][-300:].mean() < 0.25  # a coin's is one half
    assert phase.trace["senses"] is not None
    assert phase.trace["level1"][0] is None  # silent: no errors, no traces


def test_masks_thin_out_what_readouts_see():
    network = Layered.memory(1, 2, levels=(3, 4), hidden=5, masks=True)
    assert network.inputs == {"input": (1,), "kept1": (18,), "kept2": (24,)}
    x, w = network.init(jax.random.key(0))
    x = jax.tree.map(lambda a: jnp.ones_like(a), x)
    ones = {name: jnp.ones(shape) for name, shape in network.inputs.items()}
    whole = network.drive(x, w, ones)
    none = network.drive(x, w, {**ones, "kept2": jnp.zeros(24)})
    np.testing.assert_array_equal(whole["hidden1"], none["hidden1"])
    np.testing.assert_allclose(none["hidden2"], jax.nn.gelu(w["hidden2"].bias))
    plain = Layered.memory(1, 2, levels=(3, 4), hidden=5)
    np.testing.assert_array_equal(plain.drive(x, w, ones["input"])["hidden2"], whole["hidden2"])


def test_groups_of_weights_have_rates_of_their_own_and_rates_may_change(x64):
    w = {"fast": jnp.ones(2), "slow": {"a": jnp.ones(3), "b": jnp.ones(1)}}
    mass = Adaptive(rate={"fast": 0.1, "slow": jnp.asarray(0.01)}, decay=0.5, floor=1e-3)
    memory = mass.update(mass.init(w), jax.tree.map(lambda a: 3 * a, w), 1.0)
    found = mass.value(memory, w)
    root = 3 * np.sqrt(1 - np.exp(-0.5)) + 1e-3
    np.testing.assert_allclose(found["fast"], root / 0.1)
    np.testing.assert_allclose(found["slow"]["a"], root / 0.01)
    with pytest.raises(ConfigError, match=r"rate of the adaptive mass is -0.1"):
        Adaptive(rate={"fast": -0.1})


def test_errors_say_what_is_wrong():
    linear = partial(eqx.nn.Linear, INPUTS, 1)
    blocks = {"a": Block(linear, ["input"]), "b": Block(linear, ["input"])}
    with pytest.raises(GraphError, match="answer 'c': take mean, last, or one of the outputs"):
        Layered(blocks, inputs=(INPUTS,), output=["a", "b"], answer="c")
    with pytest.raises(GraphError, match="of one output alone"):
        Layered({"a": blocks["a"]}, inputs=(INPUTS,), output="a", answer="mean")
    wide = Block(partial(eqx.nn.Linear, INPUTS, 2), ["input"])
    with pytest.raises(GraphError, match="have one target, but shapes"):
        Layered({"a": blocks["a"], "b": wide}, inputs=(INPUTS,), output=["a", "b"])
    with pytest.raises(GraphError, match="silent arc 'input' -> 'b' is not an arc"):
        Layered(
            {"a": blocks["a"], "b": Block(partial(eqx.nn.Linear, 1, 1), ["a"], silent=["input"])},
            inputs=(INPUTS,),
            output=["a", "b"],
        )
    with pytest.raises(GraphError, match="silent arc 'x0' -> 'u0' is not an arc of the digraph"):
        Digraph.complete(2, 1, silent=[("x0", "u0")])
    with pytest.raises(GraphError, match="no level of memory"):
        Layered.memory(1, 1, levels=())
    learner = Learner(heads(), Cost({"a": SquaredError()}))
    with pytest.raises(ConfigError, match="the cost has no loss for readout 'b'; it has a"):
        learner.step(learner.init(jax.random.key(0)), np.zeros(INPUTS), np.zeros(OUTPUTS))
