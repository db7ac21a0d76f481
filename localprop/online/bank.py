"""Several learners side by side on one stream, in one compiled loop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

from ..forked import refuse_lame_fork
from ..kept_programs import kept_program
from ..law import Phase
from ..learner import Learner, Samples, Trace
from ..learner.divergence import first_unsound, sound
from ..learner.loop import learn_loop, neurons, preview_loop
from ..learner.samples import count, pad
from ..network import SharedWeights
from ..network.gaussian import split
from ..network.uncompiled import placed

View = Literal["plain", "new", "reviewed", "memory"]
ALONE = ("plain", "memory")  # views of a single row, with inputs of their own
Phases = tuple[Phase, ...]


class Expert(eqx.Module):
    """A learner with what it looks at; nothing more.

    **Fields:** `name`; `learner`; `view`: `"plain"`: the new row without quantile bins; `"new"`:
    the new row; `"reviewed"`: the new row and those beside it; `"memory"`: what came before the
    new row. The learner of `"new"` and `"reviewed"` has a stream for each of these rows; under
    `"new"` only the first has a target.
    """

    name: str = eqx.field(static=True)
    learner: Learner
    view: View = eqx.field(static=True)


class Bank(eqx.Module):
    """Experts that learn the same stream, none of which knows of the others.

    A sample has `u = {"rows": (S, inputs), "plain": (inputs,)}`, with `"memory": (inputs,)` where
    an expert looks at that, and `z` of shape `(S, outputs)`: the new row first, then those that are
    reviewed with it; its duration is relative to the
    learners' own. Experts that differ in numbers alone (a rate, a friction) are one program, mapped
    over these numbers; all others are written out one after the other, in one compiled loop over
    the samples. Its outputs are stacked, `(experts, outputs)`.

    **Arguments:** `experts`; `recipe`: what all its programs hang on but the shapes of arrays, the
    same in every process, by which they are kept between runs; `None` keeps none.

    !!! example

        ```python
        >>> import jax, numpy as np
        >>> from localprop import Cost, Layered, Learner, Samples, SquaredError
        >>> from localprop.online.bank import Bank, Expert
        >>> net, cost = Layered.dense([3, 4, 1]), Cost(SquaredError())
        >>> slow = Expert("slow", Learner(net, cost, streams=2), "reviewed")
        >>> fast = Expert("fast", Learner(net, cost, streams=2), "new")
        >>> bank = Bank([slow, fast])
        >>> u = {"rows": np.ones((5, 2, 3)), "plain": np.ones((5, 0))}
        >>> part = Samples(u, np.zeros((5, 2, 1)))
        >>> phases, trace, restarted = bank.learn(bank.init(jax.random.key(0)), part, ("output",))
        >>> trace["output"].shape, restarted
        ((5, 2, 1), [])

        ```
    """

    experts: tuple[Expert, ...]
    groups: tuple[tuple[int, ...], ...] = eqx.field(static=True)  # of experts that are one program
    recipe: str | None = eqx.field(static=True)

    def __init__(self, experts: Sequence[Expert], recipe: str | None = None):
        self.experts, self.recipe = tuple(experts), recipe
        groups: dict[Any, list[int]] = {}
        for k, expert in enumerate(self.experts):
            leaves, structure = jax.tree.flatten(expert.learner)
            others = tuple(leaf for leaf in leaves if not _is_number(leaf))
            alone = expert.view if expert.view in ALONE else None
            groups.setdefault((alone, structure, others), []).append(k)
        self.groups = tuple(map(tuple, groups.values()))

    @property
    def names(self) -> list[str]:
        """Names of the experts, in order."""
        return [expert.name for expert in self.experts]

    def __hash__(self) -> int:
        return hash(tuple(self.names))

    def init(self, key: PRNGKeyArray) -> Phases:
        """Returns phases at rest, with random weights drawn from `key`, one for each group.

        Its arrays have the experts of the group as their first axis.
        """
        refuse_lame_fork()
        # A key for an expert is the same however many there are.
        keys = split(key, 1 << (len(self.experts) - 1).bit_length())
        own = [e.learner.init(k) for e, k in zip(self.experts, keys, strict=False)]
        return tuple(jax.tree.map(stacked, *[own[k] for k in group]) for group in self.groups)

    def of(self, phase: Phases, expert: int) -> Phase:
        """Returns the phase of one expert."""
        group = next(k for k, members in enumerate(self.groups) if expert in members)
        place = self.groups[group].index(expert)
        return jax.tree.map(lambda a: _part(a, place), phase[group])

    def present(self, phase: Phases, sample: Samples) -> tuple[Phases, Array]:
        """Presents one sample to each expert; returns the phases and `(experts, outputs)`."""

        def one(learner: Learner, own: Phase, sample: Samples) -> tuple[Phase, Array]:
            return learner.present(own, sample)

        after, outputs = zip(*self._each(one, phase, sample), strict=True)
        return after, self._in_order([*map(_of_new_row, outputs)])

    def preview(self, phase: Phases, sample: Samples) -> Array:
        """Returns the outputs that `present` would return, learning nothing."""

        def one(learner: Learner, own: Phase, sample: Samples) -> Array:
            return learner.preview(own, sample)

        return self._in_order([*map(_of_new_row, self._each(one, phase, sample))])

    def observe(
        self, record: tuple[str, ...], phase: Phases, output: Array, sample: Samples
    ) -> dict[str, Array]:
        """Returns what is to be recorded of a sample.

        **Arguments:** `record`: `"output"`; `"answer"`: to the sample's query, `(experts,
        outputs)`; `"input_slope"`: of the loss of the new row, $D_u^\\top\\lambda$, the mean of the
        experts that see all inputs, `(inputs,)`; `"memory_slope"`: that of the expert that sees
        what came before, at its own inputs.
        """
        values = {"output": output}
        if "answer" in record:
            values["answer"] = self._answers(phase, sample)
        if "input_slope" in record:
            values["input_slope"] = self._input_slope(phase, sample)
        if "memory_slope" in record:
            values["memory_slope"] = self._memory_slope(phase, sample)
        return {name: values[name] for name in record}

    def learn(
        self, phase: Phases, part: Samples, record: Sequence[str], *, capacity: int | None = None
    ) -> tuple[Phases, Trace, list[tuple[int, str]]]:
        """Learns a piece; an expert that turns non-finite is started again, and the others go on.

        **Arguments:** `phase` (it stays valid); `part`: arrays in the precision of the phase;
        `record`: as for `observe`; `capacity`: length for which the loop is compiled.

        **Returns:** phases, trace, and what was started again: number of the sample, and name.
        """
        rows = count(part)
        done, traces, restarted = 0, [], []
        while done < rows:
            rest = jax.tree.map(lambda a, done=done: a[done:], part)
            after, trace, all_sound = self._learn(phase, rest, record, capacity or rows)
            learned = rows - done
            if not all_sound:
                learned, after, trace = self._up_to_fault(phase, rest, record, capacity or rows)
            traces.append({name: np.asarray(a)[:learned] for name, a in trace.items()})
            done += learned
            if not all_sound:
                after, names = self._repaired(after)
                restarted += [(done - 1, name) for name in names]
            phase = after
        joined = {name: np.concatenate([t[name] for t in traces]) for name in record}
        return phase, joined, restarted

    def preview_many(
        self, phase: Phases, part: Samples, *, capacity: int | None = None
    ) -> np.ndarray:
        """Returns the outputs for each sample were it the next, `(T, experts, outputs)`."""
        refuse_lame_fork()
        programs, arrays = self._programs()
        given = arrays, *_padded(part, capacity or count(part)), phase
        found = programs.find(None, given)(*given)
        return np.asarray(found)[: count(part)]

    def compile(
        self, phase: Phases, part: Samples, record: Sequence[str], *, capacity: int | None = None
    ) -> None:
        """Compiles the loop for pieces like `part`, learning nothing."""
        jax.block_until_ready(self._learn(phase, part, record, capacity or count(part), 0)[0])

    def _learn(
        self,
        phase: Phases,
        part: Samples,
        record: Sequence[str],
        capacity: int,
        n: int | None = None,
    ) -> tuple[Phases, dict[str, Any], bool]:
        """Learns the first `n` samples, by default all, as `learner.loop.learn_chunk` does."""
        refuse_lame_fork()
        programs, arrays = self._programs()
        given = arrays, *_padded(part, capacity, n), phase
        after, trace, largest = programs.find(tuple(record), given)(*given)
        return after, trace, sound((after, largest))

    def _programs(self) -> tuple[_Programs, list[Any]]:
        """Returns what learns and answers, compiled for all banks alike, and own arrays."""
        leaves, structure = jax.tree.flatten(self)
        arrays = [leaf if isinstance(leaf, Array) else None for leaf in leaves]
        rest = (None if isinstance(leaf, Array) else leaf for leaf in leaves)
        return _programs(structure, *rest), arrays

    def _up_to_fault(
        self, good: Phases, part: Samples, record: Sequence[str], capacity: int
    ) -> tuple[int, Phases, Trace]:
        """Learns up to and with the first sample that turns an expert non-finite."""

        def learn(k: int) -> Any:
            return self._learn(good, part, record, capacity, k)

        fault, _, _ = first_unsound(lambda k: (learn(k)[0], learn(k)[2]), count(part))
        after, trace, _ = learn(fault + 1)
        return fault + 1, after, trace

    def _repaired(self, phase: Phases) -> tuple[Phases, list[str]]:
        """Returns the phases with a fresh one for each expert that is not finite any more."""
        fresh, repaired, names = self.init(jax.random.key(0)), [], []
        for group, own, new in zip(self.groups, phase, fresh, strict=True):
            for place, k in enumerate(group):
                if not sound(jax.tree.map(lambda a, place=place: a[place], own)):
                    own = jax.tree.map(lambda a, b, p=place: a.at[p].set(b[p]), own, new)
                    names.append(self.names[k])
            repaired.append(own)
        return tuple(repaired), names

    def _each(self, one: Any, phase: Phases, sample: Samples) -> list[Any]:
        """Returns what `one(learner, phase, sample)` does for each group, mapped over it."""
        found = []
        for group, own in zip(self.groups, phase, strict=True):
            members = [self.experts[k] for k in group]
            numbers, rest = _stacked([expert.learner for expert in members])
            new = np.array([expert.view == "new" for expert in members])
            view = members[0].view

            def member(numbers: Any, new: Any, own: Phase, rest=rest, view: View = view) -> Any:
                learner = eqx.combine(numbers, rest)
                return one(learner, own, _seen(sample, learner.duration, view, new))

            if len(members) == 1:  # a map over one would hide plain products from the compiler
                alone = jax.tree.map(lambda a: a[0], (numbers, new, own))
                found.append(jax.tree.map(lambda a: a[None], member(*alone)))
            else:
                found.append(jax.vmap(member)(numbers, new, own))
        return found

    def _in_order(self, outputs: list[Array]) -> Array:
        """Returns what the groups have to say in the order of the experts."""
        order = np.argsort([k for group in self.groups for k in group])
        return jnp.concatenate(outputs)[order]

    def _answers(self, phase: Phases, sample: Samples) -> Array:
        """Returns what each expert answers to the query, of the weights as they are now."""

        def one(learner: Learner, own: Phase, seen: Samples) -> Array:
            del seen
            shared = isinstance(learner.network, SharedWeights)
            query = sample.query["rows" if shared else "plain"]
            return Learner._answer(*_alone(learner, own), query)

        return self._in_order(self._each(one, phase, sample))

    def _input_slope(self, phase: Phases, sample: Samples) -> Array:
        row = sample.u["rows"][0]

        def one(learner: Learner, own: Phase, seen: Samples) -> Array:
            if not isinstance(learner.network, SharedWeights):
                return jnp.zeros_like(row)
            # Costates are those of the mean loss over all rows that have a target.
            known = jnp.sum(~jnp.all(jnp.isnan(seen.z), axis=1))
            return Learner._input_slope(*_alone(learner, own), row) * jnp.maximum(known, 1)

        nets = sum(expert.view not in ALONE for expert in self.experts)
        slopes = jnp.concatenate(self._each(one, phase, sample))
        return jnp.sum(slopes, axis=0) / max(nets, 1)

    def _memory_slope(self, phase: Phases, sample: Samples) -> Array:
        (k,) = (k for k, expert in enumerate(self.experts) if expert.view == "memory")
        learner = self.experts[k].learner
        return Learner._input_slope(learner, self.of(phase, k), sample.u["memory"])


def stacked(*leaves: Array) -> Array:
    """Returns arrays of one shape as one, with nothing to compile unless they are traced."""
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return jnp.stack(leaves)
    return placed(np.stack([np.asarray(leaf) for leaf in leaves]))


def _part(a: Array, place: int) -> Array:
    if isinstance(a, Tracer):
        return a[place]
    return placed(np.array(np.asarray(a)[place]))  # nothing to compile


def _of_new_row(output: Array) -> Array:
    """Returns the outputs of a group for the new row, `(experts of the group, outputs)`."""
    return output[:, 0] if output.ndim == 3 else output


def _padded(part: Samples, capacity: int, n: int | None = None) -> tuple[Samples, np.ndarray]:
    """Returns samples filled up to the capacity, and how many of them count, by default all."""
    n = count(part) if n is None else n
    # For a capacity of 1 the compiler drops the loop and rounds otherwise.
    return jax.tree.map(partial(pad, capacity=max(capacity, 2)), part), np.asarray(n, np.int32)


class _Programs:
    """The compiled loops of banks that are alike, by what they record and the shapes of a piece.

    They are given the arrays of a bank in place of `None` leaves.
    """

    def __init__(self, structure: Any, leaves: tuple[Any, ...]):
        self.structure, self.leaves = structure, leaves
        self.found: dict[Any, Any] = {}

    def find(self, record: tuple[str, ...] | None, given: tuple[Any, ...]) -> Any:
        """Returns the loop that learns and records, or that answers where `record` is `None`."""
        leaves, structure = jax.tree.flatten(given[1])
        key = record, structure, *(leaf.shape for leaf in leaves), given[-1][0].time.dtype
        if key not in self.found:
            recipe = self.bank([a if a is None else 0.0 for a in given[0]]).recipe
            numbers = [leaf for leaf in self.leaves if isinstance(leaf, float)]
            name = None if recipe is None else f"{recipe} {numbers} {record}"
            loop, like = self.preview, 0.0
            if record is not None:
                loop, phase = partial(self.learn, record), given[-1]
                like = phase, dict.fromkeys(record, 0.0), neurons(phase)
            self.found[key] = kept_program(loop, name, given, like)
        return self.found[key]

    def learn(
        self, record: tuple[str, ...], arrays: Any, part: Samples, n: Any, phase: Phases
    ) -> Any:
        return learn_loop(self.bank(arrays), part, n, record, phase)

    def preview(self, arrays: Any, part: Samples, n: Any, phase: Phases) -> Array:
        return preview_loop(self.bank(arrays), part, n, phase)

    def bank(self, arrays: list[Any]) -> Bank:
        own = (b if a is None else a for a, b in zip(arrays, self.leaves, strict=True))
        return jax.tree.unflatten(self.structure, own)


@lru_cache(maxsize=16)
def _programs(structure: Any, *leaves: Any) -> _Programs:
    """Returns the programs of a bank.

    To find them by a bank's plain numbers takes a fifth of the time that `equinox.filter_jit`
    takes to tell these from arrays, at every single row.
    """
    return _Programs(structure, leaves)


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, float) or (isinstance(leaf, Array) and leaf.ndim == 0)


def _stacked(learners: list[Learner]) -> tuple[Any, Any]:
    """Returns the numbers in which learners differ, as arrays, and all that they have in common."""
    leaves = [jax.tree.flatten(learner)[0] for learner in learners]
    structure = jax.tree.structure(learners[0])
    numbers, rest = [], []
    for same in zip(*leaves, strict=True):
        arrays = any(isinstance(leaf, Array) for leaf in same)
        differ = arrays or any(leaf != same[0] for leaf in same)
        numbers.append(jnp.stack([jnp.asarray(n, float) for n in same]) if differ else None)
        rest.append(None if differ else same[0])
    return jax.tree.unflatten(structure, numbers), jax.tree.unflatten(structure, rest)


def _seen(sample: Samples, duration: float, view: View, new: Any) -> Samples:
    """Returns what an expert sees of a sample, which lasts by its own unit of time."""
    lasts: Any = duration if sample.duration is None else sample.duration * duration
    if view in ALONE:
        return Samples(sample.u[view], sample.z[0], lasts)
    beside = (jnp.arange(len(sample.z)) > 0)[:, None]
    return Samples(sample.u["rows"], jnp.where(new & beside, jnp.nan, sample.z), lasts)


def _alone(learner: Learner, phase: Phase) -> tuple[Learner, Phase]:
    """Returns the learner of one stream that shares its weights, at the new row."""
    if not isinstance(learner.network, SharedWeights):
        return learner, phase
    alone = eqx.tree_at(lambda e: e.network, learner, learner.network.network)
    own = jax.tree.map(lambda a: a[0], (phase.x, phase.costate))
    return alone, eqx.tree_at(lambda p: (p.x, p.costate), phase, own)
