"""The fused loop against XLA: any learner that it knows, sample for sample."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from alike import assert_alike, samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localprop import (
    Adaptive,
    Cauchy,
    Constant,
    Cost,
    CostateReversal,
    Digraph,
    ExplicitEuler,
    ExponentialEuler,
    FastCostates,
    Growing,
    Hamiltonian,
    HamiltonianTrack,
    Huber,
    Inertial,
    Learner,
    LeastAction,
    Overdamped,
    SignFlip,
    SoftmaxCrossEntropy,
    SquaredError,
    Traces,
)
from localprop.network import ACTIVATIONS

SAMPLES = 12


MASSES = st.sampled_from([Constant(50.0), Adaptive(0.002, 0.01, 1e-3), Growing(0.02, 2.0)])


@st.composite
def digraphs(draw, finite, turns=False, traced=False):
    """Random arcs in either storage, whole or with holes; some arcs held, some silent; speeds and σ
    of each; where it is said, neurons that oscillate, and traces by which speeds are learned."""
    n = draw(st.integers(2, 7))
    outputs = draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n))
    kinds = st.sampled_from(sorted(ACTIVATIONS))
    speeds = st.sampled_from([0.4, 1.0, 2.5] if finite else [0.4, 1.0, np.inf])
    one = speeds if finite else st.just(np.inf)
    options = {
        "neurons": n,
        "inputs": draw(st.integers(0, 3)),
        "outputs": sorted(outputs),
        "bias": draw(st.booleans()),
        "storage": draw(st.sampled_from(["dense", "sparse"])),
        "activation": draw(st.one_of(kinds, st.lists(kinds, min_size=n, max_size=n))),
        "speed": draw(st.one_of(one, st.lists(speeds, min_size=n, max_size=n))),
    }
    if (density := draw(st.sampled_from([0.3, 0.7, None]))) is not None:
        options |= {"density": density, "seed": draw(st.integers(0, 99))}
    if turns and draw(st.booleans()):
        every = st.sampled_from([0.0, 0.3, -1.7])
        options["frequency"] = draw(st.one_of(every, st.lists(every, min_size=n, max_size=n)))
    if traced and np.isfinite(options["speed"]).any():
        options["learn_speed"] = draw(st.booleans())
    some = st.lists(st.integers(0, 99), max_size=3)
    held, silent = (draw(some) if draw(st.booleans()) else [] for _ in range(2))
    return options, held, draw(st.sampled_from([None, 0.3])), silent


def digraph(options, held=(), at=None, silent=()):
    """Builds one; `held`, `silent`: places of arcs, counted around."""
    make = Digraph.random if "density" in options else Digraph.complete
    arcs = [arc for arc in make(**options).edges() if arc[0] != "1"] if held or silent else []
    place = lambda k: arcs[k % len(arcs)]  # noqa: E731
    return make(**options, fixed={place(k): at for k in held}, silent=[place(k) for k in silent])


@st.composite
def laws(draw):
    """Returns a law, whether its neurons must be of finite speed, and how long a hop may last."""
    kind = draw(st.sampled_from(["reversal", "fast", "cauchy", "flip", "omega", "ball", "action"]))
    mass, theta = draw(MASSES), draw(st.sampled_from([0.0, 0.5, 1.7]))
    if kind == "action":
        neurons = draw(st.sampled_from([Inertial(0.6, 1.0), Overdamped(0.5)]))
        return LeastAction(0.3, neurons, mass, theta), False, 1.0
    policy = {
        "reversal": CostateReversal(),
        "fast": FastCostates(2.0, 3.0),
        "cauchy": Cauchy(),
        "flip": SignFlip(draw(st.integers(1, 3))),
        "omega": SignFlip(omega=2.3),
        "ball": HamiltonianTrack(9.0, speed=1.0),
    }[kind]
    relaxes = kind in ("reversal", "fast")
    integrator = ExponentialEuler() if relaxes or draw(st.booleans()) else ExplicitEuler()
    order = draw(st.sampled_from(["semi-implicit", "explicit"]))
    traces = draw(st.sampled_from([None, Traces(), Traces("reversed")])) if relaxes else None
    law = Hamiltonian(policy, mass, theta, integrator, order, traces)
    return law, not relaxes, 1.0 if relaxes else 0.1


COSTS = st.builds(
    Cost,
    st.sampled_from(
        [
            SquaredError(),
            SquaredError(2.5),
            Huber(0.7),
            SoftmaxCrossEntropy(0.1),
            SoftmaxCrossEntropy(),
        ]
    ),
    st.sampled_from([0.0, 0.03]),
)


@st.composite
def cases(draw):
    """Returns what `built` takes: of a digraph, of a learner, of a stream.

    Nothing is built here: who checks types draws random numbers, which Hypothesis has to know of.
    """
    law, finite, tau = draw(laws())
    relaxes = isinstance(law, Hamiltonian) and law.policy.relaxes()
    network = draw(digraphs(finite, relaxes, relaxes and law.traces is not None))
    if isinstance(law, Hamiltonian) and isinstance(law.policy, HamiltonianTrack):
        # A ball is one of neurons of one speed.
        network = ({"neurons": 4, "inputs": 2, "speed": 1.0},)
    hops = draw(st.integers(1, 5))
    given = {
        "cost": draw(COSTS),
        "law": law,
        "hops": hops,
        "settle": draw(st.integers(0, hops - 1)),
        "duration": tau * hops,
        "streams": draw(st.sampled_from([None, 1, 3])),
        "average": draw(st.sampled_from([None, 5, np.inf])),
        "clock": draw(st.sampled_from(["hop", "sample"])) if relaxes else "hop",
    }
    shown = {
        "seed": draw(st.integers(0, 99)),
        "durations": draw(st.booleans()) if relaxes else False,
        "missing": draw(st.sampled_from([0.0, 0.4, 1.0])),
        "weights": draw(st.booleans()),
        "begins": draw(st.booleans()),
    }
    return network, given, shown


def built(network, given, shown):
    """Returns a learner of either engine, and a stream."""
    network = digraph(*network)
    native, xla = (Learner(network, engine=engine, **given) for engine in ("native", "xla"))
    return native, xla, samples(native, **shown)


QUICK = [(False, "reversed", "sparse"), (True, "instantaneous", "dense")]
QUICK += [(True, "reversed", "sparse")]
RARE = [HealthCheck.too_slow, HealthCheck.data_too_large]


# In float64, where rounding that a stream of some hops makes grow stays far below this.
@pytest.mark.usefixtures("x64")
@given(cases())
@settings(derandomize=True, max_examples=8, deadline=None, suppress_health_check=RARE)
def test_native_follows_xla(case):
    assert_alike(*built(*case), 1e-8)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@given(cases())
@settings(derandomize=True, max_examples=200, deadline=None, suppress_health_check=RARE)
def test_native_follows_xla_wherever_it_goes(case):
    assert_alike(*built(*case), 1e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("learn_speed", "costate", "storage"),
    [
        pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow)
        for case in product([False, True], ["instantaneous", "reversed"], ["dense", "sparse"])
    ],
)
def test_neurons_that_oscillate_beside_silent_arcs(storage, costate, learn_speed):
    network = Digraph.complete(
        5, 2, (0, 3), speed=[0.5, np.inf, 0.2, 1.0, 0.3], frequency=[0.1, 0.0, 2.0, -1.0, 0.5],
        learn_speed=learn_speed, silent=[("x0", "x1"), ("x2", "x2")], storage=storage,
    )  # fmt: skip
    law = Hamiltonian(mass=Adaptive(0.01, 0.01, 1e-3), dissipation=0.5, traces=Traces(costate))
    given = {"hops": 4, "settle": 1, "streams": 2, "average": 5}
    native, xla = (
        Learner(network, Cost(SquaredError(), 0.02), law, engine=e, **given)
        for e in ("native", "xla")
    )
    shown = {"durations": True, "missing": 0.3, "weights": True, "begins": True}
    assert_alike(native, xla, samples(native, 1, **shown), 1e-10)


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_a_sample_in_single_precision_differs_by_rounding_alone(storage):
    """5 hops of sums of 52 terms: at most some 5 × 52 roundings of 2⁻²⁴, half of which cancel."""
    network = Digraph.complete(50, 1, storage=storage)
    law = Hamiltonian(mass=50.0, dissipation=0.5)
    given = {"hops": 5, "settle": 2}
    native, xla = (
        Learner(network, Cost(SquaredError()), law, engine=e, **given) for e in ("native", "xla")
    )
    stream = samples(native, 0, length=1)
    assert_alike(native, xla, stream, 5 * 52 * 2.0**-24)
