"""A forecast, row by row as its docstring says it, in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from localprop.online.forecast import Forecast
from localprop.table.table import Column, ColumnKind

CLIP, LAGS, FORGET = 5.0, 63, 1 - 1 / 200


def _clipped(value, scale):
    return 0.0 if not scale > 0 or math.isnan(value) else max(-CLIP, min(CLIP, value / scale))


def _rms(values):
    return math.sqrt(sum(v * v for v in values) / len(values)) if values else 0.0


def _written_out(values, answers, horizon):
    """Returns per row: inputs that teach, what they teach, the query, the forecast due, the fool;
    and how far the answers are followed.

    Row t teaches with the window that ended `horizon` rows ago the change since then; it asks with
    the window that ends now. Every scale is of what is known up to the row, the row included.
    """
    held, known, steps, changes, asked, follows = [], [], [], [], [], []
    product = square = 0.0
    rows = []
    for t, y in enumerate(values):
        last = held[-1] if held else math.nan
        held.append(last if math.isnan(y) else y)
        if not math.isnan(y):
            known.append(y)
        if not math.isnan(held[-1] - last):
            steps.append(held[-1] - last)
        then = held[t - horizon] if t >= horizon else math.nan
        change = y - then
        if not math.isnan(change):
            changes.append(change)
        size = _rms(changes)

        def features(end, known=tuple(known), steps=tuple(steps), held=tuple(held)):
            mean = sum(known) / len(known) if known else 0.0
            spread = math.sqrt(sum((k - mean) ** 2 for k in known) / len(known)) if known else 0.0
            at = lambda k: held[k] if k >= 0 else math.nan  # noqa: E731
            lags = [at(end - k) - at(end - k - 1) for k in range(LAGS)]  # the latest first
            return [_clipped(at(end) - mean, spread), *(_clipped(d, _rms(steps)) for d in lags)]

        taught = math.nan if math.isnan(change) else _clipped(change, size)
        due = asked[t - horizon]["forecast"] if t >= horizon else math.nan
        if t >= horizon and not math.isnan(change):
            before = asked[t - horizon]
            moved = change / (before["size"] if before["size"] > 0 else 1.0)
            product = FORGET * product + before["answer"] * moved
            square = FORGET * square + before["answer"] ** 2
        else:
            product, square = FORGET * product, FORGET * square
        follow = min(1.0, max(0.0, product / square)) if square > 0 else 0.0
        forecast = held[-1] + follow * size * answers[t]
        follows.append(follow)
        asked.append({"forecast": forecast, "size": size, "answer": answers[t]})
        rows.append((features(t - horizon), taught, features(t), due, abs(then - y)))
    return rows, follows


@pytest.mark.parametrize("horizon", [1, 4])
def test_a_forecast_is_what_its_docstring_says_row_by_row(horizon):
    rng, rows = np.random.default_rng(3), 150
    # A level far from 0, a trend, changes far from 1: level, increments and changes are apart.
    values = 400 + 2 * np.arange(rows) + 7 * rng.normal(size=rows).cumsum()
    values[[20, 21, 22, 90]] = np.nan
    changes = np.append(values[horizon:] - values[:-horizon], np.zeros(horizon))
    # Answers that are right but for noise, and too large, so that they are followed in part.
    answers = 3.5 * np.nan_to_num(changes) / np.nanstd(changes) + 0.3 * rng.normal(size=rows)
    task = Forecast(horizon)
    found = []
    for part in np.split(np.arange(rows), [1, 50, 53]):
        encoded = task.encode(np.zeros((len(part), 2)), Column(ColumnKind.NUMBER, values[part]))
        due = task.update_score(encoded.key, {"answer": answers[part, None]})
        found.append((encoded, due))
    expected, follows = _written_out(values.tolist(), answers.tolist(), horizon)
    teach, taught, query, forecast, fool = (np.array(a) for a in zip(*expected, strict=True))
    join = lambda read: np.concatenate([read(*pair) for pair in found])  # noqa: E731
    # Moments are kept about the first value, in one pass: 150 terms.
    close = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(join(lambda e, _: e.u), teach, **close)
    np.testing.assert_allclose(join(lambda e, _: e.z)[:, 0], taught, **close)
    np.testing.assert_allclose(join(lambda e, _: e.query), query, **close)
    np.testing.assert_allclose(join(lambda _, due: due.values), forecast, **close)
    scored = np.isfinite(forecast) & np.isfinite(values)
    assert task.score.samples == scored.sum()
    errors = np.abs(forecast - values)[scored]
    np.testing.assert_allclose(task.score.total, errors.sum(), rtol=1e-10)
    np.testing.assert_allclose(task.score.fools_totals[0], fool[scored].sum(), rtol=1e-10)
    # The answers are followed, and in part, or the factor would not be tested.
    assert errors.sum() < 0.9 * fool[scored].sum()
    assert min(follows[20:]) > 0.1
    assert max(follows[20:]) < 0.95
