"""Proof or refutation of locality, in space and in time.

*Space*: `dependence.py` reads off the program of one hop which numbers of the phase can reach
which; every one of these dependencies has to run along an arc. *Time*: the carried state is
counted, in numbers and bytes, and its shapes after a hop are those before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax

from ..cost import Cost, SquaredError
from ..law import AbstractLaw, Hamiltonian, LeastAction
from ..network import AbstractNetwork, FeedbackWeights, SharedWeights
from .channels import channel_lines, forbidden, heard_by_all, hop_step, sign_given, transported
from .reference_methods import Method, reference_methods
from .rules import Rules
from .wiring import wiring

MOST_LISTED, MOST_PRINTED = 50, 8  # violations that are spelled out


class Violation(NamedTuple):
    """A dependency that runs along no arc.

    **Fields:** `target`: what moves, such as `"costate of x3"` or `"w of x0 -> x3"`; `source`:
    what it depends on; `witnessed`: whether changing the source alone was seen to change the
    target, which refutes locality (else it could only not be excluded).
    """

    target: str
    source: str
    witnessed: bool

    def __str__(self) -> str:
        how = "depends" if self.witnessed else "may depend"
        return f"{self.target} {how} on {self.source}, and no arc leads there"


class Audit(eqx.Module):
    """What is known of a network's locality under a law (laws.md, section 10); made by `audit`.

    **Fields:**

    - `network`, `law`: their kinds. `neurons`: $n$, numbers of the state. `weights`: $N$.
      `arcs`: how many were looked at.
    - `dependencies`: how many dependencies each quantity has, all told.
    - `violations`: the first of those that run along no arc. `forbidden`: how many there are.
    - `state`: numbers carried from hop to hop, per quantity. `state_bytes`: all of them.
    - `formula`: the numbers carried, in $n$ and $N$.
    - `constant`: whether a hop leaves every shape as it was, so that nothing grows.
    - `methods`: the same facts for backprop, BPTT, truncated BPTT and RTRL.
    - `policy`: its kind, empty for a law that has none.
    - `transport`: the pairs of a vertex' quantity and a child's weight that it reads. Section 10
      allows it, and no synapse can do it: $\\lambda_i$ reads the number $w_{ki}$ itself.
    - `heard`: of how many numbers of the phase the one sign is made that everybody obeys.
      `given_sign`: the forbidden dependencies that are left when that sign is given.

    !!! example

        ```python
        >>> import localprop
        >>> network = localprop.Digraph.layered([2, 3, 1])
        >>> proof = localprop.audit(network, localprop.LeastAction())
        >>> proof.local_in_space, proof.constant, proof.neurons
        (True, True, 4)

        ```
    """

    network: str
    law: str
    neurons: int
    weights: int
    arcs: int
    dependencies: dict[str, int]
    violations: tuple[Violation, ...]
    forbidden: int
    state: dict[str, int]
    state_bytes: int
    formula: str
    constant: bool
    methods: tuple[Method, ...]
    policy: str
    transport: tuple[tuple[str, str], ...]
    heard: int
    given_sign: int

    @property
    def local_in_space(self) -> bool:
        """Whether every dependency runs along an arc: proved, not sampled."""
        return self.forbidden == 0

    def rows(self) -> list[dict[str, Any]]:
        """Returns the table: this law first, then the methods it is compared with."""
        own = Method(
            f"{self.law} (this law)", self.forbidden, sum(self.state.values()),
            self.state_bytes, self.formula, "nothing" if self.constant else "the stream",
        )  # fmt: skip
        return [m._asdict() for m in (own, *self.methods)]

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as JSON can hold it."""
        return {
            "network": self.network,
            "law": self.law,
            "policy": self.policy,
            "neurons": self.neurons,
            "weights": self.weights,
            "arcs": self.arcs,
            "local_in_space": self.local_in_space,
            "local_in_time": self.constant,
            "dependencies": self.dependencies,
            "forbidden": self.forbidden,
            "violations": [v._asdict() for v in self.violations],
            "weight_transport": [{"reads": q, "weight": w} for q, w in self.transport],
            "numbers_in_one_sign": self.heard,
            "forbidden_given_the_sign": self.given_sign,
            "state": self.state,
            "state_bytes": self.state_bytes,
            "formula": self.formula,
            "methods": self.rows(),
        }

    def __str__(self) -> str:
        verdict = "local" if self.local_in_space else f"NOT local: {self.forbidden} violations"
        time = "constant" if self.constant else "GROWING"
        lines = [
            f"{self.network}, n = {self.neurons} neurons, N = {self.weights} weights, "
            f"{self.arcs} arcs, under {', '.join(filter(None, (self.law, self.policy)))}",
            f"space: {verdict} ({sum(self.dependencies.values())} dependencies followed)",
            *(f"  {v}" for v in self.violations[:MOST_PRINTED]),
            *channel_lines(len(self.transport), self.heard, self.given_sign),
            f"time:  {time} state of {self.formula} numbers, {self.state_bytes} bytes",
            "",
            f"{'method':34}{'space':>12}{'numbers':>12}{'bytes':>12}  {'formula':28}grows with",
        ]
        for row in self.rows():
            space = "local" if row["forbidden"] == 0 else f"{row['forbidden']} breaks"
            space = "not measured" if row["forbidden"] is None else space
            lines.append(
                f"{row['method']:34}{space:>12}{row['numbers']:>12}{row['bytes']:>12}  "
                f"{row['formula']:28}{row['grows_with']}"
            )
        return "\n".join(lines)


def audit(
    network: AbstractNetwork, law: AbstractLaw, cost: Cost | None = None, *, compare: bool = True
) -> Audit:
    """Proves or refutes, arc by arc, that a network learns locally under a law.

    Space (laws.md, section 10): the next $x_i$ and $\\lambda_i$ may depend on $x$, $\\lambda$, $w$,
    $\\sigma'$ of vertices one arc away; the next $w_{ij}$, $\\pi_{ij}$ on quantities of vertices
    $i$ and $j$ and of neuron $i$'s own activation. Vertices are neurons, or the blocks of a
    `Layered` network. Outputs meet in the loss. Time: nothing is carried but the phase.

    **Arguments:** `network`; `law`; `cost`: by default squared error with a little weight decay;
    `compare`: whether to measure backprop, BPTT and RTRL beside it, which takes some seconds.

    **Raises:** `ConfigError` for a kind of network that declares no arcs.

    !!! example

        ```python
        >>> import localprop
        >>> network = localprop.Digraph.layered([2, 3, 1])
        >>> proof = localprop.audit(network, localprop.Hamiltonian())
        >>> proof.local_in_space, proof.constant, proof.formula, proof.state_bytes
        (True, True, '2n + 2N + 2', 264)

        ```
    """
    cost = Cost(SquaredError(), weight_decay=0.1) if cost is None else cost
    wires = wiring(network)
    phase = jax.eval_shape(lambda key: law.init(network, cost, key), jax.random.key(0))
    hop = hop_step(network, cost, law, wires)
    rules = Rules(wires, drifts=isinstance(law, LeastAction))
    dependencies, found = forbidden(hop, rules)
    violations = tuple(
        Violation(rules.name(q, t), rules.label_name(s), hop.witness(q, t, s))
        for q, t, s in found[:MOST_LISTED]
    )
    heard, given = heard_by_all(law, hop), set(found)
    if heard:
        told = (hop_step(network, cost, signed, wires) for signed in sign_given(law))
        given = set().union(*(forbidden(step, rules)[1] for step in told))
    state = _count(phase)
    n, weights = state["x"], state["w"]
    after = jax.eval_shape(hop.move, phase, *hop.example[1:])
    same = lambda a, b: a.shape == b.shape and a.dtype == b.dtype  # noqa: E731
    plain = network
    while isinstance(plain, SharedWeights | FeedbackWeights):
        plain = plain.network
    return Audit(
        type(network).__name__,
        type(law).__name__,
        n,
        weights,
        int(wires.parents.sum()),
        dependencies,
        violations,
        len(found),
        state,
        sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(phase)),
        _formula(state, n, weights),
        jax.tree.structure(phase) == jax.tree.structure(after)
        and all(map(same, jax.tree.leaves(phase), jax.tree.leaves(after))),
        reference_methods(plain, cost, wiring(plain)) if compare else (),
        type(law.policy).__name__ if isinstance(law, Hamiltonian) else "",
        transported(network, cost, law, wires),
        heard,
        len(given),
    )


def _count(phase: Any) -> dict[str, int]:
    names = ("x", "costate", "w", "momentum", "mass", "trace", "time", "hop")
    return {q: sum(a.size for a in jax.tree.leaves(getattr(phase, q))) for q in names}


def _formula(state: dict[str, int], n: int, weights: int) -> str:
    """Writes the count as a sum in n and N; what is neither stands as a number."""
    times = lambda q, each: state[q] // each if each and state[q] % each == 0 else 0  # noqa: E731
    neurons = sum(times(q, n) for q in ("x", "costate"))
    synapses = sum(times(q, weights) for q in ("w", "momentum", "mass", "trace"))
    rest = sum(state.values()) - neurons * n - synapses * weights
    terms = [f"{neurons}n", f"{synapses}N", *([str(rest)] if rest else [])]
    return " + ".join(terms)
