"""`localprop reproduce`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .output import print_json, results


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
    """Measure every claim of the papers, and say of each whether it holds."""
    from ..reproduce import reproduce
    from ..reproduce.page import claims_table

    progress = Console(stderr=True)

    def watch(part: str, done: int, parts: int) -> None:
        progress.print(f"{done + 1}/{parts} {part}", style="dim", markup=False)

    found = reproduce(full=full, out=out, watch=watch)
    results(as_json).print(claims_table(found))
    if found.files:
        progress.print(f"{len(found.files)} files in {out}", markup=False)
    if as_json:
        print_json(found.as_dict())
