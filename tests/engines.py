"""Hops by either engine: the laws' equations are one, who computes them are two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from localprop import Cost, Learner
from localprop.law import AbstractLaw, Phase
from localprop.network import AbstractNetwork

on_both_engines = pytest.mark.parametrize("engine", ["xla", "native"])


def hopper(
    engine: str, network: AbstractNetwork, cost: Cost, law: AbstractLaw, tau: float, held: int = 0
) -> Learner:
    """A learner whose samples last `held` settle hops and one hop, each as long as `tau`."""
    hops = held + 1
    return Learner(network, cost, law, hops=hops, settle=held, duration=tau * hops, engine=engine)


def hop(learner: Learner, phase: Phase, u: Any, z: Any) -> Phase:
    """Returns the phase after one sample."""
    return learner.run(phase, (np.asarray(u)[None], np.asarray(z)[None]), record=())[0]
