"""Least action: S1, S3 and S4, the order of its integrators, and how it behaves in the learner."""

from __future__ import annotations

import equinox as eqx
import independent_maps as maps
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.signal
from engines import hopper, on_both_engines
from jax.flatten_util import ravel_pytree

from localprop import (
    Adaptive,
    ConfigError,
    Cost,
    Digraph,
    DivergenceError,
    Inertial,
    Layered,
    Learner,
    LeastAction,
    Overdamped,
    SemiImplicitEuler,
    SharedWeights,
    Splitting,
    SquaredError,
)

pytestmark = pytest.mark.usefixtures("x64")

SIZES = [3, 5, 4, 2]
DECAY = 0.05
COST = Cost(SquaredError(), DECAY)


def _case():
    return maps.layered_digraph(SIZES, "tanh", "dense")


def _sample(seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal(SIZES[0])), jnp.asarray(rng.standard_normal(SIZES[-1]))


def _written_out_drive(w, x, u):
    """The drive of the layered digraph, from the documented layout of its weights."""
    sources = jnp.concatenate([u, jnp.ones(1), x])
    d, hidden = SIZES[0], sum(SIZES[1:-1])
    mask, place = np.zeros((len(x), d + 1 + len(x))), [0, d + 1, d + 1 + SIZES[1]]
    head = 0
    for k, size in enumerate(SIZES[1:]):
        mask[head : head + size, place[k] : place[k] + SIZES[k]] = 1
        mask[head : head + size, d] = 1
        head += size
    a = (mask * w) @ sources
    return jnp.concatenate([jnp.tanh(a[:hidden]), a[hidden:]])


def _potential(x, w, u, z, stiffness, decay=DECAY):
    """U of laws.md, section 9, with no part of localprop in it."""
    mismatch = x - _written_out_drive(w, x, u)
    target = jnp.sum((x[-SIZES[-1] :] - z) ** 2) / 2
    return stiffness / 2 * jnp.sum(mismatch**2) + decay / 2 * jnp.sum(w**2) + target


def _moving_phase(law, network, seed=0, scale=0.3):
    """A phase off the constraint, with every momentum different from 0."""
    phase = law.init(network, Cost(SquaredError()), jax.random.key(seed))
    rng = np.random.default_rng(seed)
    normal = lambda a: jnp.asarray(scale * rng.standard_normal(a.shape))  # noqa: E731
    # Dense storage keeps entries without an arc at 0, and their momentum.
    arcs = phase.w != 0
    arcs = arcs.at[:, SIZES[0]].set(True)
    phase = eqx.tree_at(
        lambda p: (p.x, p.momentum), phase, (normal(phase.x), arcs * normal(phase.w))
    )
    if isinstance(law.neurons, Inertial):
        phase = eqx.tree_at(lambda p: p.costate, phase, normal(phase.x))
    return phase


# S1 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["layered", "convolution"])
def test_s1_mismatch_at_rest_is_the_backprop_delta_up_to_one_over_stiffness(name):
    case = _case() if name == "layered" else maps.convolution()
    network, cost = case.network, Cost(SquaredError())
    rng = np.random.default_rng(3)
    u = jnp.asarray(rng.standard_normal(case.input_shape))
    z = jnp.asarray(rng.standard_normal(case.outputs))
    x0, _ = network.init(jax.random.key(0))
    # Weights so small that a stiffness of 10 is already in the range of the power law.
    w = maps.random_weights(network, 3, 0.6)
    flat, unflatten = ravel_pytree(x0)

    # Deltas by autodiff through nested drives with a push on every neuron.
    def loss(push):
        x = x0
        for _ in range(network.depth):
            x = jax.tree.map(jnp.add, network.drive(x, w, u), unflatten(push))
        return jnp.sum((case.output(x) - z) ** 2) / 2

    deltas = jax.grad(loss)(jnp.zeros_like(flat))

    def distance(stiffness):
        law = LeastAction(stiffness=stiffness)

        # Rest is where the law's own force on the neurons vanishes; Newton's method finds it.
        def force(x):
            phase = eqx.tree_at(lambda p: p.x, start, unflatten(x))
            return ravel_pytree(law.hop(network, cost, phase, u, z, 1e-3).costate)[0]

        start = law.init(network, cost, jax.random.key(0))
        start = eqx.tree_at(lambda p: p.w, start, w)
        x = flat
        for _ in range(network.depth):
            x = ravel_pytree(network.drive(unflatten(x), w, u))[0]
        newton = lambda _, x: x - jnp.linalg.solve(jax.jacobian(force)(x), force(x))  # noqa: E731
        x = jax.lax.fori_loop(0, 8, newton, x)
        epsilon = -stiffness * (x - ravel_pytree(network.drive(unflatten(x), w, u))[0])
        return jnp.linalg.norm(epsilon - deltas) / jnp.linalg.norm(deltas)

    stiffness = 10.0 ** np.arange(1, 5)
    distances = [float(jax.jit(lambda k=float(k): distance(k))()) for k in stiffness]
    slope = np.polyfit(np.log(stiffness), np.log(distances), 1)[0]
    assert abs(slope + 1) < 0.05, (slope, distances)


# Equations of motion, order, S3, S4 -------------------------------------------------------------


def _reference(law, phase, path, duration, stiffness):
    """The motion by SciPy, on forces by autodiff of the written-out potential."""
    n, shape = len(phase.x), phase.w.shape
    overdamped = isinstance(law.neurons, Overdamped)
    slopes = jax.jit(jax.grad(lambda x, w, t: _potential(x, w, *path(t), stiffness), (0, 1)))

    def rate(t, y):
        x, p, w, momentum = np.split(y, [n, 2 * n, 2 * n + phase.w.size])
        U_x, U_w = (np.asarray(a).ravel() for a in slopes(x, w.reshape(shape), t))
        w_rates = [momentum / law.mass.m, -law.dissipation * momentum - U_w]
        if overdamped:
            return np.concatenate([-law.neurons.speed * U_x, np.zeros(n), *w_rates])
        p_rate = -law.neurons.dissipation * p - U_x
        return np.concatenate([p / law.neurons.mass, p_rate, *w_rates])

    y0 = np.concatenate([np.ravel(a) for a in (phase.x, phase.costate, phase.w, phase.momentum)])
    found = scipy.integrate.solve_ivp(rate, (0, duration), y0, "DOP853", rtol=1e-12, atol=1e-13)
    return found.y[:, -1]


def _vector(phase):
    return np.concatenate([np.ravel(a) for a in (phase.x, phase.costate, phase.w, phase.momentum)])


def _held(t):
    del t
    return _sample()


def _smooth(t):
    u, z = _sample()
    return u * jnp.cos(t * jnp.arange(1, 4)), z * jnp.sin(1 + t * jnp.arange(1, 3))


def _march(law, network, path, phase, hops, tau):
    """Returns the phases at the end of every hop, in an environment that moves along `path`."""

    @jax.jit
    def run(phase):
        def one(phase, k):
            # The environment is read at the instant at which the integrator feels the force.
            u, z = path((k + law.motion.lead()) * tau)
            after = law.hop(network, COST, phase, u, z, tau)
            return after, after

        return jax.lax.scan(one, phase, jnp.arange(hops))[1]

    return run(phase)


def _end(engine, law, network, path, phase, hops, tau):
    """Returns the phase at the end of the last hop, by either engine."""
    u, z = jax.vmap(path)((np.arange(hops) + law.motion.lead()) * tau)
    return hopper(engine, network, COST, law, tau).run(phase, (u, z), record=())[0]


def _orders(engine, law, path, hops=(64, 128, 256), duration=2.0):
    network = _case().network
    phase = _moving_phase(law, network)
    exact = _reference(law, phase, path, duration, law.stiffness)
    errors = []
    for n in hops:
        end = _end(engine, law, network, path, phase, n, duration / n)
        errors.append(np.max(np.abs(_vector(end) - exact)))
    return np.log2(np.array(errors[:-1]) / errors[1:])


INERTIAL = Inertial(mass=0.8, dissipation=0.7)


@pytest.mark.parametrize(
    "path",
    [pytest.param(_held, id="held", marks=pytest.mark.slow), pytest.param(_smooth, id="smooth")],
)
@pytest.mark.parametrize(
    ("motion", "neurons", "order", "engine"),
    [
        pytest.param(SemiImplicitEuler(), INERTIAL, 1, "xla", id="semi-implicit"),
        pytest.param(SemiImplicitEuler(), INERTIAL, 1, "native", id="semi-implicit-native"),
        pytest.param(Splitting(), INERTIAL, 2, "xla", id="splitting"),
        pytest.param(Splitting(), Inertial(0.8, 0.0), 2, "xla", id="leapfrog"),
        pytest.param(SemiImplicitEuler(), Overdamped(0.6), 1, "xla", id="overdamped"),
        pytest.param(SemiImplicitEuler(), Overdamped(0.6), 1, "native", id="overdamped-native"),
    ],
)
def test_integrators_converge_to_the_equations_of_motion_with_their_order(
    motion, neurons, order, path, engine
):
    law = LeastAction(2.0, neurons, 1.5, 0.4, motion)
    # The next order's share of the error is still a few percent at these steps.
    np.testing.assert_allclose(_orders(engine, law, path), order, atol=0.12)


def test_s3_the_energy_balance_closes_with_an_error_of_second_order():
    law = LeastAction(2.0, INERTIAL, 1.5, 0.4, Splitting())
    network, duration, gaps = _case().network, 2.0, []
    start = _moving_phase(law, network)
    for hops in (32, 64, 128, 256):
        tau = duration / hops
        phases = _march(law, network, _smooth, start, hops, tau)
        phases = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, phases)

        @jax.jit
        @jax.vmap
        def energies(phase, t):
            (u, z), (u_rate, z_rate) = jax.jvp(_smooth, (t,), (jnp.ones_like(t),))
            return law.energies(network, COST, phase, u, z, u_rate, z_rate)

        e = energies(phases, tau * jnp.arange(hops + 1))
        given = scipy.integrate.simpson(np.asarray(e.exchanged - e.dissipated), dx=tau)
        gaps.append(abs(float(e.hamiltonian[-1] - e.hamiltonian[0]) - given))
    orders = np.log2(np.array(gaps[:-1]) / gaps[1:])
    np.testing.assert_allclose(orders, 2, atol=0.1)
    # Of the energy that was there: the first hidden biases make it some times larger than 1.
    assert gaps[-1] < 1e-4 * float(jnp.abs(e.hamiltonian).max())


@pytest.mark.parametrize("neurons", [INERTIAL, Overdamped(0.6)], ids=["inertial", "overdamped"])
def test_energies_are_those_of_the_written_out_potential(neurons):
    law = LeastAction(2.0, neurons, 1.5, 0.4)
    network = _case().network
    phase = _moving_phase(law, network)
    t = jnp.asarray(0.3)
    (u, z), (u_rate, z_rate) = jax.jvp(_smooth, (t,), (jnp.ones_like(t),))
    e = law.energies(network, COST, phase, u, z, u_rate, z_rate)

    U = lambda x, t: _potential(x, phase.w, *_smooth(t), 2.0)  # noqa: E731
    U_x, U_t = jax.grad(U, argnums=(0, 1))(phase.x, t)
    T_w = float(jnp.sum(phase.momentum**2)) / 3.0
    if isinstance(neurons, Inertial):
        T_x = float(jnp.sum(phase.costate**2)) / 1.6
        lost = 2 * 0.7 * T_x
    else:
        T_x, lost = 0.0, 0.6 * float(jnp.sum(U_x**2))
    loss = float(jnp.sum((phase.x[-2:] - z) ** 2)) / 2
    decay = DECAY / 2 * float(jnp.sum(phase.w**2))
    expected = {
        "loss": loss,
        "neuron_kinetic": T_x,
        "weight_kinetic": T_w,
        "cost": loss + decay,
        "connection": float(U(phase.x, t)) - loss - decay,
        "lagrangian": T_x + T_w - float(U(phase.x, t)),
        "hamiltonian": T_x + T_w + float(U(phase.x, t)),
        "dissipated": lost + 2 * 0.4 * T_w,
        "exchanged": float(U_t),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(float(getattr(e, name)), value, rtol=1e-12, err_msg=name)
    held = law.energies(network, COST, phase, u, z)
    assert float(held.exchanged) == 0


@on_both_engines
def test_s4_overdamped_neurons_follow_a_gradient_flow(engine):
    c, stiffness, duration = 0.6, 2.0, 3.0
    network = _case().network
    law = LeastAction(stiffness, Overdamped(c), np.inf)
    start = _moving_phase(law, network)
    u, z = _sample()
    slope = jax.jit(jax.grad(lambda x: _potential(x, start.w, u, z, stiffness)))
    flow = lambda t, x: -c * np.asarray(slope(x))  # noqa: E731
    x0 = np.asarray(start.x)
    exact = scipy.integrate.solve_ivp(flow, (0, duration), x0, "DOP853", rtol=1e-12, atol=1e-13)

    def end(hops):
        return np.asarray(_end(engine, law, network, _held, start, hops, duration / hops).x)

    # Order 1, so that two extrapolations leave an error of the third power of the step.
    a, b, d = end(500), end(1000), end(2000)
    once = 2 * b - a, 2 * d - b
    np.testing.assert_allclose((4 * once[1] - once[0]) / 3, exact.y[:, -1], rtol=0, atol=1e-7)
    # The momentum of neurons without mass is none.
    assert not np.any(_end(engine, law, network, _held, start, 3, 0.1).costate)


@on_both_engines
def test_s4_is_the_limit_of_light_neurons(engine):
    c, tau, hops = 0.6, 1e-3, 1000
    network = _case().network
    start = _moving_phase(LeastAction(2.0, Overdamped(c), np.inf), network)

    def end(neurons):
        law = LeastAction(2.0, neurons, np.inf)
        return np.asarray(_end(engine, law, network, _held, start, hops, tau).x)

    limit = end(Overdamped(c))
    masses = np.array([1e-2, 1e-3, 1e-4, 1e-5])
    gaps = [np.max(np.abs(end(Inertial(m, 1 / (c * m))) - limit)) for m in masses]
    # The friction is 1e5 per unit of time at the last one, 100 per hop, and still stable. Rates
    # here are of order 1: the limit is missed by the lag m_x c of the inertia and the two Euler
    # steps differ by a share of the step.
    assert gaps[0] > gaps[1] > gaps[2]
    assert all(gap < m + tau for gap, m in zip(gaps, masses, strict=True)), gaps


# A law among laws --------------------------------------------------------------------------------


def test_one_hop_evaluates_the_drive_once():
    calls = []

    def counted(a):
        calls.append(a)
        return jnp.tanh(a)

    network = Digraph.complete(4, 2, activation=counted)
    law, u, z = LeastAction(), jnp.zeros(2), jnp.zeros(1)
    phase = law.init(network, COST, jax.random.key(0))
    law.hop(network, COST, phase, u, z, 1.0)
    assert len(calls) == 1


def test_streams_share_the_average_force_and_keep_their_own_state():
    single = Layered.dense([3, 5, 2])
    law = LeastAction(mass=2.0)
    shared, rng = SharedWeights(single, 3), np.random.default_rng(0)
    phase = law.init(shared, COST, jax.random.key(0))
    x = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), phase.x)
    phase = eqx.tree_at(lambda p: p.x, phase, x)
    u, z = jnp.asarray(rng.standard_normal((3, 3))), jnp.asarray(rng.standard_normal((3, 2)))
    together = law.hop(shared, COST, phase, u, z, 0.5)
    alone = []
    for k in range(3):
        own = lambda tree, k=k: jax.tree.map(lambda a: a[k], tree)  # noqa: E731
        part = eqx.tree_at(lambda p: (p.x, p.costate), phase, (own(phase.x), own(phase.costate)))
        alone.append(law.hop(single, COST, part, u[k], z[k], 0.5))
    for name in ("x", "costate"):
        separate = jax.tree.map(lambda *a: jnp.stack(a), *(getattr(p, name) for p in alone))
        _assert_close(getattr(together, name), separate)
    mean = jax.tree.map(lambda *a: sum(a) / 3, *(p.momentum for p in alone))
    _assert_close(together.momentum, mean)


def _assert_close(a, b):
    np.testing.assert_allclose(ravel_pytree(a)[0], ravel_pytree(b)[0], rtol=0, atol=1e-14)


def test_fixed_arcs_never_move():
    network = Digraph.complete(3, 2, fixed={("u0", "x1"): 0.7, ("x1", "x0"): None})
    learner = Learner(network, COST, LeastAction(mass=Adaptive(0.01)), hops=3, settle=0)
    start, rng = learner.init(jax.random.key(0)), np.random.default_rng(0)
    after, _ = learner.run(start, (rng.standard_normal((40, 2)), rng.standard_normal((40, 1))))
    held = ~np.asarray(network.plastic)
    np.testing.assert_array_equal(after.w[held], start.w[held])
    assert not np.any(np.asarray(after.w == start.w)[~held])


@pytest.mark.parametrize(("hops", "settle"), [(2, 0), (3, 1), (8, "auto"), (9, 5)])
def test_the_output_of_a_sample_knows_nothing_of_its_target(hops, settle):
    learner = Learner(Layered.dense([2, 4, 1]), COST, LeastAction(), hops=hops, settle=settle)
    rng = np.random.default_rng(0)
    u, z = rng.standard_normal((6, 2)), rng.standard_normal((6, 1))
    other = z.copy()
    other[4] += 1
    run = lambda z: learner.run(learner.init(jax.random.key(0)), (u, z))[1]["output"]  # noqa: E731
    a, b = run(z), run(other)
    np.testing.assert_array_equal(a[:5], b[:5])
    assert not np.allclose(a[5], b[5], rtol=0, atol=1e-6)


def test_after_settle_hops_the_output_is_the_feed_forward_map():
    case = _case()
    learner = Learner(case.network, COST, LeastAction())
    phase = learner.init(jax.random.key(0))
    phase = eqx.tree_at(lambda p: p.w, phase, maps.random_weights(case.network, 0))
    u, z = _sample()
    np.testing.assert_allclose(learner.step(phase, u, z)[1], case.forward(phase.w, u), atol=1e-14)
    np.testing.assert_allclose(learner.predict(phase, u), case.forward(phase.w, u), atol=1e-14)


@pytest.mark.parametrize(
    ("law", "quantities"),
    [
        (LeastAction(mass=1e-9), {"w", "momentum", "x", "costate"}),
        (LeastAction(1e6, Inertial(0.1, 0.0), 1e9), {"x", "costate", "momentum"}),
    ],
    ids=["light-weights", "stiff-neurons"],
)
def test_divergence_is_reported_with_the_last_sound_phase(law, quantities):
    learner = Learner(Layered.dense([2, 8, 1], activation="softplus"), Cost(SquaredError()), law)
    rng = np.random.default_rng(0)
    stream = rng.standard_normal((2000, 2)), rng.standard_normal((2000, 1))
    with pytest.raises(DivergenceError) as caught:
        learner.run(learner.init(jax.random.key(0)), stream)
    error = caught.value
    assert error.quantity in quantities
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(error.phase))
    u, z = (jnp.asarray(a[error.sample]) for a in stream)
    with pytest.raises(DivergenceError):
        learner.step(error.phase, u, z)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeastAction(stiffness=0.0), "stiffness"),
        (lambda: LeastAction(dissipation=-1.0), "dissipation"),
        (lambda: LeastAction(mass=0.0), "mass"),
        (lambda: Inertial(mass=0.0), "Overdamped"),
        (lambda: Inertial(dissipation=-1.0), "dissipation of neurons"),
        (lambda: Overdamped(speed=0.0), "speed"),
        (lambda: LeastAction(neurons=Overdamped(), motion=Splitting()), "Inertial"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(("time_scale", "hops", "bound"), [(100, 2, 0.002), (20, 8, 0.01)])
def test_teacher_student_streams_are_predicted_before_they_are_learned(time_scale, hops, bound):
    """The bounds of the claim, on a third of its stream; `benchmarks/least_action.py` has all."""
    rng, keep = np.random.default_rng(0), np.exp(-1 / time_scale)
    u = rng.standard_normal((20_000 + 20 * time_scale, 4))
    for _ in range(2):
        u = scipy.signal.lfilter([1 - keep], [1, -keep], u, axis=0)
    u = u[20 * time_scale :] / u[20 * time_scale :].std(axis=0)
    z = np.tanh(u @ rng.standard_normal((4, 16)) / 2) @ rng.standard_normal((16, 1)) / 4
    z = z / z.std()
    network, cost = Layered.dense([4, 32, 32, 1]), Cost(SquaredError())
    learner = Learner(network, cost, LeastAction(), hops=hops)
    _, trace = learner.run(learner.init(jax.random.key(0)), (u, z))
    late = slice(10_000, None)
    assert np.mean((trace["output"][late] - z[late]) ** 2) / np.var(z[late]) < bound
