"""A process forked from one in which JAX was running says so and does not wait for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

PROGRAM = """
import os, pickle, signal, sys, time, warnings
warnings.simplefilter("ignore")
import jax, numpy as np
from localprop import Cost, Digraph, ForkError, Layered, Learner, Online, SquaredError

u, z = np.ones((5, 2)), np.zeros((5, 1))

def learned():
    learner = Learner(Layered.dense([2, 3, 1]), Cost(SquaredError()))
    return learner, learner.run(learner.init(jax.random.key(0)), (u, z))[0]

def model():
    model = Online(hidden=(4,))
    for k in range(20):
        model.learn_one({"a": k % 7}, k % 7 > 3)
    return model

def said(call):
    try:
        call()
        print("done", flush=True)
    except ForkError as error:
        print("spawn" in str(error), flush=True)

before = sys.argv[1] == "before"
if not before:
    learner, phase = learned()
    old = model()
    wide = Learner(Layered.dense([2, 1000, 1]), Cost(SquaredError())).init(jax.random.key(0))
    sent, total = pickle.dumps(wide), float(wide.w["hidden1"].weight.sum())
child = os.fork()
if child == 0:
    if before:
        calls = [learned, model]
    else:
        calls = [
            lambda: learner.run(phase, (u, z)), lambda: learner.step(phase, u[0], z[0]),
            lambda: learner.advance(phase, (u, z)), lambda: learner.predict(phase, u[0]),
            lambda: learner.predict_many(phase, u), lambda: learner.init(None),
            lambda: learner.preview_many(phase, (u, z)), lambda: Layered.dense([2, 3, 1]),
            lambda: old.learn_one({"a": 1}, True), lambda: old.predict_one({"a": 1}), model,
        ]
        arrived = pickle.loads(sent)
        print(np.isclose(arrived.w["hidden1"].weight.sum(), total), flush=True)
    for call in calls:
        said(call)
    os._exit(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def outcome(when):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, when], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_fork_after_jax_began_is_told_to_spawn():
    # First a phase that arrives by pickle: its numbers are there, and nothing waits.
    assert outcome("after") == ["True"] * 12


def test_a_fork_before_jax_began_learns():
    assert outcome("before") == ["done", "done"]
