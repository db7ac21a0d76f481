"""Tracking is bounded: every number is right or refused in one line, and every file has an end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from localprop import ConfigError, CostateReversal, DivergenceError, StreamError
from localprop.commands.track import track_command
from localprop.tracking import signals
from localprop.tracking.bounds import count_steps
from localprop.tracking.signals import Column, Patched, Sine, read_column
from localprop.tracking.track import track
from localprop.tracking.tracker import tracker

APP = typer.Typer()
APP.command()(track_command)


def test_a_file_without_end_and_a_row_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(signals, "MOST_STEPS", 50)
    monkeypatch.setattr(signals, "MOST_CHARACTERS", 1000)
    file = tmp_path / "long.csv"
    for text, problem in (
        ("y\n" + 51 * "1\n", "no end within 50 rows"),
        ("y\n1\n" + 60 * "\n", "no end within 50 rows"),
        ("y\n1\n" + 2000 * "\0", "line 3: a row has 1,000 characters"),
        ("y\n1\n" + 500 * '"\n",', "a row has 1,000 characters"),
        (2000 * "a,", "line 1: a row has 1,000 characters"),
    ):
        file.write_text(text)
        with pytest.raises(StreamError, match=problem):
            read_column(file)
    file.write_text("y\n" + 25 * "1\n2\n")
    assert len(read_column(file).values) == 50


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="has no end, where it is")
def test_a_device_that_never_ends_is_refused():
    with pytest.raises(StreamError, match="line 1: a row has 1,000,000 characters"):
        read_column("/dev/zero")


def test_many_patches_are_those_that_are_drawn_one_by_one():
    signal, t = Patched(omega=2.0, seed=3), np.arange(40_000, 46_000) * 0.9
    rng, start, z = np.random.default_rng(3), 0.0, np.zeros_like(t)
    while start <= t[-1]:
        end = start + rng.uniform(0.3, 1.2) * 2 * np.pi / 2.0
        level, phase, is_cosine = rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi), rng.random() < 0.5
        here = (t >= start) & (t < end)
        z[here] = np.cos(2.0 * t[here] + phase) if is_cosine else level
        start = end
    np.testing.assert_array_equal(signal(t), 0.6 * z)


def test_sums_that_overflow_are_an_error_that_says_when_and_what_to_change():
    # Squares of 1e25 are beyond single precision, where the state itself is not.
    class Large(Sine):
        def __call__(self, t):
            return np.where(np.asarray(t) < 40, 0.1, 1e25)

    with pytest.raises(DivergenceError, match="dt") as caught:
        track(Large(), tracker(CostateReversal(), speed=1e-9), duration=100.0)
    assert caught.value.quantity == "the cost"
    assert caught.value.sample == 40


def test_a_target_of_zeros_has_no_relative_error():
    column = Column(np.array([1.0, 3.0, *10 * [2.0]]))
    with pytest.raises(StreamError, match="the target is 0"):
        track(column, tracker(CostateReversal()))


def test_the_bound_on_steps_is_said_with_the_number_of_steps():
    how = tracker(CostateReversal())
    with pytest.raises(ConfigError, match=r"1,000,000,000,000 steps .* more than 10,000,000"):
        track(Sine(), how, duration=1e12)
    with pytest.raises(ConfigError, match="more than 10,000 "):
        track(Sine(), tracker(CostateReversal(), neurons=1000), duration=20_000.0)
    assert count_steps(0.3, 0.1, 5) == 3  # 3 * 0.1 is larger than 0.3


NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e300",
    "1e-300",
    "1e999",
    "1_0",
    "99999999999999999999",
)
OPTIONS = {
    "--omega": (), "--amplitude": (), "--duration": (), "--neurons": (), "--r": (), "--rw": (),
    "--rx": (), "--speed": (), "--dt": (), "--q": (), "--seed": ("--signal", "patched"),
    "--period": ("--policy", "sign-flip"), "--flip-omega": ("--policy", "sign-flip"),
    "--radius": ("--policy", "hamiltonian-track"),
}  # fmt: skip
SENSE = {("--rw", "0"), ("--rx", "0"), ("--speed", "inf"), ("--seed", "0")}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("number", NUMBERS)
def test_every_number_of_the_command_is_right_or_refused(option, number):
    short = [] if option == "--duration" else ["--duration", "20"]
    outcome = CliRunner().invoke(APP, [*OPTIONS[option], *short, option, number, "--json"])
    if (option, number) in SENSE:
        assert outcome.exit_code == 0
        assert None not in json.loads(outcome.stdout.splitlines()[-1]).values()
    elif number in ("1e999", "1_0"):
        assert outcome.exit_code == 2
        assert option in outcome.stderr
    else:
        whole = option in ("--neurons", "--seed", "--period") and number not in (
            "-1", "0", "99999999999999999999"
        )  # fmt: skip
        assert outcome.exit_code == 2 if whole else isinstance(outcome.exception, ConfigError)
