"""Wrong changes to the code of the laws, and whether the tests notice.

    python -m benchmarks.mutation [--sample N] [--again FILE]

Cosmic Ray's operators change one thing in one place: an operator of arithmetic or comparison, a
number by one, `and`, `not`, `True`; an operator of our own changes a name into its opposite
(`max` into `min`). Of the changes possible at a place one is drawn, and of the places a sample,
both with a seed. A changed module reaches the tests through the import system; no file is
touched. Every change is tried in a process forked from one that has imported the libraries but
not yet localprop, until the first test fails. Needs `pip install -e '.[test,mutation]'`. Writes
`benchmarks/mutation.md`, and every outcome to `out/mutation.json`; given such a file with
`--again`, it tries anew only the changes that had survived.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.machinery
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import parso.python.tree
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

from .mutation_survivors import EXPLAINED

ROOT = Path(__file__).parents[1]
# The tests of each package, what fails soonest first. Nothing slow, nothing by the command line.
TESTS = {
    "network": ["tests/network", "tests/law/test_hamiltonian.py", "tests/law/test_identities.py"],
    "law": ["tests/law", "tests/learner", "tests/oracle/test_motion_identities.py"],
    "learner": ["tests/learner", "tests/law/test_hamiltonian.py", "tests/law/test_least_action.py"],
    "oracle": ["tests/oracle"],
}
# What takes time to import, once for all.
HEAVY = [
    "jax", "jax.numpy", "equinox", "jaxtyping", "beartype", "optax", "networkx", "pytest",
    "hypothesis", "scipy.integrate", "scipy.linalg", "scipy.optimize", "scipy.signal",
    "scipy.sparse.csgraph", "scipy.sparse.linalg", "scipy.stats", "_pytest.doctest", "msgspec",
]  # fmt: skip
# Arithmetic becomes its nearest relative: what becomes of `a @ b` as `a << b` proves nothing.
NEAREST = {"Add": "Sub", "Sub": "Add", "Mul": "Div", "Div": "Mul", "FloorDiv": "Div"} | {
    "Mod": "FloorDiv", "Pow": "Mul", "BitAnd": "BitOr", "BitOr": "BitAnd",
}  # fmt: skip
# Decorators declare and compile, they do not compute; `is` for `==` is no other number.
LEFT_OUT = ("RemoveDecorator", "VariableReplacer", "VariableInserter", "_Is", "_IsNot")
OPPOSITES = [
    ("max", "min"), ("maximum", "minimum"), ("argmax", "argmin"), ("any", "all"),
    ("zeros", "ones"), ("zeros_like", "ones_like"), ("sin", "cos"), ("exp", "expm1"),
    ("add", "subtract"), ("cumsum", "cumprod"), ("sum", "mean"),
]  # fmt: skip


class Opposite(Operator):
    """Replaces a name by its opposite."""

    NAMES = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}

    def mutation_positions(self, node):
        if isinstance(node, parso.python.tree.Name) and node.value in self.NAMES:
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        del index
        return parso.python.tree.Name(self.NAMES[node.value], node.start_pos, node.prefix)

    @classmethod
    def examples(cls):
        return ()


@dataclass(frozen=True)
class Mutant:
    """One wrong change: `after` in the place of `before`, in a line of a module."""

    package: str
    module: str
    line: int
    before: str
    after: str
    source: str = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.module}: {self.before} -> {self.after}"


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `killed`, `out of time` or `survived`, and by which test."""

    name: str
    fate: str
    test: str
    mutant: Mutant | None = None  # known where it was tried, or drawn again

    def row(self) -> dict[str, str]:
        return {"name": self.name, "fate": self.fate, "test": self.test}


def places(package: str, module: Path) -> list[list[tuple[Operator, int]]]:
    """Returns every place of a module that can be changed: the operators that apply to it.

    The number beside an operator counts its own places, from 0.
    """
    source = module.read_text()
    nodes, silent = list(ast_nodes(get_ast(source))), _annotations(source)
    found: dict[tuple, list[tuple[Operator, int]]] = {}
    for operator in (Opposite(), *_operators()):
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(starts):
            if not any(first <= start < last for first, last in silent):
                found.setdefault(start, []).append((operator, occurrence))
    return [found[start] for start in sorted(found)]


def change(package: str, module: Path, operator: Operator, occurrence: int) -> Mutant | None:
    """Returns the mutant, or `None` for one that is no Python, or the same."""
    source = module.read_text()
    changed = mutate_code(source, operator, occurrence)
    before, after, line = _difference(source, changed)
    if before == after or not _compiles(changed):
        return None
    name = str(module.relative_to(ROOT / "localprop"))
    return Mutant(package, name, line, before, after, changed)


def _operators() -> list[Operator]:
    """Returns Cosmic Ray's operators, those whose changes prove something."""
    found = []
    for name in operator_names():
        short = name.split("/")[-1]
        _, _, change = short.partition("ReplaceBinaryOperator_")
        old, _, new = change.partition("_")
        if change and NEAREST.get(old) != new:
            continue
        if not short.startswith(LEFT_OUT) and not short.endswith(LEFT_OUT):
            found.append(get_operator(name)())
    return found


def _annotations(source: str) -> list[tuple]:
    """Returns the extents of annotations, of docstrings and of what `TypeVar` and such declare."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        for part in parts:
            if isinstance(part, ast.AST):
                start = part.lineno, part.col_offset
                spans.append((start, (part.end_lineno, part.end_col_offset)))
    return spans


def _difference(source: str, changed: str) -> tuple[str, str, int]:
    """Returns the lines in which both differ, joined, and the number of the first."""
    old, new = source.splitlines(), changed.splitlines()
    start = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
    end = next((k for k, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if a != b), 0)
    cut = lambda lines: " ".join(" ".join(lines[start : len(lines) - end]).split())  # noqa: E731
    return cut(old), cut(new), start + 1


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def sample(size: int, seed: int) -> tuple[list[Mutant], dict[str, int]]:
    """Returns `size` mutants of each package, and of how many places each has."""
    rng, chosen, counts = random.Random(seed), [], {}
    for package in TESTS:
        modules = sorted((ROOT / "localprop" / package).glob("[!_]*.py"))
        every = [(module, place) for module in modules for place in places(package, module)]
        counts[package] = len(every)
        found: list[Mutant] = []
        for module, place in rng.sample(every, len(every)):
            mutant = change(package, module, *rng.choice(place))
            if mutant is not None:
                found.append(mutant)
            if len(found) == size:
                break
        chosen += found
    rng.shuffle(chosen)
    return chosen, counts


class Import(importlib.machinery.SourceFileLoader):
    """What stands in for the file of one module while a mutant is tried."""

    @staticmethod
    def instead_of(path: Path, source: str) -> None:
        loader = importlib.machinery.SourceFileLoader
        read, stats, own = loader.get_data, loader.path_stats, str(path)

        def get_data(self, file):
            return source.encode() if str(file) == own else read(self, file)

        def path_stats(self, file):
            if str(file) == own:
                raise OSError("never from compiled code, which is that of the file")
            return stats(self, file)

        loader.get_data, loader.path_stats = get_data, path_stats


def try_one(mutant: Mutant | None, package: str, seconds: float | None, log: Path) -> int:
    """Forks, and runs the tests there under a mutant; returns the child's number."""
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        if seconds is not None:  # of processor time: others may use the machine as well
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        tests = list(TESTS[package])
        if mutant is not None:
            path = ROOT / "localprop" / mutant.module
            Import.instead_of(path, mutant.source)
            tests.insert(0, str(path.relative_to(ROOT)))
        else:
            tests.insert(0, f"localprop/{package}")
        import pytest

        options = ["-x", "-p", "no:cacheprovider", "-m", "not slow", "--tb=line", "-rfE"]
        code = int(pytest.main([*options, *tests]))
        sys.stdout.flush()
    except BaseException as error:
        print(repr(error), flush=True)
        code = 99
    os._exit(code)


def run(todo: list[Mutant], workers: int, log: Path, keep: Callable) -> list[Outcome]:
    """Tries all mutants, several at a time; hands the outcomes so far to `keep`."""
    limits = {}
    for package in TESTS:
        start = time.perf_counter()
        child = try_one(None, package, None, log / f"{package}.txt")
        _, status, used = os.wait4(child, 0)
        if status:
            raise SystemExit(f"the tests fail as they are: see {log / package}.txt")
        limits[package] = 60 + 3 * (used.ru_utime + used.ru_stime)
        print(f"{package}: {time.perf_counter() - start:.0f} s as it is", flush=True)
    running: dict[int, tuple[Mutant, float, Path]] = {}
    outcomes, waiting = [], list(enumerate(todo))
    while waiting or running:
        while waiting and len(running) < workers:
            number, mutant = waiting.pop(0)
            file = log / f"{number}.txt"
            child = try_one(mutant, mutant.package, limits[mutant.package], file)
            running[child] = mutant, time.perf_counter(), file
        child, status = _wait(running, limits)
        mutant, start, file = running.pop(child)
        fate = "killed" if status else "survived"
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
            fate = "out of time"
        outcome = Outcome(mutant.name, fate, _first_failure(file), mutant)
        outcomes.append(outcome)
        keep(outcomes)
        words = f"{len(outcomes)}/{len(todo)} {fate} in {time.perf_counter() - start:.0f} s"
        print(f"{words}: {mutant.name} ({outcome.test})", flush=True)
    return outcomes


def _wait(running: dict, limits: dict[str, float]) -> tuple[int, int]:
    """Waits for one child, and ends one that sleeps for ever."""
    while True:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            return child, status
        for child, (mutant, start, _) in running.items():
            if time.perf_counter() - start > 20 * limits[mutant.package]:
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.1)


def _first_failure(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return failed[0].split(" - ")[0].split(" ", 1)[1] if failed else ""


def page(outcomes: list[Outcome], counts: dict[str, int], seed: int) -> str:
    """Returns `benchmarks/mutation.md`."""
    rows, lost = [], [o for o in outcomes if o.fate == "survived"]
    for package in [*TESTS, "all"]:
        own = [o for o in outcomes if package in (o.mutant.package, "all")]
        alive = [o for o in own if o.fate == "survived"]
        same = [o for o in alive if EXPLAINED.get(o.mutant.name, "").startswith("Equivalent")]
        late = sum(o.fate == "out of time" for o in own)
        killed, counted = len(own) - len(alive), max(len(own) - len(same), 1)
        where = counts[package] if package != "all" else sum(counts.values())
        rows.append(
            f"| {package} | {where} | {len(own)} | {killed} ({late}) | {len(alive)} | {len(same)} "
            f"| {100 * killed / max(len(own), 1):.1f} % | {100 * killed / counted:.1f} % |"
        )
    alive = [
        f"| `{o.mutant.module}:{o.mutant.line}` | `{_cell(o.mutant.before)}` "
        f"| `{_cell(o.mutant.after)}` | {EXPLAINED.get(o.mutant.name, '**not explained**')} |"
        for o in sorted(lost, key=lambda o: (o.mutant.module, o.mutant.line))
    ]
    return PAGE.format(
        rows="\n".join(rows), survivors="\n".join(alive), seed=seed, tool=version("cosmic-ray")
    )


def _cell(code: str) -> str:
    return code.replace("|", "\\|")


PAGE = """# Wrong changes, and whether the tests notice

Regenerate with `python -m benchmarks.mutation`. A *place* is an operator, a comparison, a number, a
condition or a name that has an opposite, in the code of a package (not in its annotations or its
docstrings). At every place one wrong change is drawn, with seed {seed}, from those that Cosmic Ray
{tool} knows (arithmetic to its nearest relative, numbers by one, conditions, loops) and from the
opposites of names (`max` and `min`). Of the places a sample is tried: the quick tests of the
package run until one fails. A change is *killed* where a test failed (in brackets: where it ran
out of three times the processor time that the tests need); an *equivalent* one computes the same,
so that no test can notice.

| package | places | tried | killed | survived | of them equivalent | killed of all | killed of those not equivalent |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

## What survived, and why

| place | as it is | changed | why no test fails |
| --- | --- | --- | --- |
{survivors}
"""


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
    todo, counts = sample(given.sample, given.seed)
    kept = json.loads(given.again.read_text()) if given.again is not None else []
    killed = {k["name"]: Outcome(**k) for k in kept if k["fate"] != "survived"}
    known = [replace(killed[m.name], mutant=m) for m in todo if m.name in killed]

    def keep(outcomes: list[Outcome]) -> None:
        rows = [o.row() for o in (*known, *outcomes)]
        (ROOT / "out" / "mutation.json").write_text(json.dumps(rows, indent=1))

    for name in HEAVY:
        importlib.import_module(name)
    outcomes = run([m for m in todo if m.name not in killed], given.workers, log, keep)
    text = page([*known, *outcomes], counts, given.seed)
    (ROOT / "benchmarks" / "mutation.md").write_text(text)


if __name__ == "__main__":
    main()
