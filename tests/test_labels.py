"""A label is a label: what marks a missing value elsewhere may be a class of the target."""

from __future__ import annotations

import pytest
from command_line import in_process

from localprop import Online
from localprop.online import run
from localprop.online.classification import MOST_CLASSES


@pytest.fixture
def learn(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def learned(labels, *options):
        lines = [f"{k % 5},{label}" for k, label in enumerate(labels)]
        (tmp_path / "t.csv").write_text("\n".join(["a,y", *lines]) + "\n")
        options = ("--target", "y", "--hidden", "3", "--json", *options)
        (tmp_path / "c.npz").unlink(missing_ok=True)
        outcome = in_process(
            monkeypatch, capfd, "learn", "t.csv", "--checkpoint", "c.npz", *options
        )
        return outcome, Online.load("c.npz") if outcome.status == 0 else None

    return learned


@pytest.mark.parametrize(
    "classes", [["+", "-"], ["none", "mild", "severe"], ["?", ".", "-", "None"], ["yes", "no", "-"]]
)
def test_marks_of_what_is_missing_are_classes_of_a_target(learn, classes):
    outcome, model = learn([classes[k % len(classes)] for k in range(120)])
    assert set(model.classes) == set(classes)
    assert "taken as a class; leave the field empty" in outcome.err


@pytest.mark.parametrize("absent", ["", "NA", "NaN", "null", "n/a", " NA "])
def test_an_empty_field_and_the_usual_words_are_missing(learn, absent):
    outcome, model = learn([["p", "q", absent][k % 3] for k in range(90)])
    assert model.classes == ["p", "q"]
    assert outcome.result["samples"] == 90
    assert "taken as" not in outcome.err


def test_marks_among_numbers_are_missing_and_said_so(learn):
    outcome, model = learn(["?" if k % 9 == 4 else k / 7 for k in range(90)])
    assert outcome.result["task"] == "regression"
    assert "'?' (10 times) in its first 90 rows, taken as missing among numbers" in outcome.err
    outcome, model = learn(["?" if k % 9 == 4 else k % 2 for k in range(90)], "--text", "y")
    assert model.classes == ["0", "1", "?"]


def test_a_class_of_a_new_name_may_follow_yes_and_no(learn):
    _, model = learn(["yes" if k % 3 else "no" for k in range(1100)] + ["maybe", "-", "yes"])
    assert model.classes == ["no", "yes", "maybe", "-"]


def test_blanks_around_a_label_are_no_part_of_it(learn):
    _, model = learn([[" p", "q ", "p"][k % 3] for k in range(60)])
    assert model.classes == ["p", "q"]


@pytest.mark.parametrize("most", [20, pytest.param(MOST_CLASSES, marks=pytest.mark.slow)])
def test_many_classes_are_pointed_out_before_they_are_too_many(learn, monkeypatch, most):
    monkeypatch.setattr(run, "MOST_CLASSES", most)
    many = most * 7 // 10
    outcome, _ = learn([f"c{k}" for k in range(many)])
    told = f"has {many} classes in its first rows, and at most {most:,} can be learned"
    assert told in outcome.err
