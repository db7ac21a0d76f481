"""What came before a row: every input through modes of several time constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .compiled import compiled

MEMORY = "memory"  # the name of the expert, and of what it sees
AT_FIRST = 0.1  # what it weighs in a mixture before anything is known
# In rows. The harmonics of a window tell the rows of the last 16 apart, as a Fourier transform
# does; what is older fades with their time constant. The leaks remember longer, and less exactly.
WINDOW, LASTING, LEAKS = 16, 16.0, (64.0, 256.0)
HARMONICS = WINDOW // 2 + 1
MODES = HARMONICS + len(LEAKS)
SPEEDS = np.concatenate(
    [1 / LASTING - 2j * np.pi * np.arange(HARMONICS) / WINDOW, 1 / np.array(LEAKS)]
)  # c of each mode, per row
GAINS = np.concatenate(
    [np.sqrt(1 - np.exp(-2 / LASTING)) / -np.expm1(-SPEEDS[:HARMONICS]), np.ones(len(LEAKS))]
)
# The first harmonic, the last one and the leaks are real.
PAIRED = (np.arange(MODES) > 0) & (np.arange(MODES) < HARMONICS - 1)
NUMBERS = 1 + MODES + int(PAIRED.sum())  # of a channel: the input now, and its modes
# Of the real part of each mode among these numbers, and of the imaginary part, -1 for none.
_first = 1 + np.arange(MODES) + np.concatenate([[0], np.cumsum(PAIRED)[:-1]])
PLACES = np.stack([_first, np.where(PAIRED, _first + 1, -1)])
OF_TARGET = 4  # channels of the target's own past; classes beyond share them
SHARED = 56  # channels of the inputs; those beyond share them
MOST_SEQUENCES = 4096  # that are remembered at once

Keys = tuple[np.ndarray, Sequence[Any]]  # per row the number of its key, -1 if missing; keys


def width(plain: int) -> int:
    """Returns how many numbers are known of rows with so many plain inputs, in lanes of 8."""
    return -(-NUMBERS * (OF_TARGET + min(plain, SHARED)) // 8) * 8


class Memory:
    """Modes of every input and of the target's own past, one state for each sequence.

    A mode of an input $u$ obeys $\\dot h = c\\,(g u - h)$ with a complex speed
    $c = 1/\\tau - 2\\pi i f$, so that in a row, the unit of time, $h \\leftarrow e^{-c}h +
    (1 - e^{-c})\\,g u$. The harmonics $f = m/16$ have $|(1 - e^{-c})\\,g| = \\sqrt{1 -
    e^{-2/\\tau}}$, by which noise of variance 1 stays so; leaks have $g = 1$ and are running means.
    Nothing else is kept of the rows that were.

    **Arguments:** `classes`: whether the target is one of classes, each a channel, or a number;
    `state`: of a memory, to go on from, with its `arrays`.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.memory import NUMBERS, OF_TARGET, Memory
        >>> memory = Memory(classes=False)
        >>> known = memory.learn(np.ones((100, 3)), np.zeros(100))
        >>> known.shape == (100, NUMBERS * (OF_TARGET + 3))
        True

        ```
    """

    def __init__(
        self,
        *,
        classes: bool,
        state: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ):
        self.classes = classes
        self.rows = int(state["rows"]) if state else 0  # that came
        self._keys: list[Any] = list(state["sequences"]) if state else []  # by place
        self._places = {key: place for place, key in enumerate(self._keys)}
        kept = arrays or {}
        self._modes = kept.get("modes", np.zeros((0, OF_TARGET, 2, MODES)))
        self._last = kept.get("last", np.zeros(0))  # target of a sequence's last row
        self._used = kept.get("used", np.zeros(0, np.int64))  # number of that row

    def learn(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        keys: Keys | None = None,
        lapse: np.ndarray | None = None,
    ) -> np.ndarray:
        """Takes rows in, one after the other; returns what is known when each has come.

        **Arguments:** `inputs`: `(T, P)`; `targets`: `(T,)`, the number of a class, or a
        standardised number, NaN where missing; the rows after it know it. `keys`: of the sequence
        that each row belongs to, or `None` if there is but one; `lapse`: time since the row
        before, in usual rows, `(T,)`, or `None` for 1.

        **Returns:** `(T, numbers)`.
        """
        x, rows = _folded(inputs), len(inputs)
        places, begins = self._seated(keys, rows)
        self.rows += rows
        state = self._modes, self._last = self._grown(len(self._keys), _channels(x))
        return _advanced(x, targets, places, begins, lapse, state, self.classes, True)

    def ask(
        self, inputs: np.ndarray, keys: Keys | None = None, lapse: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns what `learn` would of each row were it the next; takes none of them in."""
        x, rows = _folded(inputs), len(inputs)
        there = self._modes.shape[1] - OF_TARGET
        if x.shape[1] > there and not x[:, there:].any():  # nothing is known of what has no channel
            x = np.ascontiguousarray(x[:, :there])
        if keys is None:
            places = np.full(rows, self._places.get(None, -1))
        else:
            known = [self._places.get(name, -1) for name in [*keys[1], None]]
            places = np.array(known, np.int64)[keys[0]]
        state = self._grown(max(1, len(self._keys)), _channels(x))
        nothing = np.full(rows, np.nan)
        given = x, nothing, np.maximum(places, 0), places < 0, lapse
        return _advanced(*given, state, self.classes, False)

    @property
    def carried(self) -> tuple[np.ndarray, ...]:
        """What the loop carries on, modes and last targets, of the only sequence there is."""
        return self._modes, self._last

    def advance(self) -> None:
        """Takes note that the loop took a row of the only sequence in."""
        self._used[0] = self.rows
        self.rows += 1

    @staticmethod
    def importance(known: np.ndarray, slope: np.ndarray, inputs: int) -> np.ndarray:
        """Returns $|h\\,(D_h^\\top\\lambda)_h|$ summed over what is known of each input.

        **Arguments:** `known`, `slope`: `(T, numbers)`; `inputs`: how many there are. The
        first of those that share a channel gets its sum, the next one half, a third, … of it:
        what an input gets does not hang on those that come later.

        **Returns:** `(T, inputs)`.
        """
        # What was never but 0 has no neuron yet.
        there = min(known.shape[1], slope.shape[1]) // NUMBERS
        channels = np.zeros((len(known), OF_TARGET + min(inputs, SHARED)))
        given = np.ascontiguousarray(known), np.ascontiguousarray(slope)
        compiled(_weigh)(*given, there, NUMBERS, channels)
        if inputs <= SHARED:
            return channels[:, OF_TARGET:]
        turn, channel = np.divmod(np.arange(inputs), SHARED)
        return channels[:, OF_TARGET:][:, channel] / (turn + 1)

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep, beside the arrays."""
        return {"rows": self.rows, "sequences": self._keys}

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns modes, last targets and last rows of the sequences."""
        return {"modes": self._modes, "last": self._last, "used": self._used}

    def _grown(self, sequences: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns modes and last targets with so much room, at rest where they are new."""
        now = self._modes.shape
        if now[:2] == (sequences, channels):
            return self._modes, self._last
        room = (0, sequences - now[0])
        modes = np.pad(self._modes, [room, (0, channels - now[1]), (0, 0), (0, 0)])
        return modes, np.pad(self._last, room)

    def _seated(self, keys: Keys | None, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the place of each row's sequence, and whether that begins there.

        Where there are too many sequences, the one that rested longest is forgotten.
        """
        if keys is None:
            begins = np.zeros(rows, bool)
            place, begins[:1] = self._seat(None)
            self._used[place] = self.rows + rows - 1
            return np.full(rows, place), begins
        codes, names = keys
        names = [*names, None]  # for -1
        here, first, which = np.unique(codes, return_index=True, return_inverse=True)
        new = [code for code in here if names[code] not in self._places]
        places, begins = np.zeros(rows, np.int64), np.zeros(rows, bool)
        if len(self._keys) + len(new) > MOST_SEQUENCES:
            for row, code in enumerate(codes):
                places[row], begins[row] = self._seat(names[code])
                self._used[places[row]] = self.rows + row
            return places, begins
        seats = np.zeros(len(here), np.int64)
        for k in np.argsort(first):
            seats[k], begins[first[k]] = self._seat(names[here[k]])
        places = seats[which]
        self._used[places] = self.rows + np.arange(rows)  # the last of equal places stays
        return places, begins

    def _seat(self, key: Any) -> tuple[int, bool]:
        """Returns the place of a sequence, and whether it is new."""
        if key in self._places:
            return self._places[key], False
        place = len(self._keys)
        if place == MOST_SEQUENCES:
            place = int(np.argmin(self._used))
            del self._places[self._keys[place]]
            self._keys[place] = key
        else:
            self._keys.append(key)
            self._used = np.append(self._used, 0)
        self._places[key] = place
        return place, True


def _channels(x: np.ndarray) -> int:
    return OF_TARGET + x.shape[1]


def _folded(inputs: np.ndarray) -> np.ndarray:
    """Returns inputs as channels, of which there are at most 56."""
    rows, wide = inputs.shape
    if wide <= SHARED:
        return np.ascontiguousarray(inputs, float)
    room = np.pad(np.asarray(inputs, float), [(0, 0), (0, -wide % SHARED)])
    return np.ascontiguousarray(room.reshape(rows, room.shape[1] // SHARED, SHARED).sum(axis=1))


def _advanced(
    x: np.ndarray,
    targets: np.ndarray,
    places: np.ndarray,
    begins: np.ndarray,
    lapse: np.ndarray | None,
    state: tuple[np.ndarray, np.ndarray],
    classes: bool,
    keep: bool,
) -> np.ndarray:
    """Returns what is known at each row; the modes go on only to be kept."""
    known = np.zeros((len(x), _channels(x) * NUMBERS), np.float32)
    parts = EVERY_ROW if lapse is None else _turns(np.asarray(lapse, float))
    given = x, np.ascontiguousarray(targets, float), places, begins, *parts, PLACES, NUMBERS
    compiled(_advance)(*given, *state, classes, keep, np.zeros((2, MODES)), known)
    return known


def _turns(time: np.ndarray) -> list[np.ndarray]:
    """Returns how modes turn, and are pushed, in times `(T,)`: real and imaginary parts `(T, M)`.

    Each in one piece: complex numbers take twice as long to compile.
    """
    turn, push = np.exp(-SPEEDS * time[:, None]), -np.expm1(-SPEEDS * time[:, None]) * GAINS
    return [np.ascontiguousarray(f(a)) for a in (turn, push) for f in (np.real, np.imag)]


EVERY_ROW = _turns(np.ones(1))


def prepare() -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    known = Memory(classes=True).learn(np.zeros((1, 1)), np.zeros(1))
    Memory.importance(known, known, 1)


def _weigh(known: Any, slope: Any, there: int, width: int, channels: Any) -> None:
    for t in range(len(known)):
        for c in range(there):
            for k in range(c * width, (c + 1) * width):
                channels[t, c] += np.float64(abs(known[t, k] * slope[t, k]))


def _advance(
    x: Any,
    targets: Any,
    places: Any,
    begins: Any,
    turn_re: Any,
    turn_im: Any,
    push_re: Any,
    push_im: Any,
    place: Any,
    width: int,
    modes: Any,
    last: Any,
    classes: bool,
    keep: bool,
    now: Any,
    known: Any,
) -> None:
    many = turn_re.shape[1]
    for t in range(len(x)):
        s, k, fresh = places[t], t % len(turn_re), begins[t]
        before = np.nan if fresh else last[s]
        held = 0.0 if fresh else 1.0
        for c in range(OF_TARGET + x.shape[1]):
            if c >= OF_TARGET:
                u = x[t, c - OF_TARGET]
            elif before != before:
                u = 0.0
            elif classes:
                u = 1.0 if int(before) % OF_TARGET == c else 0.0
            else:
                u = before if c == 0 else 0.0
            for m in range(many):  # without a branch, so that it becomes vector instructions
                re, im = held * modes[s, c, 0, m], held * modes[s, c, 1, m]
                a, b = turn_re[k, m], turn_im[k, m]
                now[0, m] = a * re - b * im + push_re[k, m] * u
                now[1, m] = a * im + b * re + push_im[k, m] * u
            known[t, c * width] = u
            for m in range(many):
                known[t, c * width + place[0, m]] = now[0, m]
                if place[1, m] >= 0:
                    known[t, c * width + place[1, m]] = now[1, m]
            if keep:
                for m in range(many):
                    modes[s, c, 0, m] = now[0, m]
                    modes[s, c, 1, m] = now[1, m]
        if keep:
            last[s] = targets[t]
