"""The loop: hops in a sample, samples in a chunk, chunks in a stream."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ..cost import Cost
from ..errors import ConfigError, DivergenceError, UnsettledWarning
from ..forked import refuse_lame_fork
from ..law import AbstractLaw, Phase, untuned_law
from ..native import AnyEngine, engine_of
from ..network import AbstractNetwork, SharedWeights
from ..options import real, shown, texts, whole
from .average import Average
from .compact import compact
from .divergence import REMEDY, culprit, first_unsound
from .fit import Fit, is_traced
from .loop import Fixed, learn_chunk, preview_chunk
from .presentation import NORMS, SamplePresenter
from .reservoir import Reservoir
from .samples import (
    TRACED,
    Samples,
    Trace,
    check_shapes,
    check_values,
    count,
    pad,
    pieces,
    read,
    read_inputs,
    read_tree,
)
from .settling import MOST, settled_depth

OUTPUT = ("output",)
Numbers = Array | np.ndarray
PLAIN = ("step", "predict", "network", "engine")  # attributes that are looked up at every sample
RECORDS = ("output", "loss", "lagrangian", "hamiltonian", *NORMS, "answer", "input_slope")

ENGINES = ("auto", "xla", "native", "pallas")

NO_MEMORY = (
    "what is seen again comes without what neurons remembered then; take review without traces "
    "and with clock='hop'"
)


class Learner(SamplePresenter):
    """Presents each sample for a number of hops and learns while it is there.

    A sample of duration $\\Delta t$ is presented for $K$ hops of length $\\tau = \\Delta t/K$. In
    the first `settle` of them the weights are held. The *output* of a sample is read at the last
    hop at which the outputs can know nothing of its target, so it is an honest prediction.

    !!! example

        ```python
        >>> import jax, numpy as np
        >>> from localprop import Cost, Layered, Learner, SquaredError
        >>> t = np.arange(20_000)
        >>> u = np.stack([np.sin(0.01 * t), np.cos(0.013 * t)], axis=1)
        >>> z = u[:, :1] * u[:, 1:]
        >>> learner = Learner(Layered.dense([2, 16, 1]), Cost(SquaredError()))
        >>> phase = learner.init(jax.random.key(0))
        >>> phase, trace = learner.run(phase, (u, z))
        >>> bool(trace["loss"][-5000:].mean() < 0.01 * trace["loss"][:5000].max())
        True

        ```
    """

    def __init__(
        self,
        network: AbstractNetwork,
        cost: Cost,
        law: AbstractLaw | None = None,
        *,
        hops: int | Literal["auto"] = "auto",
        settle: int | Literal["auto"] = "auto",
        duration: float | None = None,
        streams: int | None = None,
        clock: str = "hop",
        average: float | int | None = None,
        review: int | None = None,
        engine: str = "auto",
    ):
        """**Arguments:**

        - `network`, `cost`, `law`: what is computed, what is minimised, how it moves. Without a
          law it is `Hamiltonian(mass=Adaptive(), dissipation=0.7)`, per hop: its steps do not grow
          with the stream, and no first stream diverges.
        - `hops`: $K$ per sample; `"auto"` is 2 × depth + 3, enough for unrelated samples: the
          force of hop 2 × depth + 1 is the gradient, and two more hops follow it, by the slopes of
          neurons as it left them (benchmarks/defaults.md). In a network with cycles, which no
          number of hops settles for good, the depth is measured: half the hops after which the
          force is within 5 % of its fixed point for three in four random starts
          (`localprop.learner.settling`). Neurons of finite speed settle later. With
          `clock="sample"` and `Traces()` they move once, and ways that lead into them are not
          counted.
        - `settle`: hops in which the weights are held. `"auto"` leaves it to the law. For
          `Hamiltonian`: 2 × depth where $K$ is larger than that, so that the error has arrived
          before weights move; else depth − 1 where $K$ allows it, so that the output has felt
          the input; else 0. For `LeastAction`: depth where $K$ is at least 2 × depth; else 0.
        - `duration`: $\\Delta t$ of a sample for which the stream gives none; by default $K$, so
          that a hop is the unit of time.
        - `streams`: how many streams share the weights, as a leading axis; `None` for one without.
          What is averaged over them, loss and force, is averaged over those that have a label.
        - `clock`: when neurons that take time move: with every `"hop"`, or once per `"sample"`, in
          its first hop and for all of $\\Delta t$. Then they hold still while the others settle,
          and the error of a settled hop is that of what they remember.
        - `average`: over how many samples a running mean of the weights goes, 1 or more, infinite
          for all; `None` for no mean. `predict` and the record `"answer"` then answer from the
          mean, while the weights themselves learn, and answer each sample before it is learned.
        - `review`: how many samples are kept, a fair draw of all that were learned; seven of them,
          drawn at random, are learned again beside each new one, as further streams that share the
          weights. `None` keeps none. It wants hops for samples that have nothing to do with each
          other, and neurons that hold no memory.
        - `engine`: what computes: `"xla"`, which knows every learner and every device; `"native"`,
          loops for this machine's processor in which every weight is read and written once in a
          hop, for digraphs under the laws, costs and masses of this package, for chains of dense
          layers of infinite speed under `Hamiltonian` and `LeastAction`, and for banks of modes
          under `Traces()` with `clock="sample"`; `"pallas"`, XLA with a GPU kernel that does so
          for dense digraphs of one stream under costate reversal and a constant mass, which was
          not measured on any GPU yet; or `"auto"`, native where it knows the learner and what is
          recorded and is the faster one, else XLA. All follow
          the same equations to rounding, and each by itself repeats every bit.

        **Raises:** `ConfigError` for numbers that make no sense.
        """
        if streams is not None:
            network = SharedWeights(network, whole("streams", streams))
        self.network, self.cost, depth = network, cost, network.depth
        if "auto" in (hops, settle):
            # The stream's own unit of time, a hop, unless both are given.
            given = hops != "auto" and duration is not None
            tau = real("duration", duration) / whole("hops", hops, 1) if given else 1.0
            once = clock == "sample" and law is not None and law.felt_at_once()
            depth = _settled_depth(network, tau, once)
        self.hops = 2 * depth + 3 if hops == "auto" else whole("hops", hops, 1)
        self.duration = float(self.hops) if duration is None else real("duration", duration)
        if not 0 < self.duration < np.inf:
            raise ConfigError(f"duration {self.duration}: a sample lasts longer than 0")
        self.law = untuned_law(self.duration / self.hops) if law is None else law
        if settle == "auto":
            # Where nothing can settle, the shortest way is all that the hops are enough for.
            near = depth if self.hops > 2 * depth else network.depth
            settle = self.law.settle_hops(near, self.hops)
        self.settle = whole("settle", settle, 0)
        self.clock = clock
        if clock not in ("hop", "sample"):
            raise ConfigError(f"clock '{clock}': take hop or sample")
        if clock == "sample":
            self.law.check_clock()
        self.average = None if average is None else real("average", average)
        if self.average is not None and not self.average >= 1:
            raise ConfigError(f"average over {average} samples; give 1 or more, or None")
        self.review = None if review is None else whole("review", review, 1)
        if self.review is not None:
            self._check_review()
        if self.settle >= self.hops:
            raise ConfigError(
                f"hops {self.hops}, settle {self.settle}: give fewer settle hops than hops"
            )
        if engine not in ENGINES:
            raise ConfigError(f"engine {shown(engine)}; take one of {', '.join(ENGINES)}")
        self.engine = engine
        if engine == "native" and isinstance(unknown := engine_of(self), str):
            raise ConfigError(_not_native(unknown))
        if engine == "pallas":
            from .pallas_hop import unknown_to_pallas  # takes time to import

            if unknown := unknown_to_pallas(self):
                raise ConfigError(f"engine 'pallas' does not know {unknown}; take engine='auto'")

    def _check_review(self) -> None:
        if self.clock == "sample":
            raise ConfigError(NO_MEMORY)
        if self.hops <= 2 * self.network.depth:
            raise ConfigError(
                f"hops {self.hops}: samples that are seen again have nothing to do with those "
                f"before them, and their errors arrive after {2 * self.network.depth}; give more "
                "hops, or no review"
            )

    if not TYPE_CHECKING:

        def __getattribute__(self, name: str) -> Any:
            # Equinox makes a module of a method whenever it is looked up, which takes as long as
            # a hundred hops of a small network.
            if name in PLAIN:
                return object.__getattribute__(self, name)
            return super().__getattribute__(name)

    def __hash__(self) -> int:
        # `jax.jit(learner.predict)` looks the learner up; arrays, its own included, have no hash.
        return hash((self.hops, self.settle, self.duration))

    def __repr__(self) -> str:
        times = f"hops={self.hops}, settle={self.settle}, duration={self.duration:g}"
        kept = {"average": self.average, "review": self.review}
        times += "".join(f", {name}={n:g}" for name, n in kept.items() if n is not None)
        parts = f"{self.network}, {self.cost}, {self.law}, {times}"
        return " ".join(f"Learner({parts})".split())  # a law's own may take some lines

    def init(self, key: PRNGKeyArray) -> Phase:
        """Returns the phase at rest, with random weights drawn from `key`."""
        refuse_lame_fork()
        phase = self.law.init(self.network, self.cost, key)
        if self.average is not None:
            phase = dataclasses.replace(phase, average=Average.begin(phase.w))
        if self.review is not None:
            if phase.trace is not None:
                raise ConfigError(NO_MEMORY)
            kept = Reservoir.begin(self.network, self.review, key)
            phase = dataclasses.replace(phase, review=kept)
        return phase

    def step(self, phase: Phase, u: Any, z: Any, duration: Any = None) -> tuple[Phase, Numbers]:
        """Learns one sample and returns the new phase and the output, predicted before `z` was
        used.

        It may be called under `jax.jit`, `jax.vmap` and `jax.grad`, also of a learner whose rates
        are traced. Numbers cannot be looked at there: what would raise `DivergenceError`, or
        `StreamError` for its values, gives numbers that are not finite.

        **Arguments:** `phase` (it stays valid); `u` of shape `(d,)`; `z` of shape `(m,)`, NaN where
        there is no target; `duration` or `None`.

        **Raises:** `DivergenceError`; `StreamError` for what cannot be learned; `ConfigError` for
        a phase of another learner; `ForkError`.

        !!! example

            ```python
            >>> import jax, numpy as np
            >>> from localprop import Cost, Digraph, Learner, SquaredError
            >>> learner = Learner(Digraph.layered([2, 1]), Cost(SquaredError()))
            >>> phase = learner.init(jax.random.key(0))
            >>> phase, output = learner.step(phase, np.array([0.5, 1.0]), np.array([2.0]))
            >>> output.shape
            (1,)
            >>> both = jax.vmap(learner.step, in_axes=(None, 0, None))  # two futures of one phase
            >>> both(phase, np.array([[0.5, 1.0], [0.0, 2.0]]), np.array([2.0]))[1].shape
            (2, 1)

            ```
        """
        engine = _fused(self, phase, OUTPUT)
        if engine is not None and (found := engine.step(phase, u, z, duration)) is not None:
            return found
        given = read((u, z, duration))
        if is_traced(self, phase, given):
            _check_kind(phase)
            return _present(self, Fit.of(self.init, self, phase), phase, given)
        sample = jax.tree.map(lambda a: a[None], given)
        check_values(check_shapes(sample), 0)
        if engine is not None and engine.takes(sample):
            after, trace = self._learn_natively(engine, phase, sample, OUTPUT, 0)
            return after, trace["output"][0]
        arguments = self._chunk_arguments(phase, sample, 1, OUTPUT)
        after, trace, sound = learn_chunk(arguments, phase)  # as in `run`: the same numbers
        if not sound:
            name = culprit(self._hop_by_hop(phase, sample, 0), after)
            raise DivergenceError(0, name, REMEDY, phase)
        return after, trace["output"][0]

    def predict(self, phase: Phase, u: Any) -> Numbers:
        """Returns the output for input `u` after `depth` hops of the state alone, forward.

        With `average=` it is that of the averaged weights. It may be called under `jax.jit`,
        `jax.vmap` and `jax.grad`, also of a learner whose rates are traced; for many rows take
        `predict_many`.

        **Arguments:** `phase` (it stays valid); `u` of shape `(d,)`.

        **Raises:** `StreamError` for an input that is not finite, or of another shape.

        !!! example

            ```python
            >>> import jax, numpy as np
            >>> from localprop import Cost, Digraph, Learner, SquaredError
            >>> learner = Learner(Digraph.layered([2, 1]), Cost(SquaredError()))
            >>> phase = learner.init(jax.random.key(0))
            >>> output = learner.predict(phase, np.array([0.5, 1.0]))
            >>> np.allclose(output, phase.w @ np.array([0.5, 1.0, 1.0, 0.0]))  # u, bias, x
            True

            ```
        """
        refuse_lame_fork()
        _check_kind(phase)
        engine = _fused(self, phase, OUTPUT)
        if engine is not None and (found := engine.say(phase, u)) is not None:
            return found
        u = read_tree(u, "u")
        row = jax.tree.map(lambda a: a[None], u)
        read_inputs(row)  # raises what `predict_many` would
        if engine is not None and engine.asks(row):
            return engine.answer(phase, row)[0]
        return _predict(self, Fit.of(self.init, self, phase), phase, u)

    def predict_many(self, phase: Phase, u: Any) -> Numbers:
        """Returns what `predict` says of each row, `(T, m)`: every row of the same phase.

        It is one call of a compiled loop, which the next power of two of rows shares.

        **Arguments:** `phase` (it stays valid); `u` of shape `(T, d)`.

        **Raises:** as `predict`.

        !!! example

            ```python
            >>> import jax, numpy as np
            >>> from localprop import Cost, Digraph, Learner, SquaredError
            >>> learner = Learner(Digraph.layered([2, 1]), Cost(SquaredError()))
            >>> phase = learner.init(jax.random.key(0))
            >>> learner.predict_many(phase, [[0.5, 1.0], [0.0, 2.0], [1.0, 1.0]]).shape
            (3, 1)

            ```
        """
        refuse_lame_fork()
        u, rows = read_inputs(u)
        engine = _fused(self, phase, OUTPUT)
        if engine is not None and engine.asks(u):
            return engine.answer(phase, u)
        # Powers of two, so that few numbers of rows cost a compilation.
        capacity = max(2, 1 << max(rows - 1, 0).bit_length())
        u = jax.tree.map(partial(pad, capacity=capacity), u)
        return _predict_many(self, Fit.of(self.init, self, phase), phase, u)[:rows]

    def run(
        self,
        phase: Phase,
        stream: Any,
        record: Sequence[str] = ("output", "loss"),
        chunk: int = 4096,
    ) -> tuple[Phase, Trace]:
        """Learns a whole stream and returns the last phase and what was recorded.

        **Arguments:** as for `chunks`.

        **Raises:** `DivergenceError`, `StreamError`, `ConfigError`.

        !!! example

            ```python
            >>> import jax, numpy as np
            >>> from localprop import Cost, Digraph, Learner, SquaredError
            >>> learner = Learner(Digraph.layered([2, 1]), Cost(SquaredError()))
            >>> start, u, z = learner.init(jax.random.key(0)), np.zeros((50, 2)), np.zeros((50, 1))
            >>> phase, trace = learner.run(start, (u, z), record=("loss", "w_norm"))
            >>> trace["loss"].shape, float(trace["loss"].sum())
            ((50,), 0.0)

            ```
        """
        traces: list[Trace] = []
        for step in self.chunks(phase, stream, record, chunk):
            phase, trace = step
            traces.append(trace)
        join = lambda arrays: np.concatenate(arrays) if arrays else np.zeros(0)  # noqa: E731
        return phase, {name: join([t[name] for t in traces]) for name in record}

    def chunks(
        self,
        phase: Phase,
        stream: Any,
        record: Sequence[str] = ("output", "loss"),
        chunk: int = 4096,
    ) -> Iterator[tuple[Phase, Trace]]:
        """Learns a stream of any length in constant memory, yielding after every chunk.

        **Arguments:**

        - `phase`: where to start; it stays valid, as does every phase that is yielded.
        - `stream`: `(u, z)`, `(u, z, duration)` or `Samples`, of arrays or nested lists with one
          row per sample; or an iterable of such pieces.
        - `record`: any of `"output"`, `"loss"` (of the output), `"lagrangian"`, `"hamiltonian"`,
          `"x_norm"`, `"costate_norm"`, `"w_norm"`, `"momentum_norm"` (at the end of the sample),
          `"answer"` (to the stream's queries), `"input_slope"` (of the loss: $D_u^\\top\\lambda$
          at the end of the sample).
        - `chunk`: most samples in one call of the compiled loop.

        **Raises:** `DivergenceError` with the number of the sample and the phase before it;
        `StreamError` for pieces that do not fit; `ConfigError` for an unknown record, a chunk
        below 1, or a phase of another learner; `ForkError`.

        !!! example

            ```python
            >>> import jax, numpy as np
            >>> from localprop import Cost, Digraph, Learner, SquaredError
            >>> learner = Learner(Digraph.layered([2, 1]), Cost(SquaredError()))
            >>> start, u, z = learner.init(jax.random.key(0)), np.zeros((50, 2)), np.zeros((50, 1))
            >>> [len(trace["loss"]) for phase, trace in learner.chunks(start, (u, z), chunk=20)]
            [20, 20, 10]

            ```
        """
        record = _known_records(record)
        capacity, done = None, 0
        for piece in pieces(stream, whole("chunk", chunk, 1)):
            length = count(piece)
            capacity = length if capacity is None else capacity
            for start in range(0, length, capacity):
                part = jax.tree.map(lambda a, s=start, n=capacity: a[s : s + n], piece)
                phase, trace = self._advance(phase, part, record, capacity, done)
                done += count(part)
                yield phase, trace

    def advance(
        self,
        phase: Phase,
        part: Samples,
        record: Sequence[str] = ("output", "loss"),
        *,
        capacity: int | None = None,
        done: int = 0,
    ) -> tuple[Phase, Trace]:
        """Learns one chunk in one call of the compiled loop.

        **Arguments:** `phase` (it stays valid); `part`: samples; `record`: as for `chunks`;
        `capacity`: length for which the loop is compiled, at least that of the chunk; `done`:
        number of the chunk's first sample, for messages.

        **Raises:** as `chunks`.
        """
        part = check_values(check_shapes(read(part)), done)
        return self._advance(phase, part, _known_records(record), capacity, done)

    def _advance(
        self, phase: Phase, part: Samples, record: tuple[str, ...], capacity: int | None, done: int
    ) -> tuple[Phase, Trace]:
        """Learns one chunk that was read and checked."""
        if is_traced(self, phase):
            raise ConfigError(TRACED)
        engine = _fused(self, phase, record)
        if engine is not None and engine.takes(part):
            self._capacity(part, capacity, record)
            after, trace = self._learn_natively(engine, phase, part, record, done)
            return _of_jax(after), trace
        length, good = count(part), phase
        arguments = self._chunk_arguments(phase, part, capacity, record)
        phase, trace, sound = learn_chunk(arguments, good)
        if not sound:
            raise self._diverged(good, part, capacity or length, done)
        return phase, {name: np.asarray(a)[:length] for name, a in trace.items()}

    def preview_many(
        self, phase: Phase, part: Samples, *, capacity: int | None = None
    ) -> np.ndarray:
        """Returns the outputs with which `advance` would predict each sample, were it the next.

        Unlike `predict_many` it makes the hops of learning, for each sample's own duration, up to
        where its target would be felt.

        **Arguments:** as for `advance`; the targets may be NaN. Nothing is learned, and no sample
        changes what is answered to another.
        """
        part = check_values(check_shapes(read(part)), 0)
        fixed = self._chunk_arguments(phase, part, capacity, ("output",))
        return np.asarray(preview_chunk(fixed, phase))[: count(part)]

    def compile(
        self,
        phase: Phase,
        part: Samples,
        record: Sequence[str] = ("output", "loss"),
        *,
        capacity: int | None = None,
    ) -> None:
        """Compiles the loop for chunks like `part`, learning nothing."""
        arguments = self._chunk_arguments(phase, read(part), capacity, _known_records(record), 0)
        jax.block_until_ready(learn_chunk(arguments, phase))

    def _chunk_arguments(
        self,
        phase: Phase,
        part: Samples,
        capacity: int | None,
        record: tuple[str, ...],
        n: int | None = None,
    ) -> Fixed:
        """Returns what the compiled loop needs to learn the first `n` samples of a chunk."""
        refuse_lame_fork()
        _check_kind(phase)
        capacity = self._capacity(part, capacity, record)
        n = count(part) if n is None else n
        # For a capacity of 1 the compiler drops the loop and rounds otherwise.
        part = jax.tree.map(partial(pad, capacity=max(capacity, 2)), part)
        # An array, so that the compiler traces it.
        return self, Fit(self.init), part, np.asarray(n, np.int32), record

    def _capacity(self, part: Samples, capacity: int | None, record: tuple[str, ...]) -> int:
        """Returns for how many samples the loop is compiled.

        **Raises:** `ConfigError` where it is too few for these, or they lack what is recorded.
        """
        length = count(part)
        capacity = length if capacity is None else whole("capacity", capacity)
        if capacity < length:
            raise ConfigError(f"capacity is {capacity}; give at least the {length} samples' number")
        if "answer" in record and part.query is None:
            raise ConfigError(
                "record 'answer' needs queries; give them as the stream's fourth part"
            )
        return capacity

    def _learn_natively(
        self, engine: AnyEngine, phase: Phase, part: Samples, record: tuple[str, ...], done: int
    ) -> tuple[Phase, Trace]:
        """Learns samples that were read and checked; the phase is one of NumPy's arrays."""
        numbers = (part.u, part.z, part.duration, part.weight, part.begins)
        given = jax.tree.map(np.ascontiguousarray, numbers)
        learned = engine.learn(phase, given, count(part), record)
        if learned.bad is None:
            return learned.phase, learned.trace
        # Once more, with an eye on every weight after every sample.
        bad = engine.learn(phase, given, min(learned.bad + 1, count(part)), (), watch=True).bad
        bad = learned.bad if bad is None else bad
        before, after = (_of_jax(engine.learn(phase, given, k, ()).phase) for k in (bad, bad + 1))
        name = culprit(self._hop_by_hop(before, part, bad), after)
        return_to = phase if bad == 0 else before
        raise DivergenceError(done + bad, name, REMEDY, return_to)

    def _diverged(self, good: Phase, part: Samples, capacity: int, done: int) -> DivergenceError:
        """Returns the error of a chunk that ended badly, after learning parts of it again."""

        def learn(k: int) -> tuple[Phase, bool]:
            phase, _, sound = learn_chunk(self._chunk_arguments(good, part, capacity, (), k), good)
            return phase, sound

        i, before, after = first_unsound(learn, count(part))
        name = culprit(self._hop_by_hop(before, part, i), after)
        return DivergenceError(done + i, name, REMEDY, before)

    def _hop_by_hop(self, phase: Phase, part: Samples, i: int) -> Iterator[Phase]:
        return self._hops(phase, jax.tree.map(lambda a: jnp.asarray(a[i]), part))


def _settled_depth(network: AbstractNetwork, tau: float, once: bool) -> int:
    """Returns the depth to choose hops by, and warns where there is none."""
    depth = settled_depth(network, tau, once=once)
    if depth is None:
        warnings.warn(
            f"the network does not settle within {MOST} hops, so that weights move before the "
            "error has arrived along its cycles, and the force is not the gradient of the loss; "
            "give hops and settle yourself, or more inputs, smaller weights or a slower speed",
            UnsettledWarning,
            stacklevel=5,  # past this, __init__ and the two frames of Equinox: who made the learner
        )
        return network.depth
    return depth


def _fused(learner: Learner, phase: Any, record: tuple[str, ...]) -> AnyEngine | None:
    """Returns the fused loop, where it is to learn from this phase; `None` for XLA.

    **Raises:** `ConfigError` where it was asked for and does not know what is to be recorded.
    """
    # Not a method, which Equinox would wrap anew at every call, in the time of some hops.
    asked = learner.engine
    if asked in ("xla", "pallas"):
        return None
    refuse_lame_fork()
    _check_kind(phase)
    engine = engine_of(learner)
    if asked == "native":
        if isinstance(engine, str):
            raise ConfigError(_not_native(engine))
        if not engine.records.issuperset(record):
            strange = next(name for name in record if name not in engine.records)
            raise ConfigError(_not_native(f"record '{strange}'"))
    elif isinstance(engine, str) or not (
        engine.pays and engine.records.issuperset(record) and jax.default_backend() == "cpu"
    ):
        return None
    # What does not fit is told by the one that compiles.
    return engine if engine.fits(phase) else None


def _not_native(what: str) -> str:
    return f"engine 'native' does not know {what}; take engine='auto', which leaves it to XLA"


def _of_jax(phase: Phase) -> Phase:
    """Returns a phase of NumPy's arrays as one of JAX's, in the same memory where it can be."""
    return jax.device_put(phase)


def _known_records(record: Sequence[str]) -> tuple[str, ...]:
    names = texts("record", record)
    unknown = [name for name in names if name not in RECORDS]
    if unknown:
        raise ConfigError(f"no record {shown(unknown[0])}; take any of {', '.join(RECORDS)}")
    return names


def _check_kind(phase: Any) -> None:
    if not isinstance(phase, Phase):
        raise ConfigError(f"the phase is {shown(phase)}; take the one that init or run returned")


@eqx.filter_jit
def _predict(learner: Learner, fits: Fit, phase: Phase, u: Any) -> Array:
    fits(phase)
    learner, phase, _ = compact(learner, phase)
    return learner._answer(phase, u)


@eqx.filter_jit
def _present(learner: Learner, fits: Fit, phase: Phase, sample: Samples) -> tuple[Phase, Array]:
    fits(phase)
    return learner.present(phase, sample)


@eqx.filter_jit
def _predict_many(learner: Learner, fits: Fit, phase: Phase, u: Any) -> Array:
    fits(phase)
    learner, phase, _ = compact(learner, phase)
    return jax.lax.map(lambda row: learner._answer(phase, row), u)
