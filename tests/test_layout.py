"""The arrows of CONTRIBUTING.md point one way, and no two modules import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import networkx as nx
import pytest

import localprop

ROOT = Path(localprop.__file__).parent

# Each part may look at those on its right, directly, and at `ANYONE`.
ANYONE = {"errors", "forked", "options", "plain_numbers", "strict_json", "written_aside"}
ANYONE |= {"by_name", "cache_folder", "compiling", "kept_loops", "kept_programs"}
ANYONE |= {"processors"}
ARROWS = {
    "network": set(),
    "cost": set(),
    "describe": set(),
    "law": {"network", "cost"},
    "native": {"law", "network", "cost"},
    "compiled_ahead": {"native"},
    "learner": {"native", "law", "network", "cost"},
    "checkpoint": {"learner", "law", "describe"},
    "table": set(),
    "online": {
        *("learner", "native", "law", "network", "cost", "checkpoint", "describe", "table"),
        "compiled_ahead",
    },
    "river": {"online", "table"},
    "sklearn": {"online", "table"},
    "report": {"online"},
    "tracking": {"law", "network", "cost", "report"},
    "oracle": {"law", "network", "cost"},
    "audit": {"learner", "law", "network", "cost", "oracle"},
    "reproduce": {
        *("network", "cost", "law", "learner", "tracking", "oracle", "audit", "report"),
    },
    "commands": {
        *("online", "table", "report", "tracking", "law", "reproduce", "audit"),
        "compiled_ahead",
    },
    "cli": {"commands", ""},
    "__main__": {"cli"},
}


def modules():
    """Yields every module's name below the package, and its file."""
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        yield ".".join(p for p in parts if p != "__init__"), file


NAMES = dict(modules())


def imported(name: str, file: Path) -> set[str]:
    """Returns the modules of this package that a module imports, also inside functions."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
        target = ".".join(part for part in base if part)
        for alias in node.names:
            inner = f"{target}.{alias.name}".strip(".")
            found.add(inner if inner in NAMES else target)
    return found


GRAPH = nx.DiGraph([(name, other) for name, file in modules() for other in imported(name, file)])


def test_no_modules_import_each_other():
    inner = GRAPH.subgraph([name for name in GRAPH if name])  # all but the package's own contents
    assert list(nx.simple_cycles(inner)) == []


@pytest.mark.parametrize("part", sorted({name.split(".")[0] for name in NAMES if name}))
def test_arrows_point_one_way(part):
    looked_at = {
        other.split(".")[0]
        for name, other in GRAPH.edges
        if name.split(".")[0] == part and other.split(".")[0] != part
    }
    assert looked_at <= ARROWS.get(part, set()) | ANYONE
