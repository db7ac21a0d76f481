"""What the README shows runs, and says what it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

README = Path(__file__).parents[1] / "README.md"


def section(start: str, stop: str) -> str:
    text = README.read_text(encoding="utf-8")
    return text[text.index(start) : text.index(stop)]


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_ten_lines_of_python_learn(capsys):
    (ten_lines,) = blocks(section("## Ten lines of Python", "## The law"))
    exec(ten_lines, {})
    error = float(capsys.readouterr().out.rsplit(" ", 1)[1])
    assert error < 1e-2  # the target's mean square is 1/4


def test_the_session_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    shutil.copytree(README.parent / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    session = section("## Use what was learned", "## Ten lines of Python")
    lines = re.findall(r"^    (?! )(.*)$", re.sub("```.*?```", "", session, flags=re.DOTALL), re.M)
    assert [line.split()[0] for line in lines] == ["head", "(head", *3 * ["localprop"], "tail"]
    search = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in lines[:-1]:  # the last waits for ever
        done = subprocess.run(
            ["bash", "-c", line], env={**os.environ, **search}, capture_output=True, text=True
        )
        assert done.returncode == 0, (line, done.stderr)
    assert len(Path("predicted.csv").read_text().splitlines()) == 1001
    for picture in ("learning_curve", "importance"):
        assert Path(f"report/{picture}.png").read_bytes().startswith(b"\x89PNG")
    answers = pq.read_table("answers.parquet")
    assert len(answers) == 250
    right = pc.mean(pc.equal(answers["prediction"], answers["truth"]).cast("float64")).as_py()
    assert right > 0.8
    assert "another table than the one before" in done.stderr

    pipeline, online = blocks(session)
    exec(pipeline, {})
    name, value = capsys.readouterr().out.split(": ")
    assert name == "Accuracy"
    assert float(value.rstrip("%\n")) > 85
    exec(online, {})
    assert capsys.readouterr().out.startswith("True {'size': 0.")


@pytest.mark.slow  # `make demo` runs it too
def test_the_demo_runs(tmp_path):
    demo = README.parent / "examples" / "demo.py"
    done = subprocess.run(
        [sys.executable, demo, tmp_path / "demo"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("learning_curve.png") >= 2
    assert (tmp_path / "demo/co2/learning_curve.png").exists()


def test_commands_of_the_readme_exist():
    from typer.main import get_command

    from localprop.cli import app

    commands = get_command(app).commands
    used = re.findall(r"^ +localprop (\w+)(.*?)(?:#.*)?$", README.read_text("utf-8"), re.MULTILINE)
    assert {name for name, _ in used} <= set(commands)
    for name, rest in used:
        options = {o for p in commands[name].params for o in p.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options
