"""Answers for the rows of a table, learning nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from .. import checkpoint as checkpoints
from ..errors import CheckpointError, StreamError
from ..table.columns import ColumnKind
from ..table.predictions import Answered, PipedPredictions, check_distinct, open_predictions
from ..table.stop import Stop
from ..table.table import Table
from .column_model import PIECE
from .forecast import Forecast
from .run import Run
from .schema import read_table
from .settings import Settings

pc: Any = pyarrow.compute


@dataclass
class Predicted:
    """What came of predicting a table; `numbers` are the JSON of `localprop predict`.

    **Fields:** `score` is over the rows that have a truth, `None` where none has.
    """

    task: str
    rows: int
    scored: int
    metric: str
    score: float | None
    predictions: str | None
    checkpoint: str
    skipped_rows: int

    def numbers(self) -> dict[str, Any]:
        """Returns what `localprop predict --json` prints."""
        return asdict(self)


def predict(
    checkpoint: str | Path,
    source: str | Path,
    *,
    predictions: str | Path | None = None,
    on_bad_row: str = "stop",
    stop: Stop | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Predicted:
    """Predicts every row of a table with what a checkpoint holds, learning nothing.

    **Arguments:**

    - `checkpoint`: written by `localprop learn --checkpoint`, or by `Online.save`.
    - `source`: a CSV or Parquet file, or `"-"` for CSV on standard input; its target column may be
        missing. A forecast answers the first rows, as far as its horizon.
    - `predictions`: as for `learn`.
    - `on_bad_row`: `"stop"` or `"skip"`.
    - `stop`: asked to, predicting ends, no file is written, and `KeyboardInterrupt` is raised.
    - `say`: called with each line that a person should read.

    **Raises:** `StreamError`, `ConfigError`, `CheckpointError`.
    """
    kept = checkpoints.load(checkpoint)
    run = Run(_settings(kept, on_bad_row), kept)
    task = run.task
    if task is None or not run.online.started:
        raise CheckpointError(f"{checkpoint}: nothing was learned yet; learn some rows first")
    found = Predicted(task.name, 0, 0, task.score.metric, None, None, str(checkpoint), 0)
    options = {"on_bad_row": run.settings.on_bad_row, "label": run.settings.target, "stop": stop}
    with Table(source, **options) as table, ExitStack() as opened:
        extra = _other_columns(table, run)
        if extra:
            say(f"columns that were not there when it learned, and are left out: {extra}")
        table.known_dates = run.table_options()["dates"]
        table.types = {**run.table_options()["types"], **dict.fromkeys(extra, ColumnKind.TEXT)}
        out = None
        if predictions is not None:
            found.predictions = str(predictions)
            check_distinct(predictions, source=source, checkpoint=checkpoint)
            out = open_predictions(predictions, run.class_names)
            opened.callback(lambda: out.close(kept=False))
        total = 0.0
        for piece in table.pieces(PIECE):
            for name in extra:
                del piece.columns[name]
            answered = run.ask(piece, found.rows)
            if out is not None:
                out.add(answered)
            found.rows += len(answered.lines)
            merit, scored = _merit(answered)
            total, found.scored = total + merit, found.scored + scored
            if (isinstance(out, PipedPredictions) and out.broken) or (stop and stop.asked):
                break
        if stop and stop.asked:
            raise KeyboardInterrupt
        found.skipped_rows = table.skipped_rows
        if out is not None:
            out.finish(run.class_names)
    if found.scored:
        found.score = total / found.scored
    return found


def _other_columns(table: Table, run: Run) -> list[str]:
    """Returns the columns of a table that the model knows nothing of.

    **Raises:** `StreamError` if one is not there that it looks at.
    """
    needed = [] if isinstance(run.task, Forecast) else list(run.online.kinds)
    for name in needed:
        if name not in table.columns:
            raise StreamError(
                f"what was learned needs this column too; it has {', '.join(table.columns[:20])}",
                file=table.name,
                column=name,
            )
    return [name for name in table.columns if name not in run.learned_columns]


def _settings(kept: checkpoints.Checkpoint, on_bad_row: str) -> Settings:
    """Returns what only a table decides; the rest `Run` takes from the checkpoint."""
    table = kept.extra.get("table")
    target = "target" if table is None else read_table(table, kept.path)["target"]
    return Settings(target=target, on_bad_row=on_bad_row)


def _merit(answered: Answered) -> tuple[float, int]:
    """Returns the sum of hits, or of errors, over the rows that have both, and how many those."""
    guess, truth = answered.predictions, answered.truths
    both = pc.and_(guess.is_valid(), truth.is_valid())
    guess, truth = guess.filter(both), truth.filter(both)
    if pa.types.is_string(guess.type):
        return float(pc.sum(pc.equal(guess, truth)).as_py() or 0), len(guess)
    return float(np.abs(guess.to_numpy() - truth.to_numpy()).sum()), len(guess)
