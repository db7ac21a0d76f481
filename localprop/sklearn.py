"""Online models as scikit-learn estimators: what `fit` and weights mean to a stream."""

from __future__ import annotations

import abc
import numbers
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, no_type_check

import narwhals.stable.v2 as nw
import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from .errors import ConfigError, StreamError
from .online import Online
from .online import rows as rowwise
from .online.target import fresh_task
from .options import whole
from .table.columns import Column

Columns = dict[str, Column]

HELD_OUT = 10  # one row of so many is held out by `fit`, to say when to stop
MOST_REPEATS = 100  # times that a row is learned in place of one, in the mean
LEAST = 1e-9  # probability that a held-out class counts with, at least


class AbstractLocal(BaseEstimator, abc.ABC):
    """What the classifier and the regressor share: rows as columns, epochs, weights.

    **Arguments:**

    - `law`, `hops`, `hidden`, `review`, `bank`: as for `localprop.Online`.
    - `max_epochs`: most passes of `fit` over its rows.
    - `tol`, `n_iter_no_change`: `fit` stops when the held-out loss (cross-entropy, or squared error
      over the variance) has not gone down by `tol` in so many epochs.
    - `random_state`: of the first weights, the rows held out, the order of the rows, and the
      rounding of weights; as a whole number it is the `seed` of `Online` too.

    **Attributes:** `online_`, the model itself; `n_iter_`, epochs of the last `fit`;
    `n_features_in_`; `feature_names_in_`, if the columns have names.
    """

    online_: Online
    n_iter_: int

    @no_type_check  # scikit-learn wants anything stored, and complained of in `fit`
    def __init__(
        self,
        law: str = "hamiltonian",
        *,
        hops: int | str = "auto",
        hidden: Sequence[int] = (32, 32),
        review: int = 1000,
        max_epochs: int = 20,
        tol: float = 1e-4,
        n_iter_no_change: int = 3,
        random_state: Any = None,
        bank: bool = True,
    ):
        self.law = law
        self.hops = hops
        self.hidden = hidden
        self.review = review
        self.max_epochs = max_epochs
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.bank = bank

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Learns afresh, going over the rows until a tenth of them, held out, says to stop.

        The rows are sorted first, so that the order in which they came does not matter, and a
        random tenth is held out. The others are learned in a new order in each epoch, until the
        loss of those held out has not gone down by `tol` in `n_iter_no_change` epochs, or
        `max_epochs` are over. The model of the best epoch then learns the held-out rows, once;
        their errors, before they are learned, set the intervals of a regressor.

        **Arguments:**

        - `X`: an array, of numbers or with text in it, any dataframe, or a mapping of columns to
          arrays; NaN and `None` are missing.
        - `y`: as many classes or numbers.
        - `sample_weight`: whole numbers repeat a row, and 0 leaves it out. Other weights, and those
          above 100 in the mean, are scaled to a mean of 1, and rounded up or down at random.

        **Raises:** `ValueError`, `TypeError`, `ConfigError`, `DivergenceError`.
        """
        whole("max_epochs", self.max_epochs, 1)
        whole("n_iter_no_change", self.n_iter_no_change, 1)
        columns, y = self._begin(X, y, sample_weight)
        order = self._rng.permutation(_sorted(columns, y))
        tenth = -(-len(order) // HELD_OUT) if len(order) > 1 else 0
        held, rest = order[:tenth], order[tenth:]
        unseen = _take(columns, held)
        best, waited, kept = np.inf, 0, b""
        self.n_iter_ = 0
        while self.n_iter_ < self.max_epochs and waited < self.n_iter_no_change:
            self._stream(columns, y, self._rng.permutation(rest))
            self.n_iter_ += 1
            loss = self._loss(unseen, y[held]) if tenth else 0.0
            waited = 0 if loss < best - self.tol else waited + 1
            if loss < best or not kept:
                best, kept = loss, pickle.dumps(self.online_)
        self.online_ = pickle.loads(kept)
        self.online_.forget_errors()  # those of rows that were seen before were too small
        self._stream(columns, y, held)
        return self

    def importance(self) -> dict[str, float]:
        """Returns each column's share of what mattered lately, the largest first."""
        check_is_fitted(self, "online_")
        return self.online_.importance()

    @property
    def feature_importances_(self) -> np.ndarray:
        """The shares of `importance`, in the order of the columns."""
        shares = self.importance()
        return np.array([shares.get(name, 0.0) for name in self._names])

    def __sklearn_tags__(self) -> Any:
        # Not `string`: to scikit-learn it means that any object is taken for a word; nor
        # `categorical`, which has its checks give whole numbers only.
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _begin(self, X: Any, y: Any, sample_weight: Any) -> tuple[Columns, np.ndarray]:
        """Makes a fresh model; returns the rows that it is to learn, as often as they weigh."""
        columns, y = self._read_both(X, y, fresh=True)
        self._rng = check_random_state(self.random_state)
        whole = isinstance(self.random_state, numbers.Integral)
        seed = int(self.random_state) if whole else int(self._rng.randint(2**31 - 1))
        settings: Any = {"law": self.law, "hops": self.hops, "hidden": self.hidden}
        settings |= {"review": self.review, "bank": self.bank}
        self.online_ = Online(self._task, **settings, seed=seed)
        self.online_.begin(fresh_task(None, self._task, None, self.online_.experts))
        return self._weigh(columns, y, sample_weight, fresh=True)

    def _go_on(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Learns rows once, in their order, after whatever was learned before."""
        if hasattr(self, "online_"):
            columns, y = self._read_both(X, y, fresh=False)
            columns, y = self._weigh(columns, y, sample_weight, fresh=False)
        else:
            columns, y = self._begin(X, y, sample_weight)
        self._stream(columns, y, np.arange(len(y)))

    def _stream(self, columns: Columns, y: np.ndarray, rows: np.ndarray) -> None:
        target = rowwise.read_labels(y[rows], self._task == "classification")
        self.online_.learn(_take(columns, rows), target)

    def _weigh(
        self, columns: Columns, y: np.ndarray, sample_weight: Any, fresh: bool
    ) -> tuple[Columns, np.ndarray]:
        """Returns each row as often as its weight says."""
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
            if not weights.any():
                raise ValueError("sample_weight holds only zeros, which leaves no row to learn")
            mean = weights.mean()
            if (weights % 1).any() or mean > MOST_REPEATS:
                weights = weights / mean
                weights = np.floor(weights + self._rng.uniform(size=len(y)))
            rows = np.repeat(np.arange(len(y)), weights.astype(int))
            columns, y = _take(columns, rows), y[rows]
        self._meet(y, fresh)
        return columns, y

    def _read_both(self, X: Any, y: Any, fresh: bool) -> tuple[Columns, np.ndarray]:
        if y is None:
            raise ValueError("this estimator requires y to be passed, but the target y is None")
        columns = self._read(X, fresh)
        y = self._targets(column_or_1d(y, warn=True))
        check_consistent_length(next(iter(columns.values())).values, y)
        return columns, y

    def _read(self, X: Any, fresh: bool) -> Columns:
        """Returns rows as columns that have the names of those learned first."""
        rows: Any = X
        if isinstance(X, Mapping) and not issparse(X):  # some sparse ones are mappings
            names = [str(name) for name in X]
            if not fresh and set(names) != set(self._names):
                raise ValueError(f"columns {names}, where {self._names} were learned")
            given = {str(name): X[name] for name in X}
            given = given if fresh else {name: given[name] for name in self._names}
            if fresh:
                self.n_features_in_, self.feature_names_in_ = len(names), np.array(names, object)
        elif isinstance(nw.from_native(X, eager_only=True, pass_through=True), nw.DataFrame):
            validate_data(self, rows, skip_check_array=True, reset=fresh)
            given = rowwise.frame_columns(rows)
        else:
            rows = validate_data(self, rows, dtype=None, ensure_all_finite="allow-nan", reset=fresh)
            given = {f"x{k}": rows[:, k] for k in range(rows.shape[1])}
        if fresh:
            self._names = list(given)
        kinds = {} if fresh else self.online_.kinds
        with _words_of_sklearn():
            columns = rowwise.read_rows(dict(zip(self._names, given.values(), strict=True)), kinds)
        if not columns or not len(next(iter(columns.values())).values):
            shape = (len(next(iter(columns.values())).values) if columns else 0, len(columns))
            what = "feature(s)" if not columns else "sample(s)"
            raise ValueError(f"0 {what} (shape={shape}) while a minimum of 1 is required.")
        for name, column in columns.items():
            assert_all_finite(column.values, allow_nan=True, input_name=f"X, column '{name}',")
        return columns

    @property
    @abc.abstractmethod
    def _task(self) -> str:
        """What `Online` calls it."""

    @abc.abstractmethod
    def _targets(self, y: np.ndarray) -> np.ndarray:
        """Returns the targets, checked."""

    @abc.abstractmethod
    def _meet(self, y: np.ndarray, fresh: bool) -> None:
        """Takes notice of targets before they are learned, by a fresh model or an older one."""

    @abc.abstractmethod
    def _loss(self, columns: Columns, y: np.ndarray) -> float:
        """Returns the mean loss of held-out rows."""


class LocalClassifier(ClassifierMixin, AbstractLocal):
    """Classes of rows, by a network that learns row by row: `Online` for scikit-learn.

    `fit` learns a set of rows afresh, `partial_fit` goes on with a stream. See `AbstractLocal`
    for arguments and attributes; here also `classes_`, in order.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.sklearn import LocalClassifier
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
        >>> model = LocalClassifier(hidden=(16,), random_state=0).fit(X, y)
        >>> model.predict([[1.0, 1.0], [1.0, -1.0]]).tolist()
        ['same', 'other']

        ```
    """

    classes_: np.ndarray

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """Learns rows once, in their order: the same numbers as `Online.learn_many`.

        **Arguments:** `X`, `y`, `sample_weight`: as for `fit`, with a row repeated where it stands;
        `classes`: all there will be, if a call says so; otherwise they come as they are met.

        **Raises:** `ValueError`, `TypeError`, `ConfigError`, `DivergenceError`.
        """
        declared = getattr(self, "_declared", None) if hasattr(self, "online_") else None
        if classes is not None:
            classes = np.unique(np.asarray(classes))
            known = declared if declared is not None else getattr(self, "classes_", classes)
            if not np.array_equal(known, classes):
                raise ValueError(f"classes={classes.tolist()}, but they were {known.tolist()}")
            declared = classes
        self._declared = declared
        self._go_on(X, y, sample_weight)
        return self

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        self._declared = None
        return super().fit(X, y, sample_weight)

    fit.__doc__ = AbstractLocal.fit.__doc__

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns the probabilities of `classes_`, `(rows, classes)`; of those not met yet, 0."""
        check_is_fitted(self, "online_")
        columns = self._read(X, fresh=False)
        found = self._ask(columns)
        places = {label: k for k, label in enumerate(self.classes_.tolist())}
        table = np.zeros((len(found), len(places)))
        table[:, [places[label] for label in self.online_.classes]] = found
        return table

    def predict(self, X: Any) -> np.ndarray:
        """Returns the most probable class of each row."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    @property
    def _task(self) -> str:
        return "classification"

    def _targets(self, y: np.ndarray) -> np.ndarray:
        if y.dtype == object and any(label is None for label in y):
            raise ValueError("y holds None; leave rows without a target out, `predict` takes them")
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        return y

    def _meet(self, y: np.ndarray, fresh: bool) -> None:
        if self._declared is None:
            met = np.unique(y)
            self.classes_ = met if fresh else np.union1d(self.classes_, met)
            return
        if strange := sorted(set(y.tolist()) - set(self._declared.tolist())):
            raise ValueError(f"y holds {strange[:5]}, not among classes={self._declared.tolist()}")
        self.classes_ = self._declared

    def _loss(self, columns: Columns, y: np.ndarray) -> float:
        places = {label: k for k, label in enumerate(self.online_.classes)}
        index = np.array([places.get(label, -1) for label in y.tolist()])
        truth = self._ask(columns)[np.arange(len(y)), index]
        return float(-np.log(np.where(index < 0, LEAST, np.maximum(truth, LEAST))).mean())

    def _ask(self, columns: Columns) -> np.ndarray:
        found = self.online_.ask(columns, _rows(columns)).probabilities
        assert found is not None
        return found


class LocalRegressor(RegressorMixin, AbstractLocal):
    """Numbers for rows, by a network that learns row by row: `Online` for scikit-learn.

    `fit` learns a set of rows afresh, `partial_fit` goes on with a stream. See `AbstractLocal`
    for arguments and attributes.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.sklearn import LocalRegressor
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> model = LocalRegressor(hidden=(16,), random_state=0).fit(X, X[:, 0] - X[:, 1])
        >>> model.score(X, X[:, 0] - X[:, 1]) > 0.95
        True

        ```
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Learns rows once, in their order: the same numbers as `Online.learn_many`.

        **Arguments:** as for `fit`, with a row repeated where it stands.

        **Raises:** `ValueError`, `TypeError`, `ConfigError`, `DivergenceError`.
        """
        self._go_on(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Returns the number expected of each row."""
        check_is_fitted(self, "online_")
        return self._ask(self._read(X, fresh=False))

    def predict_interval(self, X: Any, level: float = 0.9) -> np.ndarray:
        """Returns bounds that hold the number with probability `level`, `(rows, 2)`.

        They come from errors made on rows before those were learned: after `partial_fit` on all of
        the stream, after `fit` on the rows held out. NaN as long as there was no such error.

        **Raises:** `ConfigError` for a level outside (0, 1).
        """
        check_is_fitted(self, "online_")
        if not 0 < level < 1:
            raise ConfigError(f"level is {level}; give a probability between 0 and 1")
        values = self._ask(self._read(X, fresh=False))
        assert self.online_.task is not None
        radius = self.online_.task.radius(level, len(values))
        return np.stack([values - radius, values + radius], axis=1)

    @property
    def _task(self) -> str:
        return "regression"

    def _targets(self, y: np.ndarray) -> np.ndarray:
        y = y.astype(float)
        assert_all_finite(y, input_name="y")
        return y

    def _meet(self, y: np.ndarray, fresh: bool) -> None:
        if fresh:
            self._unit = float(y.var()) or 1.0

    def _loss(self, columns: Columns, y: np.ndarray) -> float:
        return float(np.mean((self._ask(columns) - y) ** 2)) / self._unit

    def _ask(self, columns: Columns) -> np.ndarray:
        return self.online_.ask(columns, _rows(columns)).values


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())).values)


def _take(columns: Columns, rows: np.ndarray) -> Columns:
    """Returns the columns in these rows."""
    taken = {n: Column(c.kind, c.values[rows], c.categories) for n, c in columns.items()}
    text = {n: c.cut(0, len(rows)) for n, c in taken.items() if c.kind.is_text}
    return {**taken, **text}  # categories again by first appearance, as if read in this order


def _sorted(columns: Columns, y: np.ndarray) -> np.ndarray:
    """Returns the rows in an order that depends on what they hold alone."""
    keys = [np.unique(y, return_inverse=True)[1]]
    for column in columns.values():
        rank = np.argsort(np.argsort(column.categories)) if column.categories else None
        values = column.values
        keys.append(values if rank is None else np.where(values < 0, -1, rank[values]))
    return np.lexsort(keys)


@contextmanager
def _words_of_sklearn() -> Iterator[None]:
    """Values that cannot be learned are a `TypeError`, in the words that scikit-learn expects."""
    try:
        yield
    except StreamError as error:
        raise TypeError(f"each argument must be a string or a number: {error}") from error
