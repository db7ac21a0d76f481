"""A row by itself, from its values to its answer, with no Python between the loops.

This module imports Numba: import it late, for Numba takes its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..forked import refuse_lame_fork
from ..learner.reservoir import BESIDE
from ..native.chain import ChainState
from ..table.columns import ColumnKind
from . import encode, importance, memory, native, neighbours, review, shares, usual
from .bank import ALONE
from .calls import Calls, Now
from .classification import Classification
from .compiled import compiled
from .copying import fill, gather, scatter
from .defaults import NAMES
from .direct_classes import Voices
from .encode import Encoder
from .growing import Model
from .importance import Importance
from .memory import EVERY_ROW, MEMORY, MODES, NUMBERS, OF_TARGET, PLACES, SHARED, Memory
from .neighbours import NEAREST, NEIGHBOURS, SEARCHED
from .review import Review
from .task import Answers
from .usual import Usual
from .window_layout import BINS, SCALE
from .window_loops import follow

DRAWN = 64  # rows for which random numbers are drawn at once


class Parts(NamedTuple):
    """What a model of classes consists of."""

    kinds: Mapping[str, ColumnKind]
    encoder: Encoder
    task: Classification
    review: Review
    memory: Memory | None
    model: Model
    importance: Importance


class Direct:
    """Rows one by one, as long as they bring nothing new: no column, value of text, class, gap.

    What Python does between the loops takes ten times as long as they do. So the calls that
    `ColumnModel` makes for a row are written down once, on the very arrays that the model carries
    on, and made all together: which they are, and in which order, is all that stands below. It
    holds until one of these arrays makes room for another; whoever changes the model otherwise has
    to drop it.

    **Arguments:** `parts`: of the model.

    **Raises:** `LookupError` where rows need more than it knows.
    """

    def __init__(self, parts: Parts):
        self._parts, self._usual = parts, Usual(parts.encoder, parts.kinds)
        if parts.model.native is None:
            raise LookupError("networks in XLA's programs")
        self._native = parts.model.native
        self._check_sizes()
        rows, columns, fixed = parts.review.streams, self._usual.scaled, parts.encoder.fixed
        inputs, plain, outputs = parts.model.sizes
        self._given = np.zeros(len(self._usual.names))
        self._asked: list[float] | None = None  # the row of the present answer
        self._class, self._count = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._draws, self._first_drawn = np.zeros((0, BESIDE), np.int64), 0
        self._drawn = np.zeros((1, BESIDE), np.int64)
        # The row, and those that stand beside it.
        self._numbers, self._raw = np.zeros((1, rows, columns)), np.zeros((1, rows))
        self._marks, self._fixed = _single(1, rows, fixed), np.zeros((1, fixed))
        self._scales = np.zeros((1, columns, SCALE))
        # What networks see, and what the inputs did that came before the row.
        self._plain, self._known = _single(1, plain), _single(1, self._width())
        self._several = _single(sum(view not in ALONE for view in self._native.views), 1, inputs)
        self._felt = _single(*self._known.shape)
        asked = NEIGHBOURS in parts.task.mixture.names
        self._near = np.zeros((1, len(parts.task.classes) if asked else 0))
        self._voices = Voices(parts.task, len(self._native.states), outputs, self._near)
        self._networks: dict[int, int] = {}  # by the number of the call
        self.stale = False  # whether an array was replaced

        self._look, self._ask, self._learn = Calls(), Calls(), Calls()
        self._take_in()
        self._answer(self._ask, _single(1, 1, inputs))
        self._train(self._learn, _single(1, rows, inputs), _single(1, rows, outputs))

    def ask(self, x: Any) -> Answers | None:
        """Returns what `ColumnModel.ask` would, `None` if the row is not usual."""
        refuse_lame_fork()
        values = self._usual.read(x)
        if values is None:
            return None
        if values != self._asked:
            if not self._looked_at(values):
                return None
            self._ask.make()
            self._asked = values
        return Answers(self._voices.values, self._voices.table)

    def learn(self, x: Any, y: Any) -> bool:
        """Learns a row as `ColumnModel.learn` would; returns whether it was usual.

        If not, nothing is done.
        """
        refuse_lame_fork()
        _, _, task, kept, remembered, model, _ = self._parts
        number, values = task.number_of(y), self._usual.read(x)
        if y is None or values is None:
            return values is not None  # without a target a row changes nothing
        if number is None or not kept.has_room:
            return False
        if values != self._asked and not self._looked_at(values):
            return False
        self._asked = None
        self._raw[0, 0] = self._class[0] = number
        if kept.most:
            self._drawn[0] = self._draw()
        harmed = self._learn.make()
        kept.advance()
        if remembered is not None:
            remembered.advance()
        self._native.advance()
        for call in harmed:
            k = self._networks[call]
            self._native.restart(k)
            model.note_restart(0, model.bank.names[k])
            self.stale = True
        return True

    def _looked_at(self, values: list[float]) -> bool:
        """Takes a look at a row, and asks its neighbours; returns whether it is usual."""
        self._asked, self._given[:] = None, values
        self._count[0] = self._parts.review.count
        return not self._look.make()

    def _draw(self) -> np.ndarray:
        """Returns which rows stand beside the next one."""
        kept = self._parts.review
        place = kept.count - self._first_drawn
        if place >= len(self._draws):
            self._draws, self._first_drawn, place = kept.draw(DRAWN), kept.count, 0
        return self._draws[place]

    def _check_sizes(self) -> None:
        """Raises `LookupError` where the arrays are not such that the next row could be learned."""
        _, encoder, task, kept, remembered, model, felt = self._parts
        inputs, plain, outputs = model.sizes
        classes, here = len(task.classes), len(encoder.plain)
        if len(encoder) > inputs or here > plain or not 0 < classes <= outputs:
            raise LookupError("inputs or classes that no network knows")
        if len(felt.means) != len(encoder):
            raise LookupError("inputs that were never learned")
        if kept.most and [len(a) for a in kept.ring[:2]] != [self._usual.scaled, encoder.fixed]:
            raise LookupError("rows that are kept without some columns")
        if remembered is not None:
            places, channels = remembered.carried[0].shape[:2]
            if here > SHARED or places != 1 or channels != OF_TARGET + here:
                raise LookupError("inputs that share what is remembered of them")
        for state in self._native.states:
            if state.dtype != np.float32 or not state.chain.plastic:
                raise LookupError("networks in another precision, or that learn nothing")

    def _width(self) -> int:
        """Returns how much the network sees that remembers."""
        pairs = zip(self._native.chains, self._native.views, strict=True)
        return sum(chain.sizes[0] for chain, view in pairs if view == MEMORY)

    def _take_in(self) -> None:
        """Adds how a row is checked and scaled, and what its neighbours say."""
        new, kept = self._numbers[0, :1], self._parts.review
        given = self._given, *self._usual.marks, new, self._fixed, self._marks[0, :1]
        self._look.add(compiled(usual.check), *given)
        carried = self._parts.encoder.windows.carried
        for calls, keep in ((self._look, False), (self._learn, True)):
            calls.add(follow, new, *carried, True, keep, self._scales[:0], self._scales)
        if not self._near.size:
            return
        numbers, fixed, targets = kept.ring
        most = min(SEARCHED, kept.most)
        own = new, self._fixed, self._scales, targets, np.zeros(0)
        lying = numbers, fixed, np.zeros((0, 0)), _single(0, 0)
        which = Now(self._count), False, most, self._near.shape[1]
        room = np.zeros(most), np.zeros(most), np.zeros(NEAREST)
        self._look.add(fill, self._near[0])
        self._look.add(compiled(neighbours._search), *own, *lying, *which, *room, self._near)

    def _answer(self, calls: Calls, u: np.ndarray) -> None:
        """Adds how a row is answered; `u`: room for what the networks see, `(1, 1, inputs)`."""
        self._see(calls, u, keep=False)
        views = {"plain": self._plain, MEMORY: self._known}
        for k, (state, view) in enumerate(self._experts()):
            loop, arguments = state.answering(
                views[view] if view in ALONE else u[0], self._voices.said[k, None]
            )
            calls.add(loop, *arguments)
        self._voices.speak(calls, None)

    def _train(self, calls: Calls, u: np.ndarray, z: np.ndarray) -> None:
        """Adds how a row is learned.

        **Arguments:** `u`, `z`: room for what the networks see, and are told, `(1, rows, …)`.
        """
        kept, voices = self._parts.review, self._voices
        if kept.most:
            beside = self._numbers[:, 1:], self._marks[:, 1:], self._raw[:, 1:]
            own = self._numbers[0, :1], self._marks[0, :1], self._raw[0, :1]
            drawn = self._drawn, Now(self._count), kept.most
            calls.add(compiled(review._recall), *drawn, *own, *kept.ring, *beside)
        self._see(calls, u, keep=True)
        calls.add(compiled(shares._aim), self._raw, np.array([len(self._parts.task.classes)]), z)
        views = {"plain": self._plain[None], MEMORY: self._known[None]}
        several = iter(self._several)
        for k, (state, view) in enumerate(self._experts()):
            inputs, outputs = state.chain.sizes[0], state.chain.sizes[-1]
            slope = _single(0, inputs) if view in ALONE else next(several)
            told = views.get(view, u), z[:, :1] if view in ALONE else z
            lasts, said = np.full(1, state.chain.duration, np.float32), voices.said[k, None, None]
            nothing = _single(0, inputs), _single(0, outputs)
            slope = self._felt if view == MEMORY else slope
            self._networks[len(calls)] = k
            loop, arguments = state.learning(
                *told, lasts, said, slope, *nothing, alone=view == "new"
            )
            calls.add(loop, *arguments)
        voices.speak(calls, self._class)
        voices.score(calls, self._class)
        self._weigh(calls, u[0, :1])

    def _experts(self) -> Iterator[tuple[ChainState, str]]:
        return zip(self._native.states, self._native.views, strict=True)

    def _see(self, calls: Calls, u: np.ndarray, *, keep: bool) -> None:
        """Adds what the networks see of the row, and of those beside it where `u` has room."""
        encoder, rows = self._parts.encoder, u.shape[1]
        layout, remembered = encoder.layout, self._parts.memory
        of = self._numbers[:, :rows], self._marks[:, :rows], layout.at
        lying = layout.place, layout.binned, self._scales, np.zeros((3, BINS))
        calls.add(compiled(encode._scale), *of, *lying, u)
        plain, loud = np.array(layout.plain, np.int64), np.zeros((1, len(layout.plain)))
        calls.add(gather, u[0, 0], plain, layout.gains, self._plain[0], loud)
        if remembered is not None:
            seat, begins = np.zeros(1, np.int64), np.zeros(1, bool)
            given = loud, self._raw[0, :1], seat, begins, *EVERY_ROW, PLACES, NUMBERS
            room = np.zeros((2, MODES)), self._known
            calls.add(compiled(memory._advance), *given, *remembered.carried, True, keep, *room)

    def _weigh(self, calls: Calls, u: np.ndarray) -> None:
        """Adds how it is followed which inputs matter; `u`: of the row, `(1, inputs)`."""
        felt, layout = self._parts.importance, self._parts.encoder.layout
        mean, here = np.zeros_like(u), len(self._parts.encoder)
        moved, share = np.zeros((1, 0)), np.zeros(1)
        calls.add(compiled(native._average), self._several, mean)
        if self._parts.memory is not None:
            moved, channels = np.zeros((1, here)), np.zeros((1, OF_TARGET + len(layout.plain)))
            given = self._known, self._felt, channels.shape[1], NUMBERS, channels
            calls.add(fill, channels[0])
            calls.add(compiled(memory._weigh), *given)
            plain = np.array(layout.plain, np.int64)
            calls.add(scatter, channels[0, OF_TARGET:], plain, moved[0])
            own = NAMES.index(MEMORY), len(NAMES)
            calls.add(compiled(importance._share), self._voices.weights[:1], *own, share)
        keep = 1 - 1 / importance.MEMORY
        calls.add(compiled(importance._follow), u[:, :here], mean, moved, share, keep, felt.means)


def _single(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)
