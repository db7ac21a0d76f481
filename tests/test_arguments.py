"""Arguments of the wrong kind: one line that says what to give, without anybody checking types.

The calls run as a user's program does, in a process in which annotations are not enforced.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

BEGIN = """
import io, json, sys, traceback
import jax, jax.numpy as jnp, numpy as np
from localprop import *
from localprop.online.learn import learn
from localprop.online.settings import Settings

network, cost = Digraph.complete(3, 2), Cost(SquaredError())
learner = Learner(network, cost)
start = learner.init(jax.random.key(0))
u, z = np.ones((5, 2)), np.zeros((5, 1))
blocks = Learner(Layered.dense([2, 3, 1]), cost)
shared = Learner(network, cost, streams=3)
model = Online()
settings = Settings("y")
masked = np.ma.array(u, mask=u > 5)
masked[3, 1] = np.ma.masked
"""

STREAM = "StreamError"
CONFIG = "ConfigError"
CALLS = {
    # Learner
    "chunk below zero": ("learner.run(start, (u, z), chunk=-1)", CONFIG, "chunk is -1"),
    "chunk zero": ("learner.run(start, (u, z), chunk=0)", CONFIG, "chunk is 0"),
    "chunk a float": ("learner.run(start, (u, z), chunk=2.0)", CONFIG, "chunk is 2.0"),
    "chunk a truth": ("learner.run(start, (u, z), chunk=True)", CONFIG, "chunk is True"),
    "record a text": ("learner.run(start, (u, z), record='loss')", CONFIG, "('loss',)"),
    "record unknown": ("learner.advance(start, (u, z), ('los',))", CONFIG, "no record 'los'"),
    "no query": ("learner.run(start, (u, z), ('answer',))", CONFIG, "needs queries"),
    "capacity too small": ("learner.advance(start, (u, z), capacity=3)", CONFIG, "capacity is 3"),
    "hops a float": ("Learner(network, cost, hops=2.5)", CONFIG, "hops is 2.5"),
    "hops a text": ("Learner(network, cost, hops='many')", CONFIG, "hops is 'many'"),
    "settle a float": ("Learner(network, cost, settle=1.5)", CONFIG, "settle is 1.5"),
    "streams a float": ("Learner(network, cost, streams=2.5)", CONFIG, "streams is 2.5"),
    "duration a text": ("Learner(network, cost, duration='1')", CONFIG, "duration is '1'"),
    "average a text": ("Learner(network, cost, average='1')", CONFIG, "average is '1'"),
    "average below one": ("Learner(network, cost, average=0.9)", CONFIG, "give 1 or more"),
    "review a float": ("Learner(network, cost, review=2.5)", CONFIG, "review is 2.5"),
    "no stream": ("learner.run(start, 5)", STREAM, "a stream is (u, z)"),
    "an array as a stream": ("learner.run(start, u)", STREAM, "a stream is (u, z)"),
    "one part": ("learner.run(start, (u,))", STREAM, "not 1 parts"),
    "no targets": ("learner.run(start, (u, None))", STREAM, "give NaN"),
    "ragged inputs": ("learner.run(start, ([[1, 2], [3]], z))", STREAM, "u is ragged"),
    "ragged targets": ("learner.run(start, (u, [[1], [2, 3]]))", STREAM, "z is ragged"),
    "text": ("learner.run(start, ([['1', '2']], [[1]]))", STREAM, "u cannot be read as numbers"),
    "objects": ("learner.run(start, ([[{}, 2]], [[1]]))", STREAM, "u cannot be read as numbers"),
    "times": ("learner.run(start, (u.astype('M8[s]'), z))", STREAM, "u cannot be read"),
    "too large for float32": ("learner.run(start, (1e300 * u, z))", STREAM, "u of sample 0"),
    "complex inputs": ("learner.run(start, (u + 1j, z))", STREAM, "u holds complex numbers"),
    "complex targets": ("learner.run(start, (u, z + 0j))", STREAM, "z holds complex numbers"),
    "complex lists": ("learner.run(start, ([[1j, 1]], [[1]]))", STREAM, "u holds complex numbers"),
    "complex step": ("learner.step(start, u[0], z[0] + 1j)", STREAM, "z holds complex numbers"),
    "complex to predict": ("learner.predict(start, u[0] + 1j)", STREAM, "u holds complex numbers"),
    "masked inputs": ("learner.run(start, (masked, z))", STREAM, "u has masked values"),
    "masked rows": ("learner.run(start, (list(masked), z))", STREAM, "u has masked values"),
    "masked durations": (
        "learner.run(start, (u, z, masked[:, 1]))", STREAM, "duration has masked values",
    ),
    "durations of two axes": (
        "learner.run(start, (u, z, np.ones((5, 1))))", STREAM, "duration has shape (5, 1)",
    ),
    "one duration for all": ("learner.run(start, (u, z, 1.0))", STREAM, "duration has shape ()"),
    "durations not finite": (
        "learner.run(start, (u, z, [1, 1, np.nan, 1, 1]))", STREAM, "duration of sample 2",
    ),
    "duration not finite": ("learner.step(start, u[0], z[0], np.inf)", STREAM, "duration of sam"),
    "durations of a step": ("learner.step(start, u[0], z[0], [1, 2])", STREAM, "duration has sha"),
    "part not finite": ("learner.advance(start, (u, z, -u[:, 0]))", STREAM, "duration of sample 0"),
    "too many inputs": ("learner.run(start, (np.ones((5, 3)), z))", STREAM, "2 inputs"),
    "inputs without rows": ("learner.run(start, (u[0], z))", STREAM, "2 rows of u|5 rows of z"),
    "inputs of a step": ("learner.step(start, u, z)", STREAM, "2 inputs"),
    "many rows to predict one": ("learner.predict(start, u)", STREAM, "2 inputs"),
    "one row to predict many": ("learner.predict_many(start, u[0])", STREAM, "2 inputs"),
    "nothing to predict": ("learner.predict_many(start, 5)", STREAM, "one row per sample"),
    "not finite to predict": ("learner.predict(start, [1, np.nan])", STREAM, "u of sample 0"),
    "inputs of a block": ("blocks.predict(blocks.init(jax.random.key(0)), u)", STREAM, "has shape"),
    "streams without their axis": (
        "shared.run(shared.init(jax.random.key(0)), (u, z))", STREAM, "3 streams",
    ),
    "targets without their axis": (
        "shared.run(shared.init(jax.random.key(0)), (np.ones((5, 3, 2)), z))", STREAM, "3 streams",
    ),
    "no phase": ("learner.run(None, (u, z))", CONFIG, "the phase is None"),
    "nothing to go on from": ("learner.predict({}, u[0])", CONFIG, "the phase is {}"),
    "a phase of another size": (
        "learner.run(Learner(Digraph.complete(4, 2), cost).init(jax.random.key(0)), (u, z))",
        CONFIG, "x is float32[4], and should be float32[3]",
    ),
    "a phase of blocks": (
        "learner.run(blocks.init(jax.random.key(0)), (u, z))", CONFIG, "does not fit",
    ),
    "a phase of another law": (
        "learner.step(Hamiltonian().init(network, cost, jax.random.key(0)), u[0], z[0])",
        CONFIG, "mass is not there",
    ),
    "a phase of several streams": (
        "learner.predict(shared.init(jax.random.key(0)), u[0])", CONFIG, "x is float32[3, 3]",
    ),
    "a phase of another precision": (
        "jax.config.update('jax_enable_x64', True)\n"
        "try: learner.run(start, (u, z))\n"
        "finally: jax.config.update('jax_enable_x64', False)",
        CONFIG, "float32[3], and should be float64[3]",
    ),
    "learning under vmap": (
        "jax.vmap(lambda u: learner.run(start, (u[None], z[:1]))[0])(u)",
        CONFIG, "cannot be traced",
    ),
    "learning from a traced phase": (
        "jax.jit(lambda p: learner.run(p, (u, z))[0])(start)", CONFIG, "cannot be traced",
    ),
    "a traced learner's phase of another law": (
        "jax.jit(lambda r: Learner(network, cost, Hamiltonian(mass=Adaptive(rate=r))).predict("
        "Hamiltonian().init(network, cost, jax.random.key(0)), u[0]))(0.1)",
        CONFIG, "mass is not there",
    ),
    # Online and tables
    "hidden a number": ("Online(hidden=5)", CONFIG, "hidden is 5; give a sequence"),
    "hidden a text": ("Online(hidden='64,64')", CONFIG, "hidden is '64,64'"),
    "hidden floats": ("Online(hidden=(64.5,))", CONFIG, "hidden[0] is 64.5"),
    "hidden truths": ("Online(hidden=(True,))", CONFIG, "hidden[0] is True"),
    "seed a float": ("Online(seed=0.5)", CONFIG, "seed is 0.5"),
    "seed a truth": ("Online(seed=True)", CONFIG, "seed is True"),
    "horizon a float": ("Online(horizon=2.5)", CONFIG, "horizon is 2.5"),
    "hops of a model": ("Online(hops=2.5)", CONFIG, "hops is 2.5"),
    "hops a list": ("Online(hops=[3])", CONFIG, "hops is [3]"),
    "time a number": ("Online(time=3)", CONFIG, "time is 3"),
    "law a number": ("Online(law=1)", CONFIG, "law is '1'"),
    "text one name": ("Settings('y', text='ab')", CONFIG, "text is 'ab'; give a sequence"),
    "text a number": ("Settings('y', text=[1])", CONFIG, "text[0] is 1"),
    "types one text": ("Settings('y', types='a=text')", CONFIG, "types is 'a=text'"),
    "types no pairs": ("Settings('y', types=['ab'])", CONFIG, "types has 'ab'"),
    "hidden of a table": ("Settings('y', hidden=5)", CONFIG, "hidden is 5"),
    "target a number": ("Settings(5)", CONFIG, "target is 5"),
    "decide_after a float": ("Settings('y', decide_after=9.5)", CONFIG, "decide_after is 9.5"),
    "limit a float": ("learn('a.csv', settings, limit=2.5)", CONFIG, "limit is 2.5"),
    "limit a truth": ("learn('a.csv', settings, limit=True)", CONFIG, "limit is True"),
    "every a float": ("learn('a.csv', settings, every=0.5)", CONFIG, "every is 0.5"),
    "settings a text": ("learn('a.csv', 'y')", CONFIG, "settings is 'y'"),
    "a file object": ("learn(io.StringIO('y\\n1\\n'), settings)", CONFIG, "give the path"),
    "checkpoint a number": ("learn('a.csv', settings, checkpoint=5)", CONFIG, "checkpoint is 5"),
    "predictions a number": ("learn('a.csv', settings, predictions=5)", CONFIG, "predictions is 5"),
    "complex rows": ("model.learn_many(u + 1j, [1] * 5)", STREAM, "complex128"),
    "complex values": ("model.learn_one({'a': 1j}, 1)", STREAM, "not complex"),
    "complex classes": ("model.learn_one({'a': 1}, 1j)", STREAM, "not complex"),
    "ragged rows": ("model.learn_many([[1, 2], [3]], [1, 2])", STREAM, "rows are ragged"),
    "rows of numbers": ("model.predict_many([1, 2])", STREAM, "a row is a mapping"),
}  # fmt: skip

END = """
found = {}
for name, call in json.load(sys.stdin).items():
    try:
        exec(call)
        found[name] = ["nothing", ""]
    except Exception as error:
        found[name] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def outcomes():
    """What every call raised."""
    calls = json.dumps({name: call for name, (call, *_) in CALLS.items()})
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + END],
        input=calls,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_argument_ends_in_one_line_that_says_what_to_give(name, outcomes):
    _, kind, words = CALLS[name]
    raised, message = outcomes[name]
    assert raised == kind, message
    assert any(part in message for part in words.split("|")), message
    assert "\n" not in message
