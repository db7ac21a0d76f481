"""`localprop reproduce`: parses, calls, prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from ..compiling import told_of_compiling
from .output import print_json, results
from .progress import COMPILING, progress


def reproduce_command(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report (Markdown, HTML) and figures here."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Ten times as many seeds.")] = False,
) -> None:
    """Measure every claim of the papers against baselines and proofs; those that fail first."""
    from ..reproduce import plan, reproduce
    from ..reproduce.page import claims_table

    messages = Console(stderr=True)
    messages.print(f"localprop: {plan(full)}", markup=False, soft_wrap=True)
    with _progress(messages) as watch:
        found = reproduce(full=full, out=out, watch=watch)
    results(as_json).print(claims_table(found))
    if found.files:
        messages.print(f"{len(found.files)} files in {out}", markup=False)
    if as_json:
        print_json(found.as_dict())


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is measured and how many claims are done: a bar on a terminal, else lines."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed} of {task.total} claims"),
        TimeElapsedColumn(),
    )
    bar, doing = progress(console, *columns), ""
    job = bar.add_task("", total=None)

    def watch(part: str, done: int, claims: int) -> None:
        nonlocal doing
        doing = part
        bar.update(job, description=part, completed=done, total=claims)
        if not console.is_terminal:
            line = f"{done} of {claims} claims measured; next: {part}"
            console.print(line, style="dim", markup=False, soft_wrap=True)

    def compiling(on: bool) -> None:
        bar.update(job, description=f"{doing}: {COMPILING}" if on else doing)

    with bar, told_of_compiling(compiling):
        yield watch
