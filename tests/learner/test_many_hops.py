"""Many hops are a loop: a program that does not grow with them, and the same numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import Adaptive, Cost, Hamiltonian, Layered, Learner, LeastAction, SquaredError
from localprop.learner import learner as module
from localprop.learner.loop import UNROLLED
from localprop.learner.samples import Samples

LAWS = {
    "hamiltonian": Hamiltonian(mass=Adaptive(0.003), dissipation=0.5),
    "least action": LeastAction(),
}
SAMPLE = Samples(jnp.array([0.3, -0.2]), jnp.array([0.7]))


def build(law, hops, **settings):
    return Learner(Layered.dense([2, 4, 1]), Cost(SquaredError()), LAWS[law], hops=hops, **settings)


def program(learner) -> list[str]:
    """The instructions of what is compiled for a sample, one a line."""
    present = jax.jit(lambda phase: learner.present(phase, SAMPLE))
    return present.lower(learner.init(jax.random.key(0))).as_text().splitlines()


def loops(program: list[str]) -> int:
    return sum("stablehlo.while" in line for line in program)


@pytest.mark.parametrize("law", LAWS)
def test_beyond_a_few_hops_the_program_does_not_grow_with_them(law):
    written_out, few, many = (program(build(law, k)) for k in (UNROLLED, UNROLLED + 10, 1000))
    assert len(few) == len(many)
    assert loops(few) == loops(many) > loops(written_out) == 0
    assert sum("call @" in line for line in written_out) >= UNROLLED


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("settle", ["auto", 0, 1, 25, 29])
@pytest.mark.usefixtures("x64")
def test_a_loop_gives_the_numbers_of_hops_written_out(law, settle, monkeypatch):
    learner = build(law, 30, settle=settle)
    phase = learner.init(jax.random.key(1))
    looped = learner.present(phase, SAMPLE), learner.preview(phase, SAMPLE)
    monkeypatch.setattr(module, "UNROLLED", 30)
    written = learner.present(phase, SAMPLE), learner.preview(phase, SAMPLE)
    assert int(looped[0][0].hop) == 30
    for a, b in zip(jax.tree.leaves(looped), jax.tree.leaves(written), strict=True):
        # Thirty hops of numbers of order 1 in float64, rounded in another order.
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_a_deep_network_answers_through_a_loop():
    deep = Layered.dense([2] + 40 * [3] + [1])
    learner = Learner(deep, Cost(SquaredError()), hops=1)
    phase = learner.init(jax.random.key(0))
    x = SAMPLE.u
    for name in deep.wiring:  # forward, block after block
        block = phase.w[name]
        x = block.weight @ x + block.bias
        x = jnp.tanh(x) if name != "output" else x
    np.testing.assert_allclose(learner.predict(phase, SAMPLE.u), x, rtol=1e-5, atol=1e-7)
