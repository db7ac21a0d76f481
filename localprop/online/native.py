"""The bank of experts in fused loops, each expert by itself, as many at once as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import Event
from typing import Any

import jax
import numpy as np

from .. import compiled_ahead
from ..forked import refuse_lame_fork
from ..learner import Samples, Trace
from ..native.chain import Chain, ChainState, chain_of
from ..processors import cores
from .bank import ALONE, Bank, Phases, stacked
from .compiled import compiled

SOON = 1e-3  # seconds
SMALL = 64  # samples up to which to wake another thread takes longer than to learn them


class NativeBank:
    """The experts of a bank, which learn in place.

    Experts know nothing of each other, so each of them learns a whole piece by itself. What is
    found does not hang on how many do so at once.

    **Arguments:** `bank`; `phases`: of the bank, and they stay valid.

    **Raises:** `Unknown` where the loops do not know an expert.

    !!! example

        ```python
        >>> import jax, numpy as np
        >>> from localprop import Cost, Layered, Learner, Samples, SquaredError
        >>> from localprop.online.bank import Bank, Expert
        >>> from localprop.online.native import NativeBank
        >>> net, cost = Layered.dense([3, 4, 1]), Cost(SquaredError())
        >>> bank = Bank([Expert("slow", Learner(net, cost, streams=2), "reviewed")])
        >>> native = NativeBank(bank, bank.init(jax.random.key(0)))
        >>> u = {"rows": np.ones((5, 2, 3), np.float32), "plain": np.ones((5, 0), np.float32)}
        >>> z = np.zeros((5, 2, 1), np.float32)
        >>> trace, restarted = native.learn(Samples(u, z, np.ones(5, np.float32)), ("output",))
        >>> trace["output"].shape, restarted
        ((5, 1, 1), [])

        ```
    """

    def __init__(self, bank: Bank, phases: Phases):
        self.bank = bank
        self.chains = chains(bank)
        each = [bank.of(phases, k) for k in range(len(bank.experts))]
        self.states = [ChainState(c, p) for c, p in zip(self.chains, each, strict=True)]
        self.views = [expert.view for expert in bank.experts]

    def phases(self) -> Phases:
        """Returns the phases, which do not change with what is learned later."""
        own = [state.phase() for state in self.states]
        groups = ([own[k] for k in group] for group in self.bank.groups)
        return tuple(jax.tree.map(stacked, *group) for group in groups)

    def learn(self, part: Samples, record: Sequence[str]) -> tuple[Trace, list[tuple[int, str]]]:
        """Learns a piece; an expert that turns non-finite is started again, and goes on.

        **Arguments:** `part`, `record`: as for `Bank.learn`.

        **Returns:** the trace, and what was started again: number of the sample, and name.
        """
        refuse_lame_fork()
        rows, outputs, dtype = len(part.z), part.z.shape[2], part.z.dtype
        answering = rows if "answer" in record else 0
        said = np.zeros((len(self.chains), rows, 1, outputs), dtype)
        answers = np.zeros((len(self.chains), answering, outputs), dtype)
        asked = {
            "plain": False,
            "memory": "memory_slope" in record,
            "new": "input_slope" in record,
            "reviewed": "input_slope" in record,
        }
        slopes = [
            np.zeros((rows if asked[view] else 0, chain.sizes[0]), dtype)
            for view, chain in zip(self.views, self.chains, strict=True)
        ]
        seen = [k for k, view in enumerate(self.views) if view not in ALONE]
        several = np.zeros((len(seen), *slopes[seen[0]].shape), dtype)
        for k, own in zip(seen, several, strict=True):
            slopes[k] = own
        restarted: list[tuple[int, str]] = []

        def learn(k: int) -> None:
            view, u, z, query = self.views[k], part.u["rows"], part.z, part.u["plain"][:0]
            if answering:
                query = part.query[view if view in ALONE else "rows"]
            if view in ALONE:
                u, z = part.u[view][:, None], z[:, :1]
            lasts = part.duration * self.chains[k].duration
            given = u, z, lasts, said[k], slopes[k], query, answers[k]
            start, fault = 0, 0
            while start < rows and fault >= 0:
                fault = self.states[k].learn(*given, start=start, alone=view == "new")
                if fault >= 0:
                    self.restart(k)
                    restarted.append((fault, self.bank.names[k]))
                    start = fault + 1

        self._each(learn, rows)
        trace: Trace = {"output": said[:, :, 0].swapaxes(0, 1), "answer": answers.swapaxes(0, 1)}
        if "input_slope" in record:
            trace["input_slope"] = np.empty(several.shape[1:], dtype)
            compiled(_average)(several, trace["input_slope"])
        if "memory_slope" in record:
            trace["memory_slope"] = slopes[self.views.index("memory")]
        trace = {name: trace[name] for name in record}
        if restarted:
            order = {name: k for k, name in enumerate(self.bank.names)}
            restarted.sort(key=lambda one: (one[0], order[one[1]]))
        return trace, restarted

    def advance(self) -> None:
        """Takes note that the loops learned a row of every expert."""
        for state in self.states:
            state.hop += state.chain.hops

    def compile(self) -> None:
        """Compiles the loops, or reads them from where they are kept; it learns nothing."""
        compiled_ahead.wait()
        self.states[0].compile()

    def preview(self, u: dict[str, np.ndarray]) -> np.ndarray:
        """Returns what the experts answer to new rows, `(T, experts, outputs)`, learning nothing.

        **Arguments:** `u`: inputs by view, `(T, inputs)`; `rows` as well.
        """
        refuse_lame_fork()
        rows, outputs = len(u["rows"]), self.chains[0].sizes[-1]
        found = np.zeros((len(self.chains), rows, outputs), u["rows"].dtype)

        def answer(k: int) -> None:
            view = self.views[k]
            self.states[k].answer(u[view if view in ALONE else "rows"], found[k])

        self._each(answer, rows)
        return found.swapaxes(0, 1)

    def _each(self, do: Callable[[int], None], rows: int) -> None:
        """Does something for every expert, several at once where that pays, the longest first."""
        if rows <= SMALL or len(self.chains) == 1:
            for k in range(len(self.chains)):
                do(k)
            return
        order = sorted(range(len(self.chains)), key=lambda k: -self.chains[k].work)
        futures: list[Future[None]] = [_threads("expert", cores()).submit(do, k) for k in order]
        for future in futures:
            future.result()

    def restart(self, k: int) -> None:
        """Starts an expert again."""
        fresh = self.bank.of(self.bank.init(jax.random.key(0)), k)
        self.states[k] = ChainState(self.chains[k], fresh)


def chains(bank: Bank) -> list[Chain]:
    """Returns what the loops have to know of each expert.

    **Raises:** `Unknown` for one that they cannot learn.
    """
    return [chain_of(expert.learner) for expert in bank.experts]


def _average(several: Any, mean: Any) -> None:
    """Writes the mean over the first axis."""
    for t in range(mean.shape[0]):
        for j in range(mean.shape[1]):
            total = several[0, t, j]
            for k in range(1, len(several)):
                total += several[k, t, j]
            mean[t, j] = total / len(several)


def prepare() -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    compiled(_average)(np.zeros((1, 1, 1), np.float32), np.zeros((1, 1), np.float32))


def beside(do: Callable[[], Trace], *, after: bool) -> Callable[[], Trace]:
    """Does something in a thread of its own; returns what waits for it to be done.

    **Arguments:** `do`; `after`: whether it comes after what this thread is still doing.
    """
    begun = Event()

    def work() -> Trace:
        begun.set()
        return do()

    found = _threads("bank", 1).submit(work).result
    if not after:
        begun.wait(SOON)  # or it would stand in line for Python's lock while this thread goes on
    return found


def _threads(role: str, several: int) -> ThreadPoolExecutor:
    return _threads_of(os.getpid(), role, several)  # a process that was forked has none


@cache
def _threads_of(process: int, role: str, several: int) -> ThreadPoolExecutor:
    del process
    return ThreadPoolExecutor(several, thread_name_prefix=f"localprop {role}")
