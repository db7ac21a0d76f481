"""A learner of a deep network as one of fewer, larger blocks, for the compiler."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from ..law import Adaptive, Constant, Growing, Hamiltonian, LeastAction, Phase
from ..network import Layered, SharedWeights, of_one_stream
from ..network.stacked import Stacked, equal_layers

Change = Callable[[Phase], Phase]


def compact(learner: Any, phase: Phase) -> tuple[Any, Phase, Change]:
    """Returns a learner and a phase in which equal layers that follow each other are one block,
    and what gives back a phase as it was laid out before.

    To be called once for many samples: it copies weights. Where layers differ, or where something
    of the user's own may look at them by name, both are returned as they are.
    """
    single = of_one_stream(learner.network)
    if not isinstance(single, Layered) or phase.trace is not None or not _is_blind(learner):
        return learner, phase, lambda phase: phase
    chains = equal_layers(single)
    if not chains:
        return learner, phase, lambda phase: phase
    stacked, streams = Stacked(single, chains), learner.network.streams
    network = stacked if streams is None else SharedWeights(stacked, streams)
    axis = 0 if streams is None else 1
    learner = eqx.tree_at(lambda given: given.network, learner, network)
    return (
        learner,
        _changed(phase, stacked.stack, axis),
        lambda p: _changed(p, stacked.unstack, axis),
    )


def _is_blind(learner: Any) -> bool:
    """Returns whether law and cost are known to treat all weights alike, whatever their names."""
    law, mass = learner.law, getattr(learner.law, "mass", None)
    if type(law) not in (Hamiltonian, LeastAction) or learner.cost.regulariser is not None:
        return False
    if type(mass) not in (Constant, Adaptive, Growing):
        return False
    return all(jax.tree.structure(n) == jax.tree.structure(0) for n in vars(mass).values())


def _changed(phase: Phase, change: Callable[..., Any], axis: int) -> Phase:
    """Returns the phase with what it has for every block laid out otherwise."""
    mass = None if phase.mass is None else change(phase.mass)
    average = phase.average
    if average is not None:
        average = dataclasses.replace(average, w=change(average.w))
    return dataclasses.replace(
        phase,
        x=change(phase.x, axis),
        costate=change(phase.costate, axis),
        w=change(phase.w),
        momentum=change(phase.momentum),
        mass=mass,
        average=average,
    )
