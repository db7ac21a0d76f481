"""What the fused loop needs to know of a learner, or why it cannot learn like it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..cost import Huber, SoftmaxCrossEntropy, SquaredError
from ..law import (
    Adaptive,
    Cauchy,
    Constant,
    CostateReversal,
    ExplicitEuler,
    ExponentialEuler,
    FastCostates,
    Growing,
    Hamiltonian,
    HamiltonianTrack,
    Inertial,
    LeastAction,
    Overdamped,
    SemiImplicitEuler,
    SignFlip,
)
from ..network import ACTIVATIONS, Digraph, of_one_stream
from ..network.arcs import SparseArcs
from .codes import ADAPTIVE, CONSTANT, CROSS_ENTROPY, GROWING, HUBER, SQUARED
from .places import HAMILTONIAN, INSTANTANEOUS, NONE, REVERSED

CODES = {activation: code for code, activation in enumerate(ACTIVATIONS.values())}

# Rows go to threads in parts, and what the parts send back is added up in their order: how many
# there are hangs on the network and its streams alone, so that no result hangs on how many threads.
# What a part sends back of several streams is much beside small weights, and goes from core to
# core: where there are more than two parts, each has sixteen rows for a stream.
PARTS, FEW_PARTS, ROWS_FOR_STREAM = 8, 2, 16
# Weights from which on it is worth it; of several streams, that many times as much work.
DENSE_FROM, SPARSE_FROM, WORK_FROM = 1 << 18, 1 << 20, 4


class Unknown(Exception):
    """What the fused loop does not know; the message names it."""


class Plan(NamedTuple):
    """A learner as numbers.

    **Fields:** `ints`, `floats`: settings, by name; `shapes`: of a phase and of samples; arrays of
    the network, as the loop takes them; of `arcs`, bit by bit, whether each is there, moves, and
    carries errors; `frequencies`: of neurons that oscillate; `learned`: of speeds.
    """

    dtype: np.dtype
    ints: dict[str, int]
    floats: dict[str, float]
    shapes: dict[str, tuple[int, ...]]
    speeds: np.ndarray
    acts: np.ndarray
    outputs: np.ndarray
    arcs: np.ndarray
    starts: np.ndarray | None
    tails: np.ndarray | None
    longest: int
    depth: int
    frequencies: np.ndarray | None
    learned: tuple[str, ...]


def plan_of(learner: Any) -> Plan:
    """Returns a learner's plan in the precision in which JAX computes.

    **Raises:** `Unknown`, naming what the loop does not know.
    """
    ints = {"hops": learner.hops, "settle_hops": learner.settle, "traces": NONE}
    floats = {"duration": learner.duration}
    if learner.review is not None:
        raise Unknown("samples that are seen again (review=...)")
    ints["by_sample"] = int(learner.clock == "sample")
    ints["average"] = int(learner.average is not None)
    floats["over"] = 0.0 if learner.average is None else plain_number(learner.average, "average")
    streams = learner.network.streams
    digraph = _digraph(of_one_stream(learner.network))
    ints["streams"] = 1 if streams is None else streams
    plan_cost(learner.cost, ints, floats)
    if type(learner.law) is Hamiltonian:
        _hamiltonian(learner.law, digraph["speeds"], ints, floats)
    elif type(learner.law) is LeastAction:
        plan_least_action(learner.law, ints, floats)
    else:
        raise Unknown(f"the law {type(learner.law).__name__}")
    ints["blind"] = min(learner.hops, learner.law.blind_hops(learner.settle))
    ints |= digraph["ints"]
    weights = digraph["weights"]
    dense, work = len(weights) == 2, math.prod(weights)
    enough = DENSE_FROM if dense else SPARSE_FROM
    ints["parts"] = 1
    if work >= enough:
        parts = PARTS if dense else FEW_PARTS
        if ints["streams"] > 1:
            parts = min(parts, ints["neurons"] // (ROWS_FOR_STREAM * ints["streams"]))
        ints["parts"] = min(max(parts, FEW_PARTS), ints["neurons"])
    elif work * ints["streams"] >= WORK_FROM * enough:
        ints["parts"] = min(FEW_PARTS, ints["neurons"])
    lead = () if streams is None else (streams,)
    pair = () if digraph["frequencies"] is None else (2,)
    learned = digraph["learned"]
    if learned and not ints["traces"]:
        raise Unknown("speeds that are learned, where none is finite or there are no traces")
    shapes = {
        "x": (*lead, *pair, ints["neurons"]),
        "trace": (*lead, *pair, *weights),
        "w": weights,
        "u": (*lead, ints["inputs"]),
        "z": (*lead, len(digraph["outputs"])),
        "streams": lead,
        "time": (),
    }
    return Plan(
        np.dtype(jnp.result_type(float)), ints, floats, shapes, digraph["speeds"], digraph["acts"],
        digraph["outputs"], digraph["arcs"], digraph["starts"], digraph["tails"],
        digraph["longest"], learner.network.depth, digraph["frequencies"], learned,
    )  # fmt: skip


def shares(plan: Plan) -> bool:
    """Returns whether there are several streams, and what they share is plain.

    That is: weights under the Hamiltonian law, without traces; in dense rows every arc is there,
    learns, and carries errors.
    """
    ints = plan.ints
    plain = ints["law"] == HAMILTONIAN and ints["traces"] == NONE and plan.frequencies is None
    return ints["streams"] > 1 and plain and (plan.tails is not None or plan.arcs.size == 0)


def _digraph(network: Any) -> dict[str, Any]:
    if type(network) is not Digraph:
        raise Unknown(f"a network of type {type(network).__name__}")
    codes = {activation: code_of(activation) for activation in set(network.activations)}
    acts = np.array([codes[a] for a in network.activations], np.int64)
    arcs, n = network.arcs, network.arcs.neurons
    speeds = np.broadcast_to(np.asarray(network.speed, np.float64), n).copy()
    sources = int(arcs.sources)
    here = network.inputs + int(network.bias)
    found: dict[str, Any] = {
        "speeds": speeds,
        "acts": acts,
        "outputs": np.asarray(network.outputs, np.int64),
        "ints": {
            "neurons": n, "sources": sources, "inputs": network.inputs,
            "instant": int(np.isinf(speeds).all() and network.frequency is None), "here": here,
        },
        "frequencies": None,
        "learned": network.learned or (),
    }  # fmt: skip
    if network.frequency is not None:
        turns = np.asarray(network.frequency, np.float64)
        found["frequencies"] = np.broadcast_to(turns, n).copy()
    free = network.plastic["arcs"] if network.learned else network.plastic
    free = None if free is None or free is True else np.asarray(free, bool)
    if not isinstance(arcs, SparseArcs):
        known = getattr(arcs, "mask", None)
        shape, starts, tails, longest = (n, sources), None, None, sources
    else:
        known, starts = None, np.searchsorted(arcs.heads, np.arange(n + 1)).astype(np.int64)
        shape, tails = (len(arcs.tails),), np.ascontiguousarray(arcs.tails, np.int32)
        longest = int(np.diff(starts).max(initial=1))
    code = np.zeros((1, 0) if len(shape) == 2 else 0, np.uint8)
    if known is not None or free is not None or network.silent is not None:
        there = np.ones(shape, np.uint8) if known is None else known.astype(np.uint8)
        moves = np.ones(shape, np.uint8) if free is None else free.astype(np.uint8)
        silent = False if network.silent is None else np.asarray(network.silent, bool)
        code = np.ascontiguousarray(there + 2 * moves + 4 * np.where(silent, 0, there))
        code = code.astype(np.uint8)
    return found | {
        "arcs": code, "starts": starts, "tails": tails, "longest": longest, "weights": shape
    }  # fmt: skip


def code_of(activation: Any) -> int:
    """Returns the number by which the loops know an activation.

    **Raises:** `Unknown`.
    """
    if (code := CODES.get(activation)) is None:
        name = getattr(activation, "__name__", type(activation).__name__)
        raise Unknown(f"the activation {name}, a callable of your own")
    return code


def plan_cost(cost: Any, ints: dict[str, int], floats: dict[str, float]) -> None:
    """Adds what a cost is.

    **Raises:** `Unknown`.
    """
    kinds = {
        SquaredError: (SQUARED, "scale"),
        Huber: (HUBER, "delta"),
        SoftmaxCrossEntropy: (CROSS_ENTROPY, "smoothing"),
    }
    if type(cost.loss) not in kinds:
        raise Unknown(f"the loss {getattr(cost.loss, '__name__', type(cost.loss).__name__)}")
    if cost.regulariser is not None:
        raise Unknown("a regulariser of your own")
    if cost.weight is not None:
        raise Unknown("a cost that has a weight before its samples do")
    ints["loss"], setting = kinds[type(cost.loss)]
    floats["loss_setting"] = float(getattr(cost.loss, setting))
    floats["weight_decay"] = plain_number(cost.weight_decay, "weight_decay")


def _hamiltonian(
    law: Hamiltonian, speeds: np.ndarray, ints: dict[str, int], floats: dict[str, float]
) -> None:
    if law.traces is not None and np.isfinite(speeds).any():  # else there are none
        ints["traces"] = INSTANTANEOUS if law.traces.instantaneous else REVERSED
    if type(law.integrator) not in (ExponentialEuler, ExplicitEuler):
        raise Unknown(f"the integrator {type(law.integrator).__name__}")
    ints["law"], ints["exponential"] = 0, int(type(law.integrator) is ExponentialEuler)
    if np.isinf(speeds).any() and not (ints["exponential"] and law.policy.relaxes()):
        raise Unknown("infinite speeds under these equations")
    ints["implicit"] = int(law.weights == "semi-implicit")
    policy, signs = law.policy, (1.0, 1.0)
    ints["policy"], ints["period"] = 0, 1
    if type(policy) is CostateReversal:
        signs = (1.0, -1.0)
    elif type(policy) is FastCostates:
        signs = (1.0, -plain_number(policy.gain, "gain"))
        plain_number(policy.horizon, "horizon")
    elif type(policy) is SignFlip and policy.omega is None:
        ints["policy"], ints["period"] = 1, int(policy.period or 1)
    elif type(policy) is SignFlip:
        ints["policy"], floats["omega"] = 2, plain_number(policy.omega, "omega")
    elif type(policy) is HamiltonianTrack and policy.predicate is None:
        ints["policy"] = 3
        floats["radius"] = plain_number(policy.radius, "radius")
        floats["speed"] = plain_number(policy.speed, "speed")
    elif type(policy) is not Cauchy:
        raise Unknown(f"the policy {type(policy).__name__} with a predicate of your own")
    floats["x_sign"], floats["costate_sign"] = signs
    theta = plain_number(law.dissipation, "dissipation")
    floats["friction"] = floats["costate_friction"] = float(policy.friction(theta))
    plan_mass(law.mass, ints, floats)


def plan_least_action(law: LeastAction, ints: dict[str, int], floats: dict[str, float]) -> None:
    """Adds what the law of least action is.

    **Raises:** `Unknown`.
    """
    if type(law.motion) is not SemiImplicitEuler:
        raise Unknown(f"the motion {type(law.motion).__name__}")
    ints["law"], ints["exponential"], ints["implicit"] = 1, 1, 1
    ints["policy"], ints["period"] = 0, 1
    floats["x_sign"], floats["costate_sign"] = 1.0, -1.0
    floats["stiffness"] = plain_number(law.stiffness, "stiffness")
    floats["friction"] = plain_number(law.dissipation, "dissipation")
    neurons = law.neurons
    if type(neurons) is Inertial:
        ints["inertial"] = 1
        floats["neuron_mass"] = plain_number(neurons.mass, "mass")
        floats["neuron_friction"] = plain_number(neurons.dissipation, "dissipation")
    elif type(neurons) is Overdamped:
        floats["neuron_speed"] = plain_number(neurons.speed, "speed")
    else:
        raise Unknown(f"neurons of type {type(neurons).__name__}")
    plan_mass(law.mass, ints, floats)


def plan_mass(mass: Any, ints: dict[str, int], floats: dict[str, float]) -> None:
    """Adds what a mass is.

    **Raises:** `Unknown`.
    """
    if type(mass) is Constant:
        ints["mass"], floats["m"] = CONSTANT, plain_number(mass.m, "mass")
    elif type(mass) is Adaptive:
        ints["mass"], floats["rate"] = ADAPTIVE, plain_number(mass.rate, "rate")
        floats["decay"] = plain_number(mass.decay, "decay")
        floats["floor"] = plain_number(mass.floor, "floor")
    elif type(mass) is Growing:
        ints["mass"], floats["rate"] = GROWING, plain_number(mass.rate, "rate")
        floats["floor"] = 1 / plain_number(mass.scale, "scale")
    else:
        raise Unknown(f"the mass {type(mass).__name__}")


def plain_number(value: Any, name: str) -> float:
    """Returns one number that is known now."""
    if isinstance(value, Tracer) or np.ndim(value) > 0:
        raise Unknown(f"a {name} that is an array, or traced")
    return float(value)
