"""`localprop predict`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .interrupt import stoppable
from .output import print_json
from .progress import working


def predict_command(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="What was learned, and kept.")
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="CSV (also gzip, zstd) or Parquet; - for stdin.")
    ],
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="CSV, .csv.gz or Parquet; - for stdout, which is the default."
        ),
    ] = None,
    on_bad_row: Annotated[str, typer.Option(help="stop or skip.")] = "stop",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Answer rows with what was learned, learning nothing; they need no target."""
    from ..errors import ConfigError
    from ..online.predict import predict

    if as_json and predictions == "-":
        raise ConfigError("--predictions - and --json both want standard output; name a file")
    if predictions is None and not as_json:
        predictions = "-"
    messages = Console(stderr=True)
    with stoppable() as stop:
        try:
            with working(messages, "predicting"):
                found = predict(
                    checkpoint,
                    source,
                    predictions=predictions,
                    on_bad_row=on_bad_row,
                    stop=stop,
                    say=lambda line: messages.print(Text(f"localprop: {line}"), soft_wrap=True),
                )
        except KeyboardInterrupt:
            messages.print("localprop: stopped, no file was written")
            raise typer.Exit(130) from None
    table = Table(title=f"{source}", show_header=False, title_justify="left")
    table.add_row("task", found.task)
    table.add_row("rows", f"{found.rows:,}")
    if found.score is not None:
        table.add_row(f"{found.metric} of {found.scored:,} rows with a truth", f"{found.score:.4g}")
    if found.predictions not in (None, "-"):
        table.add_row("predictions", Text(str(found.predictions)))
    messages.print(table)
    if as_json:
        print_json(found.numbers())
