"""What a law hears by other ways than its digraph's arcs: weight transport, one sign for all."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..cost import Cost
from ..law import AbstractLaw, Cauchy, Hamiltonian, Phase
from ..law.policy import AbstractPolicy
from ..network import AbstractNetwork
from .dependence import NONLINEAR
from .rules import Rules
from .step import Step, in_a_row
from .wiring import Wiring

TAU = 0.125  # of the hop that is looked at; its value does not matter


def hop_step(
    network: AbstractNetwork, cost: Cost, law: AbstractLaw, wires: Wiring, settle: bool = False
) -> Step:
    """Returns one hop as a step, with moving weights or as a settle hop."""
    phase = jax.eval_shape(lambda key: law.init(network, cost, key), jax.random.key(0))
    move = law.settle if settle else law.hop
    return Step(lambda p, u, z: move(network, cost, p, u, z, TAU), wires, phase)


def transported(
    network: AbstractNetwork, cost: Cost, law: AbstractLaw, wires: Wiring
) -> tuple[tuple[str, str], ...]:
    """Returns the pairs of a vertex' quantity and a child's weight that it reads: weight transport.

    In $(D_x^\\top\\lambda)_i = \\sum_k w_{ki}\\sigma'(a_k)\\lambda_k$ the slope $\\sigma'(a_k)$ is
    neuron $k$'s own and may be told, but the number $w_{ki}$ belongs to a synapse of $k$ and is
    used by $i$. The two are told apart by what a number passes on its way: as an activation it
    passes σ. So every drive is put through one more tanh, and nothing is followed beyond a
    primitive that is not linear. What is left was transported as it is. A callable activation
    that multiplies $a$ itself, such as SiLU, is counted as transport.
    """
    bent = _Bent(network)
    step = hop_step(bent, cost, law, wires)
    reach, rules = step.reach(NONLINEAR), Rules(wires)
    first, heads = step.offsets["w"], wires.heads
    found = {}
    for quantity in ("x", "costate"):
        table = reach[quantity][first : first + len(heads)] & rules.is_arc[:, None]
        table[np.arange(len(heads)), heads] = False  # a neuron's own synapses
        table = table[: wires.forward]  # a feedback weight is its reader's own
        for s, vertex in np.argwhere(table).tolist():
            found[s, vertex] = (rules.name(quantity, vertex), rules.name("w", s))
    return tuple(found[pair] for pair in sorted(found))


def heard_by_all(law: AbstractLaw, step: Step) -> int:
    """Returns how many numbers of the phase one sign, which everybody obeys, is made of."""
    if not isinstance(law, Hamiltonian):
        return 0
    policy = law.policy

    def signs(clock: Any, moving: dict[str, Any], u: Any, z: Any) -> Any:
        del u, z
        s = policy.signs(Phase(**moving, time=clock[0], hop=clock[1]))
        return [jnp.asarray(a) for a in s]

    heard = np.logical_or.reduce(step.followed(signs))
    return int(np.isin(in_a_row(step.labels), np.flatnonzero(heard)).sum())


def channel_lines(transport: int, heard: int, given_sign: int) -> list[str]:
    """Returns what is to be said of weight transport and of a sign for all."""
    lines = [
        f"weight transport: λ_i reads the number w_ki at its child k, {transport} times"
        if transport
        else "weight transport: none, no error reads a weight of another neuron"
    ]
    if heard:
        lines.append(
            f"global: all obey one sign, made of {heard} numbers of the phase; that bit given, "
            f"{given_sign} dependencies run along no arc"
        )
    return lines


def sign_given(law: AbstractLaw) -> list[AbstractLaw]:
    """Returns the law under either sign, as if it had been told to everybody."""
    return [eqx.tree_at(lambda law: law.policy, law, p) for p in (Cauchy(), _Backward())]


def forbidden(step: Step, rules: Rules) -> tuple[dict[str, int], list[tuple[str, int, int]]]:
    """Returns how many dependencies each quantity has, and those that run along no arc."""
    dependencies, found = {}, []
    for quantity, table in step.reach().items():
        dependencies[quantity] = int(table.sum())
        wrong = table & ~rules.allowed(quantity, np.arange(step.count))
        found += [(quantity, int(t), int(s)) for s, t in zip(*np.nonzero(wrong), strict=True)]
    return dependencies, found


class _Backward(AbstractPolicy):
    """State and costate backward."""

    def signs(self, phase: Phase) -> tuple[float, float]:
        del phase
        return -1.0, -1.0


class _Bent(AbstractNetwork):
    """The network with one more tanh on every drive."""

    network: AbstractNetwork
    speed: Any
    plastic: Any
    depth: int = eqx.field(static=True)
    streams: int | None = eqx.field(static=True)

    def __init__(self, network: AbstractNetwork):
        self.network, self.speed, self.plastic = network, network.speed, network.plastic
        self.depth, self.streams = network.depth, network.streams

    def init(self, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        return self.network.init(key)

    def drive(self, x: PyTree, w: PyTree, u: PyTree) -> PyTree:
        return jax.tree.map(jnp.tanh, self.network.drive(x, w, u))

    def output(self, x: PyTree) -> Array:
        return self.network.output(x)

    def readouts(self, x: PyTree) -> Any:
        return self.network.readouts(x)

    def speeds(self, w: PyTree = None) -> PyTree:
        return self.network.speeds(w)

    @property
    def learns_speeds(self) -> bool:
        return self.network.learns_speeds

    def zero_traces(self, x: PyTree, w: PyTree) -> PyTree:
        return self.network.zero_traces(x, w)

    def advance_traces(self, trace: PyTree, x: PyTree, w: PyTree, u: PyTree, move: Any) -> PyTree:
        return self.network.advance_traces(trace, x, w, u, move)

    def own_force(self, costate: PyTree, trace: PyTree, w: PyTree) -> PyTree:
        return self.network.own_force(costate, trace, w)

    def credited(self, own: PyTree, direct: PyTree) -> PyTree:
        return self.network.credited(own, direct)
