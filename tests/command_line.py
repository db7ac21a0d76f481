"""Running the command line: in this process, which is quick, or in one of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, TextIO

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


def in_process(monkeypatch, capfd, *arguments, input: bytes | None = None) -> Outcome:
    """Runs `localprop` with these arguments in this process, with `input` in a pipe."""
    capfd.readouterr()
    status = unread(monkeypatch, *arguments, input=input)
    return Outcome(status, *capfd.readouterr())


def unread(monkeypatch, *arguments, input: bytes | None = None) -> int:
    """Runs `localprop` like `in_process`, leaves what it prints, and returns its status."""
    monkeypatch.setattr(sys, "argv", ["localprop", *map(str, arguments)])
    if input is not None:
        monkeypatch.setattr(sys, "stdin", _pipe(input))
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def _pipe(content: bytes) -> TextIO:
    """What stands in for standard input: a pipe into which somebody writes all of this."""
    reading, writing = os.pipe()

    def write():
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(reading)


def command(*arguments) -> list[str]:
    """The command as a process of its own."""
    return [sys.executable, "-m", "localprop", *map(str, arguments)]


def process(*arguments, **variables: str) -> Outcome:
    """Runs `localprop` in a process of its own, with these variables of the environment."""
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "200", **variables}
    done = subprocess.run(command(*arguments), capture_output=True, env=env)
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
