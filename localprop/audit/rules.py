"""What locality allows: which quantity may depend on which, given the digraph (laws.md, 10)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from .wiring import ALL_PARENTS, Wiring

# Of vertices, then of synapses; an input vertex' x is what it shows.
VERTEX, SYNAPSE = ("x", "costate", "z"), ("w", "momentum", "mass", "trace")
QUANTITIES = (*VERTEX, *SYNAPSE)


class Rules:
    """The allowed dependencies of a digraph.

    A vertex' *activation* is formed from its parents' $x$ and its incoming $w$, so whoever may
    know $\\sigma'$ of a vertex may depend on these. $x_i$ and $\\lambda_i$ may know that of vertex
    $i$ and of its children: errors come back through $\\sigma'$ of children, and nothing comes
    forward through that of parents.

    **Arguments:** `wires`: the digraph; `drifts`: whether the law moves positions by their
    momenta before it takes forces (least action). Then $x_i$ is known together with its momentum,
    and $w_{ij}$ with its own.
    """

    def __init__(self, wires: Wiring, drifts: bool = False):
        self.wires, self.drifts = wires, drifts
        vertices, synapses = len(wires.names), len(wires.heads)
        sizes = [vertices if q in VERTEX else synapses for q in QUANTITIES]
        self.bounds = np.cumsum([0, *sizes])
        one, parents, outputs = np.eye(vertices, dtype=bool), wires.parents, wires.outputs
        self.near = one | parents | parents.T
        self.hears = one | parents.T  # whose activations a vertex may know
        meet = outputs[:, None] & outputs[None]  # in the loss
        self.read = self.near | (self.hears @ parents) | meet
        self.meet = meet
        heads, tails = wires.heads, wires.tails
        self.own = one[heads] | parents[heads]
        whole = (tails == ALL_PARENTS)[:, None]
        self.ends = one[heads] | np.where(whole, parents[heads], one[np.maximum(tails, 0)])
        # A place without an arc belongs to nobody's activation.
        is_arc = (tails == ALL_PARENTS) | parents[heads, np.maximum(tails, 0)]
        self.own, self.ends = self.own & is_arc[:, None], self.ends & is_arc[:, None]
        self.is_arc = is_arc

    def allowed(
        self, quantity: str, labels: Int[np.ndarray, " L"]
    ) -> Bool[np.ndarray, "L targets"]:
        """Returns for every label whether a vertex' or synapse's `quantity` may depend on it."""
        rows = np.searchsorted(self.bounds, labels, side="right") - 1
        place = labels - self.bounds[rows]
        by_vertex = quantity in VERTEX
        targets = len(self.wires.names if by_vertex else self.wires.heads)
        table = np.zeros((len(labels), targets), bool)
        for k, source in enumerate(QUANTITIES):
            here = rows == k
            choose = self._vertex_from if by_vertex else self._synapse_from
            table[here] = choose(source, place[here])
        return table

    def _vertex_from(self, source: str, place: np.ndarray) -> np.ndarray:
        if source == "x" or (source == "costate" and self.drifts):
            return self.read[:, place].T
        if source == "costate":
            return self.near[:, place].T
        if source == "z":
            return self.meet[:, place].T
        if source == "w" or self.drifts:
            return self.hears[:, self.wires.heads[place]].T & self.is_arc[place, None]
        return np.zeros((len(place), len(self.near)), bool)

    def _synapse_from(self, source: str, place: np.ndarray) -> np.ndarray:
        heads = self.wires.heads
        if source == "x" or (source == "costate" and self.drifts):
            return self.own[:, place].T
        if source == "costate":
            return self.ends[:, place].T
        if source == "z":
            return np.zeros((len(place), len(heads)), bool)
        itself = place[:, None] == np.arange(len(heads))
        if source == "w" or self.drifts:
            both = self.is_arc[place, None] & self.is_arc[None]
            return itself | ((heads[place, None] == heads[None]) & both)
        return itself

    def label_name(self, label: int) -> str:
        k = int(np.searchsorted(self.bounds, label, side="right") - 1)
        return self.name(QUANTITIES[k], label - int(self.bounds[k]))

    def name(self, quantity: str, place: int) -> str:
        """Returns such as `"costate of x3"` or `"w of x0 -> x3"`."""
        names = self.wires.names
        where = names[place] if quantity in VERTEX else self.wires.synapse_name(place)
        return f"{quantity} of {where}"
