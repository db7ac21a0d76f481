"""Oscillating neurons and modes, learned speeds: laws.md, section 15, against autodiff."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from held_weights import INPUTS, OUTPUTS, STILL, accumulated, sequence

from localprop import (
    Adaptive,
    Block,
    ConfigError,
    Cost,
    Digraph,
    ExplicitEuler,
    FastCostates,
    FeedbackWeights,
    GraphError,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    ModeBank,
    Modes,
    SignFlip,
    SquaredError,
    Traces,
    checkpoint,
    read_modes,
)

NEURONS, LASTS = 4, 1.3  # the duration of a sample
RATES = np.geomspace(0.05, 2.0, NEURONS)  # leaks, per unit of time
TURNS = np.array([0.0, 0.3, -1.0, 2.5])  # frequencies, radians per unit of time


def check_equal(force, expected, rtol=1e-11):
    leaves = zip(jax.tree.leaves(force), jax.tree.leaves(expected), strict=True)
    for own, theirs in leaves:
        scale = float(np.abs(theirs).max())
        assert scale > 0
        np.testing.assert_allclose(own, theirs, rtol=rtol, atol=1e-12 * scale)


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        ("oscillating", "xla"),
        ("learned", "xla"),
        ("oscillating, learned", "xla"),
        ("oscillating, learned", "native"),
        # Loops of their own, which take long to compile.
        pytest.param("oscillating", "native", marks=pytest.mark.slow),
        pytest.param("learned", "native", marks=pytest.mark.slow),
    ],
)
def test_t1_neurons_that_oscillate_or_learn_their_speed_have_the_gradient_of_bptt(
    x64, storage, kind, engine
):
    names, learned = [f"h{k}" for k in range(NEURONS)], "learned" in kind
    turns = TURNS if "oscillating" in kind else np.zeros(NEURONS)
    inputs, outputs = ["a", "b", "c"], ["y", "z"]
    network = Digraph.from_edges(
        [(u, h) for u in inputs for h in names] + [(h, y) for h in names for y in outputs],
        inputs=inputs,
        outputs=outputs,
        activation={**dict.fromkeys(names, "tanh"), **dict.fromkeys(outputs, "identity")},
        speed=dict(zip(names, RATES, strict=True)),
        frequency=dict(zip(names, turns, strict=True)) if "oscillating" in kind else None,
        learn_speed=learned,
        storage=storage,
    )
    order = np.array([network.vertices.index(v) - INPUTS for v in names])
    readout = np.setdiff1d(np.arange(NEURONS + OUTPUTS), order)
    rng, shift = np.random.default_rng(5), []
    if learned:
        moved = jnp.asarray(rng.normal(size=NEURONS + OUTPUTS)).at[readout].set(0.0)
        shift.append((lambda p: p.w["leak"], moved / 3))
        if "oscillating" in kind:
            shift.append((lambda p: p.w["frequency"], moved / 2))
    stream = sequence()
    w, force = accumulated(network, stream, shift=shift, duration=LASTS, engine=engine)

    def loss(w):
        arcs = w["arcs"] if learned else w
        rest = {} if not learned else w
        leak = RATES * jnp.exp(rest.get("leak", jnp.zeros(NEURONS + OUTPUTS))[order])
        turn = turns + rest.get("frequency", jnp.zeros(NEURONS + OUTPUTS))[order]
        keep = jnp.exp((-leak + 1j * turn) * LASTS)
        weigh, h, total = network.arcs.weigh, jnp.zeros(NEURONS, complex), 0.0
        for u, z, weight in zip(stream.u, stream.z, stream.weight, strict=True):
            seen = jnp.concatenate([u, jnp.ones(1), jnp.zeros(NEURONS + OUTPUTS)])
            h = keep * h + (1 - keep) * jnp.tanh(weigh(arcs, seen)[order])
            seen = jnp.zeros(len(seen)).at[INPUTS].set(1.0).at[INPUTS + 1 + order].set(h.real)
            total += weight * jnp.sum((weigh(arcs, seen)[network.outputs] - z) ** 2) / 2
        return total

    expected = jax.grad(loss)(w)
    if learned:
        for name in set(w) - {"arcs"}:
            np.testing.assert_array_equal(force[name][readout], 0)  # of infinite speed
    check_equal(force, expected)


def level(module, activation, banks, size, **settings):
    """One block of modes, and a readout of all that errors come back from."""
    heard = [2 * b.count for b in banks if not b.silent]
    last = [b.silent for b in banks]
    assert last == sorted(last, reverse=True)  # silent ones first
    first = sum(b.count for b in banks if b.silent)
    top = partial(eqx.nn.Linear, sum(heard) * size, OUTPUTS)
    memory = partial(Modes, module, activation, banks, **settings)
    return Layered(
        {
            "memory": Block(memory, ["input"]),
            "readout": Block(top, ["memory"], join=read_modes(first)),
        },
        inputs=(INPUTS,),
        output="readout",
    )


FIXED = ModeBank.harmonics(7.0, 4.0, 3)
LEARNED = ModeBank([3.0, 9.0], [0.2, -0.7], learned=True)
SILENT = ModeBank.leaks(1.0, 8.0, 2, silent=True)
BANKS = {
    "fixed": [FIXED],
    "learned": [LEARNED],
    "fixed and learned": [FIXED, LEARNED],
    "silent and learned": [SILENT, LEARNED],
}


CASES = [("linear", kind, engine) for kind in BANKS for engine in ("native", "xla")]
CASES += [pytest.param("any module", kind, "xla", marks=pytest.mark.slow) for kind in BANKS]


@pytest.mark.parametrize(("features", "kind", "engine"), CASES)
def test_t1_modes_of_features_have_the_gradient_of_bptt(x64, kind, features, engine):
    banks, size = BANKS[kind], 5
    make = {
        "linear": partial(eqx.nn.Linear, INPUTS, size),
        "any module": partial(eqx.nn.MLP, INPUTS, size, 4, 1),
    }[features]
    network, stream = level(make, "gelu", banks, size, features=(size,)), sequence(1)
    rng = np.random.default_rng(3)
    shift = [
        (lambda p, k=k, f=f: getattr(p.w["memory"], f)[k], rng.normal(size=(b.count, size)) / 4)
        for k, b in enumerate(banks)
        if b.learned
        for f in ("leak", "frequency")
    ]
    w, force = accumulated(network, stream, shift=shift, duration=LASTS, engine=engine)
    frame = eqx.partition(make(key=jax.random.key(0)), eqx.is_inexact_array)[1]

    def loss(w):
        own, total, states = w["memory"], 0.0, [0.0] * len(banks)
        for u, z, weight in zip(stream.u, stream.z, stream.weight, strict=True):
            y, seen = jax.nn.gelu(eqx.combine(own.module, frame)(u)), []
            for k, bank in enumerate(banks):
                nu = 1 / np.array(bank.time_constants)[:, None]
                omega = np.array(bank.frequencies)[:, None]
                a = np.exp(-nu + 1j * omega)  # of one unit of time, as the bank begins
                gain = np.sqrt(1 - abs(a) ** 2) / (1 - a)
                if bank.learned:
                    nu, omega = nu * jnp.exp(own.leak[k]), omega + own.frequency[k]
                keep = jnp.exp((-nu + 1j * omega) * LASTS)
                states[k] = keep * states[k] + (1 - keep) * gain * y
                if not bank.silent:
                    seen.append(jnp.stack([states[k].real, states[k].imag]))
            top = w["readout"].weight @ jnp.concatenate(seen, 1).ravel() + w["readout"].bias
            total += weight * jnp.sum((top - z) ** 2) / 2
        return total

    check_equal(force, jax.grad(loss)(w))


@pytest.mark.parametrize(
    ("engine", "join", "traces"),
    [("native", read_modes(), Traces()), ("xla", jax.jit(read_modes()), None)],
)
def test_in_one_unit_of_time_a_mode_does_as_the_recipe_says(x64, engine, join, traces):
    """$h \\leftarrow a h + \\sqrt{1 - |a|^2} y$, $a = e^{-1/\\tau + 2\\pi i m/P}$."""
    bank, stream = ModeBank.harmonics(16.0, 4.0, 6), sequence(2)
    modes = Block(Modes(None, "identity", bank), ["input"])
    top = Block(partial(eqx.nn.Linear, 36, OUTPUTS), ["modes"], join=join)
    network = Layered({"modes": modes, "top": top}, inputs=(INPUTS,), output="top")
    law, times = Hamiltonian(mass=STILL, traces=traces), {"clock": "sample", "duration": 1.0}
    learner = Learner(network, Cost(SquaredError()), law, engine=engine, **times)
    phase, _ = learner.run(learner.init(jax.random.key(0)), stream)
    a = np.exp(-1 / 4.0 + 2j * np.pi * np.arange(6) / 16.0)[:, None]
    h = np.zeros((6, INPUTS), complex)
    for u in stream.u:
        h = a * h + np.sqrt(1 - abs(a) ** 2) * u
    np.testing.assert_allclose(phase.x["modes"], [h.real, h.imag], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("engine", ["native", "xla"])
@pytest.mark.parametrize("costate", ["instantaneous", "reversed"])
@pytest.mark.parametrize(
    ("policy", "streams"),
    [
        (None, 2),
        pytest.param(None, None, marks=pytest.mark.slow),
        pytest.param(FastCostates(), 2, marks=pytest.mark.slow),
    ],
)
def test_t2_at_frequency_0_the_real_part_obeys_the_real_law(x64, costate, policy, streams, engine):
    found = []
    speed = [*RATES, np.inf, np.inf]
    for frequency in (None, 0.0):
        network = Digraph.complete(
            NEURONS + 2, INPUTS, (NEURONS, NEURONS + 1), speed=speed, frequency=frequency
        )
        how = {} if policy is None else {"policy": policy}
        law = Hamiltonian(mass=30.0, dissipation=0.7, traces=Traces(costate), **how)
        given = {"hops": 5, "settle": 2, "streams": streams, "engine": engine}
        learner = Learner(network, Cost(SquaredError()), law, **given)
        u, z, *_ = sequence(4)
        if streams is not None:
            u, z = np.stack([u, -u], 1), np.stack([z, z], 1)
        found.append(learner.run(learner.init(jax.random.key(1)), (u, z))[0])
    real, pair = found
    axis = 0 if streams is None else 1
    for name in ("x", "costate", "trace"):
        a, b = getattr(real, name), jnp.moveaxis(getattr(pair, name), axis, 0)
        np.testing.assert_allclose(a, b[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(b[1], 0, atol=1e-14)
    np.testing.assert_allclose(real.w, pair.w, rtol=1e-12, atol=1e-12)


def test_one_speed_and_frequency_for_all_are_those_of_each(x64):
    cost, ends = Cost(SquaredError()), []
    for each in (1, np.ones(3)):
        network = Digraph.complete(3, INPUTS, (0, 1), speed=0.3 * each, frequency=0.5 * each)
        law = Hamiltonian(mass=30.0, traces=Traces())
        learner = Learner(network, cost, law, hops=2, settle=0, engine="xla")
        ends.append(learner.run(learner.init(jax.random.key(0)), sequence(1))[0])
    check_equal(ends[0].trace, ends[1].trace)


def test_reversed_costates_are_turned_back(x64):
    """$\\lambda$ relaxes at $\\bar c$: a hop of a lone neuron, written out."""
    network = Digraph.from_edges(
        [("u", "x")], inputs=["u"], outputs=["x"], speed=0.3, frequency=0.8, activation="identity"
    )
    law = Hamiltonian(mass=STILL, dissipation=0.2)
    phase = law.init(network, Cost(SquaredError()), jax.random.key(0))
    phase = eqx.tree_at(lambda p: p.costate, phase, jnp.array([[0.7], [-0.4]]))
    after = law.hop(network, Cost(SquaredError()), phase, jnp.ones(1), jnp.array([2.0]), 0.5)
    c, old, error = 0.3 + 0.8j, 0.7 - 0.4j, -2.0
    keep = np.exp(-(c + 0.2) * 0.5)
    new = keep * old + c / (c + 0.2) * (1 - keep) * error
    np.testing.assert_allclose(after.costate[:, 0], [new.real, new.imag], rtol=1e-13)


@pytest.mark.parametrize("kind", ["digraph", "modes"])
def test_streams_share_the_force_and_learned_speeds(x64, kind):
    network = (
        Digraph.complete(4, INPUTS, (0, 1), speed=[0.5, 0.1, 0.2, 0.4], frequency=0.3,
                         learn_speed=True)
        if kind == "digraph"
        else level(partial(eqx.nn.Linear, INPUTS, 5), "tanh", BANKS["fixed and learned"], 5)
    )  # fmt: skip
    one, two = sequence(0), sequence(1)
    both = jax.tree.map(lambda a, b: np.stack([a, b], 1), one, two)
    law, cost = Hamiltonian(mass=STILL, traces=Traces("reversed")), Cost(SquaredError())
    ends = []
    for streams, given in ((2, both), (None, one), (None, two)):
        learner = Learner(network, cost, law, clock="sample", hops=5, settle=4, streams=streams)
        ends.append(learner.run(learner.init(jax.random.key(0)), given)[0].momentum)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *ends[1:])
    check_equal(ends[0], mean)


def test_learned_speeds_move_where_they_help_and_a_checkpoint_keeps_them(tmp_path):
    """A neuron much too slow for its target learns to be faster."""
    network = Digraph.from_edges(
        [("u", "x")], inputs=["u"], outputs=["x"], speed=0.02, learn_speed=True,
        activation="identity", fixed={("u", "x"): 1.0}, bias=False,
    )  # fmt: skip
    law = Hamiltonian(mass=20.0, dissipation=0.7, traces=Traces())
    learner = Learner(
        network, Cost(SquaredError()), law, hops=3, settle=2, clock="sample", duration=1.0
    )
    u = np.sign(np.sin(np.arange(4000) / 9.0))[:, None]
    x, z = 0.0, np.zeros_like(u)
    for t in range(len(u)):
        x = np.exp(-0.3) * x + (1 - np.exp(-0.3)) * u[t]
        z[t] = x
    phase, trace = learner.run(learner.init(jax.random.key(0)), (u, z))
    assert abs(0.02 * float(jnp.exp(phase.w["leak"][0])) - 0.3) < 0.06
    assert trace["loss"][-500:].mean() < 0.1 * trace["loss"][:500].mean()
    checkpoint.save(tmp_path / "c.npz", learner, phase, position=4000)
    kept = checkpoint.load(tmp_path / "c.npz").phase(learner)
    for a, b in zip(
        *(jax.tree.leaves(learner.run(p, (u, z))[0]) for p in (phase, kept)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_t1_a_block_of_unlike_speeds_has_the_gradient_of_bptt(x64):
    speed = np.geomspace(0.1, 3.0, 5)
    memory = Block(partial(eqx.nn.Linear, INPUTS, 5), ["input"], "tanh", speed)
    top = Block(partial(eqx.nn.Linear, 5, OUTPUTS), ["memory"])
    network = Layered({"memory": memory, "top": top}, inputs=(INPUTS,), output="top")
    stream = sequence(6)
    w, force = accumulated(network, stream, duration=LASTS)
    keep = np.exp(-speed * LASTS)

    def loss(w):
        x, total = 0.0, 0.0
        for u, z, weight in zip(stream.u, stream.z, stream.weight, strict=True):
            x = keep * x + (1 - keep) * jnp.tanh(w["memory"].weight @ u + w["memory"].bias)
            total += weight * jnp.sum((w["top"].weight @ x + w["top"].bias - z) ** 2) / 2
        return total

    check_equal(force, jax.grad(loss)(w))


def test_networkx_keeps_frequencies_and_learned_speeds():
    network = Digraph.complete(3, 1, frequency=[0.1, 0.0, 2.0], speed=0.5, learn_speed=True)
    back = Digraph.from_networkx(network.to_networkx())
    np.testing.assert_array_equal(back.frequency, network.frequency)
    assert back.learned == network.learned == ("leak", "frequency")


def test_errors_say_what_is_wrong():
    cost, key = Cost(SquaredError()), jax.random.key(0)
    turning = Digraph.complete(2, 1, speed=0.5, frequency=0.3)
    learned = Digraph.complete(2, 1, speed=0.5, learn_speed=True)
    for law, who in (
        (Hamiltonian(policy=SignFlip(period=2)), "SignFlip"),
        (Hamiltonian(integrator=ExplicitEuler()), "ExplicitEuler"),
        (LeastAction(), "LeastAction"),
    ):
        with pytest.raises(ConfigError, match=f"{who}.. has no equations for neurons that osc"):
            law.init(turning, cost, key)
    with pytest.raises(ConfigError, match="a speed is learned by its trace"):
        Hamiltonian().init(learned, cost, key)
    with pytest.raises(ConfigError, match="feedback weights need plain speeds"):
        FeedbackWeights(learned)
    with pytest.raises(GraphError, match="frequency inf of vertex 'x0'"):
        Digraph.complete(2, 1, frequency=np.inf)
    with pytest.raises(GraphError, match="2 time constants and 1 frequencies"):
        ModeBank([1.0, 2.0], [0.0])
    with pytest.raises(GraphError, match="above 0, and finite"):
        ModeBank([0.0], [0.0])
    with pytest.raises(GraphError, match="finite numbers"):
        ModeBank([1.0], [np.nan])
    with pytest.raises(GraphError, match="hears no error"):
        ModeBank([1.0], [0.0], learned=True, silent=True)
    with pytest.raises(GraphError, match="give features="):
        Modes(None, "identity", LEARNED)


@pytest.mark.slow
def test_ten_million_steps_of_modes_without_drift_growth_or_nan():
    """What came three steps before, read out of learned modes: still learned at the end."""
    bank = ModeBank.harmonics(16.0, 8.0, 2, learned=True)
    blocks = {
        "bank": Block(Modes(None, "identity", bank, features=(2,)), ["input"]),
        "top": Block(partial(eqx.nn.Linear, 8, 1), ["bank"], join=read_modes()),
    }
    network = Layered(blocks, inputs=(2,), output="top")
    law = Hamiltonian(mass=Adaptive(), dissipation=0.7, traces=Traces())
    times = {"clock": "sample", "duration": 1.0, "hops": 5, "settle": 4}
    learner = Learner(network, Cost(SquaredError()), law, **times)
    phase, rng = learner.init(jax.random.key(0)), np.random.default_rng(0)
    carried = sum(a.nbytes for a in jax.tree.leaves(phase))
    for _ in range(100):
        u = rng.normal(size=(100_000, 2))
        z = np.roll(u[:, :1], 3, axis=0)
        phase, trace = learner.run(phase, (u, z), record=("loss",), chunk=20_000)
    assert trace["loss"].mean() < 1e-3  # half the variance, .5, for what knows nothing
    leaves = jax.tree.leaves(phase)
    assert all(np.isfinite(np.asarray(a)).all() for a in leaves)
    assert sum(a.nbytes for a in leaves) == carried
    assert max(float(np.abs(a).max()) for a in jax.tree.leaves((phase.trace, phase.w))) < 100
