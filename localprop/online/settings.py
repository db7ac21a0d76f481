"""What decides the numbers of learning a table."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ..errors import ConfigError

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


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is '{value}'; take one of {', '.join(choices)}")
