"""Forecasts: written out row by row in plain Python, and never much worse than what is simple."""

from __future__ import annotations

import csv
import math
import statistics
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from river import datasets

from localprop import Online
from localprop.online.defaults import FORECASTERS
from localprop.online.forecast import AGO, Forecast
from localprop.online.past import AROUND, GUESSES, LAGS, Past
from localprop.online.stacking import StackedNumbers
from localprop.online.target import restore_task
from localprop.table.table import Column, ColumnKind

NETS = len(FORECASTERS)
EXAMPLES = Path(__file__).parents[2] / "examples"


def numbers(values):
    return Column(ColumnKind.NUMBER, np.array(values, float))


def told(task, values, outputs=None):
    """Lets a task take in a column, and networks answer it, by default that nothing changes."""
    encoded = task.encode(numbers(values))
    features = task.features({}, encoded.key)
    taught = task.targets(encoded.raw[:, None], encoded.key)[:, 0, 0]
    outputs = np.zeros((len(values), NETS, 1)) if outputs is None else outputs
    answers = task.update_score(encoded.key, outputs)
    columns = np.stack([column.values for column in features.values()], axis=1)
    return columns, taught, answers.values


def held(values):
    found = list(values)
    for k in range(1, len(found)):
        if math.isnan(found[k]):
            found[k] = found[k - 1]
    return found


def season_written_out(y, t, horizon, period):
    """The guesses of a season, value by value: NaN where the past does not reach."""
    at = lambda k: y[k] if 0 <= k <= t else math.nan  # noqa: E731
    ahead = t + horizon
    since = ahead - period
    while since > t:
        since -= period
    whole = ahead - since
    points = min(period, 24)

    def level(end):
        return sum(at(end - k * period // points) for k in range(points)) / points

    def middle(found):
        found = [v for v in found if not math.isnan(v)]
        return statistics.median(found) if found else math.nan

    usual = middle([at(since - k * period) for k in range(7)])
    apart = [at(since - k * period) - level(t - whole - k * period) for k in range(5)]
    guesses = [at(since), at(since) - at(t - whole) + y[t], usual, middle(apart) + level(t)]
    around = [at(min(since + j, t)) for j in AROUND]
    return guesses, [*around, at(since - period)]


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 30]), st.sampled_from([2, 7, 26]))
@settings(deadline=None, max_examples=15)
def test_the_past_is_looked_at_as_it_says(seed, horizon, period):
    y = np.random.default_rng(seed).normal(size=120).cumsum()
    past = Past(y, np.arange(120), horizon, (period, 2 * period))
    found = past.features()
    for t in (0, 1, 9, 40, 119):
        nothing = lambda v: 0.0 if math.isnan(v) else v  # noqa: E731
        expected = [y[t]]
        expected += [statistics.median(y[max(0, t + 1 - rows) : t + 1]) for rows in (5, 21, 101)]
        expected += [y[t] + (horizon * (y[t] - y[0]) / t if t else 0.0)]
        for p in (period, 2 * period):
            guesses, before = season_written_out(y.tolist(), t, horizon, p)
            expected += [y[t] + nothing(v - y[t]) for v in guesses]
        np.testing.assert_allclose(y[t] + past.guesses[t], expected, rtol=1e-9, atol=1e-9)
        changes = [y[t] - y[t - lag] if t >= lag else math.nan for lag in LAGS]
        np.testing.assert_allclose([found[f"change over {k}"][t] for k in LAGS], changes)
        _, before = season_written_out(y.tolist(), t, horizon, period)
        names = [*(f"season {j:+d}" for j in AROUND), "two seasons"]
        expected = [nothing(v - y[t]) for v in before]
        np.testing.assert_allclose([found[name][t] for name in names], expected, atol=1e-12)


def mixed_written_out(y, guesses, sizes, horizon):
    """The forecasts made at each row, in plain Python: expert by expert, row by row."""
    keep, experts = 1 - 1 / 200, range(len(guesses[0]))
    prior = [5.0 if k == NETS else 1.0 for k in experts]
    for k, name in enumerate(GUESSES):
        prior[NETS + k] *= "season" not in name  # which there are none of
    losses, squares = [0.0 for _ in experts], [[0.0 for _ in experts] for _ in experts]
    rows, made = 0.0, []
    for t, value in enumerate(y):
        due = t - horizon
        if due >= 0 and not math.isnan(value):
            unit = sizes[due] or 1.0
            errors = [abs(guess - value) / unit for guess in guesses[due]]
            least = min(errors)
            new = [min(least, 5.0) + min(error - least, 30.0) for error in errors]
            losses = [keep * a + b for a, b in zip(losses, new, strict=True)]
            rows = keep * rows + 1
            squares = [
                [keep * squares[a][b] + (new[a] - new[b]) ** 2 for b in experts] for a in experts
            ]
        best = losses.index(min(losses))
        apart = [math.sqrt(squares[k][best]) for k in experts]
        share = 0.2 * rows / max(losses[best], 1e-9 * max(rows, 1.0))
        rates = [max(2 / a if a else 0.0, share) for a in apart]
        weights = [prior[k] * math.exp(rates[k] * (losses[best] - losses[k])) for k in experts]
        total = sum(w * g for w, g in zip(weights, guesses[t], strict=True))
        made.append(total / sum(weights))
    return made


@pytest.mark.parametrize("horizon", [1, 4])
def test_forecasts_are_mixed_as_they_say_row_by_row(horizon):
    rng, rows = np.random.default_rng(3), 150
    values = 400 + 2 * np.arange(rows) + 7 * rng.normal(size=rows).cumsum()
    values[[20, 21, 22, 90]] = np.nan
    changes = np.append(values[horizon:] - values[:-horizon], np.zeros(horizon))
    ahead = np.nan_to_num((changes - 2 * horizon) / (7 * math.sqrt(horizon)))
    outputs = ahead[:, None] + rng.normal(size=(rows, NETS)) * [0.2, 0.5, 1, 2]
    task, due = Forecast(horizon), []
    sizes, guesses = [], []
    for part in np.split(np.arange(rows), [1, 50, 53]):
        key = task.encode(numbers(values[part])).key
        task.features({}, key)
        due.append(task.update_score(key, outputs[part][..., None]).values)
        own = np.clip(
            np.concatenate([p.guesses for p in key.pasts]), key.least[:, None], key.most[:, None]
        )
        mean, deviation = key.scales.mean[:, None], key.scales.deviation[:, None]
        nets = mean + deviation * np.clip(outputs[part], -5, 5)
        guesses += (key.held[-len(part) :, None] + np.hstack([nets, own])).tolist()
        sizes += key.size.tolist()
    assert not task.seasons.met  # or its guesses would have been judged anew
    experts, nothing = len(guesses[0]), np.full(1, np.nan)
    stack = StackedNumbers(experts)
    for t in range(rows):
        for row, truth in ((t - horizon, values[t : t + 1]), (t, nothing)):
            if row >= 0:  # what was due is learned, and then what is new answered
                unit = sizes[row] or 1.0
                said = np.array([guesses[row][:experts]]) / unit
                found = stack.learn(said, said[:, :NETS].mean(axis=1), truth / unit)
        guesses[t].append(found[0] * unit)
    made = mixed_written_out(values.tolist(), guesses, sizes, horizon)
    # 150 sums of 22 numbers near 1000.
    np.testing.assert_allclose(np.concatenate(due)[horizon:], made[:-horizon], rtol=1e-9)
    assert task.score.value < 0.9 * task.score.baseline_value  # the networks were listened to


@pytest.mark.parametrize("horizon", [1, 5, 100])
def test_baselines_are_the_last_value_and_the_last_season(horizon):
    t = np.arange(600)
    values = np.random.default_rng(0).normal(size=24)[t % 24] + 0.01 * t
    values[50:60] = np.nan
    task = Forecast(horizon)
    told(task, values)
    y = np.array(held(values))
    errors = np.abs(values[horizon:] - y[:-horizon])
    assert task.score.fools == ["last value", "seasonal last value"]
    assert task.score.fools_totals[0] == pytest.approx(np.nansum(errors), rel=1e-12)
    assert task.seasons.periods == (24,)
    late = Forecast(horizon, task.state())
    before = late.score.fools_totals[1]
    new = np.sin(t[:50])
    told(late, new)
    everything = np.concatenate([y, new])
    turn = -(-horizon // 24) * 24
    total = np.abs(new - everything[600 - turn : 650 - turn]).sum()
    assert late.score.fools_totals[1] - before == pytest.approx(total, rel=1e-9)


def test_a_season_is_followed_as_soon_as_it_is_found():
    values = np.random.default_rng(0).normal(size=37)[np.arange(160) % 37]
    task = Forecast(3)
    told(task, values)
    found = next(t for t in range(160) if (task_of(values[: t + 1])).seasons.periods == (37,))
    _, _, answers = told(Forecast(3), values)
    assert np.abs(answers - values)[found + 3 :].max() < 1e-3


def task_of(values):
    task = Forecast(3)
    task.encode(numbers(values))
    return task


@given(
    st.integers(0, 10**6), st.sampled_from([1, 5, 70]), st.lists(st.integers(1, 199), max_size=5)
)
@example(0, 70, [21])  # a season is found before anything was judged
@settings(deadline=None, max_examples=12)
def test_pieces_and_restarts_do_not_change_a_bit_of_a_forecast(seed, horizon, places):
    rng = np.random.default_rng(seed)
    values, outputs = rng.normal(size=200).cumsum(), rng.normal(size=(200, NETS, 1))
    values += 5 * np.sin(np.arange(200) * np.pi / 6)
    values[rng.random(200) < 0.1] = np.nan
    whole, parts, found = Forecast(horizon), Forecast(horizon), []
    expected = told(whole, values, outputs)
    for rows in np.split(np.arange(200), sorted(set(places))):
        found.append(told(parts, values[rows], outputs[rows]))
        parts = restore_task({"name": "forecast", **parts.state()}, horizon)
    for one, whole_one in zip(zip(*found, strict=True), expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(one), whole_one)
    np.testing.assert_equal(parts.state(), whole.state())


def test_pieces_do_not_change_a_bit_once_the_past_is_full():
    rng = np.random.default_rng(0)
    values = np.sin(np.arange(5600) / 5) + 0.1 * rng.normal(size=5600)
    outputs = 0.1 * rng.normal(size=(5600, NETS, 1))
    whole, parts, found = Forecast(2), Forecast(2), []
    expected = told(whole, values, outputs)
    for rows in np.split(np.arange(5600), [4600, 4601, 5000, 5007, 5300]):
        found.append(told(parts, values[rows], outputs[rows]))
    for one, whole_one in zip(zip(*found, strict=True), expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(one), whole_one)
    assert len(parts.past) == parts.kept < 5600


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("row", [0, 3, 90, 149])
def test_a_forecast_asks_nothing_of_later_rows(horizon, row):
    values = np.random.default_rng(0).normal(size=150).cumsum()
    changed = values.copy()
    changed[row] += 10.0
    a, b = (told(Forecast(horizon), v) for v in (values, changed))
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one[:row], other[:row])


def test_a_forecast_that_is_out_is_not_touched_by_what_comes_after_its_origin():
    rng, row, horizon = np.random.default_rng(0), 120, 5
    values, other = rng.normal(size=150).cumsum(), rng.normal(size=150)
    found = []
    for by in (0.0, 10.0):
        model = Online(horizon=horizon, hidden=(4,))
        model.begin(Forecast(horizon))
        columns = {"other": numbers(np.where(np.arange(150) == row, other + by, other))}
        target = numbers(np.where(np.arange(150) == row, values + by, values))
        found.append(model.learn(columns, target).values)
    a, b = found
    np.testing.assert_array_equal(a[: row + horizon], b[: row + horizon])
    assert a[row + horizon] != b[row + horizon]


def test_the_past_of_other_columns_is_looked_at():
    values, task = np.array([3.0, np.nan, 4.0, 8.0, 9.0, 1.0]), Forecast(1)
    found = {lag: [] for lag in AGO}
    for part in np.split(np.arange(6), [2, 3]):
        key = task.encode(numbers(np.arange(6.0)[part])).key
        features = task.features({"other": numbers(values[part])}, key)
        for name, column in features.items():
            if name.startswith("other") and name != "other":
                found[int(name.split()[-1])].append(column.values)
        np.testing.assert_array_equal(features["other"].values, values[part])
    one, four = (np.concatenate(found[lag]) for lag in AGO)
    np.testing.assert_array_equal(one, [np.nan, 0, 1, 4, 1, -8])
    np.testing.assert_array_equal(four, [np.nan] * 4 + [6, -2])


def judged(values, horizon):
    """Learns a series and returns its score."""
    model = Online(horizon=horizon, hidden=(8,))
    model.learn_many({"row": np.zeros(len(values))}, values)
    assert model.task is not None
    return model.task.score


T = np.arange(600)
NEVER_WORSE = {
    "random walk": (lambda rng: rng.normal(size=600).cumsum(), 1, 1.02),
    "noise": (lambda rng: rng.normal(size=600), 3, 0.8),
    "season and trend": (
        lambda rng: 0.05 * T + 3 * np.sin(T * np.pi / 12) + 0.3 * rng.normal(size=600),
        6,
        0.95,
    ),
    "a jump of a million": (
        lambda rng: np.sin(T * np.pi / 12) + 0.2 * rng.normal(size=600) + 1e6 * (T > 400),
        12,
        1.001,
    ),
    "an outlier of a million": (
        lambda rng: np.where(T == 400, 1e6, np.sin(T * np.pi / 12) + 0.2 * rng.normal(size=600)),
        1,
        1.001,
    ),
}


@pytest.mark.parametrize("name", NEVER_WORSE)
def test_a_forecast_is_not_worse_than_what_is_simple(name):
    make, horizon, share = NEVER_WORSE[name]
    score = judged(make(np.random.default_rng(1)), horizon)
    assert score.value < share * score.baseline_value


def test_a_forecast_knows_the_other_columns():
    rng = np.random.default_rng(0)
    ahead = rng.normal(size=600)
    values = np.concatenate([np.zeros(3), ahead[:-3]]) + 0.1 * rng.normal(size=600)
    model = Online(horizon=2, hidden=(8,))
    model.learn_many({"ahead": ahead}, values)
    blind = Online(horizon=2, hidden=(8,))
    blind.learn_many({"row": np.zeros(600)}, values)
    assert model.task is not None
    assert blind.task is not None
    assert model.task.score.value < 0.6 * blind.task.score.value
    assert model.importance()["ahead"] > 0.2


REAL = {
    # Series, rows ahead, and the most that its error may be: 2 % above the better of last value and
    # last season, or what a single network had that saw the last 64 values alone.
    "CO2": (lambda: column(EXAMPLES / "co2.csv", "co2"), 13, 0.812),
    "airline passengers": (lambda: stream(datasets.AirlinePassengers()), 12, 20.0),
    "water, a day": (lambda: stream(datasets.WaterFlow()), 24, 1.02 * 5.214),
    "water, an hour": (lambda: stream(datasets.WaterFlow()), 1, 0.631),
}


def column(path, name):
    with path.open() as file:
        return [float(row[name]) if row[name] else np.nan for row in csv.DictReader(file)]


def stream(rows):
    return [y for _, y in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_series_are_forecast_better_than_by_last_value_and_last_season(name):
    read, horizon, most = REAL[name]
    values = np.array(read(), dtype=float)
    for seed in range(3):
        model = Online(horizon=horizon, seed=seed)
        model.learn_many({"row": np.zeros(len(values))}, values)
        assert model.task is not None
        assert model.task.score.value < most
        assert model.task.score.value < 1.02 * model.task.score.baseline_value


def test_rows_one_by_one_and_a_restart_are_the_whole_to_the_bit(tmp_path):
    rng, rows = np.random.default_rng(0), 110
    x = [
        {
            "a": None if k % 13 == 4 else float(v),
            "b": "uvw"[k % 3],
            "t": datetime(2024, 1, 1, k % 24),
        }
        for k, v in enumerate(rng.normal(size=rows))
    ]
    wave = 3 * np.sin(np.arange(rows) * np.pi / 6) + 0.2 * rng.normal(size=rows)
    y = [None if k % 17 == 5 else float(v) for k, v in enumerate(wave)]
    many, one, part = (Online(horizon=4, hidden=(6,)) for _ in range(3))
    many.learn_many(x, y)
    for row, value in zip(x, y, strict=True):
        one.learn_one(row, value)
    part.learn_many(x[:71], y[:71])
    part.save(tmp_path / "c.npz")
    part = Online.load(tmp_path / "c.npz")
    part.learn_many(x[71:], y[71:])
    assert isinstance(many.task, Forecast)
    assert many.task.seasons.periods == (12,)
    assert one.to_bytes() == part.to_bytes() == many.to_bytes()
