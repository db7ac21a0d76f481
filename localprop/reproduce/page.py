"""The report of the papers' claims: a table in Markdown and HTML, the figures, the numbers."""

from __future__ import annotations

import base64
import html
import math
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ..errors import ConfigError
from ..report.folder import write_text
from ..strict_json import page
from .claim import Claim
from .figures import CAPTIONS, draw
from .reproduction import Reproduction

COLUMNS = (
    "id", "claim", "source", "against", "measured", "bound", "holds", "baselines", "note"
)  # fmt: skip
SOURCES = (
    "Sources: NLP is Betti and Gori, Nature-Inspired Local Propagation, NeurIPS 2024; STLP is "
    "their Spatiotemporal Local Propagation, 2019; laws is docs/laws.md here, by section. Claims "
    "that fail come first. What a claim is held against is a proof, a reference outside the law, "
    "or a baseline; baselines stand in their order, the best first."
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #111; background: #fff }}
table {{ border-collapse: collapse; font-size: 13px }}
th, td {{ padding: .3rem .6rem; text-align: left; vertical-align: top; border-top: 1px solid #ccc }}
td.number {{ white-space: nowrap; font-variant-numeric: tabular-nums }}
tr.no td {{ background: #fbe3d6 }}
.figures {{ display: flex; flex-wrap: wrap; gap: 2rem }}
figure {{ margin: 0; max-width: 26rem }}
figure img {{ width: 100%; height: auto }}
</style></head><body>
<h1>{title}</h1><p>{summary}</p><p>{sources}</p>
<table><thead><tr>{head}</tr></thead><tbody>
{rows}
</tbody></table>
<h2>Figures</h2><div class="figures">
{figures}
</div></body></html>
"""
TITLE = "Claims of the papers, measured"


def write_report(folder: Path, found: Reproduction) -> list[Path]:
    """Writes `report.md`, `report.html` (which holds its pictures), `claims.json`, the figures.

    **Raises:** `ConfigError` if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = draw(folder, found.curves)
        contents = {
            "report.md": _markdown(found, pictures),
            "report.html": _html(found, pictures),
            "claims.json": page({**found.as_dict(), "seeds": found.seeds}),
        }
        for name, content in contents.items():
            write_text(folder / name, content)
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.strerror}; name another folder") from error
    drawn = [file for files in pictures.values() for file in files]
    return [*(folder / name for name in contents), *drawn]


def summary(found: Reproduction) -> str:
    """Returns one sentence: how many claims hold, and which do not."""
    count, failing = len(found.claims), found.failing
    seeds = f"{len(found.seeds)} seeds, {found.seconds:.0f} s"
    if not failing:
        return f"All {count} claims hold ({seeds})."
    names = ", ".join(claim.id for claim in failing)
    return f"{count - len(failing)} of {count} claims hold ({seeds}); not: {names}."


def claims_table(found: Reproduction) -> Table:
    """Returns the final table for a terminal."""
    table = Table(title=TITLE, title_justify="left", caption=summary(found), caption_justify="left")
    # Few columns and a line between rows, so that eighty characters leave room for the claim.
    table.leading = 1
    table.add_column("claim", ratio=1)
    table.add_column("measured\nbound", no_wrap=True)
    table.add_column("holds", no_wrap=True)
    for claim in found.claims:
        holds = Text("yes", "green") if claim.holds else Text("NO", "bold red")
        # As plain text: brackets in a statement would be markup.
        statement = Text.assemble((f"{claim.id}: ", "bold"), claim.statement)
        if claim.ranking:
            statement.append(f" [{claim.ranking}]", "dim")
        table.add_row(statement, Text(f"{number(claim.measured)}\n{claim.bound}"), holds)
    return table


def number(value: float) -> str:
    """Returns a measured number in four digits; ∞ and "none" in words."""
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.4g}"


def _cells(claim: Claim) -> tuple[str, ...]:
    holds = "yes" if claim.holds else "no"
    measured = number(claim.measured)
    return (
        claim.id, claim.statement, claim.source, claim.against, measured, claim.bound, holds,
        claim.ranking, claim.note,
    )  # fmt: skip


def _markdown(found: Reproduction, pictures: dict[str, list[Path]]) -> str:
    line = lambda cells: "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"  # noqa: E731
    rows = [line(_cells(claim)) for claim in found.claims]
    figures = [
        f"![{CAPTIONS[name]}]({files[0].name})\n\n*{CAPTIONS[name]}*"
        for name, files in pictures.items()
    ]
    head = [line(COLUMNS), line(["---"] * len(COLUMNS))]
    parts = [f"# {TITLE}", summary(found), SOURCES, "\n".join([*head, *rows]), "## Figures"]
    return "\n\n".join([*parts, *figures]) + "\n"


def _html(found: Reproduction, pictures: dict[str, list[Path]]) -> str:
    rows = []
    for claim in found.claims:
        kinds = [*4 * [""], *2 * [' class="number"'], *3 * [""]]
        cells = zip(kinds, _cells(claim), strict=True)
        row = "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in cells)
        rows.append(f'<tr class="{"yes" if claim.holds else "no"}">{row}</tr>')
    return PAGE.format(
        title=TITLE,
        summary=html.escape(summary(found)),
        sources=html.escape(SOURCES),
        head="".join(f"<th>{name}</th>" for name in COLUMNS),
        rows="\n".join(rows),
        figures="\n".join(_figure(name, files[0]) for name, files in pictures.items()),
    )


def _figure(name: str, file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    caption = html.escape(CAPTIONS[name])
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
