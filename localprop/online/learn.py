"""Learning a table: from the rows of a file to a score, whatever happens on the way."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from .. import checkpoint as checkpoints
from ..errors import ConfigError, StreamError
from ..table.columns import ColumnKind
from ..table.stop import Stop
from ..table.table import Table
from .classification import Classification
from .run import PIECE, Run
from .score import Score
from .settings import Settings


@dataclass(frozen=True)
class Result:
    """What came of learning a table; `numbers` are the JSON of `localprop learn`."""

    task: str
    samples: int
    metric: str
    score: float | None
    baseline: dict[str, Any]
    samples_per_second: float | None
    compile_seconds: float
    hops: int
    seed: int
    state_bytes: int
    peak_memory_bytes: int
    checkpoint: str | None
    skipped_rows: int
    kinds: str  # how many columns of each kind, in words
    classes: int | None

    def numbers(self) -> dict[str, Any]:
        """Returns all but what is said in words."""
        return {k: v for k, v in asdict(self).items() if k not in ("kinds", "classes")}


Watcher = Callable[[Run, Table], None]


def learn(
    source: str | Path,
    settings: Settings,
    *,
    limit: int | None = None,
    checkpoint: str | Path | None = None,
    every: int = 10_000,
    resume: bool = False,
    watch: Watcher | None = None,
    stop: Stop | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Result, Score]:
    """Learns a table in one pass, every row predicted before it is learned.

    **Arguments:**

    - `source`: a CSV or Parquet file, or `"-"` for CSV on standard input.
    - `settings`: what to learn, and how.
    - `limit`: most rows; `None` for all.
    - `checkpoint`: file to write to every `every` rows and at the end.
    - `resume`: whether to go on from the checkpoint, if there is one.
    - `watch`: called after every piece.
    - `stop`: asked to, learning ends after the piece that is being learned, the checkpoint is
        written, and `KeyboardInterrupt` raised.
    - `say`: called with each line that a person should read: what looks like a mistake.

    **Raises:** `StreamError`, `ConfigError`, `CheckpointError`, `DivergenceError`.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; give at least 1 row")
    if every < 1:
        raise ConfigError(f"every is {every}; give at least 1 row")
    if resume and checkpoint is None:
        raise ConfigError("nothing to resume from; name the file with --checkpoint")
    path = None if checkpoint is None else Path(checkpoint)
    run = Run(settings)
    if path is not None:
        checkpoints.check_writable(path)
        if path.exists():
            # Without --resume the file is only looked at: nothing but a checkpoint is overwritten.
            kept = checkpoints.load(path)
            run = Run.resume(kept, settings) if resume else run
    began, start = time.perf_counter(), run.position
    table = _read(source, run, path, every, limit, watch, stop, say)
    result = _result(run, table, path, time.perf_counter() - began, start)
    assert run.task is not None
    return result, run.task.score


def _read(
    source: str | Path,
    run: Run,
    path: Path | None,
    every: int,
    limit: int | None,
    watch: Watcher | None,
    stop: Stop | None,
    say: Callable[[str], None],
) -> Table:
    """Feeds the table to the run, piece by piece, and keeps checkpoints."""
    settings = run.settings
    needed = [settings.target, *([settings.time] if settings.time else [])]
    began = saved = run.position
    with Table(
        source, on_bad_row=settings.on_bad_row, text=settings.text, required=needed, stop=stop
    ) as table:
        try:
            run.begin(table, path)
            remarks = table.remarks()
            for piece in table.pieces(min(PIECE, every), start=run.position, stop=limit):
                run.learn(piece)
                while remarks:  # what cannot be learned at all is told by its error alone
                    say(remarks.pop(0))
                if path is not None and run.position - saved >= every:
                    run.save(path)
                    saved = run.position
                if watch is not None:
                    watch(run, table)
                if stop is not None and stop.asked:
                    break
        except StreamError as error:
            raise error if error.file else _placed(error, source, settings.target) from None
        if stop is not None and stop.asked:
            if path is not None:
                run.save(path)
            raise KeyboardInterrupt
        if run.task is None or run.task.labelled == 0:
            raise StreamError(
                f"no value in any of its {run.position} rows; there is nothing to learn, name "
                "another column as --target",
                file=str(source),
                column=settings.target,
            )
        if run.position == began and limit is not None and limit <= began:
            say(f"nothing to do: the checkpoint holds {began} rows and the limit is {limit}")
        elif run.position == began:
            say(f"nothing to do: the checkpoint holds all {began} rows")
        elif path is not None:
            run.save(path)
        if not run.task.score.samples:
            say(f"no row could be scored: {run.task.unscored}")
        return table


def _placed(error: StreamError, source: str | Path, target: str) -> StreamError:
    """Returns the error of a column, of the target if it names none, with its file."""
    name = "standard input" if str(source) == "-" else str(source)
    column = error.column or target
    return StreamError(error.problem, file=name, line=error.line, column=column)


def _result(run: Run, table: Table, path: Path | None, seconds: float, start: int) -> Result:
    task, model = run.task, run.model
    assert task is not None
    assert model is not None
    score, learned = task.score, run.position - start
    return Result(
        task=task.name,
        samples=run.position,
        metric=score.metric,
        score=score.value if score.samples else None,
        baseline={
            "name": score.baseline,
            "score": score.baseline_value if score.samples else None,
        },
        samples_per_second=learned / max(seconds - model.compile_seconds, 1e-9)
        if learned
        else None,
        compile_seconds=model.compile_seconds,
        hops=model.learner.hops,
        seed=run.settings.seed,
        state_bytes=sum(leaf.nbytes for leaf in jax.tree.leaves(model.phase)),
        peak_memory_bytes=_peak_memory(),
        checkpoint=None if path is None else str(path),
        skipped_rows=table.skipped_rows,
        kinds=_in_words([k for n, k in table.kinds.items() if n != run.settings.target]),
        classes=len(task.classes) if isinstance(task, Classification) else None,
    )


def _in_words(kinds: list[ColumnKind]) -> str:
    """Returns, say, `7 numbers, 1 text, 1 time`."""
    counts = Counter(kinds)
    words = {kind: f"{n} {kind.value}{'s' if n > 1 else ''}" for kind, n in counts.items()}
    if n := counts.get(ColumnKind.UNDECIDED):
        words[ColumnKind.UNDECIDED] = f"{n} without a value"
    return ", ".join(words[kind] for kind in ColumnKind if kind in words) or "the target alone"


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
