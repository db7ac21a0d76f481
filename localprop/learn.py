"""Learning a table: from the rows of a file to a score, whatever happens on the way."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax

from . import checkpoint as checkpoints
from .cost import Cost
from .defaults import BIAS_SCALE, OUTPUT_SCALE, law_for
from .describe import differences
from .errors import CheckpointError, ConfigError, StreamError
from .model import Model
from .score import Score
from .stream.durations import Durations
from .stream.encode import Encoder
from .stream.samples import Samples
from .stream.table import Column, ColumnKind, Piece, Table
from .stream.target import choose_task, restore_task
from .stream.task import AbstractTask

PIECE = 1000  # most rows that are read, learned and scored together
MOST_HOPS = 1000  # they are unrolled
MOST_WEIGHTS = 10**9
MOST_HORIZON = 1_000_000
LAWS = ("hamiltonian", "least-action")
TASKS = ("auto", "classification", "regression", "forecast")


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of a run; a resumed run must have the same.

    **Arguments:** see `learn`.

    **Raises:** `ConfigError` for a value that makes no sense.
    """

    target: str
    task: str = "auto"
    horizon: int | None = None
    law: str = "hamiltonian"
    time: str | None = None
    text: tuple[str, ...] = ()
    hops: int | str = "auto"
    hidden: tuple[int, ...] = (64, 64)
    seed: int = 0
    on_bad_row: str = "stop"

    def __post_init__(self):
        _one_of("task", self.task, TASKS)
        _one_of("law", self.law, LAWS)
        _one_of("on_bad_row", self.on_bad_row, ("stop", "skip"))
        number = isinstance(self.hops, int) and 1 <= self.hops <= MOST_HOPS
        if self.hops != "auto" and not number:
            raise ConfigError(f"hops is '{self.hops}'; give from 1 to {MOST_HOPS}, or auto")
        if any(size < 1 for size in self.hidden):
            raise ConfigError(f"hidden is {list(self.hidden)}; every layer has at least 1 neuron")
        weights = sum(a * b for a, b in pairwise((1, *self.hidden, 1)))
        if weights > MOST_WEIGHTS:
            raise ConfigError(
                f"hidden is {list(self.hidden)}, that is {weights:,} weights; take smaller layers, "
                f"of at most {MOST_WEIGHTS:,} weights in all"
            )
        if self.horizon is not None and not 1 <= self.horizon <= MOST_HORIZON:
            raise ConfigError(f"horizon is {self.horizon}; give from 1 to {MOST_HORIZON:,} rows")
        if self.horizon is not None and self.task not in ("auto", "forecast"):
            raise ConfigError(f"a horizon makes no sense for {self.task}; drop one of the two")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}; give a number from 0 to 2^32 - 1")
        if self.time is not None and self.time == self.target:
            raise ConfigError(f"column '{self.time}' cannot be the time and the target at once")


@dataclass(frozen=True)
class Result:
    """What came of learning a table; the JSON of `localprop learn` has the same keys."""

    task: str
    samples: int
    metric: str
    score: float | None
    baseline: dict[str, Any]
    samples_per_second: float
    compile_seconds: float
    hops: int
    seed: int
    state_bytes: int
    peak_memory_bytes: int
    checkpoint: str | None
    skipped_rows: int


class Run:
    """A table being learned: everything that a checkpoint must hold."""

    def __init__(self, settings: Settings, piece: int):
        self.settings, self.piece = settings, piece
        self.encoder, self.durations = Encoder(), Durations()
        self.task: AbstractTask | None = None
        self.model: Model | None = None
        self.position = 0
        self.columns: tuple[str, ...] | None = None  # of the table

    def check_columns(self, columns: tuple[str, ...], path: Path | None) -> None:
        """Raises `CheckpointError` for another table than the one that was begun with."""
        if self.columns is None:
            self.columns = columns
        new = [f"'{name}'" for name in columns if name not in self.columns]
        gone = [f"'{name}'" for name in self.columns if name not in columns]
        if columns != self.columns:
            what = [f"has no column {', '.join(new[:5])}"] if new else []
            what += [f"has column {', '.join(gone[:5])} besides"] if gone else []
            raise CheckpointError(
                f"{path}: made with another table: it {' and '.join(what) or 'has another order'}; "
                "give the table that was read before, or another checkpoint file"
            )

    def learn(self, piece: Piece) -> None:
        """Predicts, scores and learns a piece of the table.

        **Raises:** `StreamError`, `DivergenceError`.
        """
        settings, rows = self.settings, len(piece.lines)
        columns = dict(piece.columns)
        target = columns.pop(settings.target)
        clock = columns.pop(settings.time) if settings.time else None
        if self.task is None:
            self.task = choose_task(target, settings.task, settings.horizon, settings.target)
        duration = None
        if clock is not None and settings.time:
            _check_clock(clock, settings.time)
            duration = self.durations.encode(clock.values, piece.lines, settings.time)
        # A forecast looks at the target's own past alone.
        used = {} if self.task is not None and self.task.name == "forecast" else columns
        u = self.encoder.encode(used, rows)
        if self.task is not None:  # before the first target there is nothing to learn
            encoded = self.task.encode(u, target)
            model = self._model_for(self.task)
            samples = Samples(encoded.u, encoded.z, duration, encoded.query)
            trace = model.learn(samples, self.task.record, self.position)
            self.task.update_score(encoded.key, trace)
        self.position += rows

    def save(self, path: Path) -> None:
        """Writes a checkpoint. **Raises:** `CheckpointError`."""
        if self.task is None or self.model is None:
            return  # nothing was learned yet: starting afresh gives the same
        extra = {
            "settings": asdict(self.settings),
            "piece": self.piece,
            "columns": self.columns,
            "encoder": self.encoder.state(),
            "durations": self.durations.state(),
            "task": {"name": self.task.name, **self.task.state()},
            "inputs": self.model.inputs,
            "outputs": self.model.outputs,
        }
        checkpoints.save(
            path, self.model.learner, self.model.phase, position=self.position, extra=extra
        )

    @classmethod
    def resume(cls, kept: checkpoints.Checkpoint, settings: Settings) -> Run:
        """Returns the run as it was when the checkpoint was written.

        **Raises:** `CheckpointError` if it was written with other settings.
        """
        path, extra = kept.path, kept.extra
        if "settings" not in extra:
            raise CheckpointError(
                f"{path}: was not written by `localprop learn`; take another file"
            )
        asked = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
        wrong = list(differences(extra["settings"], asked))
        if wrong:
            raise CheckpointError(
                f"{path}: made with other settings ({'; '.join(wrong)}); use those settings "
                "again, or another checkpoint file"
            )
        run = cls(settings, extra["piece"])
        run.columns = tuple(extra["columns"])
        run.encoder = Encoder.restore(extra["encoder"])
        run.durations = Durations(extra["durations"])
        run.task = restore_task(extra["task"], settings.horizon)
        run.model = run._model_for(run.task)
        run.model.resize(extra["inputs"], extra["outputs"])
        run.model.restore(kept.phase(run.model.learner))
        run.position = kept.position
        return run

    def _model_for(self, task: AbstractTask) -> Model:
        if self.model is None:
            settings = self.settings
            self.model = Model(
                Cost(task.loss),
                law_for(settings.law, task.name),
                settings.hidden,
                hops=settings.hops,
                output_scale=OUTPUT_SCALE,
                bias_scale=BIAS_SCALE,
                seed=settings.seed,
                capacity=self.piece,
            )
        return self.model


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
) -> tuple[Result, Score]:
    """Learns a table in one pass, every row predicted before it is learned.

    **Arguments:**

    - `source`: a CSV or Parquet file, or `"-"` for CSV on standard input.
    - `settings`: what to learn, and how.
    - `limit`: most rows; `None` for all.
    - `checkpoint`: file to write to every `every` rows and at the end.
    - `resume`: whether to go on from the checkpoint, if there is one.
    - `watch`: called after every piece.

    **Raises:** `StreamError`, `ConfigError`, `CheckpointError`, `DivergenceError`.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; give at least 1 row")
    if every < 1:
        raise ConfigError(f"every is {every}; give at least 1 row")
    if resume and checkpoint is None:
        raise ConfigError("nothing to resume from; name the file with --checkpoint")
    path = None if checkpoint is None else Path(checkpoint)
    run = Run(settings, min(PIECE, every))
    if path is not None:
        checkpoints.check_writable(path)
        if path.exists():
            # Without --resume the file is only looked at: nothing but a checkpoint is overwritten.
            kept = checkpoints.load(path)
            run = Run.resume(kept, settings) if resume else run
    began, start = time.perf_counter(), run.position
    table = _read(source, run, path, every, limit, watch)
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
) -> Table:
    """Feeds the table to the run, piece by piece, and keeps checkpoints."""
    settings = run.settings
    needed = [settings.target, *([settings.time] if settings.time else [])]
    saved = run.position
    with Table(
        source, on_bad_row=settings.on_bad_row, text=settings.text, required=needed
    ) as table:
        run.check_columns(table.columns, path)
        try:
            for piece in table.pieces(run.piece, start=run.position, stop=limit):
                run.learn(piece)
                if path is not None and run.position - saved >= every:
                    run.save(path)
                    saved = run.position
                if watch is not None:
                    watch(run, table)
        except KeyboardInterrupt:  # raised by `watch`, that is between two pieces
            if path is not None:
                run.save(path)
            raise
        except StreamError as error:
            raise error if error.file else _placed(error, source, settings.target) from None
        if run.task is None or run.task.labelled == 0:
            raise StreamError(
                f"no value in any of its {run.position} rows; there is nothing to learn, name "
                "another column as --target",
                file=str(source),
                column=settings.target,
            )
        if path is not None:
            run.save(path)
        return table


def _placed(error: StreamError, source: str | Path, target: str) -> StreamError:
    """Returns the error of a column, of the target if it names none, with its file."""
    name = "standard input" if str(source) == "-" else str(source)
    column = error.column or target
    return StreamError(error.problem, file=name, line=error.line, column=column)


def _check_clock(clock: Column, name: str) -> None:
    if clock.kind is ColumnKind.TEXT:
        raise StreamError(
            "--time needs numbers, or times such as 2024-05-31 12:30:00, and this column holds "
            "text; name another column, or leave --time away",
            column=name,
        )


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
        samples_per_second=learned / max(seconds - model.compile_seconds, 1e-9),
        compile_seconds=model.compile_seconds,
        hops=model.learner.hops,
        seed=run.settings.seed,
        state_bytes=sum(leaf.nbytes for leaf in jax.tree.leaves(model.phase)),
        peak_memory_bytes=_peak_memory(),
        checkpoint=None if path is None else str(path),
        skipped_rows=table.skipped_rows,
    )


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is '{value}'; take one of {', '.join(choices)}")
