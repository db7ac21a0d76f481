"""One sample at a time, in networks that are learned sooner than arrays are made."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..law import Phase
from .calls import Calls
from .workers import together

# Fields of a phase by the names that the loop has for them.
FIELDS = {"x": "x", "lam": "costate", "w": "w", "p": "momentum", "v": "mass", "e": "trace"}


class Single:
    """The calls that an engine makes for a sample, written down once.

    To make thirty arrays and to hand fifty to Numba takes a hundred times as long as a hop of a
    few neurons. Here a phase is copied to where the loop finds it, the loop is called at its
    address, and what it leaves is copied into arrays that are the new phase. One thread at a time.

    **Arguments:** `engine`: an `Engine` of its own, for the arrays that its calls work in are used
    again; `phase`: one that fits, of arrays.
    """

    def __init__(self, engine: Any, phase: Phase):
        shapes, dtype = engine.plan.shapes, engine.plan.dtype
        cut = int(np.prod(shapes["u"]))
        self._sample = np.zeros(cut + int(np.prod(shapes["z"])), dtype)
        self._input, self._target = self._sample[:cut], self._sample[cut:]
        self._u, self._z = self._input.reshape(shapes["u"]), self._target.reshape(shapes["z"])
        self._learn, self._answer = Calls(), Calls()
        named: dict[str, Any] = {}

        def note(loop: Any, threads: int, given: tuple[Any, ...]) -> None:
            together(loop, threads, given)
            names = loop.py_func.__code__.co_varnames
            named.update(zip(names, (0, threads, *given), strict=False))
            named["given"] = tuple(engine.none for _ in named["given"])  # it is where it begins
            self._learn.add(loop, *(named[name] for name in names[: 2 + len(given)]))

        sample = self._u[None], self._z[None], None, None, None
        engine.learn(phase, sample, 1, ("output",), call=note)
        fields = vars(phase)
        self._moved = {
            field: _shown(named[name], np.shape(fields[field]))
            for name, field in FIELDS.items()
            if fields[field] is not None
        }
        self._whole = [named[name] for name in ("w", "p", "v", "e")]  # with room between rows
        self._moments, self._hop, self._bad = named["moments"], named["hops_made"], named["state"]
        self._output = named["out"].reshape(shapes["z"])
        asked: dict[str, Any] = {}

        def note_answer(loop: Any, *given: Any) -> None:
            loop(*given)
            names = loop.py_func.__code__.co_varnames
            asked.update(zip(names, given, strict=False), u=named["u"], w=named["w"])
            self._answer.add(loop, *(asked[name] for name in names[: len(given)]))

        engine.answer(phase, self._u[None], call=note_answer)
        self._said, self._asked = asked["out"].reshape(shapes["z"]), asked["x"].reshape(shapes["x"])

    def step(self, phase: Phase, u: np.ndarray, z: np.ndarray) -> tuple[Phase, np.ndarray] | None:
        """Returns the phase after a sample, and the prediction; `None` if a number is unsound."""
        self._u[...], self._z[...] = u, z
        if not _all_finite(self._sample) and not (
            _all_finite(self._input) and not np.isinf(self._target).any()
        ):
            return None
        fields = _fields(phase)
        for name, place in self._moved.items():
            place[...] = fields[name]
        self._moments[0], self._hop[0] = fields["time"], fields["hop"]
        self._learn.make()
        if self._bad[0] >= 0:
            for array in self._whole:
                array[...] = 0  # or what is not finite would stay in the room between rows
            return None
        found = object.__new__(Phase)  # without the checks that take longer than to learn
        new = _fields(found)
        new.update(fields)
        for name, place in self._moved.items():
            new[name] = place.copy()
        new["time"], new["hop"] = self._moments[0], self._hop[0]
        return found, self._output.copy()

    def answer(self, phase: Phase, u: np.ndarray) -> np.ndarray | None:
        """Returns what is answered to an input; `None` if a number is unsound."""
        self._u[...] = u
        if not _all_finite(self._input):
            return None
        fields = _fields(phase)
        self._asked[...], self._moved["w"][...] = fields["x"], fields["w"]
        self._answer.make()
        return self._said.copy()


def _all_finite(numbers: np.ndarray) -> bool:
    return 0 not in np.isfinite(numbers).tobytes()  # which is sooner asked than `all`


def _fields(phase: Phase) -> dict[str, Any]:
    """Returns what `vars` does, for which Equinox takes a microsecond."""
    return object.__getattribute__(phase, "__dict__")


def _shown(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an array without the room between its rows and behind them, as a phase has it."""
    if array.size == np.prod(shape):
        return array.reshape(shape)
    return array[: shape[0], : shape[1]]
