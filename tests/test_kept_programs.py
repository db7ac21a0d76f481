"""Compiled programs are found again by a later process, and are never in the way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from localprop import Online
from localprop.cache_folder import ENDING, Entries, cache_folder, make_room

# Tells how often JAX compiled, traced, and found a program.
COUNTED = """
import hashlib, json
from collections import Counter
import jax, jax.numpy as jnp, numpy as np
seen = Counter()
count = lambda event, seconds=0, **named: seen.update([event.rsplit("/", 1)[-1]])
jax.monitoring.register_event_duration_secs_listener(count)
jax.monitoring.register_event_listener(count)
def tell(numbers, **more):
    compiled = seen["backend_compile_duration"] - seen["cache_hits"]
    print(json.dumps({"numbers": numbers, "compiled": compiled, **seen, **more}))
"""

# A program of JAX, one that is kept whole, and a loop of Numba.
SMALL = """
from localprop.kept_loops import kept_loop
from localprop.kept_programs import keep_programs, kept_program
def total(a):
    found = 0.0
    for k in range(len(a)):
        found += a[k] * a[k]
    return found
keep_programs()
given = jnp.arange(5.0)
plain = jax.jit(lambda a: jnp.tanh(a) @ jnp.cos(a))(given)
sines = lambda tree: {"out": jnp.sin(tree["in"]).sum()}
whole = kept_program(sines, "sines", ({"in": given},), {"out": 0})
loop = kept_loop(total, nogil=True)
numbers = [float(plain), float(whole({"in": given})["out"]), loop(np.arange(5.0))]
tell(numbers, loop_hits=sum(loop.stats.cache_hits.values()))
"""

ONLINE = """
from localprop import Online
model = Online(task="regression", engine="xla", hidden=(4,), review=0)
for k in range(30):
    model.learn_one({"a": k % 7.0, "b": k % 5.0}, k % 7.0 - k % 5.0)
tell(hashlib.sha256(model.to_bytes()).hexdigest())
"""

# Written once, here: a process must not find a file that another thread is writing again. And
# Numba keeps what stands in a file.
SCRIPTS = tempfile.TemporaryDirectory()
for name, code in (("small", SMALL), ("online", ONLINE)):
    Path(SCRIPTS.name, f"{name}.py").write_text(COUNTED + code)


def learn(
    folder: str | Path, script: str = "small", remarks: bool = False, **variables: str
) -> dict:
    """Returns what a process of its own tells, with this folder, and no other word."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    env |= {"LOCALPROP_CACHE": str(folder), "JAX_PLATFORMS": "cpu", **variables}
    command = [sys.executable, str(Path(SCRIPTS.name, f"{script}.py"))]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert remarks or done.stderr == ""
    return json.loads(done.stdout)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder that one process has filled, and what that process told."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, learn(folder)


def test_a_second_process_compiles_nothing(first):
    folder, before = first
    there = files(folder)
    assert before["compiled"] > 1
    assert before["loop_hits"] == 0
    assert any(name.endswith(ENDING) for name in there)
    assert any(name.endswith(".nbc") for name in there)
    after = learn(folder)
    assert after["compiled"] == 0
    assert after["cache_hits"] > 0
    assert after["loop_hits"] == 1
    assert after["numbers"] == before["numbers"]
    assert files(folder).keys() == there.keys()


def test_what_online_learns_is_the_same_to_the_bit_kept_or_not(tmp_path):
    before, after = learn(tmp_path, "online"), learn(tmp_path, "online")
    assert before["compiled"] > 0
    assert after["compiled"] == 0
    assert after["jaxpr_trace_duration"] < before["jaxpr_trace_duration"]
    assert learn("", "online")["numbers"] == before["numbers"] == after["numbers"]


def test_without_a_folder_the_bits_are_the_same(first, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    found = learn("", HOME=str(home), XDG_CACHE_HOME=str(home))
    assert found["numbers"] == first[1]["numbers"]
    assert found["loop_hits"] == 0
    assert files(home) == {}


def test_damaged_entries_are_made_afresh(first):
    folder, before = first
    for k, path in enumerate(sorted(folder.rglob("*"))):
        if path.is_file():
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] if k % 2 else b"?" * len(content))
    assert learn(folder)["numbers"] == before["numbers"]
    healed = learn(folder)
    assert healed["numbers"] == before["numbers"]
    assert healed["compiled"] == 0
    assert healed["loop_hits"] == 1


def test_entries_that_cannot_be_run_are_made_afresh(first):
    """They are as they were written, and no programs: of another version, say."""
    folder, before = first
    for path in folder.glob(f"*{ENDING}"):
        path.write_bytes(hashlib.sha256(b"nonsense").digest() + b"nonsense")
    assert learn(folder, remarks=True)["numbers"] == before["numbers"]  # JAX makes a remark
    assert learn(folder)["numbers"] == before["numbers"]


@pytest.mark.parametrize("kind", ["a file", "under a file", "full"])
def test_a_folder_that_cannot_be_written_is_left_alone(first, tmp_path, kind):
    place = tmp_path / "file"
    place.write_text("mine")
    folder = {"a file": place, "under a file": place / "x", "full": Path("/dev/full/x")}[kind]
    assert learn(folder)["numbers"] == first[1]["numbers"]
    assert place.read_text() == "mine"


def test_two_processes_share_a_folder(first, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(learn, [tmp_path, tmp_path]))
    assert [found["numbers"] for found in both] == [first[1]["numbers"]] * 2
    assert {Path(name).suffix for name in files(tmp_path)} == {ENDING, ".nbi", ".nbc"}
    assert learn(tmp_path)["compiled"] == 0


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    entries = Entries(tmp_path, most=10_000)
    value = np.random.default_rng(0).bytes(1000)
    for k in range(8):
        entries.put(f"{k}", value)
        os.utime(entries.place(f"{k}"), (0, 1000 * k))
    assert entries.get("0") == value  # which marks it as used
    for k in range(8, 11):
        entries.put(f"{k}", value)
    assert entries.get("0") == value
    assert entries.get("1") is None
    for k in range(11, 30):
        entries.put(f"{k}", value)
        assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 10_000 + len(value) + 32
    assert entries.get("29") == value


def test_what_takes_half_the_folder_is_not_kept(tmp_path):
    entries = Entries(tmp_path, most=1000)
    entries.put("large", bytes(501))
    assert entries.get("large") is None


def test_room_is_made_in_folders_of_others_too(tmp_path):
    (tmp_path / "numba").mkdir()
    for k in range(4):
        path = tmp_path / "numba" / f"{k}.nbc"
        path.write_bytes(bytes(100))
        os.utime(path, (0, k))
    assert make_room(tmp_path, 300) <= 225
    assert [p.name for p in sorted((tmp_path / "numba").iterdir())] == ["2.nbc", "3.nbc"]


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.setenv("LOCALPROP_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("LOCALPROP_CACHE", "")
    assert cache_folder() is None
    monkeypatch.delenv("LOCALPROP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "localprop"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the standard says to pass over
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "localprop"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "localprop"


def test_a_folder_that_jax_was_given_stays_its_own(tmp_path):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    learn(ours, JAX_COMPILATION_CACHE_DIR=str(theirs))
    assert any(theirs.iterdir())


def test_the_tests_have_a_folder_of_their_own():
    assert ".pytest_cache" in str(cache_folder())
    assert jax.config.jax_compilation_cache_dir  # left as the tests set it
    Online(task="regression")
    assert ".pytest_cache" in jax.config.jax_compilation_cache_dir
