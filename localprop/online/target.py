"""What is to be predicted: which task a target column calls for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import StreamError
from ..table.table import Column, ColumnKind
from .classification import Classification
from .defaults import Experts
from .forecast import Forecast
from .regression import Regression
from .task import AbstractTask

FEW = 20  # whole numbers with at most so many distinct values are taken for classes


def choose_task(
    target: Column, task: str, horizon: int | None, name: str, experts: Experts = "bank"
) -> AbstractTask | None:
    """Returns the task for a target column, judged by its first rows; `None` if all are missing.

    Text and booleans are classes; so are whole numbers of which only a few distinct ones appear,
    if only one; other numbers are numbers. One whole number so far is more often a class that is
    rare (a failure, a fraud) than a quantity, and if it is none the first fraction says so: a task
    that was guessed stops there.

    **Arguments:** `experts`: which there are to be.

    **Raises:** `StreamError` for a column that does not fit the task.
    """
    if not has_values(target):
        return None
    if target.kind is ColumnKind.TIME:
        raise StreamError("a timestamp cannot be predicted; name another target", column=name)
    if task == "auto":
        task = "forecast" if horizon is not None else _guess(target)
        if task == "classification":
            whole = target.kind is ColumnKind.NUMBER
            return Classification(whole=whole, experts=experts)
    if task == "classification":
        return _begun(task, horizon, experts)
    if target.kind is ColumnKind.TEXT:
        raise StreamError(f"{task} needs numbers, and this column holds text", column=name)
    return _begun(task, horizon, experts)


def fresh_task(
    first: Any, task: str, horizon: int | None, experts: Experts = "bank"
) -> AbstractTask:
    """Returns the task that is asked for, or that a first target calls for by its type.

    **Arguments:** `first`: a number means regression, a truth value or text classification;
    `experts`: which there are to be.
    """
    if task == "auto":
        number = isinstance(first, int | float) and not isinstance(first, bool)
        task = "regression" if number else "classification"
        task = "forecast" if horizon is not None else task
    return _begun(task, horizon, experts)


def _begun(task: str, horizon: int | None, experts: Experts) -> AbstractTask:
    if task == "classification":
        return Classification(experts=experts)
    return Regression(experts=experts) if task == "regression" else Forecast(horizon or 1)


def restore_task(state: Mapping[str, Any], horizon: int | None) -> AbstractTask:
    """Returns the task as it was when its `state` was kept, beside its `name`."""
    if state["name"] == Forecast.name:
        return Forecast(horizon or 1, state)
    return {Classification.name: Classification, Regression.name: Regression}[state["name"]](state)


def has_values(target: Column) -> bool:
    """Whether any row of the piece has a target."""
    return bool(target.known.any())


def first_value(target: Column) -> int:
    """Returns the first row of the piece that has a target."""
    return int(np.argmax(target.known))


def _guess(target: Column) -> str:
    if target.kind is not ColumnKind.NUMBER:
        return "classification"
    values = target.values[target.known]
    distinct = len(np.unique(values))
    whole = bool(np.all(values == np.round(values)))
    few = distinct <= FEW and (distinct == 1 or distinct * 5 <= len(values))
    return "classification" if whole and few else "regression"
