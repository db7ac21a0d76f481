"""`localprop learn`: parses, calls, prints."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text as Plain

from .. import compiled_ahead
from ..errors import ConfigError, counted
from ..plain_numbers import whole_number
from .interrupt import stoppable
from .numbers import whole
from .output import print_json, results
from .progress import COMPILING, progress

WIDE = 110  # characters, for a rate and the time that remains
SHORT = {"mean absolute error": "error"}

Text = Annotated[
    list[str] | None,
    typer.Option(metavar="COL", help="A column to take as text, whatever is in it."),
]


def learn_command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="CSV (also gzip, zstd) or Parquet; - for stdin.")
    ],
    target: Annotated[str, typer.Option(metavar="COL", help="The column to predict.")],
    task: Annotated[
        str, typer.Option(help="auto, classification, regression or forecast.")
    ] = "auto",
    horizon: Annotated[
        int | None,
        typer.Option(metavar="H", parser=whole, help="Forecast the target H rows ahead."),
    ] = None,
    law: Annotated[str, typer.Option(help="hamiltonian or least-action.")] = "hamiltonian",
    time_column: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="COL",
            help="Column of times: gives each sample's duration, from 0.71 to 1.41 of the mean.",
        ),
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Column that tells independent sequences apart, say a machine or a patient: what "
            "came before a row is remembered for each.",
        ),
    ] = None,
    text: Text = None,
    types: Annotated[
        str | None,
        typer.Option(
            metavar="COL=KIND,…",
            help="Kinds of columns: number, boolean, time, text or words (of sentences); time:DMY, "
            "time:MDY or time:YMD where 03/04/2024 could be either.",
        ),
    ] = None,
    decide_after: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole,
            help="Rows that decide kinds and task; by default 1000 of a file, 50 of a pipe.",
        ),
    ] = None,
    hops: Annotated[str, typer.Option(metavar="K", help="Hops per sample, or auto.")] = "auto",
    hidden: Annotated[
        str, typer.Option(metavar="SIZES", help="Sizes of the hidden layers.")
    ] = "32,32",
    review: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=whole,
            help="Keep the last N rows, and learn some again beside each new one; 0 keeps none.",
        ),
    ] = 1000,
    bank: Annotated[
        bool,
        typer.Option(help="Learn with several experts side by side, or with one network."),
    ] = True,
    seed: Annotated[int, typer.Option(metavar="N", parser=whole, help="One seed, one result.")] = 0,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="auto, native (fused loops) or xla.")
    ] = "auto",
    limit: Annotated[
        int | None, typer.Option(metavar="N", parser=whole, help="Learn at most N rows.")
    ] = None,
    on_bad_row: Annotated[str, typer.Option(help="stop or skip.")] = "stop",
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the state of the run here.")
    ] = None,
    every: Annotated[
        int, typer.Option(metavar="N", parser=whole, help="Rows between checkpoints.")
    ] = 10_000,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint of another run.")
    ] = False,
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What was predicted of each row: CSV, .csv.gz or Parquet; - for stdout.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a report here: score, experts and columns, drawn."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Learn a table row by row: every row is predicted first, then learned, in one pass.

    Several networks learn side by side and are mixed by what each got right lately; some see a few
    of the last rows again beside each new one (--review). Nothing has to be tuned. One network
    alone (--no-bank --review 0) is some ten times as fast, and errs more often.
    """
    if engine != "xla":
        compiled_ahead.begin(law)  # now, for all else takes a second to import
    with stoppable() as stop:
        from ..online.learn import learn
        from ..online.settings import Settings
        from ..report.folder import check_folder
        from ..report.learn_report import summary, write_report

        settings = Settings(
            target=target,
            task=task,
            horizon=horizon,
            law=law,
            time=time_column,
            sequence=sequence,
            text=tuple(text or ()),
            types=_types(types),
            decide_after=decide_after,
            hops=_hops(hops),
            hidden=_sizes(hidden),
            review=review,
            seed=seed,
            engine=engine,
            bank=bank,
            on_bad_row=on_bad_row,
        )
        if as_json and predictions == "-":
            raise ConfigError("--predictions - and --json both want standard output; name a file")
        if out is not None:
            check_folder(out)
        messages = Console(stderr=True)
        try:
            with _progress(messages) as watch:
                result, score = learn(
                    source,
                    settings,
                    limit=limit,
                    checkpoint=checkpoint,
                    every=every,
                    resume=resume,
                    overwrite=overwrite,
                    predictions=predictions,
                    watch=watch,
                    stop=stop,
                    say=lambda line: messages.print(Plain(f"localprop: {line}"), soft_wrap=True),
                )
        except KeyboardInterrupt:
            kept = checkpoint is not None and checkpoint.exists()
            note = f"; {checkpoint} holds all of it, go on with --resume" if kept else ""
            messages.print(Plain(f"localprop: stopped{note}"), soft_wrap=True)
            raise typer.Exit(130) from None
        files, failure = [], None
        try:
            if out is not None:
                command = shlex.join(["localprop", *sys.argv[1:]])
                files = write_report(out, source, result, score, command)
        except ConfigError as error:  # which must not cost the score
            failure = error
        machine = as_json or predictions == "-"
        results(machine).print(summary(source, result, files))
        if as_json:
            print_json(result.numbers())
        if failure is not None:
            raise failure


@contextmanager
def _progress(console: Console) -> Iterator[Any]:
    """Shows what is being done, rows, running score and, where there is room, the rate."""
    wide = console.width >= WIDE
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=40 if wide else 12),
        TextColumn("{task.fields[rows]}"),
        *([TextColumn("{task.fields[rate]}")] if wide else []),
        TextColumn("{task.fields[score]}"),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if wide else []),
    ]
    bar = progress(console, *columns)
    job = bar.add_task("reading", total=None, rows="", rate="", score="")
    began = time.perf_counter()
    first = None

    def watch(run: Any, table: Any) -> None:
        nonlocal first
        if first is None:  # before the first piece
            first = run.position
            run.online.on_compile = lambda on: bar.update(
                job, description=COMPILING if on else "learning"
            )
            return
        share = table.progress()
        seconds = time.perf_counter() - began - run.online.compile_seconds
        rate = f"{(run.position - first) / seconds:,.0f} rows/s" if run.position > first else ""
        shown = ""
        if run.task is not None and run.task.score.samples:
            score = run.task.score
            name = SHORT.get(score.metric, score.metric)
            shown = f"{name} {score.value:.4g} (baseline {score.baseline_value:.4g})"
        total, done = (1.0, share) if share is not None else (None, 0.0)
        rows = counted(run.position, "row")
        bar.update(job, total=total, completed=done, rows=rows, rate=rate, score=shown)

    with bar:
        yield watch


def _hops(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return whole_number(text)
    except ValueError:
        raise ConfigError(f"--hops is '{text}'; give a number, or auto") from None


def _types(text: str | None) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in (text or "").split(","):
        name, equals, kind = part.rpartition("=")
        if part and not (equals and name):
            raise ConfigError(f"--types has '{part}'; give COL=KIND, such as price=number")
        pairs += [(name, kind)] if part else []
    return tuple(pairs)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(whole_number(size) for size in text.split(",") if size.strip())
    except ValueError:
        raise ConfigError(f"--hidden is '{text}'; give sizes such as 32,32") from None
