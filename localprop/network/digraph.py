"""A digraph of neurons: arcs, activations, speeds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..errors import ConfigError, GraphError, StreamError
from ..forked import refuse_lame_fork
from .activation import Activation, activate, resolve
from .arcs import AbstractArcs, store
from .base import AbstractNetwork, Move, advance_speed_trace, as_rate
from .exchange import BIAS, read_networkx, write_networkx
from .gaussian import BIAS_SCALE, gaussian
from .topology import check_arcs, check_sizes, has_cycle, hops_to_outputs, hops_within_sample
from .two_way import two_way

if TYPE_CHECKING:
    import networkx as nx

Vertex = Hashable
PerNeuron = Any  # one value for all, a mapping from vertices, or a sequence in neuron order


class Digraph(AbstractNetwork):
    """A network of neurons, $D_i = \\sigma_i(\\sum_{j \\in pa(i)} w_{ij} x_j)$ [NLP, eqs. 5-7].

    Build one with `complete`, `layered`, `random`, `from_edges` or `from_networkx`. The state is
    one array `x` of shape `(neurons,)`; the weights are a matrix (dense storage) or one number
    per arc (sparse storage). The constant input of value 1, present unless `bias=False`, has an
    arc to every neuron.

    With a `frequency` neurons oscillate, $\\dot x_i = (c_i - i\\omega_i)(D_i - x_i)$: the state is
    a pair `(2, neurons)`, of which children and outputs read the real part. With `learn_speed` the
    weights are a dictionary: `"arcs"`; `"leak"`, the logarithm of each neuron's speed over its
    initial one; and for neurons that oscillate `"frequency"`, the difference to the initial one.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Digraph
        >>> network = Digraph.layered([2, 16, 1])
        >>> x, w = network.init(jax.random.key(0))
        >>> x.shape, network.depth
        ((17,), 2)
        >>> network  # with the arcs of the constant input
        Digraph(vertices=19, arcs=65, inputs=2, outputs=1, depth=2)

        ```
    """

    arcs: AbstractArcs
    outputs: Int[np.ndarray, " outputs"]
    speed: float | Float[np.ndarray, " neurons"]
    plastic: Any
    fixed_weights: Float[np.ndarray, " arcs"] | None
    frequency: float | Float[np.ndarray, " neurons"] | None
    silent: Bool[Array, ...] | None
    activations: tuple[Activation, ...] = eqx.field(static=True)
    vertices: tuple[Vertex, ...] = eqx.field(static=True)
    inputs: int = eqx.field(static=True)
    bias: bool = eqx.field(static=True)
    bias_scale: float = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    learned: tuple[str, ...] | None = eqx.field(static=True)
    streams: None = eqx.field(static=True, default=None)

    def __init__(
        self,
        vertices: Sequence[Vertex],
        tails: np.ndarray,
        heads: np.ndarray,
        *,
        inputs: int,
        outputs: Sequence[int],
        bias: bool = True,
        bias_scale: float = 0.0,
        activation: PerNeuron = "tanh",
        speed: PerNeuron = np.inf,
        fixed: Mapping[tuple[Vertex, Vertex], float | None] | None = None,
        storage: str = "auto",
        frequency: PerNeuron = None,
        learn_speed: bool = False,
        silent: Iterable[tuple[Vertex, Vertex]] = (),
    ):
        """**Arguments:**

        - `vertices`: names, the inputs first, then the neurons.
        - `tails`, `heads`: of every arc, as positions in `vertices`.
        - `inputs`: how many of the vertices are inputs.
        - `outputs`: the output neurons, as positions among the neurons.
        - `bias`: whether a constant input of value 1 has an arc to every neuron.
        - `bias_scale`: standard deviation of the initial weights of its arcs to all neurons that
          are no outputs.
        - `activation`: a name, a callable, or one of these per neuron.
        - `speed`: $c_i$ in (0, ∞], one for all or one per neuron.
        - `fixed`: arcs (tail, head) of infinite mass, with the finite weight at which each is
          held; `None` holds an arc at its random initial weight.
        - `storage`: `"dense"`, `"sparse"`, or `"auto"` to choose by density.
        - `frequency`: $\\omega_i$, radians per unit of time, one for all or one per neuron; `None`
          for neurons that do not oscillate.
        - `learn_speed`: whether finite speeds, and frequencies, are learned; with `Traces` only.
        - `silent`: arcs (tail, head) that carry states and no errors.

        **Raises:** `GraphError`, naming the vertex; `ConfigError` for an unknown storage.
        """
        if storage not in ("auto", "dense", "sparse"):
            raise ConfigError(f"no storage '{storage}'; take auto, dense or sparse")
        tails, heads = np.asarray(tails, dtype=np.int64), np.asarray(heads, dtype=np.int64)
        neurons = len(vertices) - inputs
        if bias and BIAS in vertices:
            raise GraphError(
                f"vertex {BIAS!r} has the name of the constant input; rename it, or set bias=False"
            )
        check_arcs(vertices, tails, heads, inputs, outputs, bias)
        self.vertices, self.inputs, self.bias = tuple(vertices), inputs, bias
        self.bias_scale = float(bias_scale)
        self.outputs = np.asarray(outputs, dtype=np.int32)
        self.depth = hops_to_outputs(vertices, tails, heads, inputs, outputs)

        # Sources are (u, 1, x): the constant input stands between the inputs and the neurons.
        tails = np.where(tails < inputs, tails, tails + bias)
        heads = heads - inputs
        if bias:
            tails = np.concatenate([tails, np.full(neurons, inputs)])
            heads = np.concatenate([heads, np.arange(neurons)])
        self.arcs = store(tails, heads, inputs + bias + neurons, neurons, storage)

        names = self.vertices[inputs:]
        self.activations = tuple(resolve(a) for a in _per_neuron(activation, names, "activation"))
        self.speed = _speeds(speed, names)
        self.frequency = None if frequency is None else _frequencies(frequency, names)
        kinds = ("leak",) if frequency is None else ("leak", "frequency")
        self.learned = kinds if learn_speed else None
        self.fixed_weights, self.plastic = self._hold(fixed or {})
        if learn_speed:
            free = np.broadcast_to(np.isfinite(self.speed), neurons)
            arcs = True if self.plastic is None else self.plastic
            self.plastic = {"arcs": arcs, **dict.fromkeys(kinds, free)}
        self.silent = self._silence(silent)

    def _silence(self, silent: Iterable[tuple[Vertex, Vertex]]) -> Array | None:
        """Returns which arcs carry no errors."""
        silent = set(silent)
        if not silent:
            return None
        refuse_lame_fork()
        arcs = self.edges()
        for tail, head in silent - set(arcs):
            raise GraphError(f"silent arc {tail!r} -> {head!r} is not an arc of the digraph")
        return self.arcs.place(jnp.asarray([arc in silent for arc in arcs]))

    def _hold(self, fixed: Mapping) -> tuple[np.ndarray | None, Array | None]:
        """Returns per arc the weight at which it is held (∞ where free), and the plastic arcs."""
        if not fixed:
            return None, None
        refuse_lame_fork()
        place = {arc: k for k, arc in enumerate(self.edges())}
        held = np.full(len(place), np.inf)
        for arc, weight in fixed.items():
            if arc not in place:
                raise GraphError(f"fixed arc {arc[0]!r} -> {arc[1]!r} is not an arc of the digraph")
            if weight is not None and not np.isfinite(weight):
                raise GraphError(
                    f"fixed arc {arc[0]!r} -> {arc[1]!r} has the weight {weight}; give a finite "
                    "number, or None to hold it at its random initial weight"
                )
            held[place[arc]] = np.nan if weight is None else weight
        return held, self.arcs.place(jnp.asarray(np.isposinf(held)))

    @classmethod
    def complete(
        cls,
        neurons: int,
        inputs: int = 0,
        outputs: Sequence[int] = (0,),
        *,
        self_arcs: bool = True,
        **settings: Any,
    ) -> Digraph:
        """Every input and every neuron has an arc to every neuron.

        **Arguments:** `neurons`, `inputs`: how many; `outputs`: positions among the neurons;
        `self_arcs`: whether a neuron is its own parent; `settings`: as for `Digraph`.
        """
        _check_count(neurons, inputs)
        tails, heads = np.nonzero(np.ones((inputs + neurons, neurons), bool))
        heads = heads + inputs
        keep = (tails != heads) | self_arcs
        names = _names(inputs, neurons)
        return cls(
            names, tails[keep], heads[keep], inputs=inputs, outputs=tuple(outputs), **settings
        )

    @classmethod
    def layered(
        cls,
        sizes: Sequence[int],
        *,
        activation: str | Activation = "tanh",
        output_activation: str | Activation = "identity",
        bias_scale: float = BIAS_SCALE,
        **settings: Any,
    ) -> Digraph:
        """A feed-forward net: layer after layer, every vertex to every vertex of the next.

        **Arguments:** `sizes`: of the input layer, the hidden layers, the output layer;
        `activation`, `output_activation`: of hidden and of output neurons; `bias_scale`: of the
        hidden neurons' initial biases, as for `Layered.dense`; `settings`: as for `Digraph`.
        """
        check_sizes(sizes)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        blocks = [
            np.stack(np.meshgrid(np.arange(a, b), np.arange(b, c)), -1).reshape(-1, 2)
            for a, b, c in zip(starts, starts[1:], starts[2:], strict=False)
        ]
        tails, heads = np.concatenate(blocks).T
        inputs, neurons, last = sizes[0], int(starts[-1]) - sizes[0], sizes[-1]
        hidden = neurons - last
        return cls(
            _names(inputs, neurons),
            tails,
            heads,
            inputs=inputs,
            outputs=tuple(range(hidden, neurons)),
            activation=[activation] * hidden + [output_activation] * last,
            bias_scale=bias_scale,
            **settings,
        )

    @classmethod
    def random(
        cls,
        neurons: int,
        inputs: int,
        outputs: Sequence[int] = (0,),
        *,
        density: float = 0.1,
        seed: int = 0,
        **settings: Any,
    ) -> Digraph:
        """Every possible arc is there with probability `density`, independently.

        A random cycle through all neurons, entered from every input, is there in any case, so
        that nothing dangles and every output is reached.

        **Arguments:** as for `complete`, with `density` in (0, 1] and a `seed`.
        """
        _check_count(neurons, inputs)
        if not 0 < density <= 1:
            raise GraphError(f"density {density}: give a number in (0, 1]")
        rng = np.random.default_rng(seed)
        possible = (inputs + neurons) * neurons
        count = rng.binomial(possible, density)
        drawn = rng.choice(possible, count, replace=False, shuffle=False)
        ring = inputs + rng.permutation(neurons)
        tails = [drawn // neurons, ring, np.arange(inputs)]
        heads = [inputs + drawn % neurons, np.roll(ring, -1)]
        heads.append(inputs + rng.integers(0, neurons, inputs))
        arcs = np.unique(np.stack([np.concatenate(tails), np.concatenate(heads)]), axis=1)
        names = _names(inputs, neurons)
        return cls(names, arcs[0], arcs[1], inputs=inputs, outputs=tuple(outputs), **settings)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[Vertex, Vertex]],
        *,
        inputs: Sequence[Vertex],
        outputs: Sequence[Vertex],
        **settings: Any,
    ) -> Digraph:
        """A digraph from its arcs `(parent, child)` between vertices of any hashable name.

        **Arguments:** `edges`; `inputs`, `outputs`: vertices, in the order of the components of
        $u$ and of the output; `settings`: as for `Digraph`, with `activation` and `speed` also
        as mappings from vertices (those not named keep the default).

        !!! example

            ```python
            >>> import numpy as np
            >>> from localprop import Digraph
            >>> delay = Digraph.from_edges(
            ...     [("u", "a"), ("a", "b")], inputs=["u"], outputs=["b"], bias=False,
            ...     activation="identity", speed=0.5, fixed={("u", "a"): 1.0, ("a", "b"): 1.0},
            ... )
            >>> bool(np.any(delay.plastic))
            False

            ```
        """
        edges = list(edges)
        return cls._named([v for edge in edges for v in edge], edges, inputs, outputs, settings)

    @classmethod
    def _named(
        cls,
        vertices: Iterable[Vertex],
        edges: Iterable[tuple[Vertex, Vertex]],
        inputs: Sequence[Vertex],
        outputs: Sequence[Vertex],
        settings: dict[str, Any],
    ) -> Digraph:
        """Turns names into positions: the inputs first, then the others as they come."""
        names = list(dict.fromkeys([*inputs, *vertices]))
        place = {v: k for k, v in enumerate(names)}
        for v in outputs:
            if v not in place:
                raise GraphError(f"output {v!r} is not a vertex of any arc")
            if v in set(inputs):
                raise GraphError(f"vertex {v!r} is both an input and an output")
        ends = np.array([(place[a], place[b]) for a, b in edges], dtype=np.int64).reshape(-1, 2)
        return cls(
            names,
            ends[:, 0],
            ends[:, 1],
            inputs=len(inputs),
            outputs=[place[v] - len(inputs) for v in outputs],
            **settings,
        )

    @classmethod
    def from_networkx(
        cls,
        graph: nx.Graph,
        *,
        inputs: Sequence[Vertex] | None = None,
        outputs: Sequence[Vertex] | None = None,
        **settings: Any,
    ) -> Digraph:
        """A digraph from a `networkx.DiGraph`.

        Node attributes `activation` and `speed`, and the edge attribute `fixed` (a weight) are
        read.

        **Arguments:** `graph`: directed; `inputs`, `outputs`: by default what `to_networkx`
        noted, else the vertices without parents and those without children; `settings`: as for
        `Digraph`.
        """
        vertices, inputs, outputs, settings = read_networkx(graph, inputs, outputs, settings)
        return cls._named(vertices, list(vertices.edges), inputs, outputs, settings)

    def to_networkx(self) -> nx.DiGraph:
        """Returns the digraph with its vertices' names; the constant input is vertex `"1"`.

        Activations, speeds and fixed arcs become attributes; `from_networkx` reads them back.
        """
        return write_networkx(
            self.vertices,
            self.edges(),
            inputs=self.inputs,
            outputs=[int(i) for i in self.outputs],
            activations=self.activations,
            speed=self.speed,
            fixed_weights=self.fixed_weights,
            bias=self.bias,
            bias_scale=self.bias_scale,
            frequency=self.frequency,
            learn_speed=self.learned is not None,
            silent=None if self.silent is None else self.arcs.take(self.silent),
        )

    @property
    def cyclic(self) -> bool:
        """Whether some way along the arcs leads back to where it began."""
        tails, heads = self.arcs.tails_and_heads()
        sources = self.inputs + self.bias
        return has_cycle(sources + self.arcs.neurons, tails, heads + sources)

    @property
    def depth_within_sample(self) -> int | None:
        """The longest way where neurons of finite speed move in a sample's first hop only; `None`
        where the others go in circles."""
        tails, heads = self.arcs.tails_and_heads()
        sources, neurons = self.inputs + self.bias, self.arcs.neurons
        slow = np.zeros(sources + neurons, bool)
        slow[sources:] = np.isfinite(self.speed)
        return hops_within_sample(sources + neurons, tails, heads + sources, slow)

    def edges(self) -> list[tuple[Vertex, Vertex]]:
        """Returns the arcs as `(parent, child)` names, in the order in which weights are drawn."""
        bias = (BIAS,) if self.bias else ()
        sources = self.vertices[: self.inputs] + bias + self.vertices[self.inputs :]
        tails, heads = self.arcs.tails_and_heads()
        neurons = self.vertices[self.inputs :]
        return [(sources[t], neurons[h]) for t, h in zip(tails, heads, strict=True)]

    def init(self, key: PRNGKeyArray) -> tuple[Float[Array, "*pair neurons"], Any]:
        """Returns `x = 0` and Gaussian weights of variance 1/fan-in; biases of `bias_scale`, those
        of outputs 0."""
        tails, heads = self.arcs.tails_and_heads()
        is_bias = (tails == self.inputs) & self.bias
        fan_in = np.bincount(heads[~is_bias], minlength=self.arcs.neurons)[heads]
        bias_scale = np.where(np.isin(heads, self.outputs), 0.0, self.bias_scale)
        scale = np.where(is_bias, bias_scale, 1 / np.sqrt(np.maximum(fan_in, 1)))
        w = gaussian(key, (len(tails),), scale.astype(jnp.result_type(float)))
        if self.fixed_weights is not None:
            w = jnp.where(np.isfinite(self.fixed_weights), self.fixed_weights, w)
        w = w.astype(jnp.result_type(float))
        x, w = self._paired(jnp.zeros(self.arcs.neurons)), self.arcs.place(w)
        if self.learned is None:
            return x, w
        return x, {"arcs": w, **{k: jnp.zeros(self.arcs.neurons) for k in self.learned}}

    def drive(
        self,
        x: Float[Array, "*pair neurons"],
        w: Any,
        u: Float[Array, " inputs"],
        feedback: Array | None = None,
    ) -> Float[Array, "*pair neurons"]:
        """Returns $D$; where there are `feedback` weights, errors are pulled back by them."""
        s, w = self._sources(x, u), self._of_arcs(w)
        if self.silent is not None:
            back = jax.lax.stop_gradient(w) if feedback is None else feedback
            feedback = jnp.where(self.silent, 0, back)
        if feedback is None:
            a = self.arcs.weigh(w, s)
        else:
            a = two_way((w, feedback, s), _weigh, self.arcs)
        return self._paired(activate(self.activations, a))

    def _of_arcs(self, w: Any) -> Array:
        return w if self.learned is None else w["arcs"]

    def _paired(self, real: Array) -> Array:
        """Returns numbers as states are: real ones, or pairs of real and imaginary part."""
        return real if self.frequency is None else jnp.stack([real, jnp.zeros_like(real)])

    def _real(self, x: Array) -> Array:
        return x if self.frequency is None else x[0]

    def _sources(self, x: Array, u: Array) -> Array:
        if u.shape != (self.inputs,):
            raise StreamError(
                f"the digraph has {self.inputs} inputs, the sample has shape {u.shape}"
            )
        return jnp.concatenate([u, jnp.ones((int(self.bias),), x.dtype), self._real(x)])

    @property
    def learns_speeds(self) -> bool:
        return self.learned is not None

    def speeds(self, w: Any = None) -> Any:
        return self._speeds_under({} if w is None else {k: w[k] for k in self.learned or ()})

    def _speeds_under(self, learned: dict[str, Array]) -> Any:
        speed: Any = self.speed
        if "leak" in learned:
            speed = speed * jnp.exp(learned["leak"])
        if self.frequency is None:
            return speed
        return as_rate(speed, self.frequency + learned.get("frequency", 0.0))

    def zero_traces(self, x: Array, w: Any) -> Any:
        del x
        if not np.isfinite(self.speed).any():
            return None
        zeros = jax.tree.map(lambda a: self._paired(jnp.zeros_like(a)), self._of_arcs(w))
        if self.learned is None:
            return zeros
        still = self._paired(jnp.zeros(self.arcs.neurons))
        return {"arcs": zeros, **dict.fromkeys(self.learned, still)}

    def advance_traces(self, trace: Any, x: Array, w: Any, u: Array, move: Move) -> Any:
        s, weights = self._sources(x, u), self._of_arcs(w)
        a = self.arcs.weigh(weights, s)
        drive, slope = jax.jvp(lambda a: activate(self.activations, a), (a,), (jnp.ones_like(a),))
        slopes = self.arcs.only(self.arcs.of_heads(slope) * self.arcs.of_tails(s))
        # Who takes no time keeps none.
        slopes = self._paired(jnp.where(jnp.isinf(self._of_heads(self.speed)), 0, slopes))
        speeds = self.speeds(w)
        if self.learned is None:
            return move(self._of_heads(speeds), trace, slopes)
        after = {"arcs": move(self._of_heads(speeds), trace["arcs"], slopes)}
        rates, drive = {k: w[k] for k in self.learned}, self._paired(drive)
        for k, rate in rates.items():
            under = lambda rate, k=k: self._speeds_under({**rates, k: rate})  # noqa: E731
            after[k] = advance_speed_trace(trace[k], x, drive, rate, under, move)
        return after

    def _of_heads(self, speed: Any) -> Any:
        return speed if np.ndim(speed) == 0 else self.arcs.of_heads(speed)

    def own_force(self, costate: Array, trace: Any, w: Any) -> Any:
        del w

        def own(product: Callable[[Array, Array], Array], e: Array) -> Array:
            if self.frequency is None:
                return product(costate, e)
            return jnp.sum(jax.vmap(product)(costate, e), axis=0)  # over the pair

        arcs = lambda c, e: self.arcs.only(self.arcs.of_heads(c) * e)  # noqa: E731
        if self.learned is None:
            return own(arcs, trace)
        return {k: own(arcs if k == "arcs" else jnp.multiply, e) for k, e in trace.items()}

    def credited(self, own: Any, direct: Any) -> Any:
        arcs = jnp.where(
            jnp.isinf(self._of_heads(self.speed)), self._of_arcs(direct), self._of_arcs(own)
        )
        return arcs if self.learned is None else {**own, "arcs": arcs}

    def output(self, x: Float[Array, "*pair neurons"]) -> Float[Array, " outputs"]:
        return self._real(x)[self.outputs]

    def __repr__(self) -> str:
        leaves = jax.tree.leaves((self.arcs, self.outputs))
        if not (leaves and all(isinstance(leaf, np.ndarray) for leaf in leaves)):
            return super().__repr__()  # a tree of something else than a digraph's arrays
        arcs = len(self.arcs.tails_and_heads()[0])
        return (
            f"Digraph(vertices={len(self.vertices)}, arcs={arcs}, inputs={self.inputs}, "
            f"outputs={len(self.outputs)}, depth={self.depth})"
        )


def _weigh(arcs: AbstractArcs, w: Array, s: Array) -> Array:
    return arcs.weigh(w, s)


def _names(inputs: int, neurons: int) -> list[str]:
    return [f"u{i}" for i in range(inputs)] + [f"x{i}" for i in range(neurons)]


def _check_count(neurons: int, inputs: int) -> None:
    if neurons < 1 or inputs < 0:
        raise GraphError(f"{neurons} neurons and {inputs} inputs: give 1 or more, and 0 or more")


def _per_neuron(value: PerNeuron, names: Sequence[Vertex], what: str) -> list:
    if isinstance(value, Mapping):
        strange = [v for v in value if v not in set(names)]
        if strange:
            raise GraphError(f"{what} given for vertex {strange[0]!r}, which is not a neuron")
        default = {"activation": "tanh", "speed": np.inf, "frequency": 0.0}[what]
        return [value.get(v, default) for v in names]
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        if len(value) != len(names):
            raise GraphError(f"{len(value)} values of {what} for {len(names)} neurons")
        return list(value)
    return [value] * len(names)


def _speeds(speed: PerNeuron, names: Sequence[Vertex]) -> float | np.ndarray:
    speeds = np.asarray(_per_neuron(speed, names, "speed"), dtype=float)
    for name, c in zip(names, speeds, strict=True):
        if not c > 0:
            raise GraphError(f"speed {c} of vertex {name!r}: a speed is above 0, up to infinity")
    return float(speeds[0]) if np.all(speeds == speeds[0]) else speeds


def _frequencies(frequency: PerNeuron, names: Sequence[Vertex]) -> float | np.ndarray:
    found = np.asarray(_per_neuron(frequency, names, "frequency"), dtype=float)
    for name, omega in zip(names, found, strict=True):
        if not np.isfinite(omega):
            raise GraphError(f"frequency {omega} of vertex {name!r}: give a finite number")
    return float(found[0]) if np.all(found == found[0]) else found
