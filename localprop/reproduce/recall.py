"""A sign that is asked for many steps later: the task of delayed recall, and who learns it."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from ..cost import Cost, Loss
from ..law import Adaptive, Hamiltonian, Phase, Traces
from ..learner import Learner, Samples
from ..network import Digraph

NEURONS, STREAMS = 28, 16
HOPS = 5  # twice the depth from input to readout, and one in which weights move
GAIN = 5.0  # of the two input weights of a neuron, drawn as if they were two among 30
# Measured on seeds 0 to 2 at a delay of 100; the same for every delay and every kind of costate.
MASS, DISSIPATION = Adaptive(rate=1e-3, decay=1e-4, floor=1e-3), 0.5
HIDDEN = [f"h{k}" for k in range(NEURONS)]


def trials(rng: np.random.Generator, delay: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs `(trials, steps, streams, 2)` and answers `(trials, streams)`.

    A trial shows a sign, marked by the second input, then `delay` random signs that mean nothing.
    """
    u = np.zeros((number, delay + 1, STREAMS, 2), np.float32)
    u[..., 0] = rng.choice([-1.0, 1.0], u.shape[:3])
    u[:, 0, :, 1] = 1.0
    return u, u[:, 0, :, 0].copy()


def network(delay: int, frozen: bool = False) -> Digraph:
    """Returns the digraph: two inputs, recurrent neurons of unlike speeds, a readout.

    **Arguments:** `frozen`: whether all but the readout stays as it is drawn.
    """
    into = [(i, h) for i in ("sign", "mark", *HIDDEN) for h in HIDDEN]
    lasting = np.geomspace(1.0, 2.0 * delay, NEURONS) * HOPS  # a step lasts for all its hops
    biases = [("1", h) for h in HIDDEN]
    return Digraph.from_edges(
        [*into, *((h, "answer") for h in HIDDEN)],
        inputs=["sign", "mark"],
        outputs=["answer"],
        activation={"answer": "identity"},
        speed=dict(zip(HIDDEN, 1 / lasting, strict=True)),
        fixed=dict.fromkeys([*into, *biases]) if frozen else None,
        storage="dense",
    )


def drawn(phase: Phase) -> Phase:
    """Returns the phase with larger input weights."""
    return eqx.tree_at(lambda p: p.w, phase, phase.w.at[:, :2].multiply(GAIN))


def learner(net: Digraph, loss: Loss, traces: Traces | None) -> Learner:
    """Returns who learns it by the law, told the answer at the last step of a trial."""
    law = Hamiltonian(mass=MASS, dissipation=DISSIPATION, traces=traces)
    more: dict[str, Any] = {"streams": STREAMS, "clock": "sample"}
    return Learner(net, Cost(loss), law, hops=HOPS, settle=HOPS - 1, **more)


def stream(u: np.ndarray, sign: np.ndarray) -> Samples:
    """Returns trials one after the other, each of which begins anew."""
    number, steps = u.shape[:2]
    z = np.full((number, steps, STREAMS, 1), np.nan, np.float32)
    z[:, -1, :, 0] = sign
    begins = np.zeros((number, steps, STREAMS))
    begins[:, 0] = 1.0
    flat = [a.reshape(number * steps, *a.shape[2:]) for a in (u, z, begins)]
    return Samples(flat[0], flat[1], begins=flat[2])


def right(outputs: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Returns which answers, the outputs at the last steps, have the sign, `(trials, streams)`."""
    return np.sign(outputs.reshape(len(sign), -1, STREAMS)[:, -1]) == sign
