"""Running the command line: in this process, which is quick, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from localprop import cli


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object on the last line of standard output, strictly parsed."""

        def refuse(name):
            raise AssertionError(f"{name} is not JSON")

        return json.loads(self.out.splitlines()[-1], parse_constant=refuse)


def in_process(monkeypatch, capfd, *arguments) -> Outcome:
    """Runs `localprop` with these arguments in this process."""
    monkeypatch.setattr(sys, "argv", ["localprop", *map(str, arguments)])
    capfd.readouterr()
    status = 0
    try:
        cli.main()
    except SystemExit as stop:
        status = stop.code or 0
    return Outcome(int(status), *capfd.readouterr())


def command(*arguments) -> list[str]:
    """The command as a process of its own."""
    return [sys.executable, "-m", "localprop", *map(str, arguments)]


def process(*arguments, **options) -> Outcome:
    """Runs `localprop` with these arguments in a process of its own."""
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}
    done = subprocess.run(command(*arguments), capture_output=True, env=env, **options)
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
