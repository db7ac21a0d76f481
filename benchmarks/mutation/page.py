"""The page that tells what was tried, and what survived."""

from __future__ import annotations

from importlib.metadata import version

from .changes import Mutant
from .explained import EXPLAINED
from .trial import Outcome

PAGE = """# Wrong changes, and whether the tests notice

Regenerate with `python -m benchmarks.mutation` (`make mutation`). A *place* is an operator, a
comparison, a number, a condition, a loop or a name that has an opposite, in the code of a package
(annotations and docstrings apart). At every place one wrong change is drawn, with seed {seed}, from
those that Cosmic Ray {tool} knows (arithmetic to its nearest relative, numbers by one, conditions,
loops) and from the opposites of names (`max` and `min`). A sample of the places is tried, {wanted}
of each package: the quick tests that speak of the changed module run, and its examples, until one
fails, and then the change is *killed*; in brackets those that ran out of three times the processor
time that these tests need. An *equivalent* change computes the same, and no test can notice.
{unfinished}

| package | places | tried | killed | survived | score | equivalent | score without these |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

## What survived, and why

| place | as it is | changed | why no test fails |
| --- | --- | --- | --- |
{survivors}
"""


def page(todo: list[Mutant], outcomes: list[Outcome], counts: dict[str, int], seed: int) -> str:
    """Returns `benchmarks/mutation.md`.

    **Arguments:** `todo`: the sample; `outcomes`: of those tried so far; `counts`: of places, by
    package; `seed`: of the sample.
    """
    packages = {m.name: m.package for m in todo}
    mutants = {m.name: m for m in todo}
    rows = [
        _row(package, counts[package], [o for o in outcomes if packages[o.name] == package])
        for package in counts
    ]
    rows.append(_row("all", sum(counts.values()), outcomes))
    lost = [mutants[o.name] for o in outcomes if o.fate == "survived"]
    survivors = [
        f"| `{m.module}:{m.line}` | `{_cell(m.before)}` | `{_cell(m.after)}` "
        f"| {EXPLAINED.get(m.name, '**not explained**')} |"
        for m in sorted(lost, key=lambda m: (m.module, m.line))
    ]
    missing = len(todo) - len(outcomes)
    return PAGE.format(
        rows="\n".join(rows),
        survivors="\n".join(survivors),
        seed=seed,
        tool=version("cosmic-ray"),
        wanted=len(todo) // len(counts),
        unfinished=f"\n**Stopped early: {missing} of the sample were not tried.**\n"
        * (missing > 0),
    )


def _row(package: str, places: int, outcomes: list[Outcome]) -> str:
    survived = [o for o in outcomes if o.fate == "survived"]
    same = [o for o in survived if EXPLAINED.get(o.name, "").startswith("Equivalent")]
    late = sum(o.fate == "out of time" for o in outcomes)
    tried, killed = len(outcomes), len(outcomes) - len(survived)
    return (
        f"| {package} | {places} | {tried} | {killed} ({late}) | {len(survived)} "
        f"| {_share(killed, tried)} | {len(same)} | {_share(killed, tried - len(same))} |"
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _cell(code: str) -> str:
    return code.replace("|", "\\|")
