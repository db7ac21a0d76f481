"""A table being learned: what must survive a crash, and how a piece is learned."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from .. import checkpoint as checkpoints
from ..cost import Cost
from ..describe import differences
from ..errors import CheckpointError, StreamError
from ..learner.samples import Samples
from ..table.table import Column, ColumnKind, Piece, Table
from .defaults import BIAS_SCALE, OUTPUT_SCALE, law_for
from .durations import Durations
from .encode import Encoder
from .growing import Model
from .settings import Settings
from .target import choose_task, first_value, has_values, restore_task
from .task import AbstractTask

PIECE = 1000  # most rows that are read, learned and scored together


class Run:
    """A table being learned: everything that a checkpoint must hold."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.encoder, self.durations = Encoder(), Durations()
        self.task: AbstractTask | None = None
        self.model: Model | None = None
        self.position = 0
        self.columns: tuple[str, ...] | None = None  # of the table
        self.digest: tuple[int, str] | None = None  # of the table's first rows
        self._expected = 0  # inputs known before the first row

    def begin(self, table: Table, path: Path | None) -> None:
        """Looks at the table's first rows: is it the one begun with, which task does it call for?

        What is decided here depends on those rows alone, not on how the stream is cut.

        **Raises:** `CheckpointError` for another table than the one that was begun with;
        `StreamError` for a target that does not fit the task.
        """
        self._check_columns(table.columns, path)
        if self.digest is None:
            self.digest = table.digest()
        rows, digest = table.digest(self.digest[0])
        # A shorter table is told by its end.
        if rows == self.digest[0] and digest != self.digest[1]:
            raise CheckpointError(
                f"{path}: made with another table, whose first {self.digest[0]} rows were others; "
                "give the table that was read before, or another checkpoint file"
            )
        if self.task is None:
            self.task = self._choose(table.first(self.settings.target))
        if self.model is None:
            aside = (self.settings.target, self.settings.time)
            kinds = {name: kind for name, kind in table.kinds.items() if name not in aside}
            self._expected = self.encoder.expect(kinds)

    def _choose(self, target: Column) -> AbstractTask | None:
        settings = self.settings
        return choose_task(target, settings.task, settings.horizon, settings.target)

    def _check_columns(self, columns: tuple[str, ...], path: Path | None) -> None:
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
        start = 0
        if self.task is None and has_values(target):
            # Missing throughout the first rows: the first value decides, and learning begins there.
            start = first_value(target)
            self.task = self._choose(target.cut(start, start + 1))
        duration = None
        if clock is not None and settings.time:
            _check_clock(clock, settings.time)
            duration = self.durations.encode(clock.values, piece.lines, settings.time)
        # A forecast looks at the target's own past alone.
        used = {} if self.task is not None and self.task.name == "forecast" else columns
        u = self.encoder.encode(used, rows)
        if self.task is not None:  # before the first target there is nothing to learn
            model = self._model_for(self.task)
            self.task.check(target, piece.lines, settings.target)
            encoded = self.task.encode(u[start:], target.cut(start))
            duration = None if duration is None else duration[start:]
            samples = Samples(encoded.u, encoded.z, duration, encoded.query)
            trace = model.learn(samples, self.task.record, self.position + start)
            self.task.update_score(encoded.key, trace)
        self.position += rows

    def save(self, path: Path) -> None:
        """Writes a checkpoint. **Raises:** `CheckpointError`."""
        if self.task is None or self.model is None:
            return  # nothing was learned yet: starting afresh gives the same
        extra = {
            "settings": asdict(self.settings),
            "columns": self.columns,
            "digest": self.digest,
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
        if not isinstance(extra.get("settings"), dict):
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
        try:
            return cls(settings)._restore(kept)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: {checkpoints.DAMAGED}") from error

    def _restore(self, kept: checkpoints.Checkpoint) -> Run:
        extra = kept.extra
        self.columns = tuple(extra["columns"])
        rows, digest = extra["digest"]
        self.digest = (int(rows), str(digest))
        self.encoder = Encoder.restore(extra["encoder"])
        self.durations = Durations(extra["durations"])
        self.task = restore_task(extra["task"], self.settings.horizon)
        self.model = self._model_for(self.task)
        self.model.resize(extra["inputs"], extra["outputs"])
        self.model.restore(kept.phase(self.model.learner))
        self.position = kept.position
        return self

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
                # However the stream is cut, the compiled loop is the same, and so is every bit.
                capacity=PIECE,
                start=(task.inputs(self._expected), task.outputs),
            )
        return self.model


def _check_clock(clock: Column, name: str) -> None:
    if clock.kind is ColumnKind.TEXT:
        raise StreamError(
            "--time needs numbers, or times such as 2024-05-31 12:30:00, and this column holds "
            "text; name another column, or leave --time away",
            column=name,
        )
