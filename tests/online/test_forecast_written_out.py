"""A forecast is made of what its experts said when it was made, row by row in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from localprop.online.defaults import NAMES
from localprop.online.forecast import Forecast
from localprop.online.window import Window
from localprop.table.table import Column, ColumnKind


def written_out(values, outputs, horizon):
    """Returns per row: what the networks are taught, what they forecast, and the last value.

    Row t teaches the change since row t - H, in units of the size of such changes up to now; it is
    asked for the change to row t + H, which the size of now turns into a number.
    """
    held, sizes, taught, nets = [], Window(), [], []
    for t, y in enumerate(values):
        held.append(held[-1] if math.isnan(y) and held else y)
        change = y - (held[t - horizon] if t >= horizon else math.nan)
        _, now = sizes.update(np.array([change]))
        size = math.hypot(now.mean[0], now.deviation[0])
        unit = change / size if size > 0 else 0.0
        taught.append(math.nan if math.isnan(change) else max(-5.0, min(5.0, unit)))
        nets.append([held[-1] + size * max(-5.0, min(5.0, o)) for o in outputs[t]])
    return taught, nets, held


@pytest.mark.parametrize("horizon", [1, 4])
def test_a_forecast_is_mixed_of_what_its_experts_said_row_by_row(horizon):
    rng, rows = np.random.default_rng(3), 150
    # A level far from 0, a trend, changes far from 1: level and changes are apart.
    values = 400 + 2 * np.arange(rows) + 7 * rng.normal(size=rows).cumsum()
    values[[20, 21, 22, 90]] = np.nan
    outputs = rng.normal(size=(rows, len(NAMES)))
    task, found, taught, weights = Forecast(horizon), [], [], []
    for k in range(rows):
        encoded = task.encode(Column(ColumnKind.NUMBER, values[k : k + 1]))
        taught.append(task.targets(encoded.raw[:, None], encoded.key)[0, 0, 0])
        found.append(task.update_score(encoded.key, outputs[k : k + 1, :, None]).values[0])
        weights.append(task.mixture.weights)  # with which the forecast of this row was made
    expected, nets, held = written_out(values.tolist(), outputs.tolist(), horizon)
    np.testing.assert_allclose(taught, expected, rtol=1e-10, atol=1e-12)
    assert task.mixture.names == [*NAMES, "last value"]
    for t in range(rows):
        due = [*nets[t - horizon], held[t - horizon]] if t >= horizon else [math.nan]
        assert math.isnan(found[t]) == (t < horizon)
        if t >= horizon:
            expected_now = np.dot(weights[t - horizon], due)
            np.testing.assert_allclose(found[t], expected_now, rtol=1e-9)
    # Of each row whose forecast was due, and whose value is there, losses were taken in.
    judged = [t for t in range(horizon, rows) if not math.isnan(values[t])]
    assert task.score.samples == len(judged)
    errors = sum(abs(found[t] - values[t]) for t in judged)
    np.testing.assert_allclose(task.score.total, errors, rtol=1e-10)
    fool = sum(abs(held[t - horizon] - values[t]) for t in judged)
    np.testing.assert_allclose(task.score.fools_totals[0], fool, rtol=1e-10)
    # The networks say nothing of any use, so it is little worse than the last value.
    assert errors < 1.1 * fool


def test_a_forecast_follows_networks_that_know():
    rng, rows, horizon = np.random.default_rng(4), 600, 3
    values = rng.normal(size=rows).cumsum()
    changes = np.append(values[horizon:] - values[:-horizon], np.zeros(horizon))
    outputs = rng.normal(size=(rows, len(NAMES), 1))
    outputs[:, 1, 0] = changes / np.std(changes) * 0.9
    outputs[:, 3] = np.nan  # one that went wrong costs nothing
    task = Forecast(horizon)
    encoded = task.encode(Column(ColumnKind.NUMBER, values))
    answers = task.update_score(encoded.key, outputs).values
    late = slice(200, None)
    fool = np.abs(values[horizon:] - values[:-horizon])[late].mean()
    assert np.abs(answers - values)[horizon:][late].mean() < 0.3 * fool
    assert max(task.mixture.shares, key=task.mixture.shares.get) == NAMES[1]
