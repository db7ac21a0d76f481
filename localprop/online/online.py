"""One online model: rows in, answers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint as checkpoints
from ..errors import CheckpointError, ConfigError, StreamError
from ..options import path as as_path
from ..options import real, wholes
from ..table.columns import Column
from . import rows as rowwise
from .classification import Classification, Label
from .column_model import ColumnModel
from .schema import read_online
from .settings import OnlineSettings
from .target import fresh_task
from .task import Answers


class Online(ColumnModel):
    """Rows in, answers out: learns a stream row by row, tuning nothing.

    Several networks learn side by side, each under the law and with a rate, a momentum and a view
    of its own: the new row, or with it seven of the last `review` rows. Their answers $\\hat y_e$
    and those of simple experts, such as the last value, are mixed,
    $\\hat y = \\sum_e W_e \\hat y_e$ with $W_e \\propto e^{-\\eta A_e}$, $A_e$ the discounted
    losses of each (laws.md, section 14). `model.task.mixture.shares` tells what they weighed.

    A row is a mapping of columns to plain values: numbers, truth values, text, `datetime`, `None`.
    Columns may appear, vanish (then they are missing) and come back; new classes and new words get
    neurons as they appear. A row is predicted as it would be before it is learned, whatever is
    asked in between: predicting changes nothing, and a row whose target is `None` is not learned.
    The command line, `localprop.river` and `localprop.sklearn` are thin over this class, and give
    the same numbers on the same rows. Memory does not grow with the stream; what a saved model
    holds of it is told in docs/tables.md.

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
        >>> list(model.task.mixture.shares)[:5]
        ['fast', 'high', 'slow', 'linear', 'memory']

        ```
    """

    def __init__(
        self,
        task: str = "auto",
        *,
        horizon: int | None = None,
        law: str = "hamiltonian",
        time: str | None = None,
        sequence: str | None = None,
        hops: int | str = "auto",
        hidden: Sequence[int] = (32, 32),
        review: int = 1000,
        seed: int = 0,
        engine: str = "auto",
        bank: bool = True,
    ):
        """**Arguments:**

        - `task`: `"classification"`, `"regression"`, `"forecast"`, or `"auto"`: by the first
          target that is given, a number means regression, a truth value or text classification.
        - `horizon`: how many rows ahead a forecast looks; with it, `"auto"` means forecast.
        - `law`: `"hamiltonian"` or `"least-action"`.
        - `time`: name of a column by which rows last as long as they are apart.
        - `sequence`: name of a column that tells independent sequences apart (a machine, a patient,
          a session), which may be interleaved: one set of weights learns them all, and what came
          before a row is remembered for each of the 4096 that came last.
        - `hops`: per row, or `"auto"`: 2 × depth + 1, and 2 × depth + 3 under least action.
        - `hidden`: sizes of the hidden layers of every network that has any.
        - `review`: how many of the last rows are kept, as they came and with their targets, in
          memory and in what is saved, so that seven of them are learned again beside each new
          one; 0 keeps none.
        - `seed`: of the first weights.
        - `engine`: `"native"`: loops that are fused for the CPU; `"xla"`: programs of XLA's;
          `"auto"`: native where its loops know the networks. Their numbers differ by rounding.
        - `bank`: whether several experts learn side by side; without, a single network does, on
          standardised numbers without bins. No forecast is made without a bank.

        **Raises:** `ConfigError` for a value that makes no sense.
        """
        sizes = wholes("hidden", hidden)
        given = (task, horizon, law, time, sequence, hops, sizes, review, seed, engine, bank)
        super().__init__(OnlineSettings(*given))

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Learns one row.

        **Arguments:** `x`: columns to values; `y`: a class or a number; `None` changes nothing, but
        to a forecast it is a row whose target is missing.

        **Raises:** `StreamError` for a value that cannot be learned, with nothing half-learned;
        `DivergenceError`.
        """
        if not self.learn_row(x, y):
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
        return self._values(self._ask_one(x))[0]

    def predict_many(self, X: Any) -> list[Any]:
        """Returns what `predict_one` would of each row, all asked of the present model.

        A forecast answers the k-th row with what it expects k rows from now, as far as its
        horizon.
        """
        return self._values(self._ask(X))

    def _values(self, answers: Answers) -> list[Any]:
        """Returns what was answered as whoever asks knows it."""
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
        row = self._probabilities(self._ask_one(x))[0].tolist()
        return dict(zip(self.classes, row, strict=True))

    def predict_proba_many(self, X: Any) -> list[dict[Label, float]]:
        """Returns what `predict_proba_one` would of each row."""
        table = self.probabilities(X).tolist()
        return [dict(zip(self.classes, row, strict=True)) for row in table]

    def probabilities(self, X: Any) -> np.ndarray:
        """Returns the probabilities as an array, `(rows, classes)`, in the order of `classes`."""
        return self._probabilities(self._ask(X))

    def _probabilities(self, answers: Answers) -> np.ndarray:
        if self._task_name not in ("classification", "auto"):
            raise ConfigError(f"a {self._task_name} has no probabilities; ask for an interval")
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
        if not 0 < real("level", level) < 1:
            raise ConfigError(f"level is {level}; give a probability between 0 and 1")
        if self._task_name == "classification":
            raise ConfigError("classes have no intervals; ask for their probabilities")
        values = self._ask(X).values
        radius = np.full(len(values), np.nan)
        if self.task is not None:
            radius = self.task.radius(level, len(values))
        bounds = np.stack([values - radius, values + radius], axis=1)
        return [None if np.isnan(row).any() else (row[0], row[1]) for row in bounds.tolist()]

    def save(self, path: str | Path) -> None:
        """Writes what was learned to a checkpoint, which the command line opens too.

        **Raises:** `CheckpointError` if nothing was learned yet, if the file cannot be written, or
        if another one is there that is no checkpoint.
        """
        place = as_path("path", path)
        checkpoints.check_writable(place)
        if place.exists():
            checkpoints.load(place)  # nothing else is ever replaced
        self.write(place, None)

    @classmethod
    def load(cls, path: str | Path) -> Online:
        """Returns the model as it was saved, here or by `localprop learn --checkpoint`.

        **Raises:** `CheckpointError`.
        """
        return cls.restore(checkpoints.load(as_path("path", path)))

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
        found = read_online(found, kept.path)
        model = cls(**found["settings"])
        model.set_state(found, kept)
        return model

    def __getstate__(self) -> dict[str, Any]:
        if self._model is None:
            return {"settings": asdict(self.settings)}
        return {"settings": asdict(self.settings), "checkpoint": self.to_bytes()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(**state["settings"])
        if "checkpoint" in state:
            kept = checkpoints.parse(Path("pickle"), state["checkpoint"])
            self.__dict__.update(Online.restore(kept).__dict__)

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
            task = fresh_task(first, self.settings.task, self.settings.horizon, self.experts)
        target = rowwise.read_labels(y, isinstance(task, Classification))
        before, self.task = self.task, task
        try:
            self.learn(columns, target)
        except StreamError:
            if not self.started:
                self.task = before
            raise

    def _ask(self, X: Any) -> Answers:
        columns = rowwise.read_rows(X, self.kinds)
        empty = len(X) if isinstance(X, list | tuple) else 0  # rows without any column
        rows = max((len(column.values) for column in columns.values()), default=empty)
        return self.ask(columns, rows)

    def _ask_one(self, x: Mapping[Any, Any]) -> Answers:
        answers = self.ask_row(x)
        return self._ask([x]) if answers is None else answers

    def _one(self, many: Any, x: Mapping[Any, Any], *more: Any) -> Any:
        return many([x], *more)[0]
