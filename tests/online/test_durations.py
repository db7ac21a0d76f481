"""Durations: the gap before each row over the mean gap so far, within bounds, cut or not."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop import Cost, Digraph, SquaredError
from localprop.errors import StreamError
from localprop.online.defaults import RECIPES, law_for
from localprop.online.durations import LONGEST, SHORTEST, Durations, longest_stable


def by_hand(times):
    """The definition, row by row."""
    last, gaps, result = None, [], []
    for now in times:
        if np.isfinite(now) and last is not None:
            gaps.append(now - last)
            mean = sum(gaps) / len(gaps)
            relative = gaps[-1] / mean if mean > 0 else 1.0
        else:
            relative = 1.0
        if np.isfinite(now):
            last = now
        result.append(min(max(relative, SHORTEST), LONGEST))
    return np.array(result)


def encoded(times, durations=None):
    return (durations or Durations()).encode(times, np.arange(2, len(times) + 2), "t")


gaps = st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 1000.0, np.nan]), min_size=1, max_size=40)


@given(gaps)
@settings(deadline=None)
def test_durations_follow_their_definition(steps):
    times = np.cumsum(np.nan_to_num(steps))
    times[np.isnan(steps)] = np.nan
    np.testing.assert_allclose(encoded(times), by_hand(times), rtol=1e-12)


@given(gaps, st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None)
def test_pieces_do_not_change_a_bit(steps, a, b):
    times = np.cumsum(np.nan_to_num(steps))
    times[np.isnan(steps)] = np.nan
    durations, parts = Durations(), []
    for piece in np.split(times, sorted({a % (len(times) + 1), b % (len(times) + 1)})):
        parts.append(encoded(piece, durations))
        durations = Durations(durations.state())
    np.testing.assert_array_equal(encoded(times), np.concatenate(parts))


@pytest.mark.parametrize("expert", RECIPES)
def test_durations_stay_within_what_is_stable(expert):
    """The bounds are those of a row that counts half or twice as much, and both laws bear them."""
    # A hop moves a weight by its squared length.
    np.testing.assert_allclose([SHORTEST**2, LONGEST**2], [0.5, 2], rtol=1e-15)
    assert longest_stable(law_for("least-action", RECIPES[expert], 5)) > LONGEST
    # An expert without momentum has none that friction could throw back.
    if RECIPES[expert].keep:
        assert longest_stable(law_for("hamiltonian", RECIPES[expert], 1)) > LONGEST


@pytest.mark.usefixtures("x64")
def test_the_longest_stable_hop_is_where_a_hop_begins_to_grow():
    """Against the spectral radius of one output neuron's hop, differentiated."""
    network, cost = Digraph.layered([1, 1]), Cost(SquaredError())
    law = law_for("least-action", RECIPES["fast"], 5)
    start = law.init(network, cost, jax.random.key(0))

    def radius(tau):
        def hop(y):
            # Weights that do not move: the neuron alone.
            phase = eqx.tree_at(lambda p: (p.x, p.costate), start, (y[:1], y[1:]))
            after = law.hop(network, cost, phase, jnp.ones(1), jnp.zeros(1), tau)
            return jnp.concatenate([after.x, after.costate])

        return np.abs(np.linalg.eigvals(jax.jacobian(hop)(jnp.zeros(2)))).max()

    bound = longest_stable(law)
    assert radius(0.999 * bound) < 1 < radius(1.001 * bound)


@pytest.mark.parametrize("expert", ["fast", "slow"])
@pytest.mark.usefixtures("x64")
def test_friction_ends_a_motion_at_the_longest_stable_hop_and_never_reverses_it(expert):
    law = law_for("hamiltonian", RECIPES[expert], 1)
    network, cost = Digraph.layered([1, 1]), Cost(SquaredError())
    start = law.init(network, cost, jax.random.key(0))
    moving = eqx.tree_at(lambda p: p.momentum, start, jnp.ones_like(start.momentum))
    kept = lambda tau: law.hop(network, cost, moving, jnp.zeros(1), jnp.zeros(1), tau).momentum  # noqa: E731
    bound = longest_stable(law)
    np.testing.assert_allclose(kept(0.9 * bound), 0.1, rtol=1e-12)
    np.testing.assert_allclose(kept(1.1 * bound), 0, atol=1e-15)


def test_a_duration_knows_nothing_of_later_rows():
    times = np.cumsum(np.random.default_rng(0).exponential(size=50))
    later = times.copy()
    later[30:] += 1e6
    np.testing.assert_array_equal(encoded(times)[:30], encoded(later)[:30])


def test_time_that_runs_backwards_is_refused_with_its_line():
    with pytest.raises(StreamError, match=r"line 5, column 't': time runs backwards, by 2;"):
        encoded(np.array([0.0, 1.0, np.nan, -1.0, 5.0]))
    durations = Durations()
    encoded(np.array([10.0]), durations)
    with pytest.raises(StreamError, match="line 2"):
        encoded(np.array([9.0]), durations)
