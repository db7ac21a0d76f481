"""One network without a bank: the same numbers through every face, and nothing beside it."""

from __future__ import annotations

import csv
import json
import pickle

import jax
import numpy as np
import pytest
from command_line import in_process

from localprop import ConfigError, Cost, Layered, Learner, Online, Samples, SoftmaxCrossEntropy
from localprop.errors import CheckpointError
from localprop.law import Adaptive, Hamiltonian
from localprop.online.defaults import bank_for
from localprop.online.encode import Encoder
from localprop.river import LocalClassifier, LocalRegressor
from localprop.sklearn import LocalClassifier as Sorter
from localprop.table.columns import Column, ColumnKind

ROWS, HIDDEN = 260, (6, 5)


def stream(task):
    """Numbers, text, a truth value and a code, with gaps, and targets that may be missing."""
    rng = np.random.default_rng(0)
    rows, targets = [], []
    for k in range(ROWS):
        a, b = rng.normal(size=2).tolist()
        row = {"a": a if k % 9 else None, "b": 1e3 * b, "code": float(k % 4), "on": bool(k % 3)}
        row["place"] = ["north", "east", None][k % 3]
        rows.append(row)
        target = ("yes" if a * b > 0 else "no") if task == "classification" else a * b
        targets.append(target if k % 7 else None)
    return rows, targets


def lone(task, review=0, **more):
    return Online(task, bank=False, review=review, hidden=HIDDEN, **more)


def told(model, x):
    """What is predicted of a row: probabilities, or the number."""
    classes = model.settings.task == "classification"
    return model.predict_proba_one(x) if classes else model.predict_one(x)


def one_by_one(model, rows, targets):
    answers = []
    for x, y in zip(rows, targets, strict=True):
        answers.append(told(model, x))
        model.learn_one(x, y)
    return answers


@pytest.mark.parametrize("review", [0, 50])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_many_rows_copies_and_adapters_give_the_same_bits(task, review):
    rows, targets = stream(task)
    model, many = lone(task, review), lone(task, review)
    one_by_one(model, rows, targets)
    for start, stop in [(0, 1), (1, 8), (8, 150), (150, ROWS)]:
        many.learn_many(rows[start:stop], targets[start:stop])
        many = pickle.loads(pickle.dumps(many))  # as through a checkpoint
    adapter = LocalClassifier if task == "classification" else LocalRegressor
    river = adapter(hidden=HIDDEN, review=review, bank=False)
    one_by_one(river.online, rows, targets)
    for other in (many, river.online):
        assert other.to_bytes() == model.to_bytes()
        assert [told(other, x) for x in rows[:20]] == [told(model, x) for x in rows[:20]]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_command_line_resumes_predicts_and_reports(task, tmp_path, monkeypatch, capfd):
    rows, targets = stream(task)
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*rows[0], "target"])
        # As truth values are spelled in a file.
        cells = [[str(v).lower() if isinstance(v, bool) else v for v in x.values()] for x in rows]
        writer.writerows([*row, y] for row, y in zip(cells, targets, strict=True))

    def run(*arguments):
        done = in_process(monkeypatch, capfd, *arguments)
        assert done.status == 0, done.err
        return done

    given = ("learn", tmp_path / "t.csv", "--target", "target", "--task", task)
    given = (*given, "--no-bank", "--review", "0", "--hidden", "6,5")
    whole = ("--predictions", tmp_path / "p.csv", "--checkpoint", tmp_path / "c.npz")
    report = run(*given, *whole, "--out", tmp_path / "report", "--json")
    numbers = json.loads(report.out.splitlines()[-1])
    assert numbers["experts"] == {"network": 1.0}
    assert not list((tmp_path / "report").glob("experts*"))
    assert "experts" not in (tmp_path / "report" / "report.md").read_text("utf-8")
    kept = ("--checkpoint", tmp_path / "d.npz")
    run(*given, *kept, "--limit", "100")
    # What was not said again is as it was kept.
    run(*given[:6], *kept, "--resume")
    assert Online.load(tmp_path / "d.npz").to_bytes() == Online.load(tmp_path / "c.npz").to_bytes()
    run("predict", tmp_path / "c.npz", tmp_path / "t.csv", "--predictions", tmp_path / "q.csv")
    model = lone(task)
    answers = one_by_one(model, rows, targets)
    for path, expected in (("p.csv", answers), ("q.csv", [told(model, x) for x in rows])):
        with (tmp_path / path).open() as file:
            for line, answer in zip(csv.DictReader(file), expected, strict=True):
                if task == "classification":
                    answer = {f"p({label})": p for label, p in answer.items()}
                else:
                    answer = {} if answer is None else {"prediction": answer}
                for name, value in answer.items():
                    assert float(line[name]) == pytest.approx(value, rel=1e-6)


def test_it_is_the_network_that_a_learner_is_on_standardised_numbers():
    """Written out with `Learner`: RMSProp without momentum, on z-scores alone."""
    rng = np.random.default_rng(1)
    x = rng.normal(3.0, 2.0, (120, 2))
    y = x[:, 0] > x[:, 1]
    model = Online("classification", bank=False, review=0, engine="xla")
    found = one_by_one(model, [{"a": a, "b": b} for a, b in x.tolist()], y.tolist())
    encoder = Encoder(bins=False)
    columns = {name: Column(ColumnKind.NUMBER, x[:, k]) for k, name in enumerate("ab")}
    u = encoder.now(encoder.encode(columns, 120))
    assert encoder.inputs == ["a", "b"]
    sizes, scales = [2, 32, 32, 8], {"output_scale": 0.0, "bias_scale": 0.8}
    network = Layered.dense(sizes, activation="silu", **scales)
    law = Hamiltonian(mass=Adaptive(2.5e-3, 1e-3, 3e-4), dissipation=1.0)
    cost = Cost(SoftmaxCrossEntropy(0.05))
    learner = Learner(network, cost, law, hops=7, settle=6, duration=7.0, streams=1)
    classes = [bool(y[0]), not y[0]]
    known = np.maximum.accumulate(np.where(y == y[0], 1, 2))
    z = (y[:, None] == [*classes, *[None] * 6]).astype(float)
    z[np.arange(8) >= known[:, None]] = np.nan
    bank = bank_for(model.settings, "classification", 2, 2, 8, 1)  # the same first weights
    phase = bank.of(bank.init(jax.random.key(0)), 0)
    _, trace = learner.run(phase, Samples(u[:, None], z[:, None]))
    outputs = np.asarray(trace["output"])[:, 0]
    for t in range(1, 120):
        there = max(known[t - 1], 1)
        shares = np.exp(outputs[t, :there]) / np.exp(outputs[t, :there]).sum()
        for label, share in zip(classes, shares, strict=False):
            assert found[t][label] == pytest.approx(share, abs=1e-5)


def test_nothing_stands_beside_it():
    model = lone("classification")
    model.learn_many(*stream("classification"))
    assert model.task is not None
    assert model.task.mixture.shares == {"network": 1.0}
    assert model.model.bank.names == ["network"]
    assert model._memory is None
    assert not any("bin" in name for name in model._encoder.inputs)
    assert model._review.kept.targets.size == 0
    assert set(model.importance()) == {"a", "b", "code", "on", "place"}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_engines_agree(task):
    rows, targets = stream(task)
    one, other = (lone(task, engine=engine) for engine in ("native", "xla"))
    for x, y in zip(one_by_one(one, rows, targets), one_by_one(other, rows, targets), strict=True):
        assert x is y or x == pytest.approx(y, abs=1e-4)


def test_products_of_columns_are_learned():
    """What no linear model sees at all."""
    x = np.random.default_rng(2).normal(size=(6000, 4))
    y = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] > 0
    model = Online("classification", bank=False, review=0)
    model.learn_many(x, y)
    assert model.task is not None
    assert model.task.score.value > 0.8


@pytest.mark.parametrize("given", [{"task": "forecast"}, {"horizon": 3}])
def test_a_forecast_needs_its_bank(given):
    with pytest.raises(ConfigError, match="forecast"):
        Online(**given, bank=False)


def test_it_is_no_bank_and_a_bank_is_not_it(tmp_path):
    for name, bank in (("with.npz", True), ("without.npz", False)):
        model = Online("regression", bank=bank, hidden=(4,))
        model.learn_one({"a": 1.0}, 1.0)
        model.save(tmp_path / name)
        assert Online.load(tmp_path / name).settings.bank is bank
    assert LocalRegressor.load(tmp_path / "without.npz").bank is False
    asked, kept = Online("regression", bank=False).settings, Online.load(tmp_path / "with.npz")
    with pytest.raises(CheckpointError, match="bank"):
        kept.check_settings(asked, "with.npz")
    with pytest.raises(ConfigError, match="bank"):
        Online(bank="no")  # type: ignore[arg-type]


def test_scikit_learn_fits_it():
    x = np.random.default_rng(3).normal(size=(400, 2))
    y = x[:, 0] > x[:, 1]
    model = Sorter(bank=False, random_state=0, max_epochs=3).fit(x[:300], y[:300])
    assert model.online_.settings.bank is False
    assert model.score(x[300:], y[300:]) > 0.9
