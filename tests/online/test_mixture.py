"""The mixture of experts, against closed forms and the bound of its literature."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from localprop.online.mixture import (
    BEHIND,
    CERTAINTY,
    LEAST_SHARE,
    MEMORY,
    RATE,
    RELATIVE_RATE,
    WORST,
    WRONG,
    Mixture,
    class_losses,
)

NAMES = ["a", "b", "c"]


def losses(seed, rows, experts=3):
    rng = np.random.default_rng(seed)
    found = rng.exponential(size=(rows, experts)) * rng.random(experts)
    found[rng.random((rows, experts)) < 0.03] = np.nan
    found[rng.random((rows, experts)) < 0.02] = 1e9
    return found


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("first", [{}, {"b": 5.0, "c": 0.5}])
def test_weights_are_those_of_the_closed_form(relative, first):
    """Written out row by row, with sums over all rows before."""
    mixture = Mixture(NAMES, relative=relative, first=first)
    given_losses = losses(0, 60)
    found = mixture.update(given_losses)
    counted = []
    for t in range(60):
        sums = [
            sum((1 - 1 / MEMORY) ** (t - 1 - s) * counted[s][e] for s in range(t)) for e in range(3)
        ]
        best = sums.index(min(sums))
        squares = [
            sum(
                (1 - 1 / MEMORY) ** (t - 1 - s) * (counted[s][e] - counted[s][best]) ** 2
                for s in range(t)
            )
            for e in range(3)
        ]
        rates = [RATE] * 3
        if relative:
            rows = sum((1 - 1 / MEMORY) ** (t - 1 - s) for s in range(t))
            share = RELATIVE_RATE * rows / min(sums) if t else 0.0
            rates = [max(CERTAINTY / math.sqrt(q) if q else 0.0, share) for q in squares]
        raw = [
            first.get(name, 1.0) * math.exp(-rates[e] * (sums[e] - sums[best]))
            for e, name in enumerate(NAMES)
        ]
        np.testing.assert_allclose(found[t], np.array(raw) / sum(raw), rtol=1e-9)
        row = [v if math.isfinite(v) else math.inf for v in given_losses[t].tolist()]
        least = min(row)
        above = [v - least if math.isfinite(least) else math.inf for v in row]
        counted.append([min(least, WORST) + min(v, BEHIND) for v in above])


@given(
    st.integers(0, 10**6),
    st.integers(1, 300),
    st.lists(st.integers(0, 300), max_size=6),
    st.booleans(),
    st.sampled_from([2, 3, 5, 9]),
)
@settings(deadline=None, max_examples=25)
def test_pieces_change_no_bit_and_weights_add_up(seed, rows, places, relative, experts):
    names = [str(k) for k in range(experts)]
    options = {"relative": relative, "first": {"1": 5.0}}
    given_losses = losses(seed, rows, experts)
    whole, apart, parts = Mixture(names, **options), Mixture(names, **options), []
    together = whole.update(given_losses)
    for part in np.split(given_losses, sorted({p for p in places if p < rows})):
        parts.append(apart.update(part))
        apart = Mixture(names, **options, state=json.loads(json.dumps(apart.state())))
    np.testing.assert_array_equal(np.concatenate(parts), together)
    assert apart.state() == whole.state()
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-12)
    assert (together >= 0).all()
    assert sum(whole.shares.values()) == pytest.approx(1)


def test_a_loss_that_is_no_number_is_the_worst():
    for bad in (np.nan, np.inf, 1e300):
        mixture = Mixture(NAMES, relative=True)
        mixture.update(np.array([[bad, 0.1, 4.0]]))
        assert mixture.weights.argsort().tolist() == [0, 2, 1]
    # And it is lived down: the next rows count as much as for anybody.
    given_losses = np.tile([0.1, 1.0, 1.0], (600, 1))
    mixture = Mixture(NAMES, relative=True)
    mixture.update(np.array([[np.nan, 1.0, 1.0]]))
    mixture.update(given_losses)
    assert mixture.weights[0] > 0.99


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["random", "turns", "follows"])
def test_regret_is_within_the_bound(seed, kind):
    """Weights of the past alone are never much worse than the best expert, whatever comes.

    Losses within [0, B], discounted by γ per row, are those of an undiscounted game in which the
    loss of row t is γ^-t times as large and the rate η γ^t. The forecaster with falling rates
    (Cesa-Bianchi and Lugosi, 2006, section 2.3; Hoeffding's lemma) then has
    Σ γ^(T-t) (w·l - l_e) ≤ ln E / η + η B² / (8 (1 - γ)) for every expert e, up to 1/γ.
    """
    rng, rows, gamma, most = np.random.default_rng(seed), 600, 1 - 1 / MEMORY, 2.0
    mixture = Mixture(NAMES, relative=False)
    given_losses = most * rng.random((rows, 3)) * [1.0, 0.8, 0.9]
    if kind == "turns":
        turn = np.arange(rows)[:, None] // (150 + seed) % 3
        given_losses = np.where(np.arange(3) == turn, 0.0, most)
    if kind == "follows":  # whoever is believed is wrong
        weights = np.empty((rows, 3))
        for t in range(rows):
            worst = np.arange(3) == mixture.weights.argmax()
            given_losses[t] = np.where(worst, most, most * seed * 0.3)
            weights[t] = mixture.update(given_losses[t : t + 1])[0]
    else:
        weights = mixture.update(given_losses)
    regret = (weights * given_losses).sum(axis=1)[:, None] - given_losses
    bound = (math.log(3) / RATE + RATE * most**2 / (8 * (1 - gamma))) / gamma
    discounted = np.zeros(3)
    for row in regret:
        discounted = gamma * discounted + row
        assert (discounted <= bound).all()


@pytest.mark.parametrize("relative", [False, True])
def test_a_steadily_better_expert_has_all_the_weight(relative):
    rng = np.random.default_rng(0)
    given_losses = rng.exponential(size=(3000, 3)) * [1.0, 0.7, 1.0]
    mixture = Mixture(NAMES, relative=relative)
    weights = mixture.update(given_losses)
    mixed = (weights * given_losses).sum(axis=1)
    best = given_losses[:, 1]
    # Of 3 experts it is known after some 100 rows; a lucky spell of 200 rows costs a little.
    assert mixed.mean() < 1.05 * best.mean()
    assert weights[1000:, 1].mean() > 0.8
    # What was good is forgotten where another becomes better.
    weights = mixture.update(given_losses[:, [1, 0, 2]])
    assert weights[1000:, 0].mean() > 0.8


@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_numbers_have_no_scale_and_weights_are_by_standard_errors(scale):
    """Closed form: of two experts the worse one is $t = \\bar d \\sqrt n / \\sigma$ behind."""
    rng, rows = np.random.default_rng(0), 40
    apart = 0.1 + 0.2 * rng.normal(size=rows)
    mixture = Mixture(["a", "b"], relative=True)
    mixture.update(scale * np.column_stack([2 + 0 * apart, 2 + apart]))
    share = (1 - 1 / MEMORY) ** np.arange(rows)[::-1]
    t = share @ apart / math.sqrt(share @ apart**2)
    a, b = mixture.weights
    assert math.log(a / b) == pytest.approx(CERTAINTY * t, rel=1e-6)
    assert 1 < t < 5


def test_losses_of_some_experts_are_replaced():
    """As if they had been there all the time, and independent of those that are not judged."""
    rng = np.random.default_rng(1)
    given_losses = 1 + 0.3 * rng.random((300, 4))
    names = ["net", "last", "season", "median"]
    known, late = Mixture(names, relative=True), Mixture(names, relative=True)
    known.update(given_losses)
    late.update(given_losses[:, [0, 1, 1, 3]])  # the season is the last value until it is found
    late.replace(["season"], names[1:], given_losses[:, 1:])
    np.testing.assert_allclose(late.losses, known.losses, rtol=1e-12)
    np.testing.assert_allclose(late.squares[2, [1, 3]], known.squares[2, [1, 3]], rtol=1e-9)
    assert late.squares[2, 2] == 0
    assert late.squares[2, 0] == late.squares[0, 2] == late.squares[0, 1] + late.squares[1, 2]


def test_losses_of_classes_are_mistakes_and_a_share_of_the_log_loss():
    """Against scikit-learn's log loss."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(4), size=(50, 3))
    truth = rng.integers(0, 4, 50)
    found = class_losses(shares, truth)
    for e in range(3):
        floored = np.maximum(shares[:, e], LEAST_SHARE)
        of_truth = [
            log_loss([y], [[1 - p[y], p[y]]], labels=[-1, y])
            for y, p in zip(truth, floored, strict=True)
        ]
        wrong = shares[:, e].argmax(axis=1) != truth
        np.testing.assert_allclose(found[:, e], wrong + WRONG * np.array(of_truth), rtol=1e-12)
    # A class that is not among them: wrong, and nothing thought of it.
    unknown = class_losses(shares[:1, :, :2], np.array([3]))
    np.testing.assert_allclose(unknown, 1 - WRONG * math.log(LEAST_SHARE), rtol=1e-12)


def test_who_is_left_out_has_no_weight_until_let_in_again():
    """At once, whether anything was judged since or not."""
    mixture = Mixture(["a", "b", "c"], relative=True, first={"a": 2.0})
    assert mixture.weights.tolist() == [0.5, 0.25, 0.25]
    mixture.leave_out(["c"])
    np.testing.assert_allclose(mixture.weights, [2 / 3, 1 / 3, 0])
    mixture.after(np.array([[0.1, 0.2, 0.3]]))
    assert mixture.weights[2] == 0
    mixture.leave_out([])
    assert mixture.weights[2] > 0
