"""How one sample is presented: hop by hop, and what is read of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..cost import Cost
from ..errors import StreamError
from ..law import AbstractLaw, Phase
from ..law.base import answer_loss, squares
from ..network import AbstractNetwork
from .loop import Repeat, repeat, write_out
from .reservoir import live, presented, with_rest, without_rest
from .samples import Samples

NORMS = {"x_norm": "x", "costate_norm": "costate", "w_norm": "w", "momentum_norm": "momentum"}


def _of_streams(phase: Phase) -> tuple[PyTree, PyTree]:
    return phase.x, phase.costate


class SamplePresenter(eqx.Module):
    """What a learner does with a sample: the hops of its law, under its clock.

    **Fields:** as for `Learner`, which makes and checks them.
    """

    network: AbstractNetwork
    cost: Cost
    law: AbstractLaw
    hops: int = eqx.field(static=True)
    settle: int = eqx.field(static=True)
    duration: float = eqx.field(static=True)
    clock: str = eqx.field(static=True)
    average: float | None
    review: int | None = eqx.field(static=True)
    # How it is computed, which is no part of what is: a checkpoint says nothing of it.
    engine: str = eqx.field(static=True, metadata={"described": False})

    def present(
        self, phase: Phase, sample: Samples, repeat: Repeat = repeat
    ) -> tuple[Phase, Array]:
        """Presents one sample, hop by hop; returns the phase after it and its prediction.

        **Arguments:** `phase`; `sample`: one row, traced or not; `repeat`: what makes several equal
        hops, in a loop or written out.
        """
        blind, start = min(self.hops, self.law.blind_hops(self.settle)), phase
        phase, shown = self._begun(phase, sample)
        phase = self._hop_on(phase, shown, 0, blind, repeat)
        output = self._predicted(phase, shown)
        phase = self._hop_on(phase, shown, blind, self.hops, repeat)
        return self._ended(phase, start, sample), output

    def preview(self, phase: Phase, sample: Samples) -> Array:
        """Returns the prediction that `present` would make of the sample, learning nothing."""
        blind = min(self.hops, self.law.blind_hops(self.settle))
        phase, shown = self._begun(phase, sample)
        return self._predicted(self._hop_on(phase, shown, 0, blind), shown)

    def observe(
        self, record: Sequence[str], phase: Phase, output: Array, sample: Samples
    ) -> dict[str, Array]:
        """Returns what is to be recorded of a sample, from the phase after it and its prediction.

        **Arguments:** `record`: as for `chunks`; `phase`, `output`: from `present`; `sample`.
        """
        values: dict[str, Any] = {"output": output}
        if "loss" in record:
            values["loss"] = answer_loss(self.network, self.cost, output, sample.z)
        if "lagrangian" in record or "hamiltonian" in record:
            e = self.law.energies(self.network, self.cost, phase, sample.u, sample.z)
            values |= {"lagrangian": e.lagrangian, "hamiltonian": e.hamiltonian}
        for name, field in NORMS.items():
            if name in record:
                values[name] = jnp.sqrt(squares(getattr(phase, field)))
        if "answer" in record:
            values["answer"] = self._answer(phase, sample.query)
        if "input_slope" in record:
            values["input_slope"] = self._input_slope(phase, sample.u)
        return {name: values[name] for name in record}

    def averaged(self, phase: Phase) -> Phase:
        """Returns the phase with the mean of its weights in their place, all else as it is.

        To answer elsewhere from what `predict` answers from, or to go on learning from there.
        Without `average=` it is the phase itself.

        !!! example

            ```python
            >>> import jax, numpy as np
            >>> from localprop import Cost, Digraph, Learner, SquaredError
            >>> learner = Learner(Digraph.layered([2, 1]), Cost(SquaredError()), average=100)
            >>> start, u = learner.init(jax.random.key(0)), np.ones((50, 2))
            >>> phase, _ = learner.run(start, (u, u[:, :1]))
            >>> bool((learner.averaged(phase).w == phase.average.w).all())
            True

            ```
        """
        return phase if phase.average is None else dataclasses.replace(phase, w=phase.average.w)

    @property
    def _shown(self) -> AbstractNetwork:
        """The network on all that is presented at once."""
        return self.network if self.review is None else presented(self.network)

    def _duration(self, sample: Samples) -> Any:
        return self.duration if sample.duration is None else sample.duration

    def _tau(self, sample: Samples) -> Any:
        return self._duration(sample) / self.hops

    def _cost(self, sample: Samples) -> Cost:
        """Returns the cost with the weights of a sample's losses."""
        if sample.weight is None:
            return self.cost
        weight, none = jnp.asarray(sample.weight), lambda leaf: leaf is None
        return eqx.tree_at(lambda c: c.weight, self.cost, weight, is_leaf=none)

    def _one_each(self, name: str, value: Any) -> Array:
        """Returns one number for all streams, or one for each.

        **Raises:** `StreamError` for another shape.
        """
        value, streams = jnp.asarray(value), self.network.streams
        if value.shape not in ((), (streams,)):
            each = "one number" if streams is None else f"one number, or {streams}"
            raise StreamError(f"{name} of a sample has shape {value.shape}; give {each}")
        return value

    def _begun(self, phase: Phase, sample: Samples) -> tuple[Phase, Samples]:
        """Returns what the hops of a sample begin with, and what they are shown.

        Where a sequence begins, what is of the streams is at rest; so is what is of samples that
        are seen again. The mean of the weights and what is kept, of which laws know nothing, are
        left out.
        """
        if sample.weight is not None:
            sample = sample._replace(weight=self._one_each("weight", sample.weight))
        if sample.begins is not None:
            phase = self._rested(phase, self._one_each("begins", sample.begins) != 0)
        if phase.review is not None:
            sample = phase.review.beside(live(self.network, sample))
            phase = eqx.tree_at(_of_streams, phase, with_rest(self.network, _of_streams(phase)))
        if phase.average is not None or phase.review is not None:
            phase = dataclasses.replace(phase, average=None, review=None)
        return phase, sample

    def _rested(self, phase: Phase, new: Array) -> Phase:
        """Returns the phase with what is of the streams at rest, where a sequence begins."""

        def still(a: Array) -> Array:
            flags = new.reshape(new.shape + (1,) * (a.ndim - new.ndim))
            return jnp.where(flags, jnp.zeros_like(a), a)

        of_streams = lambda p: (p.x, p.costate, p.trace)  # noqa: E731
        rested = jax.tree.map(still, of_streams(phase))
        return eqx.tree_at(of_streams, phase, rested, is_leaf=lambda leaf: leaf is None)

    def _stepper(self, sample: Samples) -> Callable[[int], Callable[[Phase], Phase]]:
        """Returns what gives hop `k` of a sample, as a function of the phase."""
        tau, total = self._tau(sample), self._duration(sample)
        given = self._shown, self._cost(sample)

        def step(k: int) -> Callable[[Phase], Phase]:
            move = self.law.settle if k < self.settle else self.law.hop
            times = (tau,) if self.clock == "hop" else (tau, total if k == 0 else 0.0)
            return lambda phase: move(*given, phase, sample.u, sample.z, *times)

        return step

    def _hop_on(
        self, phase: Phase, sample: Samples, start: int, stop: int, repeat: Repeat = repeat
    ) -> Phase:
        """Returns the phase after the hops `start` to `stop - 1` of a sample."""
        step = self._stepper(sample)
        if self.clock == "sample" and start == 0 < stop:
            phase, start = step(0)(phase), 1  # in which time passes
        turn = max(start, min(self.settle, stop))
        phase = repeat(step(start), phase, turn - start)
        if self.engine == "pallas" and turn < stop and repeat is not write_out:
            from .pallas_hop import one_pass_hops

            given: Any = {"network": self.network, "cost": self._cost(sample), "law": self.law}
            given |= {"u": sample.u, "z": sample.z, "tau": self._tau(sample)}
            return one_pass_hops(**given, phase=phase, times=stop - turn)
        return repeat(step(turn), phase, stop - turn)

    def _hops(self, phase: Phase, sample: Samples) -> Iterator[Phase]:
        """Yields the phase after every hop of a sample."""
        phase, sample = self._begun(phase, sample)
        step = self._stepper(sample)
        for k in range(self.hops):
            phase = step(k)(phase)
            yield phase

    def _predicted(self, phase: Phase, shown: Samples) -> Array:
        output = self.law.output(self._shown, phase, shown.u)
        return output if self.review is None else without_rest(self.network, output)

    def _ended(self, phase: Phase, start: Phase, sample: Samples) -> Phase:
        """Returns the phase after the hops of a sample, with what `_begun` had left out."""
        if start.review is not None:
            phase = eqx.tree_at(_of_streams, phase, without_rest(self.network, _of_streams(phase)))
            kept = start.review.after(live(self.network, sample))
            phase = dataclasses.replace(phase, review=kept)
        if start.average is not None:
            average = start.average.after(phase.w, self.average)
            phase = dataclasses.replace(phase, average=average)
        return phase

    def _input_slope(self, phase: Phase, u: PyTree) -> Array:
        """Returns $D_u^\\top\\lambda$, the slope of the loss by the input."""
        error = self.law.error(self.network, phase, u)
        _, pull = jax.vjp(lambda u: self.network.drive(phase.x, phase.w, u), u)
        return pull(error)[0]

    def _answer(self, phase: Phase, u: Any) -> Array:
        """Returns what `Learner.predict` does."""
        phase, tau, depth = self.averaged(phase), self.duration / self.hops, self.network.depth
        relax = lambda p, time: self.law.relax(self.network, p, u, time)  # noqa: E731
        if self.clock == "sample":
            phase, tau, depth = relax(phase, self.duration), 0.0, depth - 1
        step = lambda phase: relax(phase, tau)  # noqa: E731
        return self.network.output(repeat(step, phase, depth).x)
