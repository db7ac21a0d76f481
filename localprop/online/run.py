"""A table being learned: an online model, and where it stands in its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from .. import checkpoint as checkpoints
from ..errors import CheckpointError
from ..table.columns import Column, ColumnKind
from ..table.predictions import Answered, with_nulls
from ..table.table import DIGESTED, Piece, Table
from .classification import MOST_CLASSES, Classification, as_categories, spelled
from .online import Online
from .schema import read_table
from .settings import Settings
from .target import choose_task, first_value, has_values
from .task import AbstractTask, Answers


class Told(NamedTuple):
    """What was predicted of a piece of a table.

    **Fields:** `lines`: where its rows stand; `answers`; `target`, if it has one; `classes`: those
    met by its end, `None` where numbers are predicted; `decided`: whether it was known then which
    of the two they will be.
    """

    lines: np.ndarray
    answers: Answers
    target: Column | None
    classes: list[str] | None
    decided: bool


class Run:
    """A table being learned: everything that a checkpoint must hold.

    **Arguments:** `settings`; `kept`: the checkpoint to go on from, if any.

    **Raises:** `CheckpointError` for a checkpoint of other settings, or of something else.
    """

    def __init__(self, settings: Settings, kept: checkpoints.Checkpoint | None = None):
        self.settings = settings
        self.position = 0  # rows of this source that were learned
        self.mark = 0  # where the file of predictions stands
        self.predictions: str | None = None  # its name
        self._columns: tuple[str, ...] | None = None
        self._digests: list[str] = []  # of the first row, the first two, and so on
        self.digest: str | None = None  # of all rows that were learned
        self._kinds: dict[str, ColumnKind] = {}
        self._commas: list[str] | None = None
        self._dates: dict[str, str] = {}  # how 03/04/2024 is read
        self.too_large: dict[str, int] = {}  # numbers of this run, by column, taken as missing
        self._answers = Answers(np.zeros(0))  # to rows of pieces that were not told yet
        self._untold: list[Told] = []  # pieces, without their answers
        if kept is None:
            self.online = Online(**asdict(settings.online))
            return
        self.online = Online.restore(kept)
        self.online.check_settings(settings.online, kept.path)
        self.settings = replace(settings, **asdict(self.online.settings))
        if kept.extra.get("table") is not None:
            self._restore(read_table(kept.extra["table"], kept.path), kept.path)
        self._check_kinds(kept.path)

    @property
    def task(self) -> AbstractTask | None:
        """What is being learned, once that is known."""
        return self.online.task

    def table_options(self) -> dict[str, Any]:
        """Returns how to open the table: kinds that are decided stay as they are."""
        given = {name: ColumnKind(kind) for name, kind in self.settings.kinds.items()}
        learned = {n: k for n, k in self.online.kinds.items() if k is not ColumnKind.UNDECIDED}
        types = {**learned, **self._kinds, **given}
        dates = {**self._dates, **self.settings.dates}
        return {"types": types, "commas": self._commas, "dates": dates}

    def begin(self, table: Table, path: Path | None) -> list[str]:
        """Looks at the table's first rows: is it the one begun with, which task does it call for?

        What is decided here depends on those rows alone, not on how the stream is cut.

        **Returns:** lines that a person should read.

        **Raises:** `CheckpointError` for a table whose columns do not fit; `StreamError` for a
        target that does not fit the task.
        """
        remarks = []
        if self._columns is not None or self.online.started:
            self._check_columns(table.columns, path)
            known = self._digests[:DIGESTED]
            found = table.digests(len(known), known)
            # A table that is shorter now is told by its end.
            if not known or found != known[: len(found)]:
                remarks.append(
                    f"another table than the one before: learned from its start, with what "
                    f"{self.online.rows:,} rows have taught"
                )
                self.position, self.mark, self._digests, self.digest = 0, 0, [], None
        self._columns = table.columns
        if self.task is None:
            target = table.first(self.settings.target)
            task = self._choose(target)
            if task is not None:
                self.online.begin(task)
            classes = len(target.categories)
            if isinstance(task, Classification) and MOST_CLASSES // 2 < classes < MOST_CLASSES:
                remarks.append(
                    f"column '{self.settings.target}' has {classes:,} classes in its first rows, "
                    f"and at most {MOST_CLASSES:,} can be learned; is it the column to predict?"
                )
        return remarks

    def learn(self, piece: Piece, *, more: bool = False) -> list[Told]:
        """Predicts, scores and learns a piece of the table.

        **Arguments:** `piece`; `more`: whether another follows at once, so that the networks may
        still be learning this one.

        **Returns:** what was predicted of each piece that was not told yet, and is learned.

        **Raises:** `StreamError`, `DivergenceError`.
        """
        columns, rows = dict(piece.columns), len(piece.lines)
        target = self._recognised(columns.pop(self.settings.target))
        start = 0
        if self.task is None and has_values(target):
            # Missing throughout the first rows: the first value decides, and learning begins there.
            start = first_value(target)
            if start:
                before = {name: column.cut(0, start) for name, column in columns.items()}
                self._take(self.online.learn(before, target.cut(0, start), more=True))
            task = self._choose(target.cut(start, start + 1))
            assert task is not None
            self.online.begin(task)
        rest = {name: column.cut(start) for name, column in columns.items()}
        self._take(self.online.learn(rest, target.cut(start), piece.lines[start:], more=more))
        self._untold.append(self._told(piece.lines, Answers(np.zeros(0)), target))
        self._count_too_large(piece)
        self.position += rows
        shown = piece.shown
        self._kinds, self._commas, self._dates = shown.kinds, shown.commas, shown.dates
        self.digest = shown.digest
        if len(self._digests) < DIGESTED:
            self._digests = shown.first_digests
        return self._told_of()

    def finish(self) -> list[Told]:
        """Waits until all pieces are learned; returns what was predicted of those not told yet."""
        if self._untold:
            self._take(self.online.finish())
        return self._told_of()

    def _take(self, answers: Answers) -> None:
        self._answers = Answers.joined([self._answers, answers])

    def _told_of(self) -> list[Told]:
        """Returns the pieces of which every row was answered, which are told now."""
        found = []
        while self._untold and len(self._untold[0].lines) <= len(self._answers.values):
            told = self._untold.pop(0)
            rows = len(told.lines)
            found.append(told._replace(answers=self._answers.cut(0, rows)))
            self._answers = self._answers.cut(rows)
        return found

    def _told(self, lines: np.ndarray, answers: Answers, target: Column | None) -> Told:
        decided = self.task is not None or self.settings.task != "auto"
        return Told(lines, answers, target, self.class_names, decided)

    def ask(self, piece: Piece, done: int = 0) -> Answered:
        """Predicts a piece, learning nothing; its target may be missing.

        **Arguments:** `piece`; `done`: rows that were asked for before it, for a forecast.
        """
        columns, rows = dict(piece.columns), len(piece.lines)
        target = columns.pop(self.settings.target, None)
        target = None if target is None else self._recognised(target)
        answers = self.online.ask(columns, rows, done)
        return answered(self._told(piece.lines, answers, target))

    @property
    def class_names(self) -> list[str] | None:
        """The classes met so far, as they are spelled; `None` where numbers are predicted."""
        if isinstance(self.task, Classification):
            return [spelled(label) for label in self.task.classes]
        return [] if self.task is None and self.settings.task == "classification" else None

    def expected_classes(self, table: Table) -> list[str] | None:
        """Returns the classes met so far and those in the first rows of a table, as spelled."""
        known = self.class_names
        if known is None:
            return None
        labels = as_categories(table.first(self.settings.target))[1]
        return list(dict.fromkeys([*known, *map(spelled, labels)]))

    def save(self, path: Path, mark: int = 0, predictions: str | None = None) -> None:
        """Writes a checkpoint.

        **Arguments:** `path`; `mark`: where the file of `predictions` stands.

        **Raises:** `CheckpointError`.
        """
        if not self.online.started:
            return  # nothing was learned yet: starting afresh gives the same
        table = {
            "target": self.settings.target,
            "on_bad_row": self.settings.on_bad_row,
            "columns": self._columns,
            "position": self.position,
            "digests": self._digests,
            "digest": self.digest,
            "kinds": {name: kind.value for name, kind in self._kinds.items()},
            "commas": self._commas,
            "dates": self._dates,
            "predictions": predictions,
            "mark": mark,
        }
        self.online.write(path, table)

    def _restore(self, table: Mapping[str, Any], path: Path) -> None:
        if str(table["target"]) != self.settings.target:
            raise CheckpointError(
                f"{path}: made with other settings (target was {table['target']}, is "
                f"{self.settings.target}); use those settings again, or another checkpoint file"
            )
        if self.settings.on_bad_row == Settings.on_bad_row:
            self.settings = replace(self.settings, on_bad_row=table["on_bad_row"])
        self._columns = tuple(table["columns"])
        self.position, self.mark = table["position"], table["mark"]
        self.predictions = table["predictions"]
        self._digests, self.digest = list(table["digests"]), table["digest"]
        self._kinds = {name: ColumnKind(kind) for name, kind in table["kinds"].items()}
        self._commas = None if table["commas"] is None else list(table["commas"])
        self._dates = dict(table["dates"])

    def _count_too_large(self, piece: Piece) -> None:
        for name, column in piece.columns.items():
            if column.kind is ColumnKind.NUMBER and not column.known.all():
                found = int(np.sum(np.isfinite(column.values) & ~column.known))
                if found:
                    self.too_large[name] = self.too_large.get(name, 0) + found

    def _check_kinds(self, path: Path) -> None:
        kept = {**self.online.kinds, **self._kinds}
        for name, kind in self.settings.kinds.items():
            was = kept.get(name, ColumnKind.UNDECIDED)
            if was is not ColumnKind.UNDECIDED and was.value != kind:
                raise CheckpointError(
                    f"{path}: made with other settings (column '{name}' was {was.value}, is "
                    f"{kind}); use those settings again, or another checkpoint file"
                )

        for name, order in self.settings.dates.items():
            if (was := self._dates.get(name, order)) != order:
                raise CheckpointError(
                    f"{path}: made with other settings (dates of column '{name}' were {was}, are "
                    f"{order}); use those settings again, or another checkpoint file"
                )

    def _choose(self, target: Column) -> AbstractTask | None:
        settings = self.settings
        given = settings.task, settings.horizon, settings.target
        return choose_task(target, *given, self.online.experts)

    def _check_columns(self, columns: tuple[str, ...], path: Path | None) -> None:
        known = self._columns or self.learned_columns
        new = [f"'{name}'" for name in columns if name not in known]
        gone = [f"'{name}'" for name in known if name not in columns]
        if new or gone:
            what = [f"has no column {', '.join(new[:5])}"] if new else []
            what += [f"has column {', '.join(gone[:5])} besides"] if gone else []
            raise CheckpointError(
                f"{path}: made with another table: it {' and '.join(what)}; give a table of "
                "the same columns, or another checkpoint file"
            )

    @property
    def learned_columns(self) -> tuple[str, ...]:
        """The columns that the model looks at, and the target."""
        names = (*self.online.kinds, *self.settings.online.aside, self.settings.target)
        return tuple(dict.fromkeys(names))

    def _recognised(self, target: Column) -> Column:
        """Returns the target with the classes that are known in place of how a file spells them."""
        if not isinstance(self.task, Classification) or not self.task.classes:
            return target
        codes, labels = as_categories(target)
        return Column(ColumnKind.TEXT, codes, [self.task.known_as(label) for label in labels])


def answered(told: Told) -> Answered:
    """Returns what was predicted of a piece as it goes to a file."""
    lines, answers, target, classes, decided = told
    if classes is None:
        values = answers.values
        radius = np.nan if answers.radius is None else answers.radius
        bounds = np.stack([values - radius, values + radius], axis=1)
        truth = np.full(len(values), np.nan)
        if target is not None and target.kind is not ColumnKind.TEXT:
            truth = target.values
        return Answered(lines, with_nulls(values), with_nulls(truth), bounds, None, decided)
    codes = np.where(np.isnan(answers.values), -1, answers.values).astype(int)
    truths = pa.nulls(len(codes), pa.string())
    if target is not None:
        found, labels = as_categories(target)
        truths = _named(found, [spelled(label) for label in labels])
    table = answers.probabilities
    table = np.zeros((len(codes), 0)) if table is None else table
    return Answered(lines, _named(codes, classes), truths, table, classes)


def _named(codes: np.ndarray, names: list[str]) -> pa.Array:
    """Returns the names that codes stand for, null for −1."""
    where = pa.array(np.maximum(codes, 0), mask=codes < 0, type=pa.int32())
    return pa.array(names or [""], pa.string()).take(where)
