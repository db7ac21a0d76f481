"""Digraphs: storage, random arcs, NetworkX, activations and speeds per neuron, delay lines."""

from __future__ import annotations

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy import signal, stats

from localprop import Cost, Digraph, ExplicitEuler, Hamiltonian, Learner, SquaredError
from localprop.network.activation import activate

FIXED = {("u0", "x1"): 0.25, ("1", "x0"): None}


@pytest.mark.usefixtures("x64")
def test_dense_and_sparse_storage_learn_the_same():
    weights = {}
    for storage in ("dense", "sparse"):
        rng, seed = np.random.default_rng(0), 0
        network = Digraph.random(
            12, 3, (0, 5), density=0.3, seed=seed, storage=storage, speed=rng.uniform(0.5, 2, 12),
            activation=["tanh", "logistic", "softplus"] * 4,
        )  # fmt: skip
        law = Hamiltonian(mass=80.0, dissipation=0.4)
        learner = Learner(network, Cost(SquaredError(), weight_decay=0.01), law, hops=3, settle=0)
        start = learner.init(jax.random.key(seed))
        after, _ = learner.run(start, (rng.standard_normal((60, 3)), rng.standard_normal((60, 2))))
        tails, heads = network.arcs.tails_and_heads()
        weights[storage] = [
            np.asarray(p.w if storage == "sparse" else p.w[heads, tails]) for p in (start, after)
        ]
    np.testing.assert_array_equal(weights["dense"][0], weights["sparse"][0])
    assert np.abs(weights["dense"][1] - weights["dense"][0]).max() > 0.01
    np.testing.assert_allclose(weights["dense"][1], weights["sparse"][1], rtol=1e-11, atol=1e-13)


def test_missing_arcs_of_dense_storage_keep_weight_zero():
    network = Digraph.layered([2, 3, 1], storage="dense")
    learner = Learner(network, Cost(SquaredError(), weight_decay=0.1))
    after, _ = learner.run(learner.init(jax.random.key(0)), (np.ones((5, 2)), np.ones((5, 1))))
    tails, heads = network.arcs.tails_and_heads()
    is_arc = np.zeros(after.w.shape, bool)
    is_arc[heads, tails] = True
    assert is_arc.sum() == 2 * 3 + 3 * 1 + 4
    np.testing.assert_array_equal(np.asarray(after.w)[~is_arc], 0)


def test_storage_follows_density():
    assert Digraph.complete(20, 2).arcs.mask is None
    assert type(Digraph.layered([100, 100]).arcs).__name__ == "DenseArcs"
    assert type(Digraph.random(200, 2, density=0.01).arcs).__name__ == "SparseArcs"


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    neurons=st.integers(1, 40),
    inputs=st.integers(0, 6),
    density=st.floats(0.001, 1.0),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_random_digraphs_are_always_valid(neurons, inputs, density, seed, data):
    outputs = data.draw(st.lists(st.integers(0, neurons - 1), min_size=1, unique=True))
    network = Digraph.random(neurons, inputs, outputs, density=density, seed=seed)
    graph = network.to_networkx()
    for k in range(inputs):
        assert graph.in_degree(f"u{k}") == 0
        assert graph.out_degree(f"u{k}") >= 1
        assert nx.descendants(graph, f"u{k}") == {f"x{i}" for i in range(neurons)}
    assert all(graph.in_degree(f"x{i}") >= 2 for i in range(neurons))
    assert len(network.edges()) == graph.number_of_edges()
    again = Digraph.random(neurons, inputs, outputs, density=density, seed=seed)
    assert network.edges() == again.edges()


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_random_arcs_are_there_with_the_probability_asked_for(density):
    neurons, inputs, draws = 30, 10, 20
    extra = neurons + inputs  # the ring and the inputs' own arcs are there in any case
    counts = [
        len(Digraph.random(neurons, inputs, density=density, seed=s, bias=False).edges())
        for s in range(draws)
    ]
    possible = neurons * (neurons + inputs)
    expected = extra + (possible - extra) * density
    if density == 1:
        assert counts == [possible] * draws
    spread = np.sqrt((possible - extra) * density * (1 - density) / draws)
    assert abs(np.mean(counts) - expected) <= 4 * spread + 1e-9


def test_weights_start_with_variance_one_over_fan_in_of_which_the_constant_input_is_no_part():
    network = Digraph.layered([2, 1500, 3], storage="sparse")
    _, drawn = network.init(jax.random.key(0))
    names, drawn = network.edges(), np.asarray(drawn)
    # Standard error of a standard deviation from n samples: 1/√(2n) of it; four of these.
    for parents, fan_in, count in (("u", 2, 3000), ("x", 1500, 4500)):
        own = np.array([parents == tail[0] for tail, _ in names])
        assert own.sum() == count
        assert abs(drawn[own].std() * np.sqrt(fan_in) - 1) < 4 / np.sqrt(2 * count)


@pytest.mark.parametrize("outputs", [[0, 3], [3, 0], [3, 1, 0]], ids=str)
def test_depth_is_that_of_the_farthest_output(outputs):
    chain = [("u", 0), (0, 1), (1, 2), (2, 3)]
    # Without a cycle the longest way to an output counts, with one the shortest.
    for more in ([], [("u", 3)], [(3, 0)], [(3, 0), ("u", 2)]):
        graph = nx.DiGraph([*chain, *more])
        if nx.is_directed_acyclic_graph(graph):
            to = lambda v, g=graph: nx.dag_longest_path_length(g.subgraph({v, *nx.ancestors(g, v)}))  # noqa: E731
        else:
            to = nx.shortest_path_length(graph, "u").get
        lengths = [to(v) for v in outputs]
        assert min(lengths) < max(lengths)
        network = Digraph.from_edges(graph.edges, inputs=["u"], outputs=outputs)
        assert network.depth == max(lengths)


@pytest.mark.parametrize("seed", range(20))
def test_depth_amid_cycles_is_the_shortest_way_to_the_farthest_output(seed):
    drawn = nx.gnp_random_graph(40, 0.06, seed=seed, directed=True)
    inputs = [f"u{k}" for k in range(3)]
    drawn.add_edges_from([(name, 7 * k) for k, name in enumerate(inputs)])
    drawn.add_edge(0, 0)  # a cycle there is
    lengths = nx.multi_source_dijkstra_path_length(drawn, set(inputs))
    graph = drawn.subgraph(lengths)  # what the inputs reach; what has no child is an output
    outputs = sorted(v for v in graph if v not in inputs and (v > 30 or not graph.out_degree(v)))
    network = Digraph.from_edges(graph.edges, inputs=inputs, outputs=outputs)
    assert network.depth == max(lengths[v] for v in outputs)


def test_complete_has_every_arc_and_self_arcs_on_request():
    graph = Digraph.complete(4, 2, bias=False).to_networkx()
    assert graph.number_of_edges() == 4 * 6
    bare = Digraph.complete(4, 2, bias=False, self_arcs=False).to_networkx()
    assert bare.number_of_edges() == 4 * 5
    assert nx.number_of_selfloops(bare) == 0


def test_layered_is_the_multipartite_digraph():
    sizes = [3, 4, 2]
    graph = Digraph.layered(sizes, bias=False).to_networkx()
    names = [f"u{k}" for k in range(3)] + [f"x{k}" for k in range(6)]
    neighbours = lambda a, b: (a < 3) == (b < 7)  # of one layer and the next  # noqa: E731
    partite = nx.complete_multipartite_graph(*sizes).edges
    assert set(graph.edges) == {(names[a], names[b]) for a, b in partite if neighbours(a, b)}
    assert Digraph.layered(sizes).depth == 2


def test_networkx_round_trip_keeps_everything():
    network = Digraph.complete(
        3, 1, (2, 0), activation=["tanh", "relu", jnp.sin], speed=[1.0, np.inf, 0.5], fixed=FIXED
    )
    back = Digraph.from_networkx(network.to_networkx())
    assert back.vertices == network.vertices
    assert back.edges() == network.edges()
    assert back.activations == network.activations
    np.testing.assert_array_equal(back.outputs, network.outputs)
    np.testing.assert_array_equal(back.speed, network.speed)
    np.testing.assert_array_equal(back.fixed_weights, network.fixed_weights)
    np.testing.assert_array_equal(back.plastic, network.plastic)
    for a, b in zip(*(n.init(jax.random.key(0)) for n in (network, back)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_from_networkx_takes_sources_and_sinks_and_reads_attributes():
    graph = nx.DiGraph([("in", 7), (7, "out"), ("in", "out"), (7, 7)])
    graph.nodes[7].update(activation="relu", speed=0.25)
    graph.edges["in", 7]["fixed"] = -1.5
    network = Digraph.from_networkx(graph, bias=False)
    assert network.vertices == ("in", 7, "out")
    assert nx.utils.graphs_equal(nx.DiGraph(network.edges()), nx.DiGraph(graph.edges))
    np.testing.assert_array_equal(network.speed, [0.25, np.inf])
    assert network.activations == (jax.nn.relu, jnp.tanh)
    _, w = network.init(jax.random.key(0))
    assert w[0, 0] == -1.5
    assert network.depth == 1  # a cycle is there: the shortest way


@pytest.mark.parametrize("order", ["ttrt", "ttrr", "rtrt", "trrt"])
def test_activations_in_any_order_are_those_of_the_neurons(order):
    functions = {"t": jnp.tanh, "r": jax.nn.relu}
    a = jnp.array([0.5, -1.0, -2.0, 3.0])
    expected = [functions[name](v) for name, v in zip(order, a, strict=True)]
    np.testing.assert_allclose(activate(tuple(functions[name] for name in order), a), expected)


def test_each_neuron_has_its_own_activation_and_speed():
    kinds = {"a": "tanh", "b": "logistic", "c": "softplus", "d": "relu", "e": "identity"}
    kinds["f"] = lambda a: a**3
    functions = [np.tanh, lambda a: 1 / (1 + np.exp(-a)), lambda a: np.log1p(np.exp(a)),
                 lambda a: max(a, 0), lambda a: a, lambda a: a**3]  # fmt: skip
    edges = [("u", v) for v in "fcadbe"]
    speed = {"a": 0.5, "f": 2.0}
    network = Digraph.from_edges(
        edges, inputs=["u"], outputs=list("abcdef"), activation=kinds, speed=speed, bias=False,
        storage="sparse",
    )  # fmt: skip
    x, w = network.init(jax.random.key(0))
    for u in (-1.3, 0.4):
        drive = network.output(network.drive(x, jnp.ones_like(w), jnp.array([u])))
        np.testing.assert_allclose(drive, [f(u) for f in functions], rtol=1e-6)
    np.testing.assert_array_equal(
        network.output(jnp.asarray(network.speed)), [0.5, *[np.inf] * 4, 2.0]
    )


def test_constant_input_is_a_bias():
    network = Digraph.complete(3, 2, self_arcs=False)
    x, w = network.init(jax.random.key(0))
    biases = [edge[0] == "1" for edge in network.edges()]
    tails, heads = network.arcs.tails_and_heads()
    np.testing.assert_array_equal(w[heads, tails][np.array(biases)], 0)
    shifted = w.at[:, 2].set(jnp.array([0.5, -1.0, 2.0]))
    a = np.asarray(w)[:, :2] @ np.array([0.3, 0.7])
    drive = network.drive(x, shifted, jnp.array([0.3, 0.7]))
    np.testing.assert_allclose(drive, np.tanh(a + np.array([0.5, -1.0, 2.0])), rtol=1e-6)


def test_a_lone_neuron_with_the_constant_input_learns_a_constant():
    network = Digraph.complete(1, 0, self_arcs=False, activation="identity")
    learner = Learner(network, Cost(SquaredError()), Hamiltonian(mass=4.0, dissipation=0.5))
    after, _ = learner.run(
        learner.init(jax.random.key(0)), (np.zeros((200, 0)), np.full((200, 1), 0.7))
    )
    np.testing.assert_allclose(after.x, [0.7], atol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("euler", ["exponential", "explicit"])
def test_chain_of_slow_linear_neurons_with_fixed_arcs_is_a_delay_line(euler):
    stages, c = 4, 0.8
    names = ["u", *range(stages)]
    arcs = list(pairwise(names))
    network = Digraph.from_edges(
        arcs, inputs=["u"], outputs=[stages - 1], bias=False, activation="identity", speed=c,
        fixed=dict.fromkeys(arcs, 1.0),
    )  # fmt: skip
    law = Hamiltonian(integrator=ExplicitEuler()) if euler == "explicit" else Hamiltonian()
    distances = []
    for tau in (0.1, 0.05, 0.025):
        t = tau * np.arange(int(20 / tau))
        u = np.sin(0.5 * t) + (t > 5)
        learner = Learner(network, Cost(SquaredError()), law, hops=1, duration=tau)
        start = learner.init(jax.random.key(0))
        after, trace = learner.run(start, (u[:, None], np.full((len(t), 1), np.nan)))
        np.testing.assert_array_equal(after.w, start.w)
        # Each stage is y[k+1] = (1 - a) y[k] + a u[k]; the output is read after the hop.
        a = c * tau if euler == "explicit" else -np.expm1(-c * tau)
        line = u
        for _ in range(stages):
            line = signal.lfilter([0, a], [1, a - 1], np.append(line, 0))[:-1]
        one_hop_later = np.append(line[1:], np.nan)
        np.testing.assert_allclose(trace["output"][:-1, 0], one_hop_later[:-1], rtol=1e-11)
        # In continuous time the impulse response is the gamma density of shape n and rate c.
        fine = np.linspace(0, 20, 4001)
        kernel = stats.gamma.pdf(fine, stages, scale=1 / c)
        step = 0.005
        exact = np.convolve(kernel, np.sin(0.5 * fine) + (fine > 5))[: len(fine)] * step
        ours = np.interp(fine[:3800], t + tau, trace["output"][:, 0], left=0)
        distances.append(np.abs(ours - exact[:3800]).max())
    ratios = np.array(distances[:-1]) / distances[1:]
    assert np.all((ratios > 1.7) & (ratios < 2.3)), distances


def test_speed_array_goes_through_compiled_loops():
    network = Digraph.complete(3, 1, speed=[0.5, np.inf, 2.0])
    faster = eqx.tree_at(lambda n: n.speed, network, 2 * network.speed)
    ends = []
    for n in (network, faster):
        learner = Learner(n, Cost(SquaredError()))
        phase = learner.init(jax.random.key(0))
        ends.append(learner.run(phase, (np.ones((4, 1)), np.ones((4, 1))))[0].x)
    assert not np.allclose(*ends)


def test_shapes_in_signatures_are_checked_while_tests_run():
    with pytest.raises(TypeCheckError, match="neurons"):
        Digraph.complete(3, 1).output(jnp.zeros((3, 1)))
