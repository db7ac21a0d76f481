"""`localprop audit`: parses, calls, prints."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from .output import print_json, results
from .progress import working


def audit_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Prove locality arc by arc, of a hop and of whole samples; say what waits and what is carried.

    Beside backprop, BPTT and RTRL.
    """
    from ..audit.survey import survey, table
    from ..reproduce.locality import default_audits

    messages, console = Console(stderr=True), results(as_json)
    with working(messages, "auditing single hops"):
        audits = default_audits()
    for audit in audits:
        # As it stands: its columns are aligned, and names are not markup.
        console.print(f"{audit}\n", markup=False, highlight=False, soft_wrap=True)
    with working(messages, "auditing whole samples"):
        samples = survey()
    console.print(table(samples), markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(
            {
                "audits": [audit.as_dict() for audit in audits],
                "samples": [{"of": of, **sample.as_dict()} for of, sample in samples.items()],
            }
        )
