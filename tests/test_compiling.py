"""Whoever waits is told when something is compiled, whatever compiles it."""

from __future__ import annotations

from importlib import import_module

import jax
import pytest
from command_line import unread
from rich.progress import Progress

from localprop.compiling import told_of_compiling
from localprop.kept_loops import kept_loop
from localprop.reproduce import Claim, Part, locality, run


def test_begin_and_end_alternate_and_come_to_an_end():
    told = []
    with told_of_compiling(told.append):
        inner = jax.jit(lambda x: x * 2.5)
        assert jax.jit(lambda x: inner(x) + 1.5)(2.0) == 6.5
        ours = len(told)
        double = kept_loop(lambda x: 2 * x, no_cpython_wrapper=False)
        assert double(3) == 6
    assert ours >= 2
    assert len(told) >= ours + 2
    assert told == [True, False] * (len(told) // 2)
    jax.jit(lambda x: x * 3.5)(2.0)
    assert len(told) == ours + 2


def test_what_fails_to_compile_is_done_too():
    told = []

    def wrong(x):
        raise ValueError("not today")

    with told_of_compiling(told.append), pytest.raises(ValueError, match="today"):
        jax.jit(wrong)(1.0)
    assert told == [True, False] * (len(told) // 2)
    assert told


@pytest.fixture
def shown(monkeypatch):
    """What stands in the line of a command, one after the other."""
    found, update = [], Progress.update

    def seen(self, task_id, **fields):
        found.append(fields.get("description"))
        update(self, task_id, **fields)

    monkeypatch.setattr(Progress, "update", seen)
    return found


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{k % 7},{k % 5}\n" for k in range(60)))
    return path


def test_learn_and_predict_say_that_they_compile(table, tmp_path, monkeypatch, shown):
    options = ("--target", "y", "--hidden", "3", "--review", "0", "--engine", "xla")
    kept = tmp_path / "kept.npz"
    assert unread(monkeypatch, "learn", table, *options, "--checkpoint", kept) == 0
    assert {"compiling", "learning"} <= set(shown)
    shown.clear()
    jax.clear_caches()
    assert unread(monkeypatch, "predict", kept, table) == 0
    assert shown[0] == "compiling"
    assert shown[-1] == "predicting"


def test_track_says_that_it_compiles(monkeypatch, shown):
    jax.clear_caches()
    assert unread(monkeypatch, "track", "--omega", "0.1", "--duration", "30") == 0
    assert shown[0] == "compiling"
    assert shown[-1] == "tracking"


def test_audit_says_that_it_compiles(monkeypatch, shown):
    compiled = lambda found: lambda: found if jax.jit(lambda x: x * 4.5)(2.0) else None  # noqa: E731
    monkeypatch.setattr(locality, "default_audits", compiled([]))
    monkeypatch.setattr(import_module("localprop.audit.survey"), "survey", compiled({}))
    assert unread(monkeypatch, "audit") == 0
    first, second = "auditing single hops", "auditing whole samples"
    begins = shown.index(second)
    assert set(shown[:begins]) == {"compiling", first}
    assert shown[begins - 1] == "compiling"
    assert set(shown[begins:]) == {"compiling", second}


def test_reproduce_says_what_it_compiles_for(monkeypatch, shown):
    def measure(seeds):
        held = float(jax.jit(lambda x: x * 7.5)(1.0))
        return Part([Claim.at_most("A", "small", "here", against="it", measured=held, bound=8.0)])

    monkeypatch.setattr(run, "PARTS", (run.Planned("a product", measure, False, 1, 1),))
    assert unread(monkeypatch, "reproduce") == 0
    assert shown[:3] == ["a product", "a product: compiling", "a product"]
