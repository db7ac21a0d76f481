"""A benchmark's page: what its module says of itself, and a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def write_page(
    module: Path,
    doc: str | None,
    note: str,
    columns: Sequence[str],
    rows: Iterable[str],
    more: Iterable[tuple[str, Sequence[str], Iterable[str]]] = (),
) -> None:
    """Writes the page of a benchmark beside its module.

    **Arguments:** `module`: its file; `doc`: its docstring, up to the command; `note`: a paragraph
    before the table; `columns`: their names; `rows`: lines of Markdown; `more`: further tables,
    each with a paragraph before it.
    """
    title, text = (doc or "").split("    python")[0].strip().split("\n", 1)
    head = [f"# {title.rstrip('.')}", "", text.strip(), "", note, ""]
    lines = [*head, *_table(columns, rows)]
    for text, names, others in more:
        lines += ["", text, "", *_table(names, others)]
    module.with_suffix(".md").write_text("\n".join([*lines, ""]), encoding="utf-8")


def _table(columns: Sequence[str], rows: Iterable[str]) -> list[str]:
    return [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|", *rows]
