"""What the readers of files hand to the table: some rows, not yet understood."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, standing before good row `before` of its block."""

    before: int
    line: int
    problem: str
    column: str | None = None


@dataclass(frozen=True)
class Block:
    """Rows as they were read: an Arrow array per column, the line of each row, the bad rows."""

    arrays: list[pa.Array]
    lines: np.ndarray
    bad: list[BadRow] = field(default_factory=list)


SKIP = "correct it, or skip such rows (--on-bad-row skip)"
