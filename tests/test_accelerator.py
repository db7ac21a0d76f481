"""On an accelerator the same stream gives the same learning."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from localprop import Cost, Hamiltonian, Layered, Learner, SquaredError

ACCELERATORS = [device for device in jax.devices() if device.platform != "cpu"]


@pytest.mark.skipif(not ACCELERATORS, reason="this machine has no accelerator that JAX can see")
def test_an_accelerator_learns_what_the_processor_learns():
    rng = np.random.default_rng(0)
    u = rng.normal(size=(200, 3))
    z = u[:, :1] * u[:, 1:2]
    learner = Learner(Layered.dense([3, 8, 1]), Cost(SquaredError()), Hamiltonian(mass=100.0))
    losses = []
    for device in (jax.devices("cpu")[0], ACCELERATORS[0]):
        with jax.default_device(device):
            _, trace = learner.run(learner.init(jax.random.key(0)), (u, z), record=("loss",))
        losses.append(trace["loss"])
    # float32 sums in another order, over 200 samples of 7 hops; no chaos at this mass.
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3, atol=1e-5)
