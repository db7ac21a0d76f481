"""A row by itself, from its values to its answer, with no Python between the loops.

This module imports Numba: import it late, for Numba takes its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..forked import refuse_lame_fork
from ..learner.reservoir import BESIDE
from ..native.calls import Calls, Now
from ..native.chain import ChainState
from ..table.columns import ColumnKind
from . import encode, importance, memory, native, neighbours, review, usual
from .bank import ALONE
from .classification import Classification
from .compiled import compiled
from .copying import fill, gather, scatter
from .defaults import NAMES
from .encode import Encoder
from .growing import Model
from .importance import Importance
from .memory import EVERY_ROW, MEMORY, MODES, NUMBERS, OF_TARGET, PLACES, SHARED, Memory
from .neighbours import NEAREST, NEIGHBOURS, SEARCHED
from .regression import Regression
from .review import Review
from .task import Answers
from .usual import Usual
from .voices import Classes, Numbers, Targets
from .window_layout import BINS, SCALE
from .window_loops import follow

DRAWN = 64  # rows for which random numbers are drawn at once


class Parts(NamedTuple):
    """What a model consists of."""

    kinds: Mapping[str, ColumnKind]
    encoder: Encoder
    task: Classification | Regression
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
        task, rows = parts.task, parts.review.streams
        columns, fixed = self._usual.scaled, parts.encoder.fixed
        inputs, plain, outputs = parts.model.sizes
        self._given = np.zeros(len(self._usual.names))
        self._asked: bytes | None = None  # the row of the present answer
        self._count = np.zeros(1, np.int64)
        self._draws, self._first_drawn = np.zeros((0, BESIDE), np.int64), 0
        self._drawn = np.zeros((1, BESIDE), np.int64)
        # The row, and those that stand beside it.
        self._numbers = np.zeros((1, rows, columns))
        self._marks, self._fixed = _single(1, rows, fixed), np.zeros((1, fixed))
        self._scales = np.zeros((1, columns, SCALE))
        # What networks see, and what the inputs did that came before the row.
        self._plain, self._known = _single(1, plain), _single(1, self._width())
        self._several = _single(sum(view not in ALONE for view in self._native.views), 1, inputs)
        self._felt = _single(*self._known.shape)
        self._targets = Targets(np.zeros((1, rows)), _single(1, rows, outputs), np.zeros(1))
        given, asked = (self._targets, len(self._native.states)), NEIGHBOURS in task.mixture.names
        self._voices: Classes | Numbers = (
            Classes(task, *given, asked=asked)
            if isinstance(task, Classification)
            else Numbers(task, *given, asked=asked)
        )
        self._networks: dict[int, int] = {}  # by the number of the call
        self.stale = False  # whether an array was replaced

        self._look, self._ask = Calls(), Calls()
        self._take, self._learn, self._weigh = Calls(), Calls(), Calls()
        self._add_look()
        self._add_ask(_single(1, 1, inputs))
        u = _single(1, rows, inputs)
        self._add_take()
        self._add_learn(u)
        self._add_weigh(u[0, :1])

    def ask(self, x: Any) -> Answers | None:
        """Returns what `ColumnModel.ask` would, `None` if the row is not usual."""
        refuse_lame_fork()
        if not self._usual.read(x, self._given):
            return None
        if (row := self._given.tobytes()) != self._asked:  # to the bit: -0.0 is not 0.0
            if not self._looked_at():
                return None
            self._ask.make()
            self._asked = row
        return self._voices.answer()

    def learn(self, x: Any, y: Any) -> bool:
        """Learns a row as `ColumnModel.learn` would; returns whether it was usual.

        If not, nothing is done.
        """
        refuse_lame_fork()
        kept, remembered, model, voices = *self._parts[3:6], self._voices
        usual_row = self._usual.read(x, self._given)
        if y is None or not usual_row:
            return usual_row  # without a target a row changes nothing
        if not voices.takes(y) or not kept.has_room:
            return False
        if self._given.tobytes() != self._asked and not self._looked_at():
            return False
        self._asked = None
        if kept.most:
            self._drawn[0] = self._draw()
        voices.meet(y)
        self._take.make()
        voices.aim()
        harmed = self._learn.make()
        voices.score()
        self._weigh.make()
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

    def _looked_at(self) -> bool:
        """Takes a look at a row, and asks its neighbours; returns whether it is usual."""
        self._asked = None
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
        _, encoder, _, kept, remembered, model, felt = self._parts
        here = len(encoder.plain)
        if len(encoder) > model.sizes.inputs or here > model.sizes.plain:
            raise LookupError("inputs that no network knows")
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

    def _add_look(self) -> None:
        """Adds how a row is checked and scaled, and what its neighbours say."""
        new, near, kept = self._numbers[0, :1], self._voices.near, self._parts.review
        given = self._given, *self._usual.marks, new, self._fixed, self._marks[0, :1]
        self._look.add(compiled(usual.check), *given)
        self._add_scales(self._look, keep=False)
        if not near.size:
            return
        numbers, fixed, targets = kept.ring
        most = min(SEARCHED, kept.most)
        own = new, self._fixed, self._scales, targets, np.zeros(0)
        lying = numbers, fixed, np.zeros((0, 0)), _single(0, 0)
        which = Now(self._count), False, most, self._voices.outputs
        room = np.zeros(most), np.zeros(most), np.zeros(NEAREST)
        self._look.add(fill, near[0], self._voices.nothing)
        self._look.add(compiled(neighbours._search), *own, *lying, *which, *room, near)

    def _add_scales(self, calls: Calls, *, keep: bool) -> None:
        carried = self._parts.encoder.windows.carried
        calls.add(
            follow, self._numbers[0, :1], *carried, True, keep, self._scales[:0], self._scales
        )

    def _add_ask(self, u: np.ndarray) -> None:
        """Adds how a row is answered; `u`: room for what the networks see, `(1, 1, inputs)`."""
        self._add_views(self._ask, u, keep=False)
        views = {"plain": self._plain, MEMORY: self._known}
        for k, (state, view) in enumerate(self._experts()):
            seen = views[view] if view in ALONE else u[0]
            loop, arguments = state.answering(seen, self._voices.said[k, None])
            self._ask.add(loop, *arguments)
        self._voices.add_answer(self._ask)

    def _add_take(self) -> None:
        """Adds how a row is taken in, and which stand beside it."""
        kept, raw = self._parts.review, self._targets.raw
        self._add_scales(self._take, keep=True)
        if kept.most:
            beside = self._numbers[:, 1:], self._marks[:, 1:], raw[:, 1:]
            own = self._numbers[0, :1], self._marks[0, :1], raw[0, :1]
            drawn = self._drawn, Now(self._count), kept.most
            self._take.add(compiled(review._recall), *drawn, *own, *kept.ring, *beside)
        self._voices.add_aim(self._take)

    def _add_learn(self, u: np.ndarray) -> None:
        """Adds how a row is learned and scored; `u`: room for inputs, `(1, rows, inputs)`."""
        calls, z, said = self._learn, self._targets.z, self._voices.said
        self._add_views(calls, u, keep=True)
        views = {"plain": self._plain[None], MEMORY: self._known[None]}
        several = iter(self._several)
        for k, (state, view) in enumerate(self._experts()):
            alone, (inputs, *_, outputs) = view in ALONE, state.chain.sizes
            slope = _single(0, inputs) if alone else next(several)
            told = (views[view], z[:, :1]) if alone else (u, z)
            lasts = np.full(1, state.chain.duration, np.float32)
            record = said[k, None, None], self._felt if view == MEMORY else slope
            nothing = _single(0, inputs), _single(0, outputs)
            loop, arguments = state.learning(*told, lasts, *record, *nothing, alone=view == "new")
            self._networks[len(calls)] = k
            calls.add(loop, *arguments)
        self._voices.add_score(calls)

    def _experts(self) -> Iterator[tuple[ChainState, str]]:
        return zip(self._native.states, self._native.views, strict=True)

    def _add_views(self, calls: Calls, u: np.ndarray, *, keep: bool) -> None:
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
            given = loud, self._targets.told, seat, begins, *EVERY_ROW, PLACES, NUMBERS
            carried = *remembered.carried, remembered.classes, keep
            room = np.zeros((2, MODES)), self._known
            calls.add(compiled(memory._advance), *given, *carried, *room)

    def _add_weigh(self, u: np.ndarray) -> None:
        """Adds how it is followed which inputs matter; `u`: of the row, `(1, inputs)`."""
        calls = self._weigh
        felt, layout = self._parts.importance, self._parts.encoder.layout
        mean, here = np.zeros_like(u), len(self._parts.encoder)
        moved, share = np.zeros((1, 0)), np.zeros(1)
        calls.add(compiled(native._average), self._several, mean)
        if self._parts.memory is not None:
            moved, channels = np.zeros((1, here)), np.zeros((1, OF_TARGET + len(layout.plain)))
            given = self._known, self._felt, channels.shape[1], NUMBERS, channels
            calls.add(fill, channels[0], 0.0)
            calls.add(compiled(memory._weigh), *given)
            plain = np.array(layout.plain, np.int64)
            calls.add(scatter, channels[0, OF_TARGET:], plain, moved[0])
            own = NAMES.index(MEMORY), len(NAMES)
            calls.add(compiled(importance._share), self._voices.weights[:1], *own, share)
        keep = 1 - 1 / importance.MEMORY
        calls.add(compiled(importance._follow), u[:, :here], mean, moved, share, keep, felt.means)


def _single(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)
