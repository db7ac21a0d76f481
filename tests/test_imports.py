"""What is imported, and when: JAX where something computes, and heavy libraries where used."""

from __future__ import annotations

import ast
import subprocess
import sys
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
    # With parts of their own: the name alone is told of what was looked for in vain, too.
    return {name.split(".")[0] for name in names if "." in name} & HEAVY


def test_the_package_alone_imports_nothing_heavy():
    assert imported("-c", "import localprop; localprop.__version__") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["learn", "--help"]])
def test_help_computes_nothing(arguments):
    assert imported("-m", "localprop", *arguments) <= {"typer", "rich"}


def test_a_command_leaves_pandas_and_pictures_alone(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "".join(f"{k % 7},{k % 7 > 3}\n" for k in range(60)))
    options = ["--target", "y", "--hidden", "3", "--review", "0"]
    found = imported("-m", "localprop", "learn", str(table), *options)
    assert not found & {"pandas", "polars", "matplotlib", "networkx", "sklearn", "river"}


def test_a_learner_takes_jax_and_no_more():
    found = imported("-c", "from localprop import Learner, Layered, Digraph, Hamiltonian")
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
