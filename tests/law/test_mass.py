"""Masses against Optax and closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from engines import hop, hopper, on_both_engines

from localprop import (
    Adaptive,
    ConfigError,
    Constant,
    Cost,
    Digraph,
    Growing,
    Hamiltonian,
    SquaredError,
)

pytestmark = pytest.mark.usefixtures("x64")


@on_both_engines
def test_adaptive_mass_without_memory_of_momentum_is_rmsprop(engine):
    """θτ = 1 forgets the old momentum: Δw = -η τ² f / (√v + ε), v decaying by e^{-rτ} a hop."""
    tau, rate, decay, floor = 0.5, 0.02, 0.3, 1e-3
    law = Hamiltonian(mass=Adaptive(rate, decay, floor), dissipation=1 / tau)
    network, cost = Digraph.layered([3, 4, 2]), Cost(SquaredError())
    phase = law.init(network, cost, jax.random.key(0))
    rms = optax.scale_by_rms(decay=np.exp(-decay * tau), eps=floor, eps_in_sqrt=False)
    optimiser = optax.chain(rms, optax.scale(-rate * tau**2))
    w, memory = phase.w, optimiser.init(phase.w)
    learner = hopper(engine, network, cost, law, tau)
    rng = np.random.default_rng(0)
    for _ in range(50):
        phase = hop(learner, phase, rng.standard_normal(3), rng.standard_normal(2))
        force = -jnp.asarray(phase.momentum) / tau
        updates, memory = optimiser.update(force, memory)
        w = optax.apply_updates(w, updates)
    np.testing.assert_allclose(phase.w, w, rtol=1e-12, atol=1e-14)


def test_adaptive_mass_decays_per_unit_of_time_not_per_hop():
    mass, force = Adaptive(decay=0.2), jnp.array([0.5, -3.0])
    memory = jnp.array([1.0, 2.0])
    once = mass.update(memory, force, 3.0)
    thrice = memory
    for _ in range(3):
        thrice = mass.update(thrice, force, 1.0)
    np.testing.assert_allclose(once, thrice, rtol=1e-14)
    # v' = r (f² - v), solved.
    np.testing.assert_allclose(once, force**2 + (memory - force**2) * np.exp(-0.6), rtol=1e-14)


@pytest.mark.parametrize(("hop", "times"), [(1, 32), (100, 3.2), (1000, 1.3)])
def test_the_early_push_is_as_large_as_the_docstring_says(hop, times):
    """Against the closed form under a steady force, to the digits given."""
    mass, w, force = Adaptive(rate=0.01, decay=1e-3, floor=1e-30), jnp.zeros(1), jnp.array([0.7])
    memory = mass.init(w)
    for _ in range(hop):
        memory = mass.update(memory, force, 1.0)
    pace = float((force / mass.value(memory, w))[0]) / mass.rate
    np.testing.assert_allclose(pace, 1 / np.sqrt(-np.expm1(-1e-3 * hop)), rtol=1e-11)
    np.testing.assert_allclose(pace, times, rtol=0.04)


@on_both_engines
def test_growing_mass_without_memory_of_momentum_is_written_out(engine):
    """Δw = -η τ² f / (1 + Σ τ f² / s) for θτ = 1, f the slope of the loss of a linear map."""
    tau, rate, scale = 0.5, 0.3, 0.2
    law = Hamiltonian(mass=Growing(rate, scale), dissipation=1 / tau)
    network, cost = Digraph.layered([3, 1]), Cost(SquaredError())
    phase = law.init(network, cost, jax.random.key(0))
    rng, w = np.random.default_rng(0), np.asarray(phase.w)[0, :4]
    learner = hopper(engine, network, cost, law, tau, held=2)  # the state, then its error
    felt = np.zeros(4)
    for _ in range(30):
        u, z = rng.standard_normal(3), rng.standard_normal(1)
        phase = hop(learner, phase, u, z)
        source = np.append(u, 1.0)
        force = (w @ source - z) * source
        felt = felt + tau * force**2
        w = w - rate * tau**2 * force / (1 + felt / scale)
        np.testing.assert_allclose(phase.w[0, :4], w, rtol=1e-12, atol=1e-14)


def test_growing_mass_begins_as_the_constant_one_and_grows_per_unit_of_time():
    mass, force = Growing(rate=0.1, scale=2.0), jnp.array([0.5, -3.0])
    memory = mass.init(force)
    np.testing.assert_allclose(mass.value(memory, force), Constant(1 / 0.1).m)
    for _ in range(6):
        memory = mass.update(memory, force, 0.5)
    expected = (1 + force**2 * 3.0 / 2.0) / 0.1  # a steady force, integrated
    np.testing.assert_allclose(mass.value(memory, force), expected, rtol=1e-14)


def test_plain_number_is_a_constant_mass():
    assert Hamiltonian(mass=2.5).mass == Constant(2.5)


@pytest.mark.parametrize("m", [0.0, -1.0, float("nan")])
def test_masses_are_above_zero(m):
    with pytest.raises(ConfigError, match="mass"):
        Constant(m)
    for name in ("rate", "decay", "floor"):
        with pytest.raises(ConfigError, match=name):
            Adaptive(**{name: m})
    for name in ("rate", "scale"):
        with pytest.raises(ConfigError, match=name):
            Growing(**{"rate": 1.0, name: m})
