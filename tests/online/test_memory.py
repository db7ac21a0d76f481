"""What came before a row: against SciPy's filters, and what a stream's user sees of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.signal import lfilter

from localprop import ConfigError, Online, StreamError
from localprop.online import memory as module
from localprop.online.memory import MODES, NUMBERS, OF_TARGET, Memory, width

# As docs/laws.md, section 14, has them: nine harmonics of sixteen rows, and two running means.
SPEEDS = [1 / 16 - 2j * np.pi * m / 16 for m in range(9)] + [1 / 64, 1 / 256]


def expected(x):
    """One channel `(T,)` through each mode by `scipy.signal.lfilter`, `(T, 19)`."""
    columns = [x]
    for m, c in enumerate(SPEEDS):
        a = np.exp(-c)
        gain = np.sqrt(1 - np.exp(-2 / 16)) if m < 9 else 1 - a.real
        h = lfilter([gain], [1, -a], x.astype(complex))
        columns += [h.real, h.imag] if 0 < m < 8 else [h.real]
    return np.stack(columns, axis=1)


def test_every_input_goes_through_the_modes():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 3)), rng.normal(size=200)
    known = Memory(classes=False).learn(x, y)
    assert known.shape == (200, NUMBERS * (OF_TARGET + 3))
    assert NUMBERS == 19
    known = known.reshape(200, -1, NUMBERS)
    for k in range(3):
        np.testing.assert_allclose(known[:, OF_TARGET + k], expected(x[:, k]), atol=2e-6)
    # Of its own past the target's channel knows all but the present.
    before = np.concatenate([[0.0], y[:-1]])
    np.testing.assert_allclose(known[:, 0], expected(before), atol=2e-6)
    assert not known[:, 1:OF_TARGET].any()


def test_classes_have_a_channel_each_as_far_as_there_are():
    y = np.array([0.0, 5.0, np.nan, 1.0, 1.0])
    known = Memory(classes=True).learn(np.zeros((5, 1)), y).reshape(5, -1, NUMBERS)
    now = known[:, :OF_TARGET, 0]
    assert now.tolist() == [[0] * 4, [1, 0, 0, 0], [0, 1, 0, 0], [0] * 4, [0, 1, 0, 0]]


def test_inputs_beyond_the_channels_share_them():
    x = np.random.default_rng(1).normal(size=(30, 120))
    known = Memory(classes=False).learn(x, np.zeros(30)).reshape(30, -1, NUMBERS)
    assert known.shape[1] == OF_TARGET + 56
    assert width(120) == width(56) >= known[0].size
    shared = expected(x[:, 3] + x[:, 59] + x[:, 115])
    np.testing.assert_allclose(known[:, OF_TARGET + 3], shared, atol=5e-6)


def test_time_that_passes_turns_the_modes_on():
    """Against the matrix exponential of the mode's own equation."""
    rng = np.random.default_rng(2)
    x, lapse = rng.normal(size=(20, 1)), rng.uniform(0.2, 3, 20)
    known = Memory(classes=False).learn(x, np.zeros(20), lapse=lapse).reshape(20, -1, NUMBERS)
    c = SPEEDS[3]
    a = np.exp(-c)
    g = np.sqrt(1 - np.exp(-2 / 16)) / (1 - a)
    h = 0.0 + 0.0j
    for t in range(20):
        # d(h, u)/dt = (c (g u - h), 0), held for as long as the row lasts.
        h = (expm(np.array([[-c, c * g], [0, 0]]) * lapse[t]) @ np.array([h, x[t, 0]]))[0]
        found = known[t, OF_TARGET, 2 * 3 : 2 * 3 + 2]  # the input, a real one, two pairs; then it
        np.testing.assert_allclose(found, [h.real, h.imag], atol=1e-5)


@given(
    keys=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    most=st.integers(1, 6),
)
def test_sequences_are_remembered_apart_however_they_are_cut(keys, cuts, most):
    """Each as a memory of its own; where there are too many, the one that rested longest goes."""
    rng = np.random.default_rng(len(keys))
    x, y = rng.normal(size=(len(keys), 2)), rng.normal(size=len(keys))
    codes, names = np.array(keys) - 1, ["a", "b", 3.0, "d"]  # -1: the key is missing
    own: dict[int, Memory] = {}
    rested: list[int] = []
    rows = []
    for t, code in enumerate(codes):
        if code not in own:
            if len(own) == most:
                del own[rested.pop(0)]
            own[code] = Memory(classes=False)
        rested = [k for k in rested if k != code] + [code]
        rows.append(own[code].learn(x[t : t + 1], y[t : t + 1]))
    before, module.MOST_SEQUENCES = module.MOST_SEQUENCES, most
    try:
        memory, found = Memory(classes=False), []
        edges = sorted({0, len(keys), *(c for c in cuts if c < len(keys))})
        for a, b in pairwise(edges):
            here = (codes[a:b], names)
            asked = memory.ask(x[a : a + 1], (codes[a : a + 1], names))
            found.append(memory.learn(x[a:b], y[a:b], here))
            np.testing.assert_array_equal(asked, found[-1][:1])
            memory = Memory(classes=False, state=memory.state(), arrays=memory.arrays())
    finally:
        module.MOST_SEQUENCES = before
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(rows))
    assert len(memory.state()["sequences"]) <= most
    assert memory.arrays()["modes"].shape == (len(own), OF_TARGET + 2, 2, MODES)


def lagged(rows, rng, sequences=1, said=("a", "b", "c")):
    """Rows whose label is what the column said ten rows earlier, in the same sequence."""
    which, words = rng.permuted(np.arange(rows) % sequences), said
    said = rng.choice(words, rows)
    label = rng.choice(words, rows)
    for s in range(sequences):
        own = np.flatnonzero(which == s)
        label[own[10:]] = said[own[:-10]]
    label = label.astype(str)  # whole numbers would be amounts
    noise = rng.normal(size=rows)
    return {"said": said, "noise": noise, "machine": which.astype(float)}, label


@pytest.mark.parametrize(
    ("sequences", "said"),
    [
        (1, ("a", "b", "c")),
        pytest.param(200, ("a", "b", "c"), marks=pytest.mark.slow),
        pytest.param(1, range(10), marks=pytest.mark.slow),
    ],
)
def test_a_label_of_ten_rows_earlier_is_learned_without_an_option(sequences, said):
    rows = 3000 if sequences == 1 and len(said) == 3 else 10_000
    columns, label = lagged(rows, np.random.default_rng(3), sequences, said)
    if sequences == 1:
        del columns["machine"]
    model = Online(hidden=(2,), review=0, sequence="machine" if sequences > 1 else None)
    model.learn_many({n: c[: rows // 2] for n, c in columns.items()}, label[: rows // 2].tolist())
    right = 0
    for t in range(rows // 2, rows, 50):
        piece = {n: c[t : t + 50] for n, c in columns.items()}
        first = {n: c[:1] for n, c in piece.items()}
        right += model.predict_many(first)[0] == label[t]
        model.learn_many(piece, label[t : t + 50].tolist())
    assert right / (rows / 100) >= 0.95


def test_importance_counts_what_came_before():
    """By hand; and of a label that hangs on one column's past, that column is what matters."""
    rng = np.random.default_rng(7)
    known, slope = rng.normal(size=(2, 5, NUMBERS * (OF_TARGET + 56)))
    found = Memory.importance(known, slope, 60)
    for k in range(60):
        sharing = k // 56 + 1
        here = slice(NUMBERS * (OF_TARGET + k % 56), NUMBERS * (OF_TARGET + k % 56 + 1))
        by_hand = np.abs(known[:, here] * slope[:, here]).sum(axis=1) / sharing
        np.testing.assert_allclose(found[:, k], by_hand)
    np.testing.assert_array_equal(
        Memory.importance(known, slope[:, : 30 * NUMBERS], 60)[:, 30:56], 0
    )
    columns, label = lagged(1500, rng)
    del columns["machine"]
    model = Online(hidden=(2,), review=0)
    model.learn_many(columns, label.tolist())
    assert model.importance()["said"] > 0.8


def test_pieces_and_restarts_do_not_change_a_bit(tmp_path):
    columns, label = lagged(300, np.random.default_rng(5), 7)
    whole = Online(hidden=(2,), sequence="machine")
    whole.learn_many(columns, label.tolist())
    parts = Online(hidden=(2,), sequence="machine")
    for a, b in ((0, 1), (1, 90), (90, 91), (91, 300)):
        parts.learn_many({n: c[a:b] for n, c in columns.items()}, label[a:b].tolist())
        parts.save(tmp_path / "model.npz")
        parts = Online.load(tmp_path / "model.npz")
    asked = {n: c[:40] for n, c in columns.items()}
    np.testing.assert_array_equal(whole.probabilities(asked), parts.probabilities(asked))


def test_a_sequence_that_never_came_begins_at_rest():
    columns, label = lagged(200, np.random.default_rng(6), 3)
    model = Online(hidden=(2,), sequence="machine")
    model.learn_many(columns, label.tolist())
    row = {"said": "a", "noise": 0.0}
    new = model.predict_proba_one({**row, "machine": 77.0})
    assert new == model.predict_proba_one({**row, "machine": 78.0})
    assert new == model.predict_proba_one(row)  # nor does one that nobody names
    assert new != model.predict_proba_one({**row, "machine": 1.0})


def test_what_makes_no_sense_is_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="a forecast knows one series"):
        Online(sequence="machine", horizon=2)
    with pytest.raises(ConfigError, match="the time and the sequence at once"):
        Online(sequence="t", time="t")
    with pytest.raises(StreamError, match="no such column to tell sequences apart"):
        Online(sequence="machine").learn_one({"a": 1.0}, 2.0)


def test_no_row_of_many_columns_is_asked_and_learned():
    model = Online("regression", hidden=(2,), review=0)
    model.learn_many(np.ones((3, 70)), [1.0, 2.0, 3.0])
    assert model.predict_many(np.zeros((0, 70))) == []
    model.learn_many(np.zeros((0, 70)), [])
