"""What commands print, for people and for machines; a reader who has left is no error."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console

from ..strict_json import dumps


class Output(Console):
    """A console that goes on in silence when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        forget_output()


def results(machine: bool) -> Console:
    """Returns where tables go: standard output, or standard error where a machine reads that."""
    return Output(stderr=machine)


def print_json(result: Any) -> None:
    """Prints one JSON object on one line of standard output; what is not finite becomes null."""
    data = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    try:
        sys.stdout.write(dumps(data) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        forget_output()


def forget_output() -> None:
    """Sends what is still written to standard output nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_streams() -> None:
    """Makes the three standard streams usable, whatever this process was given.

    One that is closed leads nowhere from here on, or the next file to be opened would get its
    number, and what is printed with it. What the encoding of the terminal lacks is spelled out.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w", errors="backslashreplace", closefd=False))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
