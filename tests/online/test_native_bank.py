"""The bank in fused loops, held against the same bank as XLA's program."""

from __future__ import annotations

from itertools import pairwise

import jax
import numpy as np
import pytest

from localprop import Online, Samples
from localprop.errors import ConfigError
from localprop.native.chain_loops import learn
from localprop.online import native as module
from localprop.online.defaults import bank_for
from localprop.online.memory import width
from localprop.online.native import SMALL, NativeBank
from localprop.online.settings import OnlineSettings

ROWS, INPUTS, PLAIN, STREAMS = 12, 6, 4, 4


def given(task, outputs, rows=ROWS, dtype=float):
    """Samples, some of whose rows have no target, with queries."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(rows, STREAMS, INPUTS))
    z = rng.normal(size=(rows, STREAMS, outputs))
    if task == "classification":
        z = np.eye(outputs)[rng.integers(0, outputs, (rows, STREAMS))]
    missing = rng.random((rows, STREAMS)) < 0.2
    missing[0] = False  # nor is rounding all that a mass, which is small at first, is made of
    z[missing] = np.nan
    q = rng.normal(size=(rows, INPUTS))
    query = {"rows": q, "plain": q[:, :PLAIN]}
    seen = {"rows": u, "plain": u[:, 0, :PLAIN], "memory": rng.normal(size=(rows, width(PLAIN)))}
    part = Samples(seen, z, rng.uniform(0.5, 2.0, rows), query if task == "forecast" else None)
    return jax.tree.map(lambda a: np.asarray(a, dtype), part)


@pytest.mark.parametrize("law", ["hamiltonian", "least-action"])
@pytest.mark.parametrize("task", ["classification", "forecast"])
def test_it_gives_the_numbers_of_xla(task, law):
    outputs = 3 if task == "classification" else 1
    record = ("output", "input_slope") + (("answer",) if task == "forecast" else ("memory_slope",))
    with jax.enable_x64(True):
        settings = OnlineSettings(hidden=(5, 4), law=law)
        bank = bank_for(settings, task, INPUTS, PLAIN, outputs, STREAMS)
        part, start = given(task, outputs), bank.init(jax.random.key(1))
        after, trace, _ = bank.learn(start, part, record)
        native = NativeBank(bank, start)
        found, restarted = native.learn(part, record)
        mine = native.phases()
        asked = {name: a if name != "rows" else a[:, 0] for name, a in part.u.items()}
        answered = native.preview(asked)
        expected = bank.preview_many(
            after, part._replace(z=np.full_like(part.z, np.nan), query=None)
        )
    assert not restarted
    assert set(found) == set(record)
    for name in record:
        np.testing.assert_allclose(found[name], trace[name], atol=1e-11, err_msg=name)
    np.testing.assert_allclose(answered, expected, atol=1e-11)
    for mine_of, theirs in zip(mine, after, strict=True):
        for name in ("w", "momentum", "mass"):
            leaves = zip(
                *(jax.tree.leaves(getattr(p, name)) for p in (mine_of, theirs)), strict=True
            )
            for a, b in leaves:
                np.testing.assert_allclose(a, b, atol=1e-11, err_msg=name)


def test_neither_cuts_nor_threads_change_a_bit(monkeypatch):
    bank = bank_for(OnlineSettings(hidden=(5,)), "classification", INPUTS, PLAIN, 3, STREAMS)
    rows = 2 * SMALL
    part, start = given("classification", 3, rows, np.float32), bank.init(jax.random.key(1))
    whole = NativeBank(bank, start)
    trace, _ = whole.learn(part, ("output", "input_slope"))
    for cores, cuts in ((1, (0, 1, SMALL, rows)), (2, (0, 7, 9, rows)), (8, (0, rows))):
        monkeypatch.setattr(module, "cores", lambda cores=cores: cores)
        other, found = NativeBank(bank, start), []
        for first, last in pairwise(cuts):
            piece = jax.tree.map(lambda a, f=first, s=last: a[f:s], part)
            found.append(other.learn(piece, ("output", "input_slope"))[0])
        for name in trace:
            assert (np.concatenate([f[name] for f in found]) == trace[name]).all()
        same = jax.tree.map(lambda a, b: bool((a == b).all()), other.phases(), whole.phases())
        assert all(jax.tree.leaves(same))


def test_an_expert_that_turns_infinite_begins_anew_and_no_other_does():
    bank = bank_for(OnlineSettings(hidden=(5,)), "classification", INPUTS, PLAIN, 3, STREAMS)
    part, start = given("classification", 3, dtype=np.float32), bank.init(jax.random.key(1))
    part.u["memory"][5] = 1e38  # an input that nobody would let through
    native, other = NativeBank(bank, start), NativeBank(bank, start)
    trace, restarted = native.learn(part, ("output",))
    assert restarted == [(5, "memory")]
    k = bank.names.index("memory")
    calm = part._replace(u=part.u | {"memory": np.zeros_like(part.u["memory"])})
    rest, _ = other.learn(calm, ("output",))
    others = [e for e in range(len(bank.names)) if e != k]
    assert (trace["output"][:, others] == rest["output"][:, others]).all()
    assert np.isfinite(trace["output"][6:]).all()
    fresh = NativeBank(bank, bank.init(jax.random.key(0)))
    after = fresh.learn(jax.tree.map(lambda a: a[6:], part), ("output",))[0]["output"]
    assert (after[:, k] == trace["output"][6:, k]).all()


def test_the_engine_is_ones_own_choice():
    said = {}
    for engine in ("auto", "native", "xla"):
        model = Online("regression", hidden=(3,), review=0, engine=engine)
        for k in range(5):
            model.learn_one({"a": float(k)}, 2.0 * k)
        said[engine] = model.predict_one({"a": 5.0})
    assert said["auto"] == said["native"]
    assert said["native"] == pytest.approx(said["xla"], rel=1e-4)
    model = Online("regression", hops=2, hidden=(3,), engine="native")
    with pytest.raises(ConfigError, match="native engine does not know 1 settle hops"):
        model.learn_one({"a": 1.0}, 1.0)
    with pytest.raises(ConfigError, match="engine is 'cuda'"):
        Online(engine="cuda")


def test_one_compiled_loop_learns_rows_however_they_lie():
    bank = bank_for(OnlineSettings(), "regression", INPUTS, PLAIN, 1, STREAMS)
    native = NativeBank(bank, bank.init(jax.random.key(0)))
    native.compile()
    before = set(learn.signatures)
    part = given("regression", 1, dtype=np.float32)
    apart = jax.tree.map(lambda a: np.repeat(a, 2, axis=0)[::2], part)
    outputs = [native.learn(p, ("output",))[0]["output"] for p in (part, apart)]
    assert all(np.isfinite(output).all() for output in outputs)
    assert set(learn.signatures) == before
