"""Hops by either engine: the laws' equations are one, who computes them are two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from localprop import Cost, Learner
from localprop.law import AbstractLaw, Phase
from localprop.network import AbstractNetwork

on_both_engines = pytest.mark.parametrize("engine", ["xla", "native"])


def on_engines(cases: Iterable[str], *of_xla: str) -> pytest.MarkDecorator:
    """Gives a test the `name` of each case, and the `engine`: both, but for cases of XLA alone."""
    pairs = ((name, engine) for name in cases for engine in ("xla", "native"))
    known = [(name, engine) for name, engine in pairs if engine == "xla" or name not in of_xla]
    return pytest.mark.parametrize(("name", "engine"), known)


def hopper(
    engine: str, network: AbstractNetwork, cost: Cost, law: AbstractLaw, tau: float, held: int = 0
) -> Learner:
    """A learner whose samples last `held` settle hops and one hop, each as long as `tau`."""
    hops = held + 1
    return Learner(network, cost, law, hops=hops, settle=held, duration=tau * hops, engine=engine)


def hop(learner: Learner, phase: Phase, u: Any, z: Any) -> Phase:
    """Returns the phase after one sample."""
    return learner.run(phase, (np.asarray(u)[None], np.asarray(z)[None]), record=())[0]
