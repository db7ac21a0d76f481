"""The wrong changes: one in one place, by Cosmic Ray's operators and one of our own."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import parso.python.tree
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[2]
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

    NAMES: ClassVar = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}

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


def sample(packages: Sequence[str], size: int, seed: int) -> tuple[list[Mutant], dict[str, int]]:
    """Returns `size` mutants of each package, the packages in turn, and how many places each has.

    Of the changes that a place allows one is drawn, and of the places of a package `size`. Every
    place draws for itself, by its own line: code that changes elsewhere leaves its draw alone.
    """
    chosen, counts = [], {}
    for package in packages:
        drawn = []
        for module in sorted((ROOT / "localprop" / package).glob("[!_]*.py")):
            for line, column, operators in places(module):
                rng = random.Random(f"{seed} {module.name} {line} {column}")
                drawn.append((rng.random(), module, rng.choice(operators)))
        counts[package] = len(drawn)
        found: list[Mutant] = []
        for _, module, (operator, occurrence) in sorted(drawn, key=lambda d: d[:2]):
            mutant = change(package, module, operator, occurrence)
            if mutant is not None:
                found.append(mutant)
            if len(found) == size:
                break
        chosen += enumerate(found)
    return [mutant for _, mutant in sorted(chosen, key=lambda c: c[0])], counts


def places(module: Path) -> list[tuple[str, int, list[tuple[Operator, int]]]]:
    """Returns every place of a module that can be changed: line, column, operators that apply.

    The number beside an operator counts its own places, from 0.
    """
    source = module.read_text()
    nodes, silent = list(ast_nodes(get_ast(source))), _annotations(source)
    lines = source.splitlines()
    found: dict[tuple[int, int], list[tuple[Operator, int]]] = {}
    for operator in (Opposite(), *_operators()):
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(starts):
            bare = lines[start[0] - 1].strip() == "*,"  # of a signature
            if not bare and not any(first <= start < last for first, last in silent):
                found.setdefault(start, []).append((operator, occurrence))
    return [(lines[row - 1].strip(), column, found[row, column]) for row, column in sorted(found)]


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
    """Returns the extents of annotations, which compute nothing."""
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
