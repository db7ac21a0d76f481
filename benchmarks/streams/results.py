"""The cells that were measured: a line of JSON as soon as one is there, and a table to commit."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .cell import Cell, Key
from .data import SOURCES
from .methods import METHODS


def key(cell: Cell) -> Key:
    """Returns what names a cell."""
    return cell.stream, cell.method, cell.seed


class Results:
    """Cells by their names: those of the committed table, and those measured here since.

    **Arguments:** `table`: CSV, committed; `lines`: a line of JSON per cell, the last one counts.
    """

    def __init__(self, table: Path, lines: Path):
        self.table, self.lines = table, lines
        self.cells: dict[Key, Cell] = {}
        if table.exists():
            with table.open(newline="", encoding="utf-8") as file:
                self._take(csv.DictReader(file))
        if lines.exists():
            self._take(_whole_lines(lines))

    def _take(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            cell = _cell(row)
            self.cells[key(cell)] = cell

    def add(self, cell: Cell) -> None:
        """Keeps a cell, at once and for good."""
        self.cells[key(cell)] = cell
        self.lines.parent.mkdir(parents=True, exist_ok=True)
        before = self.lines.read_bytes() if self.lines.exists() else b""
        torn = bool(before) and not before.endswith(b"\n")
        with self.lines.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + json.dumps(asdict(cell)) + "\n")

    def done(self, name: Key, limit: float) -> bool:
        """Whether nothing is to be gained by measuring a cell again."""
        cell = self.cells.get(name)
        if cell is None or cell.state in ("absent", "failed"):
            return False
        return cell.state in ("done", "diverged") or cell.limit >= limit

    def write_table(self) -> None:
        """Writes the table, in the order of methods and streams; what is not known leaves it."""
        order = {name: k for k, name in enumerate([*METHODS, *SOURCES])}
        known = [c for c in self.cells.values() if c.method in METHODS and c.stream in SOURCES]
        known.sort(key=lambda c: (order[c.method], order[c.stream], c.seed))
        with self.table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [f.name for f in fields(Cell)], lineterminator="\n")
            writer.writeheader()
            for cell in known:
                writer.writerow({k: _written(v) for k, v in asdict(cell).items()})


def _whole_lines(path: Path) -> Iterable[dict[str, Any]]:
    """Yields the lines of a file whose last one may be torn."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def _cell(row: dict[str, Any]) -> Cell:
    kinds = {f.name: str(f.type) for f in fields(Cell)}
    values = {}
    for name, value in row.items():
        if name not in kinds:
            continue
        if kinds[name].startswith("float"):
            value = None if value in ("", None) else float(value)
        values[name] = int(value) if kinds[name] == "int" else value
    return Cell(**values)


def _written(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
