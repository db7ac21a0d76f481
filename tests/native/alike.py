"""Streams for learners of either engine, and how far apart these may be."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest

from localprop import DivergenceError, Samples
from localprop.native import engine_of, workers

RECORD = ("output", "loss", "x_norm", "costate_norm", "w_norm", "momentum_norm")
NORMS = {".x": "x_norm", ".costate": "costate_norm", ".momentum": "momentum_norm"}  # of leaves


def samples(learner, seed, *, durations=False, missing=0.0, weights=False, begins=False, length=12):
    network, streams = learner.network, learner.network.streams
    network = network if streams is None else network.network
    lead, rng = (length,) if streams is None else (length, streams), np.random.default_rng(seed)
    z = rng.standard_normal((*lead, len(network.outputs)))
    z[rng.random(z.shape) < missing] = np.nan
    u = rng.standard_normal((*lead, network.inputs))
    lasts = rng.uniform(0.2, 1.5, length) if durations else None
    weight = rng.uniform(0, 2, lead) if weights else None
    begin = (rng.random(lead) < 0.3) if begins else None
    if begins:
        begin[1::2] = False  # where all streams go on
    return Samples(u, z, lasts, weight=weight, begins=begin)


def assert_same(a, b):
    """Asserts that all numbers of two trees are the same to the bit."""
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(one, other)


def assert_threads_and_cuts_change_no_bit(learner, u, z, monkeypatch):
    """Asserts that a learner of several parts learns the same by one thread, by two, and by
    samples that come alone."""
    assert engine_of(learner).plan.ints["parts"] > 1
    start, found = learner.init(jax.random.key(0)), []
    for threads in (1, 2):
        monkeypatch.setattr(workers, "threads_given", threads)
        found.append(learner.run(start, (u, z), ("output", "w_norm")))
    assert_same(found[0], found[1])
    phase = start
    for k in range(len(u)):
        phase, _ = learner.step(phase, u[k], z[k])
    assert_same(phase, found[0][0])


def assert_close(found, expected, tolerance, name="", least=0.0):
    """Asserts that arrays differ by a share of the largest number, or of `least` if more."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, name
    assert found.dtype == expected.dtype, name
    scale = np.abs(expected).max(initial=least)
    np.testing.assert_allclose(found, expected, atol=tolerance * scale, rtol=0, err_msg=name)


def assert_alike(native, xla, stream, tolerance):
    """Asserts that learners take a stream alike, or diverge alike."""
    start = native.init(jax.random.key(3))
    try:
        expected, told = xla.run(start, stream, RECORD)
    except DivergenceError as error:
        told = f"^{re.escape(str(error))}$"  # which sample, and what of it
        with pytest.raises(DivergenceError, match=told):
            native.run(start, stream, RECORD)
        return
    found, traced = native.run(start, stream, RECORD)
    leaves = jax.tree_util.tree_leaves_with_path
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for (path, a), (_, b) in zip(leaves(found), leaves(expected), strict=True):
        name = jax.tree_util.keystr(path)
        # What forward hops add and backward hops take away is rounded where it was largest.
        norms = told.get(NORMS.get(name), np.zeros(1))
        assert_close(a, b, tolerance, name, np.max(norms))
    for name in RECORD:
        assert_close(traced[name], told[name], tolerance, name)
    answers = (learner.predict_many(expected, stream.u[:3]) for learner in (native, xla))
    assert_close(*answers, tolerance, "answers")
