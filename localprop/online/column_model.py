"""Columns in, answers out: all that one stream is, and what of it survives."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import checkpoint as checkpoints
from .. import compiled_ahead
from ..describe import differences
from ..errors import CheckpointError, StreamError
from ..kept_programs import keep_programs
from ..learner import Samples, Trace
from ..table.columns import Column, ColumnKind
from .classification import Classification, Label
from .defaults import NAMES, Experts, bank_for
from .delay import Delay
from .durations import Durations
from .encode import MARK, Encoder, Rows
from .forecast import Forecast
from .growing import Model, Sizes, capacity
from .importance import Importance, share_of
from .memory import MEMORY, MODES, OF_TARGET, SHARED, Keys, Memory
from .native import beside
from .neighbours import NEIGHBOURS, SEARCHED, Kept, Seen, ask_neighbours
from .prepared import prepare
from .regression import Regression
from .review import Review
from .settings import OnlineSettings
from .target import restore_task
from .task import AbstractTask, Answers

if TYPE_CHECKING:
    from .direct import Direct

PATIENCE = 4  # requests of single rows before what makes them fast is made, which takes as long
WAITING = 2  # pieces that the networks may still be learning while the next is made ready
PIECE, LONE_PIECE = 1000, 2000  # most rows in one call of a bank's compiled loops, and of one's


class _Ready(NamedTuple):
    """Rows that were taken in: what the networks learn of them, and what their score needs.

    **Fields:** `samples`; `record`, first what is scored; `key`: of the encoded target; `near`:
    what the neighbours say; `plain`: which inputs are no bins.
    """

    samples: Samples
    record: tuple[str, ...]
    key: Any
    near: np.ndarray | None
    plain: list[int]


class ColumnModel:
    """One stream being learned, from columns of a table: what `Online` and the command line share.

    Encoder, durations, task with its score and its mixture, review, memory, growing bank of
    networks and importance.

    **Arguments:** `settings`.
    """

    def __init__(self, settings: OnlineSettings):
        keep_programs()
        self.settings = settings
        self.rows = 0  # that came to be learned, those without a target included
        self._learned_before = 0  # rows before those that the networks learn now
        self.kinds: dict[str, ColumnKind] = {}  # of the columns met so far
        self.task: AbstractTask | None = None
        self._encoder, self._durations = Encoder(bins=settings.bank), Durations()
        self._importance = Importance()
        self._review = Review(settings.review, settings.seed)
        self._memory: Memory | None = None  # of the rows before, unless these are forecast
        self._delay: Delay | None = None  # of a forecast, whose targets come later
        self._model: Model | None = None
        # What the networks learn, and what waits for it; what was answered and not told yet.
        self._learning: deque[tuple[_Ready, Callable[[], Trace]]] = deque()
        self._answered: list[Answers] = []
        self._prepared = 0.0  # seconds that its loops took to be there
        self._begun, self._room = False, (0, 0)  # inputs known from the first row
        self._direct: Direct | None = None  # what learns rows one by one, while it can
        self._alone = 0  # how many requests of single rows came since it could not
        self.on_compile: Callable[[bool], None] = lambda _: None  # told when it begins and ends
        # Told the row, counted from 1, at which an expert turned infinite, and the expert's name.
        self.on_restart: Callable[[int, str], None] = lambda row, name: None

    def learn(
        self,
        columns: Mapping[str, Column],
        target: Column,
        lines: np.ndarray | None = None,
        *,
        more: bool = False,
    ) -> Answers:
        """Predicts, scores and learns rows; returns what was predicted of each of them.

        **Arguments:** `columns` by name; `target`, missing where a row is only to be predicted;
        `lines`: where each row stands, for messages; `more`: whether others are to follow at once.
        Then the networks may still be at the last of these rows: what is predicted of them is told
        by the next call, or by `finish`.

        **Raises:** `StreamError`, `DivergenceError`.
        """
        rows, self._direct = len(target.values), None
        if not self._begun and self.settings.engine != "xla":
            compiled_ahead.begin(self.settings.law)
        told = more or len(self._learning) + len(self._answered) > 0
        self._alone = 0 if rows > 1 else self._alone
        if lines is None:
            lines = np.arange(self.rows + 1, self.rows + rows + 1)
        columns = self._complete(columns, rows)
        known = target.known
        if isinstance(self.task, Forecast):
            known = np.ones(rows, bool)  # time goes on, also where the target is missing
        cuts = self._cuts(known, len(columns))
        alone = len(cuts) == 2
        try:
            for start, stop in pairwise(cuts):
                run, wanted = columns, target
                if not alone:
                    run = {name: column.cut(start, stop) for name, column in columns.items()}
                    wanted = target.cut(start, stop)
                ready = None
                if self.task is not None and known[start]:
                    ready = self._made_ready(run, wanted, lines[start:stop])
                if ready is not None:
                    self._learning.append((ready, self._begin(ready, alone=alone and not more)))
                self._score_all_but(WAITING if ready is not None else 0)
                if ready is None:
                    self._answered.append(self.ask(run, stop - start))
                self.rows += stop - start
        except BaseException:
            try:
                self._score_all_but(0)  # what was learned counts
            finally:
                self._answered = self._answered if told else []
            raise
        return self._told() if more else self.finish()

    def finish(self) -> Answers:
        """Returns what was predicted of the rows that were not told yet, once they are learned."""
        self._score_all_but(0)
        return self._told() if self._answered else self.ask({}, 0)

    def ask(self, columns: Mapping[str, Column], rows: int, done: int = 0) -> Answers:
        """Predicts rows as columns, each as if it were the next one, learning nothing.

        **Arguments:** `columns` by name; `rows`; `done`: rows to come before the first of these,
        for a forecast.
        """
        self._score_all_but(0)
        task, model = self.task, self._model
        if task is None or model is None:
            classes = self._task_name == "classification"
            return Answers(np.full(rows, -1.0 if classes else np.nan))
        if isinstance(task, Forecast):
            everything = task.read(np.zeros((done + rows, 1, 1)))
            return everything.cut(done)
        columns = self._complete(columns, rows)
        clock = columns.pop(self.settings.time, None) if self.settings.time else None
        relative = None if clock is None else self._durations.look(clock.values)
        keys = self._keys(columns, rows)
        u, plain, seen = self._encoder.look(columns, rows, *model.sizes[:2])
        near = self._near(seen, None)
        views = {"rows": u, "plain": plain}
        if self._memory is not None:
            views[MEMORY] = self._memory.ask(self._encoder.at_full_voice(plain), keys, relative)
        return task.read(model.preview(views, relative), near)

    def learn_row(self, x: Any, y: Any) -> bool:
        """Learns one row as `learn` would, if it is a usual one; returns whether it was."""
        direct = self._directly()
        if direct is None:
            return False
        self._learned_before = self.rows
        if not direct.learn(x, y):
            self._direct, self._alone = None, 0
            return False
        self.rows += 1
        if direct.stale:
            self._direct = None
        return True

    def ask_row(self, x: Any) -> Answers | None:
        """Predicts one row as `ask` would, if it is a usual one, learning nothing."""
        direct = self._directly()
        return None if direct is None else direct.ask(x)

    def importance(self) -> dict[str, float]:
        """Returns each column's share of what matters lately, the largest first.

        A running mean, over some 500 rows, of $|u_j\\,(D_u^\\top\\lambda)_j|$: the costates that
        reach the inputs of the networks that see them all, times the inputs, summed over those of
        a column; and the same of what came before a row, as much as *memory* has a say. The shares
        add up to 1. Empty before anything was learned; for a forecast, what
        it makes of the target's past is a share of its own.
        """
        self._score_all_but(0)
        own = "its own past"
        columns = [name.split(MARK)[0] or own for name in self._encoder.columns]
        names = [name for name in self.kinds if name != self.settings.time]
        return self._importance.shares(columns, names)

    @property
    def classes(self) -> list[Label]:
        """The classes met so far, in the order in which they came."""
        return self.task.classes if isinstance(self.task, Classification) else []

    def begin(self, task: AbstractTask) -> None:
        """Takes a task that was chosen by whoever knows more of the stream."""
        self.task, self._direct = task, None

    def forget_errors(self) -> None:
        """Starts intervals afresh, where the errors so far say nothing of those to come."""
        if self.task is not None:
            self.task.forget_errors()
            self._direct = None

    @property
    def model(self) -> Model:
        """The growing network, once something was learned."""
        assert self._model is not None, "something has to be learned first"
        return self._model

    @property
    def compile_seconds(self) -> float:
        """Seconds spent on building and compiling so far."""
        return self._model.compile_seconds if self._model else 0.0

    @property
    def started(self) -> bool:
        """Whether anything was learned."""
        return self._model is not None

    def _directly(self) -> Direct | None:
        """Returns what learns rows one by one, if the last rows were usual ones."""
        task, model = self.task, self._model
        if self._direct is not None:
            return self._direct
        self._alone += 1
        if self._alone < PATIENCE:
            return None
        self._alone = 0
        if not isinstance(task, Classification | Regression) or model is None:
            return None
        if self.settings.aside:
            return None
        self._score_all_but(0)
        from .direct import Direct, Parts  # which imports Numba, and takes its time

        parts = self._encoder, task, self._review, self._memory, model, self._importance
        try:
            with model.compiling():
                self._direct = Direct(Parts(self.kinds, *parts))
        except LookupError:
            return None
        return self._direct

    def _cuts(self, known: np.ndarray, columns: int) -> list[int]:
        """Returns where rows are cut: each piece has targets or none, and room in memory."""
        rows = len(known)
        if rows == 1:
            return [0, 1]
        turns = np.flatnonzero(np.diff(known)) + 1
        most = capacity(self.piece, self._review.streams * (len(self._encoder) + 8 * columns))
        return sorted({0, *turns.tolist(), *range(most, rows, most), rows})

    def _keys(self, columns: dict[str, Column], rows: int) -> Keys | None:
        """Takes the column of sequences out; returns to which one each row belongs."""
        name = self.settings.sequence
        if name is None:
            return None
        column = columns.pop(name, None)
        if column is None:
            return np.full(rows, -1), []
        if column.kind.is_text:
            return column.values, column.categories
        known, codes = np.unique(column.values, return_inverse=True)
        return np.where(np.isnan(column.values), -1, codes), known.tolist()

    def _made_ready(self, columns: dict[str, Column], target: Column, lines: np.ndarray) -> _Ready:
        """Takes in rows of which each has a target, up to what the networks are to learn.

        Nothing in it hangs on what the networks learned, so that they may still be at the rows
        before.
        """
        assert self.task is not None
        task, rows = self.task, len(target.values)
        task.check(target, lines)  # before anything is taken in
        duration, clock = None, None
        if name := self.settings.time:
            clock = columns.pop(name, None)
            if clock is None or clock.kind.is_text:
                held = "there is no such column" if clock is None else "this column holds text"
                raise StreamError(
                    "the time needs numbers, or times such as 2024-05-31 12:30:00, and "
                    f"{held}; name another column, or leave --time away",
                    column=name,
                )
            duration = self._durations.encode(clock.values, lines, name)
        if (name := self.settings.sequence) is not None and name not in columns:
            raise StreamError(
                "there is no such column to tell sequences apart; name another column, or leave "
                "--sequence away",
                column=name,
            )
        keys = self._keys(columns, rows)
        if self._model is None:
            self._prepare(task)
        encoded, used = task.encode(target), columns
        if isinstance(task, Forecast):
            if self._delay is None:
                self._delay = Delay(task.horizon)
            known = columns if clock is None else {**columns, self.settings.time: clock}
            used = dict(sorted(task.features(known, encoded.key).items()))
        if not self._begun:
            self._begun = True
            # What is made of a column that the first row does not have comes later, as the column
            # does: whether this piece shows its kind hangs on how the stream is cut.
            bases = {name: columns.get(name.split(MARK)[0]) for name in used}
            late = {
                n for n, base in bases.items() if n not in columns and base and not base.known[0]
            }
            first = {n: column.cut(0, 1) for n, column in used.items() if n not in late}
            room = self._encoder.expect(
                {
                    name: column.kind if column.known.any() else ColumnKind.UNDECIDED
                    for name, column in first.items()
                }
            )
            here = len(self._encoder)
            self._room = room, len(self._encoder.plain) + room - here
        self._model_for(task)
        new = self._encoder.encode(used, rows)
        query, output = None, "output"
        if self._delay is not None:
            query, output = self._views(self._encoder.now(new)), "answer"
            new = self._delay.push(new)
        # Before these rows are among those that are kept.
        news = Kept(new.numbers, new.fixed, encoded.raw)
        near = self._near(Seen(new.numbers, new.fixed, new.scales.table), news)
        u, raw = self._reviewed(new, encoded.raw)
        z = task.targets(raw, encoded.key)
        views = {"rows": u, "plain": self._views(u[:, 0])["plain"]}
        if self._memory is not None:
            told = raw[:, 0] if isinstance(task, Classification) else z[:, 0, 0]
            plain = self._encoder.at_full_voice(views["plain"])
            views[MEMORY] = self._memory.learn(plain, told, keys, duration)
        record = (output, "input_slope", *(["memory_slope"] if self._memory else []))
        for name, column in columns.items():
            if self.kinds.get(name, ColumnKind.UNDECIDED) is ColumnKind.UNDECIDED:
                self.kinds[name] = column.kind
        plain = self._plain_of(u[:, 0])
        return _Ready(Samples(views, z, duration, query), record, encoded.key, near, plain)

    def _begin(self, ready: _Ready, *, alone: bool) -> Callable[[], Trace]:
        """Lets the networks learn, beside what comes next if that can be; returns what waits."""
        rows, model = self.rows, self.model

        def learn() -> Trace:
            self._learned_before = rows
            return model.learn(ready.samples, ready.record)

        if alone or not model.aside:
            for _, learned in self._learning:
                learned()
            trace = learn()
            return lambda: trace
        return beside(learn, after=len(self._learning) > 0)

    def _score_all_but(self, waiting: int) -> None:
        """Takes in what was answered to rows once they are learned, but for the last pieces."""
        while len(self._learning) > waiting:
            ready, learned = self._learning[0]
            try:
                trace = learned()
            except Exception:
                self._drop()
                raise
            self._learning.popleft()
            assert self.task is not None
            answers = self.task.update_score(ready.key, trace[ready.record[0]], ready.near)
            self._update_importance(ready, trace)
            self._answered.append(answers)

    def _drop(self) -> None:
        """Waits for what is being learned, and takes nothing of it in."""
        while self._learning:
            with suppress(Exception):
                self._learning[0][1]()
            self._learning.popleft()

    def _told(self) -> Answers:
        """Returns what was answered and not told yet."""
        parts, self._answered = self._answered, []
        return Answers.joined(parts) if parts else Answers(np.zeros(0))

    def _update_importance(self, ready: _Ready, trace: Trace) -> None:
        """Takes in what mattered in rows; what came before counts as much as it has a say."""
        before, views = None, ready.samples.u
        u = views["rows"][:, 0]
        if self._memory is not None and self.task is not None:
            moved, plain = np.zeros(u.shape), ready.plain
            moved[:, plain] = Memory.importance(views[MEMORY], trace["memory_slope"], len(plain))
            weights = self.task.mixture.before
            before = moved, share_of(weights, NAMES.index(MEMORY), len(NAMES))
        self._importance.update(u, trace["input_slope"], before)

    def _near(self, seen: Seen, news: Kept | None) -> np.ndarray | None:
        """Returns what the neighbours of new rows say, `None` if none are asked."""
        assert self.task is not None
        if NEIGHBOURS not in self.task.mixture.names:
            return None
        most = min(SEARCHED, self.settings.review)
        outputs = len(self.task.classes) if isinstance(self.task, Classification) else 0
        return ask_neighbours(seen, self._review.kept, news, most, outputs)

    def _reviewed(self, new: Rows, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns inputs, by today's scales, and targets of rows and of those beside them.

        **Returns:** `(T, S, inputs)`, `(T, S)`.
        """
        numbers, fixed, targets = self._review.beside(new, raw)
        numbers = np.concatenate([new.numbers[:, None], numbers], axis=1)
        fixed = np.concatenate([new.fixed[:, None], fixed], axis=1)
        u = self._encoder.again(numbers, fixed, new.scales)
        return u, np.concatenate([raw[:, None], targets], axis=1)

    def _views(self, u: np.ndarray) -> dict[str, np.ndarray]:
        """Returns what the experts see of new rows."""
        return {"rows": u, "plain": u[:, self._plain_of(u)]}

    def _plain_of(self, u: np.ndarray) -> list[int]:
        """Returns which of the inputs of rows are no bins."""
        return [k for k in self._encoder.plain if k < u.shape[1]]

    def _complete(self, columns: Mapping[str, Column], rows: int) -> dict[str, Column]:
        """Returns the columns, and those that are known and not there as missing.

        By name, so that the order in which a row happens to hold them changes no number.
        """
        found = dict(columns)
        for name, kind in self.kinds.items():
            if name not in found and name not in self.settings.aside:
                nothing = np.full(rows, -1, np.int32) if kind.is_text else np.full(rows, np.nan)
                found[name] = Column(kind, nothing)
        return dict(sorted(found.items()))

    @property
    def piece(self) -> int:
        """Most rows that are learned in one call."""
        return PIECE if self.settings.bank else LONE_PIECE

    @property
    def experts(self) -> Experts:
        """Which experts a task is to have."""
        if not self.settings.bank:
            return "network"
        return "bank and neighbours" if self.settings.review else "bank"

    @property
    def _task_name(self) -> str:
        if self.task is not None:
            return self.task.name
        return "forecast" if self.settings.horizon is not None else self.settings.task

    def _model_for(self, task: AbstractTask) -> Model:
        if self._model is None:
            settings, streams = self.settings, self._review.streams
            self._model = Model(
                lambda sizes: bank_for(settings, task.name, *sizes, streams),
                seed=settings.seed,
                most=self.piece,
                streams=streams,
                start=Sizes(*self._room, task.outputs),
                engine=settings.engine,
            )
            self._model.on_compile = lambda on: self.on_compile(on)
            self._model.on_restart = lambda k, name: self.on_restart(
                self._learned_before + k + 1, name
            )
            self._model.compile_seconds = self._prepared
            if MEMORY in task.mixture.names:
                self._memory = Memory(classes=isinstance(task, Classification))
        return self._model

    def _prepare(self, task: AbstractTask) -> None:
        """Compiles the loops about the networks, or reads them from where they were kept."""
        began = time.perf_counter()
        self.on_compile(True)
        try:
            prepare(task, reviewed=self.settings.review > 0)
        finally:
            self.on_compile(False)
        self._prepared = time.perf_counter() - began

    def write(self, path: str | Path, table: Mapping[str, Any] | None) -> None:
        """Writes a checkpoint, with what the command line knows of its table."""
        learner, phase, rest = self._parts(table, path)
        checkpoints.save(path, learner, phase, **rest)

    def to_bytes(self) -> bytes:
        """Returns the checkpoint as bytes."""
        learner, phase, rest = self._parts(None)
        return checkpoints.dumps(learner, phase, **rest)

    def _parts(self, table: Mapping[str, Any] | None, path: Any = "") -> tuple[Any, Any, Any]:
        self._score_all_but(0)
        if self.task is None or self._model is None:
            raise CheckpointError(f"{path}: nothing was learned yet, so there is nothing to save")
        online = {
            "settings": asdict(self.settings),
            "rows": self.rows,
            "kinds": {name: kind.value for name, kind in self.kinds.items()},
            "encoder": self._encoder.state(),
            "durations": self._durations.state(),
            "importance": self._importance.state(),
            "task": {"name": self.task.name, **self.task.state()},
            "review": self._review.state(),
            "sizes": list(self._model.sizes),
            "restarted": self._model.restarted,
        }
        arrays = {f"review {name}": a for name, a in self._review.arrays().items()}
        if self._memory is not None:
            online["memory"] = self._memory.state()
            arrays |= {f"memory {name}": a for name, a in self._memory.arrays().items()}
        if self._delay is not None:
            arrays |= {f"delay {name}": a for name, a in self._delay.arrays().items()}
        rest = {"position": self.rows, "extra": {"online": online, "table": table}}
        return self._model.bank, self._model.phase, {**rest, "arrays": arrays}

    def set_state(self, found: Mapping[str, Any], kept: checkpoints.Checkpoint) -> None:
        """Takes what a checkpoint says of a model of these settings, and the phase in it."""
        self.rows = int(found["rows"])
        self.kinds = {name: ColumnKind(kind) for name, kind in found["kinds"].items()}
        self._encoder = Encoder.restore(found["encoder"], bins=self.settings.bank)
        self._durations = Durations(found["durations"])
        self._importance = Importance(found["importance"])
        self.task = restore_task(found["task"], self.settings.horizon)
        damaged = CheckpointError(f"{kept.path}: {checkpoints.DAMAGED}")
        arrays = self._kept_rows(kept, found["review"]["count"])
        if arrays is None:
            raise damaged
        self._review = Review(
            self.settings.review, self.settings.seed, found["review"], arrays["review"]
        )
        if isinstance(self.task, Forecast):
            self._delay = Delay(self.task.horizon, arrays["delay"])
        self._prepare(self.task)
        model = self._model_for(self.task)
        if self._memory is not None:
            classes, state = isinstance(self.task, Classification), found["memory"]
            remembered = self._kept_memory(kept, state)
            if remembered is None:
                raise damaged
            self._memory = Memory(classes=classes, state=state, arrays=remembered)
        if max(found["sizes"]) > max(a.size for a in kept.arrays.values()):
            raise damaged
        model.resize(Sizes(*found["sizes"]))
        model.restore(kept.phase(model.bank))
        model.restarted = dict(found["restarted"])
        self._begun = True

    def _kept_rows(self, kept: checkpoints.Checkpoint, count: int) -> dict[str, Any] | None:
        """Returns the arrays of review and delay, `None` if one is not as it should be."""
        task, encoder = self.task, self._encoder
        wide = {"numbers": len(encoder.windows), "fixed": encoder.fixed}
        rows = {"review": min(self.settings.review, count)}
        if isinstance(task, Forecast):
            rows["delay"] = task.horizon
        found: dict[str, Any] = {}
        for what, number in rows.items():
            shapes: dict[str, tuple[int, ...]] = {
                n: (number, w * (number > 0)) for n, w in wide.items()
            }
            if what == "review":
                shapes["targets"] = (number,)
            found[what] = {name: kept.arrays.get(f"{what} {name}") for name in shapes}
            for name, shape in shapes.items():
                kind = np.float32 if name == "fixed" else np.float64
                a = found[what][name] = _as_kept(found[what][name], kind, shape)
                if a is None:
                    return None
        if isinstance(task, Classification):
            classes = found["review"]["targets"]
            if (
                (classes % 1 > 0).any()
                or (classes < 0).any()
                or (classes >= len(task.classes)).any()
            ):
                return None
        return found

    def _kept_memory(
        self, kept: checkpoints.Checkpoint, state: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        """Returns the arrays of the memory, `None` if one is not as it should be."""
        if state is None:
            return None
        number, channels = len(state["sequences"]), OF_TARGET
        if number:
            channels += min(len(self._encoder.plain), SHARED)
        shapes = {"modes": (number, channels, 2, MODES), "last": (number,), "used": (number,)}
        found = {name: kept.arrays.get(f"memory {name}") for name in shapes}
        for name, shape in shapes.items():
            a = found[name] = _as_kept(
                found[name], np.int64 if name == "used" else np.float64, shape
            )
            if a is None:
                return None
        return found

    def check_settings(self, asked: OnlineSettings, path: Any) -> None:
        """Raises `CheckpointError` where another value was asked for than the one kept.

        A setting that was left at its default asks for nothing.
        """
        default = asdict(OnlineSettings())
        wanted = {k: v for k, v in asdict(asked).items() if v != default[k]}
        mine = {k: v for k, v in asdict(self.settings).items() if k in wanted}
        if self.task is not None and mine.get("task") == "auto":
            mine["task"] = self.task.name
        if wrong := list(differences(mine, wanted)):
            raise CheckpointError(
                f"{path}: made with other settings ({'; '.join(wrong)}); use those settings "
                "again, or another checkpoint file"
            )


def _as_kept(a: np.ndarray | None, kind: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns a copy of an array of a checkpoint, `None` if it is not as it should be."""
    if a is None or a.dtype != kind or a.shape != shape or np.isinf(a).any():
        return None
    return a.copy()  # what is read from a file cannot be written to
