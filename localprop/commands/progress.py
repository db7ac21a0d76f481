"""The line at the bottom of a terminal that shows what is being done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from ..compiling import told_of_compiling

COMPILING = "compiling"


def progress(console: Console, *columns: ProgressColumn) -> Progress:
    """Returns a line of these columns on a terminal, gone in the end; nothing elsewhere."""
    # Rich would take what goes to a file or a pipe to the terminal.
    return Progress(
        *columns,
        console=console,
        disable=not console.is_terminal,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )


@contextmanager
def working(console: Console, what: str) -> Iterator[None]:
    """Shows what is being done, and when something is compiled for it."""
    line = progress(console, TextColumn("{task.description}"), TimeElapsedColumn())
    job = line.add_task(what, total=None)

    def watch(on: bool) -> None:
        line.update(job, description=COMPILING if on else what)

    with line, told_of_compiling(watch):
        yield
