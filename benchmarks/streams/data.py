"""The streams: rows as a user's table has them, and as numbers for rivals that take only those."""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROWS = 20_000  # of every generated stream


@dataclass(frozen=True)
class Stream:
    """A table with a target, or a series of which the target is the future.

    **Fields:** `task`: `"classification"`, `"regression"` or `"forecast"`; `columns`: by name, in
    a user's own types; `target`: as many values; `horizon`, `season`: of forecasts, in rows.
    """

    task: str
    columns: dict[str, list[Any]]
    target: list[Any]
    horizon: int = 1
    season: int = 1

    def __len__(self) -> int:
        return len(self.target)

    def first(self, rows: int) -> Stream:
        """Returns the stream's beginning."""
        columns = {name: values[:rows] for name, values in self.columns.items()}
        return Stream(self.task, columns, self.target[:rows], self.horizon, self.season)

    @property
    def classes(self) -> list[Any]:
        """The classes, in their own order: false comes before true."""
        return sorted(set(self.target))

    def truth(self) -> np.ndarray:
        """Returns the target as numbers, `(rows,)`: of its class, or itself."""
        if self.task != "classification":
            return np.array(self.target, float)
        number = {label: k for k, label in enumerate(self.classes)}
        return np.array([number[label] for label in self.target], float)

    def base(self) -> np.ndarray:
        """Returns what rivals predict the change from, `(rows,)`: a series' last known value, or 0.

        Before a series begins there is its first value.
        """
        if self.task != "forecast":
            return np.zeros(len(self))
        return self.truth()[np.maximum(np.arange(len(self)) - self.horizon, 0)]

    def features(self) -> tuple[list[str], np.ndarray]:
        """Returns names and values, `(rows, features)`, of what row k may be predicted by.

        Words are inputs of their own, 0 or 1. Of a series: the calendar of the row to come, the
        last value, known `horizon` rows before, and by how much the others of a season exceed it.
        """
        if self.task == "forecast":
            return self._past()
        found: dict[str, np.ndarray] = {}
        for name, values in self.columns.items():
            if not isinstance(values[0], str):
                found[name] = np.array(values, float)
                continue
            for word in dict.fromkeys(values):
                found[f"{name}={word}"] = np.array([v == word for v in values], float)
        return list(found), np.stack(list(found.values()), axis=1)

    def _past(self) -> tuple[list[str], np.ndarray]:
        y, base, rows = self.truth(), self.base(), np.arange(len(self))
        found = {f"lag {self.horizon}": base}
        for lag in range(self.horizon + 1, self.horizon + self.season):
            found[f"lag {lag}"] = y[np.maximum(rows - lag, 0)] - base
        (times,) = self.columns.values()
        cycles = {"year": [(t.month - 1) / 12 for t in times]}
        if self.season == 24:
            cycles = {
                "day": [t.hour / 24 for t in times],
                "week": [(t.weekday() + t.hour / 24) / 7 for t in times],
            }
        for name, phase in cycles.items():
            found[f"sin {name}"] = np.sin(2 * math.pi * np.array(phase))
            found[f"cos {name}"] = np.cos(2 * math.pi * np.array(phase))
        return list(found), np.stack(list(found.values()), axis=1)

    def write(self, path: Path) -> None:
        """Writes the table as CSV, the column to predict named `target`."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*self.columns, "target"])
            writer.writerows(zip(*self.columns.values(), self.target, strict=True))


def _table(task: str, rows: Iterable[tuple[dict, Any]]) -> Stream:
    rows = list(rows)
    columns = {str(name): [x[name] for x, _ in rows] for name in rows[0][0]}
    if all(name.isdigit() for name in columns):
        columns = {f"x{name}": values for name, values in columns.items()}
    return Stream(task, columns, [y for _, y in rows])


def _river(name: str, task: str, target: str | None = None) -> Stream:
    from river import datasets

    rows = list(getattr(datasets, name)())
    return _table(task, [(x, y[target]) for x, y in rows] if target else rows)


def _series(name: str, horizon: int, season: int) -> Stream:
    from river import datasets

    rows = list(getattr(datasets, name)())
    ((column, _),) = rows[0][0].items()
    # Wall-clock time without its zone: the hour of the day is what the water follows.
    times: list[datetime.datetime] = [x[column].replace(tzinfo=None) for x, _ in rows]
    return Stream("forecast", {"time": times}, [y for _, y in rows], horizon, season)


def _drawn(task: str, build: Callable[[Any, int], Any], seed: int) -> Stream:
    from river.datasets import synth

    return _table(task, islice(build(synth, seed), ROWS))


def _sklearn(name: str, task: str, seed: int) -> Stream:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    order = np.random.default_rng(seed).permutation(len(found.target))
    columns = {f"x{k}": column[order].tolist() for k, column in enumerate(found.data.T)}
    return Stream(task, columns, found.target[order].tolist())


def _drifting(
    build: Callable[[int, int], Any], before: int, after: int, synth: Any, seed: int
) -> Any:
    """Changes over from one concept to another around row 10 000, within 1000 rows.

    Both have a seed of their own: with the same, every row would come twice.
    """
    return synth.ConceptDriftStream(
        build(before, seed), build(after, seed + 1), position=ROWS // 2, width=1000, seed=seed
    )


class Source(NamedTuple):
    """Where a stream comes from.

    **Fields:** `task`; `rows`; `read`: it, by the seed if it is drawn; `told`: what a reader of the
    page must know; `drawn`: whether a generator draws it, or its order.
    """

    task: str
    rows: int
    read: Callable[..., Stream]
    told: str
    drawn: bool = False

    def load(self, seed: int) -> Stream:
        """Returns the stream, for each seed another one where it is drawn."""
        return self.read(seed) if self.drawn else self.read()


def _sources() -> dict[str, Source]:
    found: dict[str, Source] = {}

    def add(name: str, task: str, rows: int, read: Callable[..., Stream], told: str) -> None:
        found[name] = Source(task, rows, read, told)

    def generated(name: str, task: str, told: str, build: Callable[[Any, int], Any]) -> None:
        read = partial(_drawn, task, build)
        found[name] = Source(task, ROWS, read, f"generated, `{told}`", drawn=True)

    def shuffled(name: str, task: str, rows: int) -> None:
        told = "in scikit-learn; in an order that the seed draws"
        found[name] = Source(task, rows, partial(_sklearn, name, task), told, drawn=True)

    sort, number, ahead = "classification", "regression", "forecast"
    add("Phishing", sort, 1250, partial(_river, "Phishing", sort), "in River; pages of the web")
    add("Bananas", sort, 5300, partial(_river, "Bananas", sort), "in River; two curved clouds")
    for name, rows in (("digits", 1797), ("breast_cancer", 569), ("wine", 178)):
        shuffled(name, sort, rows)

    def agrawal(function: int, seed: int) -> Any:
        from river.datasets import synth

        return synth.Agrawal(classification_function=function, seed=seed)

    def sea(variant: int, seed: int) -> Any:
        from river.datasets import synth

        return synth.SEA(variant=variant, noise=0.1, seed=seed)

    generated("Agrawal", sort, "Agrawal(4)", lambda synth, seed: agrawal(4, seed))
    generated(
        *("Agrawal drift", sort, "Agrawal(4)` to `Agrawal(5)"),
        partial(_drifting, agrawal, 4, 5),
    )
    generated(
        *("SEA drift", sort, "SEA(0, noise=0.1)` to `SEA(3, noise=0.1)"),
        partial(_drifting, sea, 0, 3),
    )
    generated(
        *("Hyperplane", sort, "Hyperplane(n_drift_features=2, mag_change=0.001)"),
        lambda synth, seed: synth.Hyperplane(seed=seed, n_drift_features=2, mag_change=0.001),
    )
    generated(
        *(
            "LED drift",
            sort,
            "LEDDrift(noise_percentage=0.1, irrelevant_features=True, n_drift_features=4)",
        ),
        lambda synth, seed: synth.LEDDrift(
            seed=seed, noise_percentage=0.1, irrelevant_features=True, n_drift_features=4
        ),
    )
    generated(
        *("RBF drift", sort, "RandomRBFDrift(change_speed=0.001)"),
        lambda synth, seed: synth.RandomRBFDrift(
            seed_model=seed, seed_sample=seed, change_speed=0.001
        ),
    )
    add(
        *("TrumpApproval", number, 1001, partial(_river, "TrumpApproval", number)),
        "in River; in the order of the days",
    )
    add(
        *("SP500Stocks", number, 1257, partial(_river, "SP500Stocks", number)),
        "in River; tomorrow's mean return of ten stocks, which nobody is expected to know",
    )
    add(
        *("SolarFlare", number, 1066, partial(_river, "SolarFlare", number, "c-class-flares")),
        "in River; its first target",
    )
    shuffled("diabetes", number, 442)
    generated("Friedman", number, "Friedman()", lambda synth, seed: synth.Friedman(seed=seed))
    generated(
        *("Friedman drift", number, "FriedmanDrift('gsg', (7000, 14000), 1000)"),
        lambda synth, seed: synth.FriedmanDrift(
            drift_type="gsg", position=(7000, 14_000), transition_window=1000, seed=seed
        ),
    )
    for name, rows, season, every in (
        ("AirlinePassengers", 144, 12, "month"),
        ("WaterFlow", 1268, 24, "hour"),
    ):
        for horizon in (1, season):
            told = f"in River; a value every {every}, predicted {horizon} ahead"
            add(f"{name} +{horizon}", ahead, rows, partial(_series, name, horizon, season), told)
    return found


SOURCES = _sources()
