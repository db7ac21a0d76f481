"""Learners of digraphs as fused loops over NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from jax.core import Tracer

from ..law import Phase
from .codes import CONSTANT, LANES, LINE
from .in_place import are_shaped
from .parts import Parts, arcs
from .places import FLOATS, INTS, POLICY, RECORD_LOSS, RECORD_NORMS, X_SIGN
from .plan import Plan, shares
from .room import Room, aligned, unset
from .workers import threads_for, together

WORTH = 1 << 16  # numbers that take longer to copy than to look at where they lie
FEW = 2  # streams
SMALL = 1 << 18  # weights times hops, which are learned while others wait for Python's lock
# Sources from which on a row is left as it is, without room up to a whole line, for to take that
# out again would take longer than what it saves. Rows that streams share have room always: their
# loops know whole vectors only.
WHOLE_FROM = 2000
# Places of what threads tell one another, and of how often they met, which is another line of the
# cache; and how many places there are.
ARRIVED, STATE = 16, 17
RECORDS = {"output", "loss", "x_norm", "costate_norm", "w_norm", "momentum_norm"}
NORMS = ("x_norm", "costate_norm", "w_norm", "momentum_norm")


class Learned(NamedTuple):
    """What a chunk became.

    **Fields:** `arrays`: of the phase after it; `trace`: what was recorded; `bad`: the first sample
    that did harm, `None` where none did.
    """

    phase: Phase
    trace: dict[str, np.ndarray]
    bad: int | None


def _plainly(loop: Callable[..., None], *arguments: Any) -> None:
    loop(*arguments)


class Engine:
    """A learner's loop: `learn` for samples, `answer` for questions.

    **Arguments:** `plan`: of the learner.
    """

    records = frozenset(RECORDS)

    def __init__(self, plan: Plan):
        # These import Numba, and that takes half a second.
        from . import loop, many_streams, sharing, tiles

        self.plan, self.loop, self.sharing, self.of_many = plan, loop, sharing, many_streams
        ints, floats = plan.ints, plan.floats
        self.ints = np.array([ints.get(name, 0) for name in INTS], np.int64)
        self.floats = np.array([floats.get(name, 0.0) for name in FLOATS])
        self.m, self.n = ints["sources"], ints["neurons"]
        self.streams, self.here = ints["streams"], ints["sources"] - ints["neurons"]
        self.dense = plan.tails is None
        self.stride, self.shares = self.m, shares(plan)
        self.many = self.shares and many_streams.is_many(plan)
        if self.dense and (self.m < WHOLE_FROM or self.shares):
            lanes = LINE if self.m > LANES or self.many else LANES
            self.stride = -(-self.m // lanes) * lanes
        # Where these loops go stream by stream, XLA multiplies matrices (benchmarks/hops.md).
        self.pays = self.streams <= FEW or self.shares
        self.free: list[dict[str, Any]] = []  # scratch that no call is using
        rows = many_streams.in_eights(self.n) if self.many else self.n
        shape = (rows, self.stride) if self.dense else plan.shapes["w"]
        several = 2 + int(ints["mass"] != CONSTANT) + ints["average"]
        self.room = Room(shape, plan.dtype, several)
        self.tiles = None if self.dense else tiles.Tiles(plan)
        self.recording: dict[tuple[str, ...], np.ndarray] = {}
        self.parts = Parts(plan)
        self.none = np.zeros((0,) * len(plan.shapes["w"]), plan.dtype)
        self.relaxing = None if plan.learned else self._relaxing(None)
        self.singles: list[Any] = []  # calls for single samples that nobody is making
        self.known: Phase | None = None  # the last phase that fitted one of these
        self.small = self._is_small()

    def _relaxing(self, rates: tuple[np.ndarray, ...] | None) -> tuple[np.ndarray, np.ndarray]:
        """Returns what states keep, and how they are pulled, in hops that only answer, and the
        imaginary parts."""
        ints, floats, plan = self.ints.copy(), self.floats.copy(), self.plan
        floats[X_SIGN] = 1.0
        gains, turns = np.zeros((2, 4, 2, self.n), plan.dtype)
        ints[POLICY] = 0
        duration = plan.floats["duration"]
        if not plan.ints["instant"]:
            turned = None if plan.frequencies is None else (plan.frequencies, turns)
            self.loop._find_gains(
                0, self.n, ints, floats, plan.speeds, duration, duration / plan.ints["hops"],
                gains, turned, rates,
            )  # fmt: skip
        return gains, turns

    def _scratch(self) -> dict[str, Any]:
        try:
            return self.free.pop()
        except IndexError:
            pass
        plan, streams, n = self.plan, self.streams, self.n
        parts, size = plan.ints["parts"], _odd_lines(self.m)
        wide = n if streams == 1 else _odd_lines(n)
        new = lambda *shape: aligned(shape, plan.dtype)  # noqa: E731
        own = (0, 0) if self.many else (streams, wide)
        found = {
            "gains": new(4, 2, n),
            "share": np.zeros(streams),
            "weight": np.zeros(streams),
            "a": new(*own),
            "slopes": new(*own),
            "coef": new(*own),
            "force": new(parts, plan.longest),
            "shown": new(streams, len(plan.outputs)),
            "error": new(*own),
            "lx": new(streams, wide),
        }
        if plan.frequencies is not None:
            found |= {"turns": new(4, 2, n), "sides": new(2, streams, n)}
        found["shared"] = found["many"] = None
        if self.many:
            room = self.of_many.room_for_many(plan, self.stride)
            found |= {"s": self.of_many.said_by_each(room, plan), "g": new(0, 0, 0)}
            found["many"] = self.of_many.for_loops(room)
        else:
            gathers = self.shares and not self.dense
            found |= {"s": new(2, streams, size), "g": new(0 if gathers else parts, streams, size)}
        if self.shares and not self.many:
            found["shared"] = self.sharing.room_for_streams(plan, self.stride)
        if self.here > plan.ints["inputs"]:
            found["s"][:, :, self.here - 1] = 1
        found["both"] = None if self.dense else new(streams, self.m, 2)
        found["tiles"] = None if self.tiles is None else self.tiles.arrays()
        return found

    def _is_small(self) -> bool:
        """Returns whether a sample is learned sooner than its arrays are made."""
        ints = self.plan.ints
        hops = int(np.prod(self.plan.shapes["w"])) * self.streams * ints["hops"]
        plain = self.plan.frequencies is None and not self.plan.learned
        plain = plain and (self.tiles is None or not self.tiles.some)
        return hops <= SMALL and plain and ints["parts"] == 1 and not ints["average"]

    def fits(self, phase: Phase) -> bool:
        """Returns whether a phase is one of this learner's, in the plan's precision."""
        if phase is self.known:
            return True
        fields = vars(phase)
        if fields["review"] is not None:
            return False
        if (fields["trace"] is None) == bool(self.plan.ints["traces"]):
            return False
        memory, average = fields["mass"], fields["average"]
        if (memory is None) != (self.plan.ints["mass"] == 0):
            return False
        if (average is None) == bool(self.plan.ints["average"]):
            return False
        trees = [("x", fields["x"]), ("x", fields["costate"]), ("time", fields["time"])]
        trees += [("w", fields["w"]), ("w", fields["momentum"])]
        if memory is not None:
            trees.append(("w", memory))
        if fields["trace"] is not None:
            trees.append(("trace", fields["trace"]))
        if average is not None:
            trees += [("w", average.w), ("time", average.samples)]
        for a, shape in chain.from_iterable(self.parts.leaves(*tree) for tree in trees):
            if getattr(a, "shape", None) != shape or a.dtype != self.plan.dtype:
                return False
            if isinstance(a, Tracer):
                return False
        hop = fields["hop"]
        return getattr(hop, "dtype", None) == np.int32 and not isinstance(hop, Tracer)

    def takes(self, samples: Any) -> bool:
        """Returns whether samples have this learner's shapes."""
        shapes = self.plan.shapes
        given = getattr(samples.u, "shape", None) == (len(samples.z), *shapes["u"])
        return given and are_shaped(samples, shapes["streams"], shapes["z"])

    def asks(self, u: Any) -> bool:
        """Returns whether these are rows of inputs, and not traced."""
        return isinstance(u, np.ndarray) and u.shape[1:] == self.plan.shapes["u"]

    def step(self, phase: Phase, u: Any, z: Any, duration: Any) -> tuple[Phase, np.ndarray] | None:
        """Returns the phase after one sample, and the prediction, where all is plain and well."""
        if duration is None and self._is_plain(u, "u") and self._is_plain(z, "z"):
            single = self._single(phase)
            if single is not None:
                found = single.step(phase, u, z)
                self.singles.append(single)
                if found is not None:
                    self.known = found[0]
                return found
        sample = self._sample(u, z, duration)
        if sample is None:
            return None
        learned = self.learn(phase, sample, 1, ("output",))
        return None if learned.bad is not None else (learned.phase, learned.trace["output"][0])

    def say(self, phase: Phase, u: Any) -> np.ndarray | None:
        """Returns what is answered to one input, where that is plain and the network small."""
        single = self._single(phase) if self._is_plain(u, "u") else None
        if single is None:
            return None
        found = single.answer(phase, u)
        self.singles.append(single)
        self.known = phase
        return found

    def _is_plain(self, a: Any, name: str) -> bool:
        return type(a) is np.ndarray and a.shape == self.plan.shapes[name] and a.dtype.kind in "fiu"

    def _single(self, phase: Phase) -> Any:
        """Returns what makes calls for single samples, `None` where these take longest."""
        if not self.small:
            return None
        try:
            return self.singles.pop()
        except IndexError:
            from .single import Single  # which imports Numba

            return Single(Engine(self.plan), phase)

    def _sample(self, u: Any, z: Any, duration: Any) -> tuple[Any, ...] | None:
        """Returns one sample as `learn` takes it, where that is plain to see; else `None`."""
        dtype = self.plan.dtype
        if not self._is_plain(u, "u") or not self._is_plain(z, "z"):
            return None
        u, z = u.astype(dtype)[None], z.astype(dtype)[None]
        if not np.isfinite(u).all() or np.isinf(z).any():
            return None
        if duration is not None:
            if not isinstance(duration, float | int) or not 0 < duration < np.inf:
                return None
            duration = np.array([duration], dtype)
        return u, z, duration, None, None

    def learn(
        self,
        phase: Phase,
        samples: tuple[Any, ...],
        count: int,
        record: tuple[str, ...],
        watch: bool = False,
        call: Callable[..., None] = together,
    ) -> Learned:
        """Learns the first `count` samples, of `u`, `z`, `duration`, `weight` and `begins`.

        **Arguments:** `watch`: for the loop; `call`: what calls it, as `together` does.
        """
        plan, streams = self.plan, self.streams
        u, z, lasts, weights, begins = samples
        fields, dtype, wide = vars(phase), plan.dtype, (count, streams)
        lasts = _each_or(lasts, (count,), float(plan.floats["duration"]))
        weights, begins = _each_or(weights, wide, 1.0), _each_or(begins, wide, False)
        x, side = self.parts.neurons(fields["x"])
        lam, side_of_lam = self.parts.neurons(fields["costate"])
        mean = None if fields["average"] is None else fields["average"].w
        trees = fields["w"], fields["momentum"], fields["mass"], mean
        given = [self._given(arcs(tree)) for tree in trees]
        w, p, v, mean = (self.room.array() if a.size else self.none for a in given)
        e = self.none[None]
        if fields["trace"] is not None:
            e = _copy(arcs(fields["trace"])).reshape(-1, *plan.shapes["w"])
        moments = np.array([fields["time"], 0], dtype)
        if fields["average"] is not None:
            moments[1] = fields["average"].samples
        hops = np.array([fields["hop"]], np.int32)
        ints = self._ints(record)
        out = np.empty((count, streams, len(plan.outputs)), dtype)
        losses = np.empty(count if "loss" in record else 0, dtype)
        norms = np.empty((count if ints[RECORD_NORMS] else 0, 4), dtype)
        state, c = np.zeros(STATE, np.int64), self._scratch()
        turned = self.parts.turned(c, side, side_of_lam)
        rates = self.parts.rates(phase)
        threads = 1
        if plan.ints["parts"] > 1 and plan.ints["policy"] != 3:
            threads = threads_for(plan.ints["parts"])
        if self.tiles is not None and self.tiles.some:
            for a, to in zip(given, (w, p, v, mean), strict=True):
                if a.size:
                    self.tiles.lay_out(a, to, threads)
            given = [self.none] * len(given)
        call(
            self.loop.learn,
            threads,
            (
                count, ints, self.floats, plan.speeds, plan.acts, plan.outputs, plan.arcs,
                state[ARRIVED:], state, c["gains"], c["share"], c["weight"], c["a"], c["slopes"],
                c["coef"], c["force"], c["shown"], c["s"], x, lam, c["error"], c["g"], c["lx"], w,
                p, v, e, w.reshape(-1), p.reshape(-1), v.reshape(-1), e.reshape(-1), mean,
                mean.reshape(-1), tuple(given), moments, hops,
                _writable(u.reshape(len(u), streams, plan.ints["inputs"])),
                _writable(z.reshape(len(z), streams, len(plan.outputs))),
                lasts, weights, begins, out, losses, norms, watch, plan.starts, plan.tails,
                c["both"], c["tiles"], turned, rates, c["shared"], c["many"],
                None if self.shares else True,
            ),
        )  # fmt: skip
        self.free.append(c)
        w = self._handed(w, threads)
        p, v, mean = (self._handed(a, threads) for a in (p, v, mean))
        bad = int(state[0])
        whole = self.parts.whole
        after = _phase(
            x=self.parts.paired(x, side),
            costate=self.parts.paired(lam, side_of_lam),
            w=whole(w, rates, 0),
            momentum=whole(p, rates, 1),
            mass=None if fields["mass"] is None else whole(v, rates, 2),
            trace=None if fields["trace"] is None else self.parts.whole_trace(e, rates),
            time=moments[0],
            hop=hops[0],
            average=None
            if fields["average"] is None
            else _average(fields["average"], whole(mean, rates, 3), moments[1]),
        )
        trace: dict[str, np.ndarray] = {}
        for name in record:
            if name == "output":
                trace[name] = out.reshape(count, *plan.shapes["z"])
            elif name == "loss":
                trace[name] = losses
            else:
                trace[name] = norms[:, NORMS.index(name)]
        return Learned(after, trace, None if bad < 0 else bad)

    def answer(
        self, phase: Phase, u: np.ndarray, call: Callable[..., None] = _plainly
    ) -> np.ndarray:
        """Returns what is answered to each row of inputs, `(rows, *streams, outputs)`.

        **Arguments:** `phase`; `u`; `call`: what calls the loop with its arguments.
        """
        plan, streams, fields, c = self.plan, self.streams, vars(phase), self._scratch()
        weights = fields["w"] if fields["average"] is None else fields["average"].w
        out = np.empty((len(u), streams, len(plan.outputs)), plan.dtype)
        x, side = self.parts.neurons(fields["x"])
        u = u.reshape(len(u), streams, plan.ints["inputs"])
        rates = (self.parts.learned(weights),) if plan.learned else None
        gains, turns = self.relaxing or self._relaxing(rates)
        turned = self.parts.turned({**c, "turns": turns}, side, side)
        rows = None, None, None, c["many"], None if self.many else True
        if self.dense and self.shares and not self.many:
            rows = c["a"], c["slopes"], c["shared"], None, None
        call(
            self.loop.relax,
            len(u), plan.depth, self._ints(()), plan.acts, plan.outputs, plan.arcs, gains,
            c["s"], x, c["g"], self._given(arcs(weights)), _writable(u), out,
            plan.starts, plan.tails, c["both"], turned, *rows,
        )  # fmt: skip
        self.free.append(c)
        return out.reshape(len(u), *plan.shapes["z"])

    def _ints(self, record: tuple[str, ...]) -> np.ndarray:
        found = self.recording.get(record)
        if found is None:
            found = self.ints.copy()
            found[RECORD_LOSS] = "loss" in record
            found[RECORD_NORMS] = any(name in record for name in NORMS)
            self.recording[record] = found
        return found

    def _given(self, a: Any) -> np.ndarray:
        """Returns what is stored as weights are, if any is, as the loop takes it."""
        if a is None:
            return self.none
        if a.size >= WORTH and isinstance(a, np.ndarray) and not a.flags.c_contiguous:
            apart, size = a.strides[0] // a.itemsize, a.itemsize
            if self.dense and a.strides == (apart * size, size) and apart >= self.m:
                # Rows that `_handed` gave: of what stands between them nothing is read.
                a = np.lib.stride_tricks.as_strided(a, (self.n, apart), a.strides)
        return _writable(a)

    def _handed(self, a: np.ndarray, threads: int) -> np.ndarray:
        """Returns what a phase is given of an array of the loop's, in the network's order.

        Where that has room between its rows and behind them, it is the rows without it, in the same
        memory.
        """
        if a.size and self.tiles is not None and self.tiles.some:
            to = self.room.array()
            self.tiles.bring_back(a, to, threads)
            return to
        return a[: self.n, : self.m] if self.stride > self.m or self.many else a


def _odd_lines(numbers: int) -> int:
    """Returns how many numbers rows are to have, so that not all fall on one place of a cache."""
    return (-(-numbers // LINE) | 1) * LINE


def _copy(a: Any) -> np.ndarray:
    a = np.asarray(a)
    found = unset(a.shape, a.dtype)
    found[...] = a
    return found


class _View:
    """An array's memory without the mark that it is only for reading."""

    def __init__(self, a: np.ndarray):
        self.array = a
        self.__array_interface__ = {**a.__array_interface__, "data": (a.ctypes.data, False)}


def _writable(a: Any) -> np.ndarray:
    """Returns an array that a loop takes, though it writes nothing: it is compiled for one kind."""
    a = np.ascontiguousarray(a)
    return a if a.flags.writeable else np.asarray(_View(a))


def each(a: Any, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """Returns an array of one number for each of the first samples, or for each stream of them."""
    a = np.asarray(a, kind).reshape(len(a), *[-1] * (len(shape) - 1))
    return np.array(np.broadcast_to(a[: shape[0]], shape), order="C")


def _each_or(a: Any, shape: tuple[int, ...], usual: float | bool) -> np.ndarray:
    """Returns what `each` does, or the usual number for each where none are given.

    The loop is handed these always: without them it would be compiled once more.
    """
    return np.full(shape, usual) if a is None else each(a, shape, type(usual))


def _phase(**fields: Any) -> Phase:
    """Returns a phase of these arrays, without the checks that took longer than to learn."""
    found = object.__new__(Phase)
    vars(found).update(fields, review=None)
    return found


def _average(like: Any, w: np.ndarray, samples: Any) -> Any:
    found = object.__new__(type(like))
    vars(found).update(w=w, samples=samples)
    return found
