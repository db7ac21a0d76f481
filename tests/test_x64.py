"""Where JAX computes in float64, so does everything: command line, learner, table."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from command_line import in_process, process

from localprop import Adaptive, Cost, Digraph, Hamiltonian, Learner, LeastAction, SquaredError

WAYS = {
    "costate reversal": (),
    "sign flip from a buffer": ("--policy", "sign-flip", "--review", "buffer"),
    "sign flip of a frequency": ("--policy", "sign-flip", "--flip-omega", "30"),
    "least action": ("--law", "least-action"),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("way", WAYS)
def test_track_runs_in_float64(monkeypatch, capfd, way):
    words = ("track", "--duration", "100", "--json", *WAYS[way])
    done = in_process(monkeypatch, capfd, *words)
    assert done.status == 0, done.err
    assert 0 < done.result["nrmse"] < 0.5


def test_a_process_is_told_to_run_in_float64():
    done = process("track", "--duration", "100", "--json", JAX_ENABLE_X64="1")
    assert done.status == 0, done.err
    assert 0 < done.result["nrmse"] < 0.5


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("law", [Hamiltonian(mass=Adaptive()), LeastAction(mass=Adaptive())])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_a_learner_runs_in_float64_whatever_precision_the_stream_has(law, given):
    learner = Learner(Digraph.layered([2, 4, 1]), Cost(SquaredError()), law)
    start = learner.init(jax.random.key(0))
    u = np.random.default_rng(0).standard_normal((50, 2)).astype(given)
    after, trace = learner.run(start, (u, u[:, :1]))
    after, output = learner.step(after, u[0], u[0, :1], 2.0)
    numbers = [a.dtype for a in jax.tree.leaves(after) if a.dtype != np.int32]
    assert {*numbers, trace["loss"].dtype, output.dtype} == {np.dtype(np.float64)}
    assert learner.predict(after, u[0]).dtype == np.float64
