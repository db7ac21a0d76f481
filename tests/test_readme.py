"""What the README shows runs, and says what it prints."""

from __future__ import annotations

import re
from pathlib import Path

from command_line import process

README = Path(__file__).parents[1] / "README.md"


def test_the_python_of_the_readme_runs_and_learns(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    online, ten_lines = blocks
    exec(online, {})
    assert capsys.readouterr().out.startswith("True {'size': 0.")
    exec(ten_lines, {})
    error = float(capsys.readouterr().out.rsplit(" ", 1)[1])
    assert error < 1e-2  # the target's mean square is 1/4


def test_the_session_of_the_readme_runs(tmp_path):
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/phishing.csv").write_bytes(
        (README.parent / "examples/phishing.csv").read_bytes()
    )
    text = README.read_text("utf-8")
    session = text[text.index("## Use what was learned") : text.index("## Ten lines of Python")]
    commands = re.findall(r"^ +localprop (.*)$", session, re.MULTILINE)
    assert [words.split()[0] for words in commands] == ["learn", "predict", "learn"]
    for words in commands:
        done = process(*words.split(), cwd=tmp_path)
        assert done.status == 0, done.err
    assert len((tmp_path / "predicted.csv").read_text().splitlines()) == 1251
    assert "nothing to do: the checkpoint holds all 1250 rows" in done.err
    assert (tmp_path / "answers.parquet").exists()


def test_commands_of_the_readme_exist():
    from typer.main import get_command

    from localprop.cli import app

    commands = get_command(app).commands
    used = re.findall(r"^ +localprop (\w+)(.*?)(?:#.*)?$", README.read_text("utf-8"), re.MULTILINE)
    assert {name for name, _ in used} <= set(commands)
    for name, rest in used:
        options = {o for p in commands[name].params for o in p.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options
