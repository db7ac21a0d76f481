"""One online model: what stands between a row and a learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import checkpoint as checkpoints
from ..cost import Cost
from ..describe import differences
from ..errors import CheckpointError, ConfigError, StreamError
from ..learner import Samples
from ..table.columns import Column, ColumnKind
from . import rows as rowwise
from .classification import Classification, Label
from .defaults import BIAS_SCALE, OUTPUT_SCALE, law_for
from .durations import Durations
from .encode import Encoder
from .forecast import Forecast
from .growing import Model
from .importance import Importance
from .settings import OnlineSettings
from .target import fresh_task, restore_task
from .task import AbstractTask, Answers

PIECE = 1000  # most rows in one call of the compiled loop

T = TypeVar("T")


class Online:
    """Rows in, answers out: learns a stream row by row, tuning nothing.

    A row is a mapping of columns to plain values: numbers, truth values, text, `datetime`, `None`.
    Columns may appear, vanish (then they are missing) and come back; new classes and new words get
    neurons as they appear. A row is predicted as it would be before it is learned, whatever is
    asked in between: predicting changes nothing, and a row whose target is `None` is not learned.
    The command line, `localprop.river` and `localprop.sklearn` are thin over this class, and give
    the same numbers on the same rows.

    !!! example

        ```python
        >>> from localprop import Online
        >>> model = Online()
        >>> for k in range(300):
        ...     model.learn_one({"size": k % 7, "colour": "red" if k % 2 else "blue"}, k % 7 > 3)
        >>> model.predict_one({"size": 6, "colour": "red"})
        True
        >>> model.predict_one({"size": 0, "colour": "green"})  # a new word
        False

        ```
    """

    def __init__(
        self,
        task: str = "auto",
        *,
        horizon: int | None = None,
        law: str = "hamiltonian",
        time: str | None = None,
        hops: int | str = "auto",
        hidden: Sequence[int] = (64, 64),
        seed: int = 0,
    ):
        """**Arguments:**

        - `task`: `"classification"`, `"regression"`, `"forecast"`, or `"auto"`: by the first
          target that is given, a number means regression, a truth value or text classification.
        - `horizon`: how many rows ahead a forecast looks; with it, `"auto"` means forecast.
        - `law`: `"hamiltonian"` or `"least-action"`.
        - `time`: name of a column by which rows last as long as they are apart.
        - `hops`: per row, or `"auto"`.
        - `hidden`: sizes of the hidden layers.
        - `seed`: of the first weights.

        **Raises:** `ConfigError` for a value that makes no sense.
        """
        settings = (task, horizon, law, time, hops, tuple(hidden), seed)
        self.settings = OnlineSettings(*settings)
        self.rows = 0  # learned, and in the command line also those that had no target
        self.kinds: dict[str, ColumnKind] = {}  # of the columns met so far
        self.task: AbstractTask | None = None
        self._encoder, self._durations = Encoder(), Durations()
        self._importance = Importance()
        self._model: Model | None = None
        self._begun, self._room = False, 0  # inputs known from the first row

    # Rows as programs have them.

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Learns one row.

        **Arguments:** `x`: columns to values; `y`: a class or a number; `None` changes nothing, but
        to a forecast it is a row whose target is missing.

        **Raises:** `StreamError` for a value that cannot be learned, with nothing half-learned;
        `DivergenceError`.
        """
        self._learn(rowwise.read_row(x, self.kinds), [y])

    def learn_many(self, X: Any, y: Any) -> None:
        """Learns rows, in their order, as `learn_one` would one after the other.

        **Arguments:** `X`: any dataframe, a two-dimensional array (columns x0, x1, …), a mapping of
        columns to arrays, or a sequence of rows; `y`: as many targets, `None` or NaN where there
        is none.

        **Raises:** `StreamError`, `DivergenceError`.
        """
        self._learn(rowwise.read_rows(X, self.kinds), rowwise.as_list(y))

    def predict_one(self, x: Mapping[Any, Any]) -> Any:
        """Returns the class or the number that is expected of a row; `None` if none is known yet.

        A forecast answers with what it expected of the next row, `horizon` rows ago.
        """
        return self._one(self.predict_many, x)

    def predict_many(self, X: Any) -> list[Any]:
        """Returns what `predict_one` would of each row, all asked of the present model.

        A forecast answers the k-th row with what it expects k rows from now, as far as its
        horizon.
        """
        answers = self._ask(X)
        if self.task is None:
            return [None] * len(answers.values)
        if isinstance(self.task, Classification):
            classes = [*self.task.classes, None]
            return [classes[k] for k in answers.values]
        return [None if np.isnan(v) else float(v) for v in answers.values]

    def predict_proba_one(self, x: Mapping[Any, Any]) -> dict[Label, float]:
        """Returns the probability of every class met so far.

        **Raises:** `ConfigError` where numbers are predicted.
        """
        return self._one(self.predict_proba_many, x)

    def predict_proba_many(self, X: Any) -> list[dict[Label, float]]:
        """Returns what `predict_proba_one` would of each row."""
        table = self.probabilities(X).tolist()
        return [dict(zip(self.classes, row, strict=True)) for row in table]

    def probabilities(self, X: Any) -> np.ndarray:
        """Returns the probabilities as an array, `(rows, classes)`, in the order of `classes`."""
        if self._task_name not in ("classification", "auto"):
            raise ConfigError(f"a {self._task_name} has no probabilities; ask for an interval")
        answers = self._ask(X)
        found = answers.probabilities
        return np.zeros((len(answers.values), 0)) if found is None else found

    def predict_interval_one(
        self, x: Mapping[Any, Any], level: float = 0.9
    ) -> tuple[float, float] | None:
        """Returns bounds that hold the number with probability `level`; `None` if unknown yet.

        They come from quantile tracking, a form of adaptive conformal inference: over a long
        stretch they hold as often as they say, whatever the stream does.

        **Raises:** `ConfigError` where classes are predicted, or for a level outside (0, 1).
        """
        return self._one(self.predict_interval_many, x, level)

    def predict_interval_many(self, X: Any, level: float = 0.9) -> list[tuple[float, float] | None]:
        """Returns what `predict_interval_one` would of each row."""
        if not 0 < level < 1:
            raise ConfigError(f"level is {level}; give a probability between 0 and 1")
        if self._task_name == "classification":
            raise ConfigError("classes have no intervals; ask for their probabilities")
        values = self._ask(X).values
        radius = np.full(len(values), np.nan)
        if self.task is not None:
            radius = self.task.radius(level, len(values))
        bounds = np.stack([values - radius, values + radius], axis=1)
        return [None if np.isnan(row).any() else (row[0], row[1]) for row in bounds.tolist()]

    def importance(self) -> dict[str, float]:
        """Returns each column's share of what matters lately, the largest first.

        A running mean, over some 500 rows, of $|u_j\\,(D_u^\\top\\lambda)_j|$: the costates that
        reach the inputs, times the inputs, summed over those of a column; the shares add up to 1.
        Empty for a forecast, which looks at the target's own past alone.
        """
        if isinstance(self.task, Forecast):
            return {}
        names = [name for name in self.kinds if name != self.settings.time]
        return self._importance.shares(self._encoder.columns_of_inputs(), names)

    @property
    def classes(self) -> list[Label]:
        """The classes met so far, in the order in which they came."""
        return self.task.classes if isinstance(self.task, Classification) else []

    def save(self, path: str | Path) -> None:
        """Writes what was learned to a checkpoint, which the command line opens too.

        **Raises:** `CheckpointError` if nothing was learned yet, or the file cannot be written.
        """
        self.write(path, None)

    @classmethod
    def load(cls, path: str | Path) -> Online:
        """Returns the model as it was saved, here or by `localprop learn --checkpoint`.

        **Raises:** `CheckpointError`.
        """
        return cls.restore(checkpoints.load(path))

    def __getstate__(self) -> dict[str, Any]:
        if self._model is None:
            return {"settings": asdict(self.settings)}
        return {"settings": asdict(self.settings), "checkpoint": self.to_bytes()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(**state["settings"])
        if "checkpoint" in state:
            kept = checkpoints.parse(Path("pickle"), state["checkpoint"])
            self.__dict__.update(Online.restore(kept).__dict__)

    # Rows as columns: what the command line and the methods above share.

    def learn(
        self, columns: Mapping[str, Column], target: Column, lines: np.ndarray | None = None
    ) -> Answers:
        """Predicts, scores and learns a piece; returns what was predicted of each row.

        **Arguments:** `columns` by name; `target`, missing where a row is only to be predicted;
        `lines`: where each row stands, for messages.
        """
        if lines is None:
            lines = np.arange(self.rows + 1, self.rows + len(target.values) + 1)
        columns = self._complete(columns, len(target.values))
        if isinstance(self.task, Forecast):  # time goes on, also where the target is missing
            answers = self._learn_run(columns, target, lines)
            self.rows += len(target.values)
            return answers
        known = target.known
        cuts = [0, *(np.flatnonzero(np.diff(known)) + 1).tolist(), len(known)]
        parts = []
        for start, stop in pairwise(cuts):
            run = {name: column.cut(start, stop) for name, column in columns.items()}
            if start < stop:
                if known[start]:
                    parts.append(self._learn_run(run, target.cut(start, stop), lines[start:stop]))
                else:
                    parts.append(self.ask(run, stop - start))
                self.rows += stop - start
        return Answers.joined(parts)

    def ask(self, columns: Mapping[str, Column], rows: int, done: int = 0) -> Answers:
        """Predicts rows as columns, each as if it were the next one, learning nothing.

        **Arguments:** `columns` by name; `rows`; `done`: rows to come before the first of these,
        for a forecast.
        """
        task, model = self.task, self._model
        if task is None or model is None:
            numbers = self._task_name in ("regression", "forecast")
            nothing = np.full(rows, np.nan)
            return Answers(nothing, radius=nothing) if numbers else Answers(np.full(rows, -1))
        if isinstance(task, Forecast):
            everything = task.read(np.zeros((done + rows, 1)))
            return everything.cut(done)
        columns = self._complete(columns, rows)
        clock = columns.pop(self.settings.time, None) if self.settings.time else None
        relative = None if clock is None else self._durations.look(clock.values)
        u = self._encoder.look(columns, rows, model.inputs)
        return task.read(model.preview(u, relative))

    def begin(self, task: AbstractTask) -> None:
        """Takes a task that was chosen by whoever knows more of the stream."""
        self.task = task

    @property
    def model(self) -> Model:
        """The growing network, once something was learned."""
        assert self._model is not None, "something has to be learned first"
        return self._model

    @property
    def compile_seconds(self) -> float:
        """Seconds spent on building and compiling so far."""
        return self._model.compile_seconds if self._model else 0.0

    @property
    def started(self) -> bool:
        """Whether anything was learned."""
        return self._model is not None

    def _learn(self, columns: dict[str, Column], y: list[Any]) -> None:
        """Learns columns with targets as they were given."""
        rows = {len(column.values) for column in columns.values()} or {len(y)}
        if rows != {len(y)}:
            raise StreamError(f"{len(y)} targets for {rows.pop()} rows")
        task = self.task
        if task is None:
            first = rowwise.first_label(y)
            if first is None and self.settings.horizon is None:
                return
            task = fresh_task(first, self.settings.task, self.settings.horizon)
        target = rowwise.read_labels(y, isinstance(task, Classification))
        self.task = task
        for start in range(0, len(y), PIECE):
            piece = slice(start, min(start + PIECE, len(y)))
            part = {name: c.cut(piece.start, piece.stop) for name, c in columns.items()}
            self.learn(part, target.cut(piece.start, piece.stop))

    def _learn_run(self, columns: dict[str, Column], target: Column, lines: np.ndarray) -> Answers:
        """Learns rows of which each has a target."""
        assert self.task is not None
        task, rows = self.task, len(target.values)
        duration = None
        if self.settings.time:
            clock = columns.pop(self.settings.time, None)
            if clock is None or clock.kind is ColumnKind.TEXT:
                raise StreamError(
                    "rows need this column, of numbers or times, for their durations",
                    column=self.settings.time,
                )
            duration = self._durations.encode(clock.values, lines, self.settings.time)
        used = {} if isinstance(task, Forecast) else columns
        if not self._begun:
            self._begun = True
            first = {name: column.cut(0, 1) for name, column in used.items()}
            self._room = self._encoder.expect(
                {
                    name: column.kind if column.known.any() else ColumnKind.UNDECIDED
                    for name, column in first.items()
                }
            )
        model = self._model_for(task)
        u = self._encoder.encode(used, rows)
        encoded = task.encode(u, target)
        samples = Samples(encoded.u, encoded.z, duration, encoded.query)
        slope = () if isinstance(task, Forecast) else ("input_slope",)
        trace = model.learn(samples, (*task.record, *slope), self.rows)
        if slope:
            self._importance.update(u, trace["input_slope"])
        for name, column in columns.items():
            if self.kinds.get(name, ColumnKind.UNDECIDED) is ColumnKind.UNDECIDED:
                self.kinds[name] = column.kind
        return task.update_score(encoded.key, trace)

    def _complete(self, columns: Mapping[str, Column], rows: int) -> dict[str, Column]:
        """Returns the columns, and those that are known and not there as missing.

        By name, so that the order in which a row happens to hold them changes no number.
        """
        found = dict(columns)
        for name, kind in self.kinds.items():
            if name not in found and name != self.settings.time:
                text = kind is ColumnKind.TEXT
                nothing = np.full(rows, -1, np.int32) if text else np.full(rows, np.nan)
                found[name] = Column(kind, nothing)
        return dict(sorted(found.items()))

    def _ask(self, X: Any) -> Answers:
        columns = rowwise.read_rows(X, self.kinds)
        empty = len(X) if isinstance(X, list | tuple) else 0  # rows without any column
        rows = max((len(column.values) for column in columns.values()), default=empty)
        return self.ask(columns, rows)

    def _one(self, many: Any, x: Mapping[Any, Any], *more: Any) -> Any:
        return many([x], *more)[0]

    @property
    def _task_name(self) -> str:
        if self.task is not None:
            return self.task.name
        return "forecast" if self.settings.horizon is not None else self.settings.task

    def _model_for(self, task: AbstractTask) -> Model:
        if self._model is None:
            settings = self.settings
            self._model = Model(
                Cost(task.loss),
                law_for(settings.law, task.name),
                settings.hidden,
                hops=settings.hops,
                output_scale=OUTPUT_SCALE,
                bias_scale=BIAS_SCALE,
                seed=settings.seed,
                # However the stream is cut, the compiled loop is the same, and so is every bit.
                capacity=PIECE,
                start=(task.inputs(self._room), task.outputs),
            )
        return self._model

    # What survives.

    def write(self, path: str | Path, table: Mapping[str, Any] | None) -> None:
        """Writes a checkpoint, with what the command line knows of its table."""
        learner, phase, rest = self._parts(table, path)
        checkpoints.save(path, learner, phase, **rest)

    def to_bytes(self) -> bytes:
        """Returns the checkpoint as bytes."""
        learner, phase, rest = self._parts(None)
        return checkpoints.dumps(learner, phase, **rest)

    def _parts(self, table: Mapping[str, Any] | None, path: Any = "") -> tuple[Any, Any, Any]:
        if self.task is None or self._model is None:
            raise CheckpointError(f"{path}: nothing was learned yet, so there is nothing to save")
        online = {
            "settings": asdict(self.settings),
            "rows": self.rows,
            "kinds": {name: kind.value for name, kind in self.kinds.items()},
            "encoder": self._encoder.state(),
            "durations": self._durations.state(),
            "importance": self._importance.state(),
            "task": {"name": self.task.name, **self.task.state()},
            "inputs": self._model.inputs,
            "outputs": self._model.outputs,
        }
        extra = {"online": online, "table": table}
        return self._model.learner, self._model.phase, {"position": self.rows, "extra": extra}

    @classmethod
    def restore(cls, kept: checkpoints.Checkpoint) -> Online:
        """Returns the model that a checkpoint holds.

        **Raises:** `CheckpointError` for a checkpoint of something else.
        """
        found = kept.extra.get("online")
        if not isinstance(found, dict):
            raise CheckpointError(
                f"{kept.path}: was written neither by `localprop learn` nor by Online; take "
                "another file"
            )
        try:
            return cls(**found["settings"])._restore(found, kept)
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise CheckpointError(f"{kept.path}: {checkpoints.DAMAGED}") from error

    def _restore(self, found: Mapping[str, Any], kept: checkpoints.Checkpoint) -> Online:
        self.rows = int(found["rows"])
        self.kinds = {name: ColumnKind(kind) for name, kind in found["kinds"].items()}
        self._encoder = Encoder.restore(found["encoder"])
        self._durations = Durations(found["durations"])
        self._importance = Importance(found["importance"])
        self.task = restore_task(found["task"], self.settings.horizon)
        model = self._model_for(self.task)
        model.resize(found["inputs"], found["outputs"])
        model.restore(kept.phase(model.learner))
        self._begun = True
        return self

    def check_settings(self, asked: OnlineSettings, path: Any) -> None:
        """Raises `CheckpointError` where another value was asked for than the one kept.

        A setting that was left at its default asks for nothing.
        """
        default = asdict(OnlineSettings())
        wanted = {k: v for k, v in asdict(asked).items() if v != default[k]}
        mine = {k: v for k, v in asdict(self.settings).items() if k in wanted}
        if self.task is not None and mine.get("task") == "auto":
            mine["task"] = self.task.name
        if wrong := list(differences(mine, wanted)):
            raise CheckpointError(
                f"{path}: made with other settings ({'; '.join(wrong)}); use those settings "
                "again, or another checkpoint file"
            )
