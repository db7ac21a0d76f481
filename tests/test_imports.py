"""What is imported, and when: JAX where something computes, and heavy libraries where used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import localprop

HEAVY = {"jax", "equinox", "numba", "scipy", "pandas", "polars", "matplotlib", "networkx"}
HEAVY |= {"pyarrow", "narwhals", "sklearn", "river", "rich", "typer", "numpy"}


def imported(*arguments: str) -> set[str]:
    """Returns which heavy libraries Python imported for these arguments."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    names = [line.rsplit("|", 1)[1].strip() for line in lines]
    # With several parts: one or two names are told of what was looked for in vain, too.
    parts = Counter(name.split(".")[0] for name in names if "." in name)
    return {name for name, number in parts.items() if number > 2} & HEAVY


def test_the_package_alone_imports_nothing_heavy():
    assert imported("-c", "import localprop; localprop.__version__") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["learn", "--help"]])
def test_help_computes_nothing(arguments):
    assert imported("-m", "localprop", *arguments) <= {"typer", "rich"}


@pytest.mark.parametrize("law", ["hamiltonian", "least-action"])
def test_a_command_leaves_pandas_scipy_and_pictures_alone(tmp_path, law):
    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "".join(f"{k % 7},{k % 7 > 3}\n" for k in range(60)))
    options = ["--target", "y", "--hidden", "3", "--review", "0", "--law", law]
    found = imported("-m", "localprop", "learn", str(table), *options)
    assert "numba" in found
    assert not found & {"pandas", "polars", "scipy", "matplotlib", "networkx", "sklearn", "river"}


def test_tracking_leaves_scipy_alone(tmp_path):
    assert "scipy" not in imported("-m", "localprop", "track", "--duration", "3")


def test_a_command_seldom_looks_for_garbage():
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_threshold()[0])); "
    code += "from localprop.cli import run; run()"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    assert int(done.stdout.split()[-1]) > 10_000


def test_a_learner_takes_jax_and_no_more():
    code = "from localprop import Learner, Layered, Digraph, Hamiltonian; Layered.dense([2, 1]); "
    found = imported("-c", code + "Digraph.complete(3, 2)")
    assert found == {"jax", "equinox", "numpy"}


def test_online_leaves_pictures_and_oracles_alone():
    found = imported("-c", "from localprop import Online")
    assert not found & {"matplotlib", "networkx", "pandas", "rich", "typer", "sklearn", "river"}


def test_every_name_comes_from_where_the_type_checker_is_told():
    tree = ast.parse(Path(localprop.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {a.name: node.module for node in block.body for a in node.names}
    modules = {name for name, home in told.items() if home is None}
    assert {n: h for n, h in told.items() if h is not None} == localprop._HOMES
    assert modules == {"by_name", "checkpoint"}
    for name in told:
        assert getattr(localprop, name) is not None
    assert set(localprop.__all__) == set(told)
    assert set(told) <= set(dir(localprop))


def test_audit_is_the_function_and_not_the_package():
    code = "import localprop.audit.survey; assert localprop.audit.__name__ == 'audit'"
    code += "; from localprop import audit; assert callable(audit)"
    imported("-c", code)


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = localprop.nothing
    assert localprop.table.__name__ == "localprop.table"
