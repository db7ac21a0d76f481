"""Loops that take longest are compiled by a process of its own, which nobody else ever notices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from localprop import compiled_ahead
from localprop.kept_loops import loops_folder
from localprop.processors import cores

# Tells which loops of chains were compiled here, and whether a process was started for them.
LEARNED = """
import json
import numba.core.event as events
from localprop import Online, compiled_ahead

class Seen(events.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__module__)
    def on_end(self, event):
        pass

events.register("numba:compile", Seen())
model = Online(task="regression", hidden=(2,), review=0, bank=False)
for k in range(20):
    model.learn_one({"a": float(k % 7)}, float(k % 7))
chains = [name for name in Seen.names if "chain_loops" in name]
print(json.dumps([compiled_ahead._process is not None, len(chains), model.predict_one({"a": 3.0})]))
"""

# Begins, says which process it began, and ends by a signal that nothing can catch.
KILLED = """
import os, signal
from localprop import compiled_ahead
from localprop.processors import cores
compiled_ahead.CODE = (
    "import sys, threading, time; sys.path[:] = sys.argv[2:]; from {0} import _live_no_longer; "
    "threading.Thread(target=_live_no_longer, daemon=True).start(); time.sleep(600)"
)
compiled_ahead.begin("hamiltonian")
print(compiled_ahead._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def nothing_begun(monkeypatch, tmp_path):
    """Where no loop is kept, on two processors, whatever this machine has."""
    monkeypatch.setattr(compiled_ahead, "_process", None)
    monkeypatch.setattr(compiled_ahead, "cores", lambda: 2)
    monkeypatch.setenv("LOCALPROP_CACHE", str(tmp_path / "cache"))
    yield
    compiled_ahead._end()


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout, done.stderr


@pytest.mark.skipif(cores() < 2, reason="one processor has nobody to compile for it")
def test_what_another_process_compiled_is_found_and_says_the_same():
    told, errors = run(LEARNED)
    assert errors == ""
    began, compiled, answer = json.loads(told)
    assert (began, compiled) == (True, 0)
    # All is kept now, and nobody is started any more.
    assert json.loads(run(LEARNED)[0]) == [False, 0, answer]


def test_nobody_is_started_where_it_would_not_help(monkeypatch, tmp_path):
    def begun(law="hamiltonian"):
        compiled_ahead.begin(law)
        return compiled_ahead._process is not None

    assert not begun("of gravity")
    with monkeypatch.context() as m:
        m.setattr(compiled_ahead, "cores", lambda: 1)
        assert not begun()
    with monkeypatch.context() as m:
        m.setattr(sys, "executable", None)
        assert not begun()
    with monkeypatch.context() as m:
        m.setenv("LOCALPROP_CACHE", "")
        assert not begun()
    with monkeypatch.context() as m:
        (tmp_path / "file").touch()
        m.setenv("LOCALPROP_CACHE", str(tmp_path / "file"))
        assert not begun()
    with monkeypatch.context() as m:
        m.setattr(sys, "executable", str(tmp_path / "python of nowhere"))
        assert not begun()
    with monkeypatch.context() as m:
        m.setattr(sys, "executable", "/bin/true")  # which is not Python, and would be started
        assert not begun()
    kept = loops_folder() / "native_0"
    kept.mkdir(parents=True)
    (kept / "chain_loops.learn-1.py311.nbi").touch()
    assert not begun()
    # Of all this alone is in the way.
    (kept / "chain_loops.learn-1.py311.nbi").unlink()
    assert begun()


def test_a_process_that_is_killed_costs_nothing_but_time():
    compiled_ahead.begin("hamiltonian")
    assert compiled_ahead._process is not None
    compiled_ahead._process.kill()
    compiled_ahead.wait()
    assert compiled_ahead._process.returncode != 0
    compiled_ahead.begin("hamiltonian")  # once is enough
    compiled_ahead.wait()


def test_one_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(compiled_ahead, "CODE", "import time; time.sleep(600) # {0}")
    monkeypatch.setattr(compiled_ahead, "MOST_SECONDS", 0.1)
    compiled_ahead.begin("hamiltonian")
    compiled_ahead.wait()
    assert compiled_ahead._process is not None
    assert compiled_ahead._process.returncode is not None


def test_it_ends_with_the_process_that_began_it():
    told, _ = run(KILLED)
    for _ in range(600):
        try:
            os.kill(int(told), 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("it lives on, 60 seconds after the one that began it was killed")
