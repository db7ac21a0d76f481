"""Many hops are a loop: a program that does not grow with them, and the same numbers."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Adaptive,
    Cost,
    Digraph,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    SquaredError,
)
from localprop.learner import loop
from localprop.learner.loop import write_out
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
@pytest.mark.parametrize("settle", ["auto", 0, 8])
def test_beyond_a_few_hops_the_program_does_not_grow_with_them(law, settle):
    some, many = (program(build(law, k, settle=settle)) for k in (30, 1000))
    assert len(some) == len(many)
    assert loops(some) == loops(many) > 0


@pytest.mark.parametrize("law", LAWS)
def test_a_few_hops_are_written_out(law):
    few = program(build(law, 4, settle=0))
    assert loops(few) == 0
    assert sum("call @" in line for line in few) >= 4


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("settle", ["auto", 0, 1, 25, 29])
@pytest.mark.usefixtures("x64")
def test_a_loop_gives_the_numbers_of_hops_written_out(law, settle):
    learner = build(law, 30, settle=settle)
    phase = learner.init(jax.random.key(1))
    looped = learner.present(phase, SAMPLE)
    written = learner.present(phase, SAMPLE, write_out)
    assert int(looped[0].hop) == 30
    for a, b in zip(jax.tree.leaves(looped), jax.tree.leaves(written), strict=True):
        # Thirty hops of numbers of order 1 in float64, rounded in another order.
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(learner.preview(phase, SAMPLE), written[1], rtol=1e-12, atol=1e-13)


def test_a_loop_of_hops_writes_weights_where_they_were():
    """No array as large as the weights is copied in a hop: a loop's weights are its own."""
    network, law = Digraph.complete(64, 2), LAWS["hamiltonian"]
    learner = Learner(network, Cost(SquaredError()), law, hops=16, settle=0)
    hop = learner._stepper(Samples(jnp.ones(2), jnp.ones(1)))(15)
    run = jax.jit(lambda phase: loop.repeat(hop, phase, 16), donate_argnums=0)
    compiled = run.lower(learner.init(jax.random.key(0))).compile().as_text()
    copies = [line for line in compiled.splitlines() if "= f32[64,67]{1,0} copy(" in line]
    assert copies == []


def test_weights_hold_still_where_an_error_is_no_number():
    learner = build("hamiltonian", 9, settle=0)
    phase, _ = learner.present(learner.init(jax.random.key(0)), SAMPLE)
    lost = eqx.tree_at(lambda p: p.costate["output"], phase, jnp.array([jnp.nan]))
    after = loop.repeat(learner._stepper(SAMPLE)(8), lost, 1)
    for old, new in zip(jax.tree.leaves(phase.w), jax.tree.leaves(after.w), strict=True):
        np.testing.assert_array_equal(old, new)


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
