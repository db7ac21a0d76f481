"""Several learners side by side on one stream, in one compiled loop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ..forked import refuse_lame_fork
from ..law import Phase
from ..learner import Learner, Samples, Trace
from ..learner.divergence import first_unsound, sound
from ..learner.fit import Fit
from ..learner.loop import learn_chunk, preview_chunk
from ..learner.samples import count, pad
from ..network import SharedWeights

View = Literal["plain", "new", "reviewed"]
Phases = tuple[Phase, ...]


class Expert(eqx.Module):
    """A learner with what it looks at; nothing more.

    **Fields:** `name`; `learner`; `view`: `"plain"`: the new row without quantile bins; `"new"`:
    the new row; `"reviewed"`: the new row and those beside it, each a stream of its own.
    """

    name: str = eqx.field(static=True)
    learner: Learner
    view: View = eqx.field(static=True)

    def sample(self, sample: Samples) -> Samples:
        """Returns what this expert sees of a sample, which lasts by its own unit of time."""
        duration = self.learner.duration
        if sample.duration is not None:
            duration = sample.duration * duration
        if self.view == "reviewed":
            return Samples(sample.u["rows"], sample.z, duration)
        u = sample.u["plain"] if self.view == "plain" else sample.u["rows"][0]
        return Samples(u, sample.z[0], duration)

    def first(self, output: Array) -> Array:
        """Returns the output for the new row."""
        return output[0] if self.view == "reviewed" else output


class Bank(eqx.Module):
    """Experts that learn the same stream, none of which knows of the others.

    A sample has `u = {"rows": (S, inputs), "plain": (inputs,)}` and `z` of shape `(S, outputs)`:
    the new row first, then those that are reviewed with it; its duration is relative to the
    learners' own. The experts are written out one after
    the other in one compiled loop over the samples; its outputs are stacked, `(experts, outputs)`.

    !!! example

        ```python
        >>> import jax, numpy as np
        >>> from localprop import Cost, Layered, Learner, Samples, SquaredError
        >>> from localprop.online.bank import Bank, Expert
        >>> net, cost = Layered.dense([3, 4, 1]), Cost(SquaredError())
        >>> both = Expert("slow", Learner(net, cost, streams=2), "reviewed")
        >>> bank = Bank((both, Expert("fast", Learner(net, cost), "new")))
        >>> u = {"rows": np.ones((5, 2, 3)), "plain": np.ones((5, 0))}
        >>> part = Samples(u, np.zeros((5, 2, 1)))
        >>> phases, trace, restarted = bank.learn(bank.init(jax.random.key(0)), part, ("output",))
        >>> trace["output"].shape, restarted
        ((5, 2, 1), [])

        ```
    """

    experts: tuple[Expert, ...]

    @property
    def names(self) -> list[str]:
        """Names of the experts, in order."""
        return [expert.name for expert in self.experts]

    def __hash__(self) -> int:
        return hash(tuple(self.names))

    def init(self, key: PRNGKeyArray) -> Phases:
        """Returns a phase at rest for each expert, with random weights drawn from `key`."""
        refuse_lame_fork()
        keys = jax.random.split(key, len(self.experts))
        return tuple(e.learner.init(k) for e, k in zip(self.experts, keys, strict=True))

    def present(self, phase: Phases, sample: Samples) -> tuple[Phases, Array]:
        """Presents one sample to each expert; returns the phases and `(experts, outputs)`."""
        after, outputs = [], []
        for expert, own in zip(self.experts, phase, strict=True):
            own, output = expert.learner.present(own, expert.sample(sample))
            after.append(own)
            outputs.append(expert.first(output))
        return tuple(after), jnp.stack(outputs)

    def preview(self, phase: Phases, sample: Samples) -> Array:
        """Returns the outputs that `present` would return, learning nothing."""
        outputs = [
            expert.first(expert.learner.preview(own, expert.sample(sample)))
            for expert, own in zip(self.experts, phase, strict=True)
        ]
        return jnp.stack(outputs)

    def observe(
        self, record: tuple[str, ...], phase: Phases, output: Array, sample: Samples
    ) -> dict[str, Array]:
        """Returns what is to be recorded of a sample.

        **Arguments:** `record`: `"output"`; `"answer"`: to the sample's query, `(experts,
        outputs)`; `"input_slope"`: of the loss of the new row, $D_u^\\top\\lambda$, the mean of the
        experts that see all inputs, `(inputs,)`.
        """
        values = {"output": output}
        if "answer" in record:
            values["answer"] = self._answers(phase, sample)
        if "input_slope" in record:
            values["input_slope"] = self._input_slope(phase, sample)
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
            fixed = self._fixed(rest, record, capacity or rows)
            after, trace, all_sound = learn_chunk(fixed, phase)
            learned = rows - done
            if not all_sound:
                learned, after, trace = self._up_to_fault(phase, rest, record, capacity or rows)
            traces.append({name: np.asarray(a)[:learned] for name, a in trace.items()})
            done += learned
            if not all_sound:
                after, names = self._repaired(after)
                restarted += [(done - 1, name) for name in names]
            phase = after
        return (
            phase,
            {name: np.concatenate([t[name] for t in traces]) for name in record},
            restarted,
        )

    def preview_many(
        self, phase: Phases, part: Samples, *, capacity: int | None = None
    ) -> np.ndarray:
        """Returns the outputs for each sample were it the next, `(T, experts, outputs)`."""
        fixed = self._fixed(part, (), capacity or count(part))
        return np.asarray(preview_chunk(fixed, phase))[: count(part)]

    def compile(
        self, phase: Phases, part: Samples, record: Sequence[str], *, capacity: int | None = None
    ) -> None:
        """Compiles the loop for pieces like `part`, learning nothing."""
        fixed = self._fixed(part, record, capacity or count(part), 0)
        jax.block_until_ready(learn_chunk(fixed, phase)[0])

    def _fixed(
        self, part: Samples, record: Sequence[str], capacity: int, n: int | None = None
    ) -> Any:
        refuse_lame_fork()
        n = count(part) if n is None else n
        # For a capacity of 1 the compiler drops the loop and rounds otherwise.
        part = jax.tree.map(partial(pad, capacity=max(capacity, 2)), part)
        return self, Fit(self.init), part, np.asarray(n, np.int32), tuple(record)

    def _up_to_fault(
        self, good: Phases, part: Samples, record: Sequence[str], capacity: int
    ) -> tuple[int, Phases, Trace]:
        """Learns up to and with the first sample that turns an expert non-finite."""

        def learn(k: int) -> Any:
            return learn_chunk(self._fixed(part, record, capacity, k), good)

        fault, _, _ = first_unsound(lambda k: (learn(k)[0], learn(k)[2]), count(part))
        after, trace, _ = learn(fault + 1)
        return fault + 1, after, trace

    def _repaired(self, phase: Phases) -> tuple[Phases, list[str]]:
        """Returns the phases with a fresh one for each that is not finite, or not any more sane."""
        fresh, repaired, names = self.init(jax.random.key(0)), [], []
        for expert, own, new in zip(self.experts, phase, fresh, strict=True):
            good = sound(own)
            repaired.append(own if good else new)
            names += [] if good else [expert.name]
        return tuple(repaired), names

    def _answers(self, phase: Phases, sample: Samples) -> Array:
        """Returns what each expert answers to the query, of the weights as they are now."""
        answers = []
        for expert, own in zip(self.experts, phase, strict=True):
            query = sample.query["plain" if expert.view == "plain" else "rows"]
            learner, own = _alone(expert, own)
            answers.append(learner._answer(own, query))
        return jnp.stack(answers)

    def _input_slope(self, phase: Phases, sample: Samples) -> Array:
        total, experts = jnp.zeros_like(sample.u["rows"][0]), 0
        for expert, own in zip(self.experts, phase, strict=True):
            if expert.view == "plain":
                continue
            learner, own = _alone(expert, own)
            slope = learner._input_slope(own, sample.u["rows"][0])
            if expert.view == "reviewed":  # its costates are those of the mean loss
                known = ~jnp.all(jnp.isnan(sample.z), axis=1)
                slope = slope * jnp.maximum(jnp.sum(known), 1)
            total, experts = total + slope, experts + 1
        return total / max(experts, 1)


def _alone(expert: Expert, phase: Phase) -> tuple[Learner, Phase]:
    """Returns the learner of one stream that shares its weights, at the new row."""
    learner = expert.learner
    if expert.view != "reviewed":
        return learner, phase
    assert isinstance(learner.network, SharedWeights)
    alone = eqx.tree_at(lambda e: e.network, learner, learner.network.network)
    own = jax.tree.map(lambda a: a[0], (phase.x, phase.costate))
    return alone, eqx.tree_at(lambda p: (p.x, p.costate), phase, own)
