"""`localprop track`, `reproduce` and `audit` at the command line, in this process."""

from __future__ import annotations

import json

import pytest
from command_line import in_process

from localprop.audit import survey
from localprop.reproduce import Claim, Part, run


@pytest.fixture
def localprop(tmp_path, monkeypatch, capfd):
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: in_process(monkeypatch, capfd, *arguments)


def test_every_command_has_help_and_is_listed(localprop):
    listed = localprop("--help").out
    for command in ("learn", "track", "reproduce", "audit"):
        assert command in listed
        outcome = localprop(command, "--help")
        assert outcome.status == 0
        assert "--json" in outcome.out


def test_track_prints_one_object_with_the_promised_keys_on_the_last_line(localprop):
    outcome = localprop("track", "--omega", "0.1", "--json")
    assert outcome.status == 0
    assert len(outcome.out.splitlines()) == 1
    promised = {"policy", "nrmse", "replayed_nrmse", "cost", "settings"}
    assert set(outcome.result) == promised
    assert outcome.result["policy"] == "costate-reversal"
    assert outcome.result["nrmse"] == outcome.result["replayed_nrmse"] < 0.2
    assert outcome.result["settings"]["omega"] == 0.1


def test_track_takes_the_papers_parameters_and_reports_both_errors(localprop):
    outcome = localprop(
        "track", "--policy", "sign-flip", "--q", 100, "--speed", 2, "--dt", 0.1, "--omega", 0.1,
        "--rx", 0, "--no-bias", "--json",
    )  # fmt: skip
    settings = outcome.result["settings"]
    told = {"q": 100, "r": 0.1, "rw": 1, "rx": 0, "speed": 2, "dt": 0.1, "neurons": 5}
    assert {k: settings[k] for k in (*told, "bias")} == told | {"bias": False}
    assert outcome.result["nrmse"] < 0.2 < outcome.result["replayed_nrmse"]


def test_track_draws_its_run(localprop, tmp_path):
    assert localprop("track", "--omega", "0.1", "--out", "pictures").status == 0
    assert {f.name for f in (tmp_path / "pictures").iterdir()} == {"track.png", "track.svg"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--policy", "best"),
        ("--signal", "square"),
        ("--period", "2"),
        ("--policy", "sign-flip", "--radius", "3"),
        ("--q", "-1"),
        ("--dt", "0"),
        ("--duration", "0"),
        ("--column", "y"),
    ],
)
def test_wrong_usage_of_track_is_one_line_and_status_2(localprop, arguments):
    outcome = localprop("track", *arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert len(outcome.err.strip().splitlines()) == 1
    assert outcome.err.startswith("localprop: ")


def test_a_run_that_diverges_says_when_and_has_status_1(localprop):
    outcome = localprop("track", "--policy", "cauchy")
    assert outcome.status == 1
    assert "stopped being finite at sample" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.fixture
def claims(monkeypatch):
    """Two claims in the place of all, one of which fails."""
    one = {"against": "a count", "bound": 2.0}
    held = Claim.at_most("A", "one is small", "here", measured=1.0, **one)
    failed = Claim.at_most("B", "∞ is [small]", "here", measured=float("inf"), **one)
    part = Part([held, failed])
    planned = run.Planned("only this", lambda seeds: part, False, 2, 30)
    monkeypatch.setattr(run, "PARTS", (planned,))


def test_reproduce_prints_every_claim_the_failing_one_as_failing(localprop, claims):
    outcome = localprop("reproduce")
    assert outcome.status == 0
    line = next(line for line in outcome.out.splitlines() if "∞ is [small]" in line)
    assert "NO" in line
    assert "1 of 2 claims hold" in outcome.out
    announced, first = outcome.err.splitlines()
    assert announced.startswith("localprop: measuring 2 claims")
    assert "on 4 seeds" in announced
    assert "it takes about 1 minute on two cores" in announced
    assert first == "0 of 2 claims measured; next: only this"
    assert "on 40 seeds" in localprop("reproduce", "--full").err


def test_the_table_of_claims_can_be_read_at_80_columns(localprop, monkeypatch):
    words = [f"word{k}" for k in range(20)]
    claim = Claim.within(
        "I8-worth-hamiltonian-track", " ".join(words), "here", against="nothing", measured=0.0712,
        low=0.0592, high=0.12,
    )  # fmt: skip
    monkeypatch.setattr(run, "PARTS", (run.Planned("all", lambda s: Part([claim]), False, 1, 1),))
    monkeypatch.setenv("COLUMNS", "80")
    rows = [line.split("│") for line in localprop("reproduce").out.splitlines() if "│" in line]
    assert {sum(map(len, row)) + len(row) - 1 for row in rows} == {80}
    assert len(rows[0][1]) >= 45  # what a statement has of a line
    text = " ".join(row[1] for row in rows).split()
    assert text == ["I8-worth-hamiltonian-track:", *words]  # nothing is cut
    assert [row[2].strip() for row in rows[:2]] == ["0.0712", "0.0592 … 0.12"]


def test_reproduce_json_is_one_object_of_claims_on_the_last_line(localprop, claims, tmp_path):
    outcome = localprop("reproduce", "--json", "--out", "report")
    assert len(outcome.out.splitlines()) == 1
    records = outcome.result["claims"]
    assert [(r["id"], r["measured"], r["holds"]) for r in records] == [
        ("B", None, False), ("A", 1.0, True)
    ]  # fmt: skip
    assert {"id", "statement", "source", "measured", "bound", "holds"} <= set(records[0])
    written = json.loads((tmp_path / "report" / "claims.json").read_text())
    assert written["claims"] == records


def test_reproduce_refuses_a_folder_that_is_a_file(localprop, claims, tmp_path):
    (tmp_path / "report").write_text("")
    outcome = localprop("reproduce", "--out", "report")
    assert outcome.status == 2
    assert "not a folder" in outcome.err
    assert outcome.out == ""


@pytest.mark.slow  # tests/test_audit.py proves it of every law
@pytest.mark.parametrize("kinds", [1, 3])
def test_audit_proves_both_laws_local_and_compares_them_with_what_is_not(
    localprop, monkeypatch, kinds
):
    every = survey.networks()
    monkeypatch.setattr(survey, "networks", lambda: dict(list(every.items())[:kinds]))
    outcome = localprop("audit", "--json")
    assert outcome.status == 0
    assert len(outcome.out.splitlines()) == 1
    audits = outcome.result["audits"]
    assert {a["law"] for a in audits} == {"Hamiltonian", "LeastAction"}
    assert {a["network"] for a in audits} == {"Digraph", "Layered"}
    for audit in audits:
        assert audit["local_in_space"]
        assert audit["local_in_time"]
        assert audit["state_bytes"] > 0
        others = [m["method"] for m in audit["methods"]]
        assert all(any(name in m for m in others) for name in ("backprop", "BPTT", "RTRL"))
    assert "BPTT" in outcome.err
    samples = outcome.result["samples"]
    assert len({sample["of"] for sample in samples}) == len(samples) == kinds * 6
    for sample in samples:
        assert sample["prediction_is_honest"]
        assert sample["weight_transport"] > 0
        assert sample["held"]["w"] == sample["settle"] > 0
        track = sample["policy"] == "HamiltonianTrack"
        assert sample["local_in_space"] is not track
        assert (sample["numbers_in_one_sign"] > 0) is track
    assert "update locking" in outcome.err
