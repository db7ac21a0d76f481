"""The table that users decide by: its arithmetic, resuming, and a cell of every method."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import rankdata

from benchmarks.streams import __main__ as runner
from benchmarks.streams.cell import Cell, apart
from benchmarks.streams.data import SOURCES, Stream
from benchmarks.streams.methods import METHODS, named
from benchmarks.streams.page import write_page
from benchmarks.streams.results import Results
from benchmarks.streams.scoring import RowByRow, moments, prequential, score, standardised
from benchmarks.streams.standing import (
    Score,
    against_best,
    behind,
    place,
    scores,
    summary,
    within,
)

SORT, NUMBER = "Phishing", "TrumpApproval"  # a merit and an error
DRAWN = "wine"  # by the seed


def numbers(target, horizon=1, season=1, task="regression"):
    columns = {"a": list(np.cos(np.arange(len(target))))}
    return Stream(task, columns, list(target), horizon, season)


@pytest.mark.parametrize("stream", [SORT, NUMBER])
def test_places_are_scipys_ranks(stream):
    values = np.random.default_rng(0).integers(0, 6, 9) / 8
    by_method = {f"m{k}": Score({0: v}) for k, v in enumerate(values)}
    found = [place(stream, name, by_method) for name in by_method]
    np.testing.assert_array_equal(found, rankdata(-values if stream == SORT else values))


def test_variants_of_localprop_stand_in_the_place_of_its_default():
    means = {"localprop": 0.9, "localprop-no-review": 0.8, "a": 0.7, "b": 0.85}
    by_method = {name: Score({0: v}) for name, v in means.items()}
    found = {name: place(SORT, name, by_method) for name in means}
    assert found == {"localprop": 1, "localprop-no-review": 2, "a": 3, "b": 2}


@pytest.mark.parametrize(("behind", "expected"), [(0.019, True), (0.021, False), (-1.0, True)])
@pytest.mark.parametrize("wide", ["a", "b"])
@pytest.mark.parametrize("stream", [SORT, NUMBER])
def test_within_is_the_larger_of_both_spreads(stream, wide, behind, expected):
    sign = -1 if stream == SORT else 1
    half = 0.02 / math.sqrt(2)  # two values so far from their mean deviate by .02
    low, high = (0.5, 0.5 + sign * behind)
    widths = (half, 0.0) if wide == "a" else (0.0, half)
    by_method = {
        name: Score({0: centre - width, 1: centre + width})
        for name, centre, width in zip("ab", (low, high), widths, strict=True)
    }
    assert within(stream, "b", by_method) is expected


def test_where_the_seed_draws_the_stream_scores_of_the_same_streams_are_compared():
    """By 0.01 behind on either of two streams that are very unlike: surely behind."""
    mine, theirs = {0: 0.50, 1: 0.90, 2: 0.10}, {0: 0.51, 1: 0.91}
    assert behind(DRAWN, Score(mine), Score(theirs)) == pytest.approx((0.01, 0.0))
    by_method = {"mine": Score(mine), "theirs": Score(theirs), "late": Score({7: 0.99})}
    assert not within(DRAWN, "mine", by_method)
    assert place(DRAWN, "mine", by_method) == 2  # no stream in common with the third
    assert against_best(DRAWN, "mine", by_method) == pytest.approx(0.30 / 0.29)
    unsure = {"mine": Score(mine), "theirs": Score({0: 0.55, 1: 0.87})}
    assert behind(DRAWN, *unsure.values()) == pytest.approx((0.01, 0.08 / math.sqrt(2)))
    assert within(DRAWN, "mine", unsure)
    assert behind(SORT, Score(mine), Score(theirs))[0] == pytest.approx(0.71 - 0.50)


def test_spread_is_the_deviation_of_a_sample():
    found = Score({0: 0.1, 1: 0.4, 2: 0.2})
    assert found.mean == pytest.approx(np.mean([0.1, 0.4, 0.2]), rel=1e-12)
    assert found.spread == pytest.approx(np.std([0.1, 0.4, 0.2], ddof=1), rel=1e-12)
    assert found.seeds == 3
    assert Score({0: 0.3}).spread == 0


def test_errors_are_held_against_the_best():
    accuracies = {"a": Score({0: 0.9}), "b": Score({0: 0.8})}
    assert against_best(SORT, "b", accuracies) == pytest.approx(2)
    assert against_best(SORT, "a", accuracies) == 1
    errors = {"a": Score({0: 0.2}), "b": Score({0: 0.3}), "c": Score({0: math.inf})}
    assert against_best(NUMBER, "b", errors) == pytest.approx(1.5)
    assert against_best(NUMBER, "c", errors) == 10


def test_summary_counts_over_streams():
    cells = [
        Cell(SORT, "last", 0, score=0.8, rows=1000, seconds=0.5, memory=1.0),
        Cell(SORT, "constant", 0, score=0.9, rows=1000, seconds=0.1, memory=1.0),
        Cell(NUMBER, "last", 0, score=1.0, rows=1000, seconds=0.3, memory=3.0),
        Cell(NUMBER, "constant", 0, state="diverged"),
        Cell(NUMBER, "vw-coin", 0, state="failed"),
        Cell(SORT, "season", 0, state="stopped", score=0.99),
    ]
    found = scores(cells)
    mine = summary("last", found, cells)
    assert mine is not None
    assert (mine.streams, mine.place, mine.best, mine.three) == (2, 1.5, 1, 2)
    assert mine.error == pytest.approx(math.sqrt(2))
    assert (mine.microseconds, mine.memory) == (pytest.approx(400), 2)
    assert summary("season", found, cells) is None  # what was stopped is not compared


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_row_is_predicted_with_what_was_known_a_horizon_before(horizon):
    learned, known = [], []

    def predict(row):
        known.append(list(learned))
        return float(row)

    stream, answers = numbers(range(10), horizon), np.full(10, np.nan)
    prequential(RowByRow(predict, learned.append), stream, answers)
    assert known == [list(range(max(row - horizon + 1, 0))) for row in range(10)]
    assert score(stream, answers) == 0


def test_scores_begin_where_something_is_before():
    assert score(numbers([1.0, 2.0, 4.0]), np.array([np.nan, 1.0, 2.0])) == 1.5
    ahead = numbers([1.0, 2.0, 4.0], horizon=2, task="forecast")
    assert score(ahead, np.array([np.nan, np.nan, 1.0])) == 3.0
    classes = numbers(["b", "a", "b"], task="classification")
    assert score(classes, np.array([np.nan, 0.0, 0.0])) == pytest.approx(1 / 3)


def test_last_and_seasonal_values_are_those_known():
    series = numbers(range(9), horizon=2, season=4, task="forecast")
    # Two back throughout; of seven forecasts two before a season is known, and then four back.
    for method, expected in {"last": 2.0, "season": (2 * 2 + 5 * 4) / 7}.items():
        build = METHODS[method].rows
        assert build is not None
        answers = np.full(9, np.nan)
        prequential(build(series, 0), series, answers)
        assert score(series, answers) == pytest.approx(expected)


def test_moments_are_those_of_every_beginning():
    values = 1e6 + np.random.default_rng(0).normal(size=(30, 2))
    mean, deviation = moments(values)
    for k in range(2, 31):
        np.testing.assert_allclose(mean[k], values[:k].mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(deviation[k], values[:k].std(axis=0), rtol=1e-8)
    assert (mean[0] == 0).all()
    assert (deviation[0] == 1).all()
    z = standardised(values, clip=np.inf)
    np.testing.assert_allclose(z[-1], (values[-1] - mean[-1]) / deviation[-1], rtol=1e-8)


def test_past_values_are_known_a_horizon_before():
    stream = SOURCES["WaterFlow +24"].load(0)
    names, x = stream.features()
    y = stream.truth()
    np.testing.assert_array_equal(stream.base()[100:], y[76:-24])
    np.testing.assert_array_equal(x[100:, names.index("lag 24")], y[76:-24])
    for lag in (25, 30, 47):
        past = y[100 - lag : -lag] - y[76:-24]
        np.testing.assert_array_equal(x[100:, names.index(f"lag {lag}")], past)
    assert min(int(name.split()[1]) for name in names if name.startswith("lag")) == 24


def test_a_run_resumes_from_lines_and_table(tmp_path):
    table, lines = tmp_path / "streams.csv", tmp_path / "out" / "streams.jsonl"
    results = Results(table, lines)
    done = Cell(SORT, "last", 0, score=0.1 + 0.2, rows=7, seconds=1e-5, memory=None)
    late = Cell(NUMBER, "last", 0, state="stopped", limit=2.0, reason="over 2 minutes, yes")
    results.add(done)
    results.add(late)
    with lines.open("a") as file:
        file.write('{"stream": "Phi')  # the process was killed here
    again = Results(table, lines)
    assert again.cells == results.cells
    assert again.done((SORT, "last", 0), 10)
    assert again.done((NUMBER, "last", 0), 2)
    assert not again.done((NUMBER, "last", 0), 3)
    assert not again.done((SORT, "last", 1), 10)
    newer = Cell(SORT, "last", 0, score=0.5)
    again.add(newer)
    assert Results(table, lines).cells[SORT, "last", 0] == newer
    for state in ("absent", "failed"):
        again.add(Cell(SORT, "vw-coin", 0, state=state))
        assert not again.done((SORT, "vw-coin", 0), 10)
    again.write_table()
    lines.unlink()
    kept = Results(table, lines)
    assert kept.cells.keys() == again.cells.keys()
    assert kept.cells[NUMBER, "last", 0] == late
    kept.write_table()
    assert Results(table, lines).cells == kept.cells


def test_quick_methods_and_short_streams_come_first():
    todo = runner.cells(METHODS, SOURCES, 3)
    assert len(set(todo)) == len(todo)
    keys = [(seed, METHODS[m].slow, SOURCES[s].rows) for s, m, seed in todo]
    assert keys == sorted(keys)
    again = {s for s, m, seed in todo if not METHODS[m].seeded and seed}
    assert again == {s for s in SOURCES if SOURCES[s].drawn}
    assert {s for s, m, _ in todo if m == "season"} == {
        s for s in SOURCES if SOURCES[s].task == "forecast"
    }


def test_methods_are_named_one_by_one_or_by_family():
    assert named("vw,last") == ["vw-coin", "vw-network", "last"]
    assert named(None) == list(METHODS)
    with pytest.raises(ValueError, match="no method 'nobody'"):
        named("nobody")


def test_page_tells_losses_and_what_was_not_run(tmp_path):
    cells = [
        Cell(SORT, "localprop", seed, score=0.9 + seed / 1000, rows=1250, seconds=1.0, memory=9.0)
        for seed in range(3)
    ]
    cells += [
        Cell(SORT, "river-forest", 0, score=0.95, rows=1250, seconds=9.0, memory=1.0),
        Cell(SORT, "river-linear", 0, score=0.91, rows=1250, seconds=0.1, memory=1.0),
        Cell(SORT, "vw-coin", 0, state="absent", reason="No module named 'vowpalwabbit'"),
        Cell(SORT, "moa-forest", 0, state="stopped", reason="over 10 minutes", rows=99),
    ]
    write_page(cells, tmp_path)
    text = (tmp_path / "streams.md").read_text()
    assert (tmp_path / "streams.png").stat().st_size > 1000
    assert "Phishing, 0.9010 ± 0.001. Ahead: adaptive random forest (River) 0.9500; " in text
    assert "0.9100, **ahead**" in text
    assert "first on 0 of 1 streams" in text.replace(
        "Best or within the spread of the best", "first"
    )
    assert "absent: No module named 'vowpalwabbit'" in text
    assert "stopped: over 10 minutes: Phishing (after 99 of 1250 rows)" in text
    assert "| Phishing | 0.9010 ± 0.001 | ≥ 0.912 | **no** |" in text


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["wine", "diabetes", "WaterFlow +24"])
@pytest.mark.parametrize("method", METHODS)
def test_a_tiny_cell_of_every_method(method, stream):
    if SOURCES[stream].task not in METHODS[method].tasks:
        pytest.skip("not made for this")
    found = apart((stream, method, 0), 5.0, rows=60)
    if found.state == "absent":
        pytest.skip(found.reason)
    assert found.state == "done", found.reason
    assert found.rows == 60
    assert found.score is not None
    assert math.isfinite(found.score)
    assert found.seconds is not None
    assert 0 <= found.seconds < 600


@pytest.mark.slow
def test_a_cell_that_takes_too_long_is_stopped():
    found = apart(("Hyperplane", "sklearn-network", 0), 0.01)
    assert found.state == "stopped"
    assert 0 < found.rows < 20_000


def test_rivals_score_as_rivers_own_evaluation():
    pytest.importorskip("river")
    from river import evaluate, linear_model, metrics, preprocessing
    from river.datasets import Phishing

    build, stream = METHODS["river-linear"].rows, SOURCES[SORT].load(0).first(300)
    assert build is not None
    answers = np.full(300, np.nan)
    prequential(build(stream, 0), stream, answers)
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    expected = evaluate.progressive_val_score(Phishing().take(300), model, metrics.Accuracy())
    assert score(stream, answers) == pytest.approx(expected.get())


def test_backpropagation_is_that_by_hand():
    """One hidden layer after the other, in float64 and by the chain rule, as SGD at 10⁻²."""
    from benchmarks.streams.whole import HIDDEN, RATES, backpropagation

    y = np.sin(np.arange(25.0)) + np.arange(25) / 9
    stream = numbers(y)
    u = standardised(stream.features()[1])
    draw, sizes = np.random.default_rng(5), [1, *HIDDEN]
    w = [[draw.normal(0, n**-0.5, (m, n)), draw.normal(0, 0.8, m)] for n, m in pairwise(sizes)]
    w.append([np.zeros((1, HIDDEN[-1])), np.zeros(1)])
    mean, deviation = moments(y)
    errors = []
    for k in range(25):
        x = [u[k]]
        for weight, bias in w[:-1]:
            x.append(np.tanh(weight @ x[-1] + bias))
        out = w[-1][0] @ x[-1] + w[-1][1]
        errors.append(abs(mean[k] + deviation[k] * out[0] - y[k]))
        force = out - (y[k] - mean[k + 1]) / deviation[k + 1]
        for j in reversed(range(3)):
            back = w[j][0].T @ force
            w[j][0] -= RATES["sgd"] * np.outer(force, x[j])
            w[j][1] -= RATES["sgd"] * force
            force = back * (1 - x[j] ** 2)
    # Float32 over 25 rows of some 100 sums each: 1e-7 · √2500 is 5e-6 of the size.
    assert backpropagation("sgd", stream, 5).score == pytest.approx(np.mean(errors[1:]), rel=1e-4)
