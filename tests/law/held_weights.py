"""Forces on weights that are held over a sequence, to be compared with gradients through time."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np

from localprop import Cost, Hamiltonian, Learner, Samples, SquaredError, Traces

STEPS, INPUTS, OUTPUTS = 20, 3, 2
STILL = 1e30  # a mass that no force moves


def sequence(seed=0, shape=(INPUTS,)):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0, 2, STEPS) * (rng.random(STEPS) < 0.6)  # no loss at some steps
    u, z = rng.normal(size=(STEPS, *shape)), rng.normal(size=(STEPS, OUTPUTS))
    return Samples(u, z, weight=weight)


def accumulated(network, stream, traces=Traces(), shift=(), **more):  # noqa: B008 (immutable)
    """The weights, and the sum of the forces of a sequence in which they are held: minus the
    momentum.

    `shift`: changes some of the weights of the beginning, so that learned speeds have moved.
    """
    law = Hamiltonian(mass=STILL, traces=traces)
    learner = Learner(network, Cost(SquaredError()), law, clock="sample", **more)
    assert learner.hops - learner.settle == 3  # hops that move weights, each by the same force
    phase = learner.init(jax.random.key(0))
    for where, value in shift:
        phase = eqx.tree_at(where, phase, value)
    after, _ = learner.run(phase, stream)
    pushes = 3 * learner.duration / learner.hops
    return phase.w, jax.tree.map(lambda p: -p / pushes, after.momentum)
