"""Proof or refutation of locality, in space and in time.

*Space*: `dependence.py` reads off the program of one hop which numbers of the phase can reach
which; every one of these dependencies has to run along an arc. *Time*: the carried state is
counted, in numbers and bytes, and its shapes after a hop are those before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..cost import Cost, SquaredError
from ..law import AbstractLaw, LeastAction, Phase
from ..network import AbstractNetwork, SharedWeights
from .dependence import dependence
from .reference_methods import Method, reference_methods
from .rules import QUANTITIES, VERTEX, Rules
from .wiring import Wiring, example, wiring

# Labels followed at once, and violations that are spelled out.
CHUNK, MOST_LISTED = 512, 50


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
            "neurons": self.neurons,
            "weights": self.weights,
            "arcs": self.arcs,
            "local_in_space": self.local_in_space,
            "local_in_time": self.constant,
            "dependencies": self.dependencies,
            "forbidden": self.forbidden,
            "violations": [v._asdict() for v in self.violations],
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
            f"{self.arcs} arcs, under {self.law}",
            f"space: {verdict} ({sum(self.dependencies.values())} dependencies followed)",
            *(f"  {v}" for v in self.violations),
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


def audit(network: AbstractNetwork, law: AbstractLaw, cost: Cost | None = None) -> Audit:
    """Proves or refutes, arc by arc, that a network learns locally under a law.

    Space (laws.md, section 10): the next $x_i$ and $\\lambda_i$ may depend on $x$, $\\lambda$, $w$,
    $\\sigma'$ of vertices one arc away; the next $w_{ij}$, $\\pi_{ij}$ on quantities of vertices
    $i$ and $j$ and of neuron $i$'s own activation. Vertices are neurons, or the blocks of a
    `Layered` network. Outputs meet in the loss. Time: nothing is carried but the phase.

    **Arguments:** `network`; `law`; `cost`: by default squared error with a little weight decay.

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
    hop = _Hop(network, cost, law, wires, phase)
    reach, labels = hop.reach()
    rules = Rules(wires, drifts=isinstance(law, LeastAction))
    dependencies, found = dict.fromkeys(reach, 0), []
    for name, table in reach.items():
        dependencies[name] = int(table.sum())
        source, target = np.nonzero(table & ~rules.allowed(name, labels))
        found += [(name, int(t), int(s)) for s, t in zip(source, target, strict=True)]
    violations = tuple(
        Violation(rules.name(q, t), rules.label_name(s), hop.witness(q, t, s))
        for q, t, s in found[:MOST_LISTED]
    )
    state = _count(phase)
    n, weights = state["x"], state["w"]
    after = jax.eval_shape(hop.whole, phase)
    same = lambda a, b: a.shape == b.shape and a.dtype == b.dtype  # noqa: E731
    plain = network.network if isinstance(network, SharedWeights) else network
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
        reference_methods(plain, cost, wiring(plain)),
    )


class _Hop:
    """One hop as a function of the labelled parts of the phase."""

    def __init__(
        self, network: AbstractNetwork, cost: Cost, law: AbstractLaw, wires: Wiring, phase: Any
    ):
        self.network, self.cost, self.law, self.wires = network, cost, law, wires
        self.clock = (jnp.zeros(()), jnp.zeros((), jnp.int32))
        vertices, synapses = len(wires.names), len(wires.heads)
        self.offsets = dict(
            zip(QUANTITIES, np.cumsum([0, *[vertices] * 3, *[synapses] * 3])[:-1], strict=True)
        )
        self.count = 3 * vertices + 3 * synapses
        self.sizes = {q: vertices if q in VERTEX else synapses for q in QUANTITIES}
        groups = {"x": wires.state, "costate": wires.state, "w": wires.synapse}
        groups["momentum"] = wires.synapse
        groups["mass"] = _mass_groups(phase, wires)
        self.groups = groups
        at = lambda q, tree: jax.tree.map(lambda a: np.asarray(a) + self.offsets[q], tree)  # noqa: E731
        moving = {q: at(q, tree) for q, tree in groups.items()}
        # An input vertex has no state; what it shows is its x.
        self.labels = (moving, at("x", wires.sample), at("z", wires.target))
        self.example = example(self.labels, jax.random.key(7))
        self.compiled = jax.jit(lambda arguments: self(*arguments))
        self.example[0]["mass"] = jax.tree.map(jnp.abs, self.example[0]["mass"])

    def __call__(self, moving: dict[str, Any], u: Any, z: Any) -> dict[str, Any]:
        phase = Phase(**moving, time=self.clock[0], hop=self.clock[1])
        after = self.law.hop(self.network, self.cost, phase, u, z, 0.125)
        return {q: getattr(after, q) for q in moving}

    def whole(self, phase: Phase) -> Phase:
        _, u, z = self.example
        return self.law.hop(self.network, self.cost, phase, u, z, 0.125)

    def reach(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Returns per quantity `[label, vertex or synapse]`: whether the label can reach it."""
        every = np.arange(self.count)
        parts: list[dict[str, np.ndarray]] = []
        structure = jax.tree.structure(jax.eval_shape(self, *self.example))
        for start in range(0, self.count, CHUNK):
            flat = dependence(self, self.example, self.labels, every[start : start + CHUNK])
            tree = structure.unflatten(flat)
            rows = min(CHUNK, self.count - start)
            parts.append({q: self._grouped(q, tree[q], rows) for q in tree})
        return {q: np.concatenate([p[q] for p in parts]) for q in parts[0]}, every

    def _grouped(self, quantity: str, tree: Any, labels: int) -> np.ndarray:
        leaves = jax.tree.leaves(tree)
        table = np.zeros((labels, self.sizes[quantity]), bool)
        groups = jax.tree.leaves(self.groups[quantity])
        for reach, group in zip(leaves, groups, strict=True):
            rows, places = np.nonzero(reach.reshape(len(reach), -1))
            table[rows, np.ravel(group)[places]] = True
        return table

    def witness(self, quantity: str, target: int, label: int) -> bool:
        """Returns whether changing one label's numbers, by much or little, moves the target."""
        for scale in (1.0, 0.01):  # a switch may be thrown at another size of the phase
            start = jax.tree.map(lambda a, c=scale: c * a, self.example)
            before = self._value(quantity, target, start)
            for change in (0.1, 1.0, 10.0, 1000.0):
                moved = jax.tree.map(
                    lambda a, mark, c=change: jnp.where(mark == label, a + c, a), start, self.labels
                )
                if not np.array_equal(self._value(quantity, target, moved), before):
                    return True
        return False

    def _value(self, quantity: str, target: int, arguments: Any) -> np.ndarray:
        after = jax.tree.leaves(self.compiled(arguments)[quantity])
        groups = jax.tree.leaves(self.groups[quantity])
        parts = [np.asarray(a)[np.asarray(g) == target] for a, g in zip(after, groups, strict=True)]
        return np.concatenate(parts)


def _mass_groups(phase: Any, wires: Wiring) -> Any:
    """The mass remembers per synapse, or nothing."""
    if not jax.tree.leaves(phase.mass):
        return phase.mass
    return jax.tree.map(lambda _, group: group, phase.mass, wires.synapse)


def _count(phase: Any) -> dict[str, int]:
    names = ("x", "costate", "w", "momentum", "mass", "time", "hop")
    return {q: sum(a.size for a in jax.tree.leaves(getattr(phase, q))) for q in names}


def _formula(state: dict[str, int], n: int, weights: int) -> str:
    """Writes the count as a sum in n and N; what is neither stands as a number."""
    neurons = sum(state[q] == n for q in ("x", "costate"))
    synapses = sum(state[q] == weights for q in ("w", "momentum", "mass"))
    rest = sum(state.values()) - neurons * n - synapses * weights
    terms = [f"{neurons}n", f"{synapses}N", *([str(rest)] if rest else [])]
    return " + ".join(terms)
