"""River's interfaces over `Online`: a classifier and a regressor that tune nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from .errors import CheckpointError
from .online import Online
from .online.rows import frame_columns

try:
    from river import base
    from river.utils import dataframe
except ImportError as error:
    raise ImportError("localprop.river needs River: pip install 'localprop[river]'") from error

Row = Mapping[Hashable, Any]
Local = TypeVar("Local", bound="AbstractLocal")


class AbstractLocal(base.Estimator):
    """What both estimators are: arguments as they were given, and an `Online` that learns."""

    _task: ClassVar[str]

    def __init__(
        self,
        law: str = "hamiltonian",
        hops: int | str = "auto",
        hidden: tuple[int, ...] = (32, 32),
        review: int = 1000,
        seed: int = 0,
        sequence: str | None = None,
        bank: bool = True,
    ):
        """**Arguments:**

        - `law`: `"hamiltonian"` or `"least-action"`.
        - `hops`: per row, or `"auto"`.
        - `hidden`: sizes of the hidden layers.
        - `review`: how many of the last rows are kept, to be learned again beside new ones; 0 keeps
          none.
        - `seed`: of the first weights.
        - `sequence`: name of a column that tells independent sequences apart, as for `Online`.
        - `bank`: whether several experts learn side by side, or a single network, much faster.

        **Raises:** `ConfigError` for a value that makes no sense.
        """
        self.law, self.hops, self.hidden = law, hops, hidden
        self.review, self.seed, self.sequence, self.bank = review, seed, sequence, bank
        self._online = Online(
            self._task,
            law=law,
            sequence=sequence,
            hops=hops,
            hidden=hidden,
            review=review,
            seed=seed,
            bank=bank,
        )

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"hidden": (8,)}

    @classmethod
    def load(cls: type[Local], path: str | Path) -> Local:
        """Returns an estimator that goes on from what `localprop learn` or `Online.save` kept.

        **Raises:** `CheckpointError` for a file that cannot be read, or holds another task.
        """
        online = Online.load(path)
        if online.task is None or online.task.name != cls._task:
            found = "nothing" if online.task is None else f"a {online.task.name}"
            raise CheckpointError(f"{path}: holds {found}; {cls.__name__} needs a {cls._task}")
        kept = online.settings
        names = "law", "hops", "hidden", "review", "seed", "sequence", "bank"
        model = cls(**{name: getattr(kept, name) for name in names})
        model._online = online
        return model

    @property
    def online(self) -> Online:
        """The model that learns: for what River has no word for, such as `save`."""
        return self._online

    def learn_one(self, x: Row, y: Any) -> None:
        """Learns one row; where `y` is `None`, nothing.

        **Raises:** `StreamError` for a value that cannot be learned; `DivergenceError`.
        """
        self._online.learn_one(x, y)

    def learn_many(self, X: Any, y: Any) -> None:
        """Learns rows, in their order, as `learn_one` would one after the other.

        **Arguments:** `X`: a dataframe of pandas, polars, pyarrow or another that narwhals knows;
        `y`: as many targets.

        **Raises:** `StreamError`, `DivergenceError`.
        """
        self._online.learn_many(frame_columns(X), y)

    def importance(self) -> dict[str, float]:
        """Returns each column's share of what matters lately, the largest first."""
        return self._online.importance()


class LocalClassifier(AbstractLocal, base.MiniBatchClassifier):
    """Learns classes row by row, by a local law, tuning nothing.

    It scales numbers, takes text and times as they are, and lets columns come and go. It gives the
    numbers of `Online` on the same rows.

    Arguments are those of `AbstractLocal`.

    !!! example

        ```python
        >>> from localprop.river import LocalClassifier
        >>> from river import datasets, evaluate, metrics
        >>> model = LocalClassifier(hidden=(8,))
        >>> stream = datasets.Phishing().take(150)
        >>> evaluate.progressive_val_score(stream, model, metrics.Accuracy())
        Accuracy: 85.23%

        ```

    **References:**

    [^1]: Montiel, J. et al. (2021). River: machine learning for streaming data in Python. Journal
        of Machine Learning Research 22(110).
    """

    _task = "classification"

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_one(self, x: Row) -> Any:
        """Returns the class that is expected of a row, `None` before any was met."""
        return self._online.predict_one(x)

    def predict_proba_one(self, x: Row) -> dict[Any, float]:
        """Returns the probability of every class met so far."""
        return self._online.predict_proba_one(x)

    def predict_many(self, X: Any) -> Any:
        """Returns what `predict_one` would of each row, as a series of the kind of `X`."""
        classes = self._online.predict_many(frame_columns(X))
        return dataframe.to_native_series(classes, name=None, like=dataframe.into_frame(X))

    def predict_proba_many(self, X: Any) -> Any:
        """Returns what `predict_proba_one` would of each row, as a dataframe of the kind of `X`.

        It has a column for each class, named by its text where columns cannot be named otherwise.
        """
        rows = self._online.predict_proba_many(frame_columns(X))
        shares = {label: [row[label] for row in rows] for label in self._online.classes}
        return dataframe.to_native_frame(shares, like=dataframe.into_frame(X))


class LocalRegressor(AbstractLocal, base.MiniBatchRegressor):
    """Learns a number row by row, by a local law, tuning nothing.

    It scales numbers, the target too, takes text and times as they are, and lets columns come and
    go. It gives the numbers of `Online` on the same rows, and 0 before anything is learned.

    Arguments are those of `AbstractLocal`.

    !!! example

        ```python
        >>> from localprop.river import LocalRegressor
        >>> from river import datasets, evaluate, metrics
        >>> model = LocalRegressor(hidden=(8,))
        >>> stream = datasets.TrumpApproval().take(150)
        >>> evaluate.progressive_val_score(stream, model, metrics.MAE())
        MAE: 0.475301

        ```

    **References:**

    [^1]: Montiel, J. et al. (2021). River: machine learning for streaming data in Python. Journal
        of Machine Learning Research 22(110).
    """

    _task = "regression"

    def predict_one(self, x: Row) -> float:
        """Returns the number that is expected of a row, 0 before any was met."""
        return _number(self._online.predict_one(x))

    def predict_many(self, X: Any) -> Any:
        """Returns what `predict_one` would of each row, as a series of the kind of `X`."""
        numbers = [_number(y) for y in self._online.predict_many(frame_columns(X))]
        return dataframe.to_native_series(numbers, name=None, like=dataframe.into_frame(X))

    def predict_interval_one(self, x: Row, level: float = 0.9) -> tuple[float, float] | None:
        """Returns bounds that hold the number with probability `level`; `None` if unknown yet.

        **Raises:** `ConfigError` for a level outside (0, 1).
        """
        return self._online.predict_interval_one(x, level)


def _number(value: float | None) -> float:
    return 0.0 if value is None else value
