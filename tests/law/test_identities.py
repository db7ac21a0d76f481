"""The identities I1, I2 and I4 against autodiff, linear algebra and Optax."""

from __future__ import annotations

import equinox as eqx
import independent_maps as maps
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from engines import hop, hopper, on_both_engines, on_engines

from localprop import Cost, Hamiltonian, Learner, SquaredError

pytestmark = pytest.mark.usefixtures("x64")

FEED_FORWARD = {
    "dense-3": (maps.layered_digraph, [3, 4, 5, 2], "tanh", "dense"),
    "dense-1": (maps.layered_digraph, [3, 2], "tanh", "dense"),
    "dense-logistic": (maps.layered_digraph, [4, 7, 3], "logistic", "dense"),
    "sparse-3": (maps.layered_digraph, [3, 4, 5, 2], "tanh", "sparse"),
    "sparse-softplus": (maps.layered_digraph, [2, 6, 6, 6, 1], "softplus", "sparse"),
    "sparse-relu": (maps.layered_digraph, [5, 8, 3], "relu", "sparse"),
    "convolution": (maps.convolution,),
    "convolution-logistic": (maps.convolution, "logistic"),
}
feed_forward = pytest.mark.parametrize("name", FEED_FORWARD)
FEED_FORWARD_NATIVE = {
    **{name: case for name, case in FEED_FORWARD.items() if case[0] is not maps.convolution},
    "blocks-3": (maps.dense_layers, [3, 4, 5, 2], "tanh"),
    "blocks-logistic": (maps.dense_layers, [4, 7, 3], "logistic"),
}


def _case(name):
    make, *arguments = FEED_FORWARD[name]
    return make(*arguments)


def _sample(case, seed):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal(case.input_shape)), jnp.asarray(
        rng.standard_normal(case.outputs)
    )


def _phase(law, case, seed, scale=1.0):
    phase = law.init(case.network, Cost(SquaredError()), jax.random.key(seed))
    return eqx.tree_at(lambda p: p.w, phase, maps.random_weights(case.network, seed, scale))


def _force(law, case, phase, u, z):
    """The force of one more hop: with π = 0, θ = 0, τ = 1 the new momentum is its negative."""
    after = law.hop(case.network, Cost(SquaredError()), phase, u, z, 1.0)
    return jax.tree.map(jnp.negative, after.momentum)


@feed_forward
def test_i1_force_in_hop_2l_plus_1_is_the_backprop_gradient_to_the_last_bit(name):
    case, law = _case(name), Hamiltonian()
    depth = case.network.depth

    @jax.jit
    def forces(phase, u, z):
        forces = []
        for _ in range(2 * depth + 1):
            forces.append(_force(law, case, phase, u, z))
            phase = law.settle(case.network, Cost(SquaredError()), phase, u, z, 1.0)
        return forces

    gradient = jax.jit(jax.grad(lambda w, u, z: maps.squared_error(case.forward(w, u), z)))
    for seed in range(5):
        u, z = _sample(case, seed)
        phase = _phase(law, case, seed)
        *earlier, force = forces(phase, u, z)
        expected = gradient(phase.w, u, z)
        for f, g in zip(jax.tree.leaves(force), jax.tree.leaves(expected), strict=True):
            assert f.dtype == jnp.float64
            np.testing.assert_array_equal(f, g)
        # Not one hop sooner: the error of the first layer has come from the input and back.
        assert all(maps.relative_distance(f, expected) > 1e-6 for f in earlier)


@on_both_engines
@pytest.mark.parametrize("name", [*FEED_FORWARD_NATIVE])
def test_i1_a_learner_of_either_engine_has_the_backprop_gradient_in_hop_2l_plus_1(name, engine):
    make, *arguments = FEED_FORWARD_NATIVE[name]
    case, law, cost = make(*arguments), Hamiltonian(), Cost(SquaredError())
    settled = 2 * case.network.depth
    exact = hopper(engine, case.network, cost, law, 1.0, settled)
    sooner = None
    if engine == "xla" or make is not maps.dense_layers:  # whose loops settle for good
        sooner = hopper(engine, case.network, cost, law, 1.0, settled - 1)
    gradient = jax.jit(jax.grad(lambda w, u, z: maps.squared_error(case.forward(w, u), z)))
    for seed in range(5):
        u, z = _sample(case, seed)
        phase = _phase(law, case, seed)
        expected = gradient(phase.w, u, z)
        force = jax.tree.map(lambda p: -np.asarray(p), hop(exact, phase, u, z).momentum)
        # Sums of at most nine terms in another order, in each of at most eight passes.
        assert maps.relative_distance(force, expected) < 9 * 8 * np.finfo(float).eps
        if sooner is None:
            continue
        earlier = jax.tree.map(lambda p: -np.asarray(p), hop(sooner, phase, u, z).momentum)
        assert maps.relative_distance(earlier, expected) > 1e-6


SPEEDS = [0.3, 1, np.inf, 2, 0.7, 5, 1, np.inf, 0.9]
CYCLIC = {
    "dense": (maps.cyclic_digraph, "dense"),
    "dense-speeds": (maps.cyclic_digraph, "dense", SPEEDS),
    "sparse-speeds": (maps.cyclic_digraph, "sparse", SPEEDS),
    "convolution-speeds": (maps.cyclic_convolution, (0.5, np.inf, np.inf, 1.0, 2.0)),
}


@on_engines(CYCLIC, "convolution-speeds")
def test_i2_settled_force_is_the_gradient_of_the_loss_at_the_fixed_point(name, engine):
    make, *arguments = CYCLIC[name]
    case, law = make(*arguments), Hamiltonian()
    u, z = _sample(case, 2)
    phase = _phase(law, case, 2, scale=0.7)
    learner = hopper(engine, case.network, Cost(SquaredError()), law, 1.0, held=400)
    # With π = 0, θ = 0, τ = 1 the new momentum is the negative of the force.
    force = jax.tree.map(lambda p: -np.asarray(p), hop(learner, phase, u, z).momentum)
    assert maps.relative_distance(force, _unrolled_gradient(case, phase, u, z)) < 1e-12
    assert maps.relative_distance(force, _implicit_gradient(case, phase, u, z)) < 1e-12


def _unrolled_gradient(case, phase, u, z):
    """Reverse-mode autodiff through 400 iterations of the map x <- D(x, w, u)."""

    def loss(w):
        step = lambda x, _: (case.drive(x, w, u), None)  # noqa: E731
        x, _ = jax.lax.scan(step, phase.x, None, length=400)
        return maps.squared_error(case.output(x), z)

    return jax.jit(jax.grad(loss))(phase.w)


def _implicit_gradient(case, phase, u, z):
    """Solves (1 - D_x^T) λ = L_x at the fixed point and returns D_w^T λ."""
    flat, unflatten = jax.flatten_util.ravel_pytree(phase.x)
    w = phase.w
    drive = lambda y, w: jax.flatten_util.ravel_pytree(case.drive(unflatten(y), w, u))[0]  # noqa: E731
    x = jax.jit(lambda y: jax.lax.fori_loop(0, 400, lambda _, y: drive(y, w), y))(flat)
    assert np.abs(drive(x, w) - x).max() < 1e-14
    d_x = jax.jit(jax.jacobian(drive))(x, w)
    # A cycle is there: no ordering of the vertices makes the Jacobian triangular.
    assert np.abs(np.linalg.matrix_power(np.asarray(d_x), len(flat))).max() > 0
    l_x = jax.jit(jax.grad(lambda y: maps.squared_error(case.output(unflatten(y)), z)))(x)
    costate = np.linalg.solve(np.eye(len(flat)) - np.asarray(d_x).T, l_x)
    pull = lambda c: jax.vjp(lambda w: drive(x, w), w)[1](c)[0]  # noqa: E731
    return jax.jit(pull)(jnp.asarray(costate))


I4 = {
    "dense": (maps.layered_digraph, [3, 5, 4, 2], "tanh", "dense"),
    "sparse": (maps.layered_digraph, [3, 5, 4, 2], "logistic", "sparse"),
    "blocks": (maps.dense_layers, [3, 5, 4, 2], "tanh"),
    "convolution": (maps.convolution,),
}


@on_engines(I4, "convolution")
@pytest.mark.parametrize(
    ("theta", "decay"), [(0.8, 0.0), (0.0, 0.0), (1.5, 0.03)], ids=["momentum", "heavy", "decay"]
)
def test_i4_settled_hops_are_sgd_with_momentum(name, theta, decay, engine):
    make, *arguments = I4[name]
    case, tau, steps = make(*arguments), 0.25, 200
    # Light weights without dissipation are chaotic: rounding errors would grow by 1e9 (measured
    # for mass 6), in Optax's trajectory as in ours. For mass 60 they grow about twofold.
    mass = 60.0
    law = Hamiltonian(mass=mass, dissipation=theta)
    depth = case.network.depth
    hops = 2 * depth + 1
    cost = Cost(SquaredError(), weight_decay=decay)
    given = {"hops": hops, "settle": 2 * depth, "duration": tau * hops, "engine": engine}
    learner = Learner(case.network, cost, law, **given)
    phase = _phase(law, case, 3)
    rng = np.random.default_rng(3)
    u = jnp.asarray(rng.standard_normal((steps, *case.input_shape)))
    z = jnp.asarray(rng.standard_normal((steps, case.outputs)))

    momentum_sgd = optax.sgd(tau**2 / mass, momentum=1 - theta * tau)
    optimiser = optax.chain(optax.add_decayed_weights(decay), momentum_sgd)
    gradient = jax.grad(lambda w, u, z: maps.squared_error(case.forward(w, u), z))

    def step(carry, sample):
        w, memory = carry
        updates, memory = optimiser.update(gradient(w, *sample), memory, w)
        return (optax.apply_updates(w, updates), memory), None

    (expected, _), _ = jax.lax.scan(step, (phase.w, optimiser.init(phase.w)), (u, z))
    after, _ = learner.run(phase, (np.asarray(u), np.asarray(z)), record=())
    assert maps.relative_distance(after.w, phase.w) > 0.01
    assert maps.relative_distance(after.w, expected) < 1e-12
