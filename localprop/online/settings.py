"""What decides the numbers of learning a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from ..errors import ConfigError
from ..options import flag, shown, text, texts, whole, wholes

MOST_HOPS = 1000  # the time that a row takes grows with them
MOST_WEIGHTS = 10**9
MOST_HORIZON = 1_000_000
MOST_REVIEW = 1_000_000
LAWS = ("hamiltonian", "least-action")
ENGINES = ("auto", "xla", "native")
TASKS = ("auto", "classification", "regression", "forecast")


ORDERS = ("DMY", "MDY", "YMD")  # of day, month and year
KINDS = ("number", "boolean", "time", *(f"time:{order}" for order in ORDERS), "text", "words")


@dataclass(frozen=True)
class OnlineSettings:
    """What decides the numbers of an online model.

    **Arguments:** see `Online`.

    **Raises:** `ConfigError` for a value that makes no sense.
    """

    task: str = "auto"
    horizon: int | None = None
    law: str = "hamiltonian"
    time: str | None = None
    sequence: str | None = None
    hops: int | str = "auto"
    hidden: tuple[int, ...] = (32, 32)
    review: int = 1000
    seed: int = 0
    engine: str = "auto"
    bank: bool = True

    @property
    def aside(self) -> list[str]:
        """The columns that are no inputs: of time, and of sequences."""
        return [name for name in (self.time, self.sequence) if name]

    def __post_init__(self):
        # A checkpoint has a list, and a program may have NumPy's numbers.
        _settle(self, "hidden", wholes("hidden", self.hidden))
        _settle(self, "seed", whole("seed", self.seed))
        _settle(self, "review", whole("review", self.review))
        _settle(self, "bank", flag("bank", self.bank))
        if self.horizon is not None:
            _settle(self, "horizon", whole("horizon", self.horizon))
        if self.hops != "auto" and not isinstance(self.hops, str):
            _settle(self, "hops", whole("hops", self.hops))
        for name in ("time", "sequence"):
            if getattr(self, name) is not None:
                text(name, getattr(self, name))
        if self.sequence is not None and self.sequence == self.time:
            raise ConfigError(f"column '{self.time}' cannot be the time and the sequence at once")
        if self.sequence is not None and (self.horizon is not None or self.task == "forecast"):
            raise ConfigError("a forecast knows one series; leave sequence away, or the horizon")
        if not self.bank and (self.horizon is not None or self.task == "forecast"):
            raise ConfigError("a forecast is made by a bank of experts; leave the bank, or horizon")
        _one_of("task", self.task, TASKS)
        _one_of("law", self.law, LAWS)
        _one_of("engine", self.engine, ENGINES)
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
        if not 0 <= self.review <= MOST_REVIEW:
            raise ConfigError(f"review is {self.review}; give from 0 to {MOST_REVIEW:,} rows")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}; give a number from 0 to 2^32 - 1")


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of learning a table: how to read it, and how to learn it.

    **Arguments:**

    - `target`: the column to predict.
    - `task`, `horizon`, `law`, `time`, `sequence`, `hops`, `hidden`, `review`, `seed`, `engine`,
        `bank`: see `Online`.
    - `text`: columns to take as text, whatever is in them.
    - `types`: kinds of columns, `number`, `boolean`, `time`, `text` or `words`, whatever is in
        them; `time:DMY`, `time:MDY` or `time:YMD` also says how dates such as 03/04/2024 are read.
    - `decide_after`: rows by which kinds and task are decided; `None` for 1000 of a file and 50 of
      a pipe.
    - `on_bad_row`: `"stop"` or `"skip"`.

    **Raises:** `ConfigError` for a value that makes no sense.
    """

    target: str
    task: str = "auto"
    horizon: int | None = None
    law: str = "hamiltonian"
    time: str | None = None
    sequence: str | None = None
    text: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    decide_after: int | None = None
    hops: int | str = "auto"
    hidden: tuple[int, ...] = (32, 32)
    review: int = 1000
    seed: int = 0
    engine: str = "auto"
    bank: bool = True
    on_bad_row: str = "stop"

    def __post_init__(self):
        text("target", self.target)
        _settle(self, "text", texts("text", self.text))
        _settle(self, "types", _pairs("types", self.types))
        if self.decide_after is not None:
            _settle(self, "decide_after", whole("decide_after", self.decide_after))
        _one_of("on_bad_row", self.on_bad_row, ("stop", "skip"))
        if both := sorted(set(self.text) & {name for name, _ in self.types}):
            raise ConfigError(f"column '{both[0]}' is given as text and as a type; take one")
        for name, kind in self.types:
            _one_of(f"the type of '{name}'", kind, KINDS)
        if (self.target, "words") in self.types:
            raise ConfigError(f"the target '{self.target}' cannot be words; text is classes")
        if self.decide_after is not None and self.decide_after < 1:
            raise ConfigError(f"decide_after is {self.decide_after}; give at least 1 row")
        for name in ("time", "sequence"):
            if getattr(self, name) == self.target:
                raise ConfigError(
                    f"column '{self.target}' cannot be the {name} and the target at once"
                )
        for name in ("horizon", "hops", "hidden", "review", "seed", "bank"):
            _settle(self, name, getattr(self.online, name))

    @property
    def online(self) -> OnlineSettings:
        """Those of the model itself."""
        names = (field.name for field in fields(OnlineSettings))
        return OnlineSettings(**{name: getattr(self, name) for name in names})

    @property
    def kinds(self) -> dict[str, str]:
        """The kinds of columns that were given."""
        types = {name: kind.partition(":")[0] for name, kind in self.types}
        return {**dict.fromkeys(self.text, "text"), **types}

    @property
    def dates(self) -> dict[str, str]:
        """How dates such as 03/04/2024 are read, where that was given."""
        orders = {name: kind.partition(":")[2] for name, kind in self.types}
        return {name: order for name, order in orders.items() if order}


def _settle(settings: Any, name: str, value: Any) -> None:
    """Sets a field of frozen settings while they are made."""
    object.__setattr__(settings, name, value)


def _pairs(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise ConfigError(f"{name} is {shown(value)}; give pairs of a column and its kind")
    found = []
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise ConfigError(f"{name} has {shown(pair)}; give pairs of a column and its kind")
        found.append((text(f"a column in {name}", pair[0]), pair[1]))
    return tuple(found)


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is '{value}'; take one of {', '.join(choices)}")
