"""What the README shows runs, and says what it prints."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_ten_lines_of_python_run_and_learn(capsys):
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(code, {})
    error = float(capsys.readouterr().out.rsplit(" ", 1)[1])
    assert error < 1e-2  # the target's mean square is 1/4


def test_commands_of_the_readme_exist():
    from typer.main import get_command

    from localprop.cli import app

    commands = get_command(app).commands
    used = re.findall(r"^ +localprop (\w+)(.*?)(?:#.*)?$", README.read_text("utf-8"), re.MULTILINE)
    assert {name for name, _ in used} <= set(commands)
    for name, rest in used:
        options = {o for p in commands[name].params for o in p.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options
