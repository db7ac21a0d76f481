"""Learning a table: from the rows of a file to a score, whatever happens on the way."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from ..errors import ConfigError, StreamError, counted
from ..options import path as as_path
from ..options import shown, whole
from ..table.ahead import ahead
from ..table.columns import LARGEST, ColumnKind
from ..table.predictions import (
    PipedPredictions,
    Predictions,
    check_distinct,
    check_predictions,
    open_predictions,
)
from ..table.stop import Stop
from ..table.table import Table
from .checkpoint_file import CheckpointFile
from .classification import Classification
from .curve import Curve
from .run import Run, Told, answered
from .score import Score
from .settings import Settings

IN_WORDS = {"kinds", "classes", "weights", "settings"}  # and in pictures: no part of the JSON

AT_ONCE = 4  # pieces that are read ahead


@dataclass(frozen=True)
class Result:
    """What came of learning a table; `numbers` are the JSON of `localprop learn`.

    **Fields**, among them: `experts`: the mean weight of each, by name; `weights`: their weights
    along the stream, in the same order.
    """

    task: str
    samples: int
    metric: str
    score: float | None
    metrics: dict[str, float]
    baseline: dict[str, Any]
    samples_per_second: float | None
    compile_seconds: float
    hops: int
    seed: int
    state_bytes: int
    peak_memory_bytes: int
    importance: dict[str, float]
    experts: dict[str, float]
    checkpoint: str | None
    predictions: str | None
    skipped_rows: int
    kinds: str  # how many columns of each kind, in words
    classes: int | None
    weights: Curve
    settings: Settings  # those given, or of the checkpoint

    def numbers(self) -> dict[str, Any]:
        """Returns all but what is said in words."""
        return {k: v for k, v in asdict(self).items() if k not in IN_WORDS}


Watcher = Callable[[Run, Table], None]


def learn(
    source: str | Path,
    settings: Settings,
    *,
    limit: int | None = None,
    checkpoint: str | Path | None = None,
    every: int = 10_000,
    resume: bool = False,
    overwrite: bool = False,
    predictions: str | Path | None = None,
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
    - `resume`: whether to go on from the checkpoint, if there is one: after the last row that was
        learned if it is the same source, grown or not; from the start of another one.
    - `overwrite`: whether a checkpoint of another run may be replaced.
    - `predictions`: a CSV (also .gz) or Parquet file with a row per row, what was predicted of it
        before it was learned; or `"-"` for CSV on standard output, each row as soon as it is there.
    - `watch`: called before the first piece and after every one.
    - `stop`: asked to, learning ends after the piece that is being learned, the checkpoint is
        written, and `KeyboardInterrupt` raised.
    - `say`: called with each line that a person should read: what looks like a mistake.

    **Raises:** `StreamError`, `ConfigError`, `CheckpointError`, `DivergenceError`.
    """
    if not isinstance(settings, Settings):
        raise ConfigError(f"settings is {shown(settings)}; give Settings(target=...)")
    limit, every = None if limit is None else whole("limit", limit), whole("every", every)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; give at least 1 row")
    if every < 1:
        raise ConfigError(f"every is {every}; give at least 1 row")
    if resume and checkpoint is None:
        raise ConfigError("nothing to resume from; name the file with --checkpoint")
    check_distinct(predictions, source=source, checkpoint=checkpoint)
    if predictions is not None and str(predictions) != "-":
        check_predictions(as_path("predictions", predictions))
    if resume and overwrite:
        raise ConfigError("resume goes on with a checkpoint, overwrite replaces it; take one")
    with ExitStack() as open_files:
        file = None
        if checkpoint is not None:
            file = CheckpointFile(
                as_path("checkpoint", checkpoint), resume=resume, overwrite=overwrite
            )
            open_files.enter_context(file)
        run = Run(settings, file.kept if file else None)
        start, job = run.online.rows, _Job(source, run, file, every, predictions, say)
        table = job.read(limit, watch, stop)
    seconds = time.perf_counter() - job.began
    result = _result(run, table, checkpoint, predictions, seconds, run.online.rows - start)
    assert run.task is not None
    return result, run.task.score


class _Job:
    """One pass over a source, with what is kept and written on the way."""

    def __init__(
        self,
        source: str | Path,
        run: Run,
        file: CheckpointFile | None,
        every: int,
        predictions: str | Path | None,
        say: Callable[[str], None],
    ):
        self.source, self.run, self.file, self.every = source, run, file, every
        self.predictions, self.say = predictions, say
        self.out: Predictions | None = None
        self.restarted: set[str] = set()  # experts, in this run
        self.began = time.perf_counter()  # when the first row was asked for

    def read(self, limit: int | None, watch: Watcher | None, stop: Stop | None) -> Table:
        """Feeds the table to the run, piece by piece, and keeps checkpoints."""
        run, settings = self.run, self.run.settings
        needed = [settings.target, *settings.online.aside, *settings.kinds]
        options = {"on_bad_row": settings.on_bad_row, "decide_after": settings.decide_after}
        options |= {**run.table_options(), "label": settings.target}
        options |= {"may_grow": self.file is not None, "limit": limit}
        options |= {"digested": self.file is not None}
        with Table(self.source, required=needed, stop=stop, **options) as table:
            table.wait = self._wait
            try:
                for remark in run.begin(table, self.file.path if self.file else None):
                    self.say(remark)
                began = run.position
                others = run.online.rows - began  # of sources learned before this one
                run.online.on_restart = lambda row, name: self._restarted(row - others, name)
                self._open_predictions(table)
                self._pieces(table, limit, watch, stop)
                self._end(began, limit, stop, table.unfinished)
            except StreamError as error:
                raise (
                    error if error.file else _placed(error, self.source, settings.target)
                ) from None
            finally:
                if self.out is not None:
                    self.out.close(kept=self.file is not None)
            return table

    def _pieces(
        self, table: Table, limit: int | None, watch: Watcher | None, stop: Stop | None
    ) -> None:
        run, saved = self.run, self.run.position
        self.began = time.perf_counter()
        remarks = table.remarks()
        if watch is not None:
            watch(run, table)
        size = run.online.piece
        if self.file is not None:  # as many in each piece, so that one ends where it is written
            size = -(-self.every // -(-self.every // size))
        pieces = table.pieces(size, start=run.position, stop=limit, digest=run.digest)
        # A row of a pipe is answered before the next one is waited for.
        with closing(pieces if table.live else ahead(pieces, AT_ONCE)) as coming:
            try:
                for piece in coming:
                    due = self.file is not None
                    due = due and run.position + len(piece.lines) - saved >= self.every
                    self._tell(run.learn(piece, more=not (due or table.live)))
                    while remarks:  # what cannot be learned at all is told by its error alone
                        self.say(remarks.pop(0))
                    if due:
                        self._save()
                        saved = run.position
                    if watch is not None:
                        watch(run, table)
                    left = isinstance(self.out, PipedPredictions) and self.out.broken
                    if left or (stop is not None and stop.asked):
                        return
            finally:
                self._tell(run.finish())

    def _tell(self, pieces: list[Told]) -> None:
        """Writes what was predicted of pieces, if that is wanted."""
        if self.out is not None:
            for told in pieces:
                self.out.add(answered(told))

    def _end(self, began: int, limit: int | None, stop: Stop | None, unfinished: bool) -> None:
        """Writes what is to stay, and says what did not come of it."""
        run, stopped = self.run, stop is not None and stop.asked
        if run.position > began or stopped:
            self._save()
        if self.out is not None:
            self.out.finish(run.class_names)
        for name, count in run.too_large.items():
            self.say(
                f"column '{name}' has {counted(count, 'number')} beyond {LARGEST:g}, taken as "
                "missing; is its unit the right one?"
            )
        if stopped:
            raise KeyboardInterrupt
        if unfinished:
            self.say(
                "the last line has no line end and may be half a row: it is left until it has one, "
                "and --resume goes on with it"
            )
        if run.task is None or run.task.labelled == 0:
            raise StreamError(
                f"no value in any of its {run.position} rows; there is nothing to learn, name "
                "another column as --target",
                file=str(self.source),
                column=run.settings.target,
            )
        if run.position == began and limit is not None and limit <= began:
            self.say(f"nothing to do: the checkpoint holds {began} rows and the limit is {limit}")
        elif run.position == began:
            self.say(f"nothing to do: the checkpoint holds all {began} rows")
        if not run.task.score.samples:
            self.say(f"no row could be scored: {run.task.unscored}")

    def _open_predictions(self, table: Table) -> None:
        if self.predictions is None:
            return
        same = self.run.predictions == Path(self.predictions).name
        if self.run.mark and not same and str(self.predictions) != "-":
            self.say(f"{self.predictions} begins with row {self.run.position + 1}, here it goes on")
        mark = self.run.mark if same else 0
        self.out = open_predictions(self.predictions, self.run.expected_classes(table), mark)

    def _save(self) -> None:
        mark, name = 0, None
        if self.out is not None and str(self.predictions) != "-":
            mark, name = self.out.keep(), Path(str(self.predictions)).name
        if self.file is not None:
            self.file.write(lambda path: self.run.save(path, mark, name))

    def _restarted(self, row: int, name: str) -> None:
        """Says so when an expert begins anew, once in a run however often it does."""
        if name not in self.restarted:
            self.restarted.add(name)
            self.say(f"expert '{name}' turned infinite at row {row:,} and was started again")

    def _wait(self, rows: int) -> None:
        self.say(
            f"waiting for {rows} rows, by which the kinds of the columns and the task are decided; "
            "after that each row is answered at once (--decide-after N changes how many)"
        )


def _placed(error: StreamError, source: str | Path, target: str) -> StreamError:
    """Returns the error of a column, of the target if it names none, with its file."""
    name = "standard input" if str(source) == "-" else str(source)
    column = error.column or target
    return StreamError(error.problem, file=name, line=error.line, column=column)


def _result(
    run: Run,
    table: Table,
    checkpoint: str | Path | None,
    predictions: str | Path | None,
    seconds: float,
    learned: int,
) -> Result:
    task, online = run.task, run.online
    assert task is not None
    score, model = task.score, online.model
    speed = learned / max(seconds - model.compile_seconds, 1e-9) if learned else None
    value = score.value if score.samples else None
    return Result(
        task=task.name,
        samples=online.rows,
        metric=score.metric,
        score=value,
        metrics={**({} if value is None else {score.metric: value}), **task.metrics},
        baseline={
            "name": score.baseline,
            "score": score.baseline_value if score.samples else None,
        },
        samples_per_second=speed,
        compile_seconds=model.compile_seconds,
        hops=max(e.learner.hops for e in model.bank.experts),
        seed=online.settings.seed,
        state_bytes=sum(leaf.nbytes for leaf in jax.tree.leaves(model.phase)),
        peak_memory_bytes=_peak_memory(),
        importance=online.importance(),
        experts=task.mixture.shares,
        checkpoint=None if checkpoint is None else str(checkpoint),
        predictions=None if predictions is None else str(predictions),
        skipped_rows=table.skipped_rows,
        kinds=_in_words([k for n, k in table.kinds.items() if n != run.settings.target]),
        classes=len(online.classes) if isinstance(task, Classification) else None,
        weights=task.mixture.curve,
        settings=run.settings,
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
