"""`reproduce`: quick claims hold, a failing claim is shown as failing, the report and its shape."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from localprop import ConfigError, Cost, SquaredError
from localprop.reproduce import (
    Claim,
    Part,
    Reproduction,
    learning,
    lessons,
    memory,
    propagation,
    reproduce,
    riccati,
    run,
    sampling,
    sign_flip,
    theorems,
    tracking,
)
from localprop.reproduce.figures import CAPTIONS, figure_of
from localprop.reproduce.page import claims_table, write_report

SEEDS = (0, 1)
README = Path(__file__).parents[2] / "README.md"
QUICK = {
    "theorems": (theorems, True),
    "propagation": (propagation, True),
    "riccati": (riccati, True),
    "sign flip": (sign_flip, True),
    "uneven samples": (sampling, True),
}
SLOW = {"memory": (memory, True)}
COUNT = {"against": "a count"}
NOT = Claim.at_most(
    "X2", "2 is at most 1 | 0", "nobody", measured=2.0, bound=1.0, note="a <b>",
    baselines={"do nothing": 1.5}, **COUNT,
)  # fmt: skip
NONE = Claim.at_most("X3", "what is not a number", "nobody", measured=np.nan, bound=1.0, **COUNT)
HELD = Claim.within("X1", "1 is in 0 … 2", "everybody", measured=1.0, low=0.0, high=2.0, **COUNT)
ENDLESS = Claim.at_least("X4", "∞ is large", "everybody", measured=np.inf, bound=1.0, **COUNT)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_quick_claims_hold(name):
    module, double = {**QUICK, **SLOW}[name]
    with jax.enable_x64(double):
        part = module.measure(SEEDS)
    assert [p.claims for p in run.PARTS if p.measure is module.measure] == [len(part.claims)]
    assert all(claim.against for claim in part.claims)
    assert [c.id for c in part.claims if not c.holds] == []


@pytest.mark.parametrize(
    ("claim", "holds"), [(HELD, True), (NOT, False), (NONE, False), (ENDLESS, True)]
)
def test_a_claim_holds_where_its_number_keeps_its_bound_and_nan_keeps_none(claim, holds):
    assert claim.holds is holds


def test_bounds_are_inclusive():
    assert Claim.at_most("a", "", "", measured=1, bound=1, **COUNT).holds
    assert Claim.at_least("a", "", "", measured=1, bound=1, **COUNT).holds
    assert Claim.within("a", "", "", measured=2, low=1, high=2, **COUNT).holds
    assert not Claim.within("a", "", "", measured=2.01, low=1, high=2, **COUNT).holds


def test_no_claim_without_what_it_is_held_against():
    with pytest.raises(TypeError, match="against"):
        Claim.at_most("a", "", "", measured=1, bound=1)


def test_a_claim_beats_its_baselines_by_the_factor_on_the_worst_start_or_not_at_all():
    last, frozen = np.array([2.0, 2.0, 2.0]), np.array([1.0, 0.8, 0.9])

    def beats(*errors):
        baselines = {"last": last, "frozen": frozen}
        return Claim.beats("a", "", "", errors=np.array(errors), baselines=baselines, factor=2.0)

    claim = beats(0.1, 0.4, 0.2)
    assert claim.holds
    assert claim.measured == 2.0
    assert claim.ranking == "law 0.2 < frozen 0.9 < last 2"
    assert not beats(0.1, 0.41, 0.2).holds  # one start is enough
    assert "33% of 3 starts fail" in beats(0.1, 0.41, 0.2).note
    assert not beats(0.1, np.inf, 0.2).holds  # one that diverged too
    assert not beats(0.1, np.nan, 0.2).holds


def test_the_best_readout_of_frozen_layers_is_least_squares_on_what_the_outputs_read():
    """The layers written out in NumPy; of a small stream, which a wide net would fit."""
    learner, seeds = learning.Learner(learning.dense(8, 2), Cost(SquaredError())), (3, 4)
    given = [lessons.teacher(seed, 400) for seed in seeds]
    found = learning.read_out(learner, given, seeds)
    for seed, lesson, score in zip(seeds, given, found, strict=True):
        w, x = learner.init(jax.random.key(seed)).w, lesson.query
        for name in ("hidden1", "hidden2"):
            x = np.tanh(x @ np.asarray(w[name].weight).T + np.asarray(w[name].bias))
        late, x = lesson.answer[-80:], np.c_[x[-80:], np.ones(80)]
        left = np.linalg.lstsq(x, late, rcond=None)[1]
        # float32 states, 25 columns: a thousandth of what is left.
        np.testing.assert_allclose(score, left[0] / 80 / np.var(late), rtol=1e-3)
        assert score < min(1, lesson.affine(lesson.query))


@pytest.fixture(scope="module")
def found():
    """A short run's curves, with claims of every kind."""
    with jax.enable_x64(True):
        slope = propagation.measure(SEEDS).curves
    curves = {**slope, "figure_2": tracking._first(tracking.FLIPS[4])}
    return Reproduction((HELD, NOT, NONE, ENDLESS), curves, SEEDS, 1.5)


def test_claims_that_fail_come_first(found):
    assert [c.id for c in found.claims] == ["X2", "X3", "X1", "X4"]


def test_the_record_has_the_keys_that_are_promised(found):
    records = found.as_dict()["claims"]
    assert len(records) == 4
    promised = {"id", "statement", "source", "against", "measured", "bound", "holds", "baselines"}
    assert all(promised <= set(record) for record in records)
    assert records[0]["ranking"] == "do nothing 1.5 < law 2"


def test_a_failing_claim_is_shown_as_failing_and_none_is_left_out(found, tmp_path):
    files = write_report(tmp_path, found)
    assert all(file.stat().st_size > 0 for file in files)
    markdown = (tmp_path / "report.md").read_text()
    rows = {line.split(" | ")[0]: line for line in markdown.splitlines() if line.startswith("| X")}
    assert len(rows) == 4
    assert "| no |" in rows["| X2"]
    assert "| yes |" in rows["| X1"]
    assert "not: X2, X3" in markdown
    assert "at most 1 \\| 0" in markdown  # a bar in a statement makes no column
    console = Console(width=120, record=True, file=open(tmp_path / "table", "w"))  # noqa: SIM115
    console.print(claims_table(found))
    table = console.export_text()
    assert table.count("NO") == 2
    assert all(claim.id in table for claim in found.claims)


def test_the_html_stands_alone_and_the_json_is_strict(found, tmp_path):
    write_report(tmp_path, found)

    class Page(HTMLParser):
        def __init__(self):
            super().__init__()
            self.sources, self.rows = [], 0

        def handle_starttag(self, tag, attrs):
            self.sources += [value for name, value in attrs if name in ("src", "href")]
            self.rows += tag == "tr"

    page = Page()
    text = (tmp_path / "report.html").read_text()
    page.feed(text)
    assert page.rows == 1 + 4
    assert len(page.sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "a &lt;b&gt;" in text

    def refuse(constant):
        raise AssertionError(constant)

    claims = json.loads((tmp_path / "claims.json").read_text(), parse_constant=refuse)["claims"]
    assert [c["measured"] for c in claims] == [2.0, None, 1.0, None]
    assert [c["holds"] for c in claims] == [False, False, True, True]


def test_figures_are_one_column_wide_with_labelled_axes_and_written_twice(found, tmp_path):
    write_report(tmp_path, found)
    for name, curve in found.curves.items():
        assert name in CAPTIONS
        figure = figure_of(curve)
        assert figure.get_size_inches()[0] == 3.4
        assert all(axes.get_ylabel() for axes in figure.axes)
        assert figure.axes[-1].get_xlabel()
        ET.parse(tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_tells_its_progress_and_leaves_the_callers_precision_alone(monkeypatch, tmp_path):
    seen, precisions = [], []

    def measure(seeds):
        precisions.append(jax.numpy.zeros(()).dtype.name)
        return Part([replace(HELD, id=f"X{len(precisions)}", note=str(seeds))])

    two_parts = run.Planned("one", measure, True, 1, 5), run.Planned("two", measure, False, 1, 5)
    monkeypatch.setattr(run, "PARTS", two_parts)
    found = reproduce((3, 4), watch=lambda *step: seen.append(step), out=tmp_path / "report")
    assert seen == [("one", 0, 2), ("two", 1, 2)]
    assert precisions == ["float64", "float32"]
    assert jax.numpy.zeros(()).dtype == "float32"
    assert [c.id for c in found.claims] == ["X1", "X2"]
    assert found.claims[0].note == "(3, 4)"
    assert {file.name for file in found.files} == {"report.md", "report.html", "claims.json"}
    assert len(reproduce(full=True).seeds) > len(reproduce().seeds)


def test_how_long_it_takes_is_said_before_it_starts(monkeypatch):
    parts = run.Planned("a", None, True, 2, 60), run.Planned("b", None, True, 3, 60, per_seed=False)
    monkeypatch.setattr(run, "PARTS", parts)
    assert run.plan() == (
        "measuring 5 claims in 2 parts, on 4 seeds; it takes about 2 minutes on two cores"
    )
    assert "about 11 minutes" in run.plan(full=True)


def test_one_seed_and_a_folder_that_is_a_file_are_refused_before_any_work(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "PARTS", (run.Planned("never", None, False, 0, 0),))
    with pytest.raises(ConfigError, match="two seeds"):
        reproduce((0,))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        reproduce(out=tmp_path / "file")


@pytest.mark.slow
def test_the_whole_run_fails_where_the_readme_says_and_draws_every_figure(tmp_path):
    found = reproduce(out=tmp_path)
    section = README.read_text("utf-8").split("## For researchers")[1].split("\n## ")[0]
    assert {c.id for c in found.failing} == set(re.findall(r"`([A-Z][A-Z0-9]+(?:-\w+)+)`", section))
    assert set(found.curves) == set(CAPTIONS)
    assert len(found.claims) == sum(planned.claims for planned in run.PARTS)
    assert all(claim.against for claim in found.claims)
    ids = [c.id for c in found.claims]
    assert len(set(ids)) == len(ids)
    named = " ".join(f"{c.id} {c.source}" for c in found.claims)
    for identity in [f"I{k}" for k in range(1, 12)] + [f"S{k}" for k in range(1, 5)]:
        assert re.search(rf"\b{identity}\b", named), identity
