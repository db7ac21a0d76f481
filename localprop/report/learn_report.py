"""The report of a learned table: a page in Markdown, a picture, the numbers as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ..errors import ConfigError, counted
from ..online.learn import Result
from ..online.score import Score
from ..strict_json import page
from .folder import write_text

NAMES = {".md": "report", ".png": "picture", ".svg": "picture (SVG)", ".json": "numbers"}
NAMED, LEAST = 5, 0.005  # experts that are named at most, and weight of one that is
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def summary(source: str, result: Result, files: list[Path]) -> Table:
    """Returns the final table for a terminal."""
    # As plain text: names of files and columns may look like markup.
    title = Text(f"{source}: {result.settings.target}", style="italic")
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in facts(result):
        table.add_row(name, Text(value))
    for file in files:
        table.add_row(NAMES[file.suffix], Text(str(file)))
    return table


def facts(result: Result) -> list[tuple[str, str]]:
    """Returns what there is to say about a run, in words."""
    rows = f"{result.samples:,}"
    if result.skipped_rows:
        rows += f" ({counted(result.skipped_rows, 'bad row')} skipped)"
    baseline, speed = result.baseline, result.samples_per_second
    lines = [
        ("task", result.task + _classes(result.classes)),
        ("columns", result.kinds),
        ("rows", rows),
        (result.metric, _number(result.score)),
        (f"baseline ({baseline['name']})", _number(baseline["score"])),
        (
            "network",
            " - ".join(map(str, result.settings.hidden)) + f" hidden, {result.hops} hops per row",
        ),
        *_experts(result),
        *_most_important(result),
        ("law", result.settings.law),
        ("speed", "nothing learned in this run" if speed is None else f"{speed:,.0f} rows/s"),
        ("compilation", f"{result.compile_seconds:.1f} s, not counted in the speed"),
        ("state", _size(result.state_bytes)),
        ("peak memory", _size(result.peak_memory_bytes)),
    ]
    if result.checkpoint:
        lines.append(("checkpoint", result.checkpoint))
    return lines


def write_report(
    folder: Path, source: str, result: Result, score: Score, command: str
) -> list[Path]:
    """Writes `report.md`, `result.json` and pictures as PNG and SVG; returns their paths.

    `command` is what was typed. The pictures are `learning_curve`; `experts`, once a row was
    scored; and `importance`, where columns are looked at.

    **Raises:** `ConfigError` if the folder cannot be written.
    """
    # Matplotlib takes a third of a second to import.
    from .experts_chart import draw_experts
    from .importance_chart import draw_importance
    from .learning_curve import draw_learning_curve

    picture, report, numbers = "learning_curve", folder / "report.md", folder / "result.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = draw_learning_curve(folder / picture, score, _title(result))
        if _mixed(result):
            pictures += draw_experts(folder / "experts", result.experts, result.weights)
        if result.importance:
            pictures += draw_importance(folder / "importance", result.importance)
        write_text(report, _markdown(source, result, command))
        content: dict[str, Any] = {"settings": asdict(result.settings), "result": result.numbers()}
        write_text(numbers, page(content))
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.strerror}; name another folder") from error
    return [report, *pictures, numbers]


def _markdown(source: str, result: Result, command: str) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts(result))
    return f"""# {result.settings.target} of {Path(source).name}

Every row was predicted before it was learned, in one pass, so the score needs no split into
training and test rows.

| | |
| --- | --- |
{rows}

![Score along the stream](learning_curve.png)
{_weights(result)}{_importance(result)}
The same command gives the same numbers on the same rows (with `--resume`, those of all runs
together):

    {" ".join(command.splitlines())}
"""


def _weights(result: Result) -> str:
    if not _mixed(result):
        return ""
    return """
![Weight of each expert along the stream](experts.png)

Several experts learn side by side. A prediction is the mean of theirs, and each weighs by how well
it did over the last 200 rows or so.
"""


def _mixed(result: Result) -> bool:
    """Whether there were experts to weigh, and rows by which they were."""
    return len(result.experts) > 1 and bool(result.weights.points)


def _importance(result: Result) -> str:
    if not result.importance:
        return ""
    return """
![Share of each column in what the predictions hang on](importance.png)

A column's share is the running mean, over some 500 rows, of the loss's slope at its inputs times
these inputs.
"""


def _title(result: Result) -> str:
    if result.task != "forecast":
        return f"{result.task} of {result.settings.target}"
    rows = result.settings.horizon or 1
    return f"forecast of {result.settings.target}, {rows} row{'s' if rows > 1 else ''} ahead"


def _experts(result: Result) -> list[tuple[str, str]]:
    """Returns the largest mean weights of experts, without those below 0.5 %."""
    found = sorted(result.experts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {100 * w:.0f} %" for name, w in found[:NAMED] if w >= LEAST)
    return [("experts", shown)] if shown and len(found) > 1 else []


def _most_important(result: Result) -> list[tuple[str, str]]:
    best = list(result.importance.items())[:3]
    shown = ", ".join(f"{' '.join(name.split())} {100 * share:.0f} %" for name, share in best)
    return [("matters most", shown)] if shown else []


def _classes(count: int | None) -> str:
    if count is None:
        return ""
    return ", 1 class so far" if count == 1 else f", {count:,} classes"


def _number(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.4g}"


def _size(size: int) -> str:
    for unit, name in UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"
