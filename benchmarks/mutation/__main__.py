"""Wrong changes to the code of the laws, and whether the tests notice.

    python -m benchmarks.mutation [--sample N] [--again FILE]

Cosmic Ray's operators change one thing in one place: an operator of arithmetic or comparison, a
number by one, `and`, `not`, `True`; an operator of our own changes a name into its opposite
(`max` into `min`). A changed module reaches the tests through the import system: no file is
touched. Every change is tried in a process forked from one that has imported the libraries but
not yet localprop, until the first test fails. Needs `pip install -e '.[test,mutation]'` and some
hours. Writes `benchmarks/mutation.md` after every change, so that a run may be stopped, and the
outcomes to `out/mutation.json`; given such a file with `--again`, it tries anew what survived.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from .changes import ROOT, sample
from .page import page
from .trial import Outcome, limits, packages, run

# What takes time to import, once for all.
HEAVY = [
    "jax", "jax.numpy", "equinox", "jaxtyping", "beartype", "optax", "networkx", "pytest",
    "hypothesis", "scipy.integrate", "scipy.linalg", "scipy.optimize", "scipy.signal",
    "scipy.sparse.csgraph", "scipy.sparse.linalg", "scipy.stats", "_pytest.doctest", "msgspec",
]  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Tries a sample of mutants and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--sample", type=int, default=40, help="mutants per package")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", type=Path, help="outcomes of a run, to try its survivors again")
    given = parser.parse_args(arguments)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    log = ROOT / "out" / "mutation"
    log.mkdir(parents=True, exist_ok=True)
    todo, counts = sample(packages(), given.sample, given.seed)
    kept = json.loads(given.again.read_text()) if given.again is not None else []
    known = {k["name"]: Outcome(**k) for k in kept if k["fate"] != "survived"}
    outcomes = [known[m.name] for m in todo if m.name in known]
    for name in HEAVY:
        importlib.import_module(name)
    left = [m for m in todo if m.name not in known]
    seconds = limits(dict.fromkeys(m.module for m in left), log)
    for outcome in run(left, seconds, given.workers, log):
        outcomes.append(outcome)
        print(f"{len(outcomes)}/{len(todo)} {outcome.fate}: {outcome.name} ({outcome.test})")
        rows = json.dumps([asdict(o) for o in outcomes], indent=1)
        (ROOT / "out" / "mutation.json").write_text(rows)
        text = page(todo, outcomes, counts, given.seed)
        (ROOT / "benchmarks" / "mutation.md").write_text(text)


if __name__ == "__main__":
    main()
