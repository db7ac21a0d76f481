"""Sentences are their words, in bounded room."""

from __future__ import annotations

import re
import unicodedata
import zlib
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop import Online
from localprop.errors import ConfigError
from localprop.online.encode import BUCKETS, OWN_VALUES, Encoder
from localprop.online.learn import learn
from localprop.online.rows import read_row
from localprop.online.settings import Settings
from localprop.online.words import BUCKETS as WORD_BUCKETS
from localprop.online.words import bags
from localprop.table.columns import Column, ColumnKind, encode_text
from localprop.table.sentences import are_sentences
from localprop.table.table import Table

WORDS, TEXT = ColumnKind.WORDS, ColumnKind.TEXT
SENTENCES = st.text(st.sampled_from("abcdeÄßñЯ한語 ,.'7\n"), max_size=30).filter(str.strip)


def column(values, kind=WORDS):
    return encode_text(pa.array(values, pa.string()), kind)


def written_out(text):
    """The inputs of a text, word by word."""
    text = unicodedata.normalize("NFKC", text).lower().replace("'", "")
    found = set(re.findall(r"語|[^\W_語]+", text))
    bag = np.zeros(WORD_BUCKETS)
    for word in found:
        code = zlib.crc32(word.encode())
        bag[code % WORD_BUCKETS] += -1 if code >= 2**31 else 1
    if not bag.any():
        bag[0] = 1
    return 2 * bag / np.linalg.norm(bag)


def inputs(encoder, column):
    return encoder.now(encoder.encode({"t": column}, len(column.values)))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.none() | SENTENCES, min_size=1, max_size=10))
def test_each_word_has_its_bucket_and_each_row_the_norm_of_two(texts):
    u = bags(column(texts))
    for row, text in zip(u, texts, strict=True):
        expected = np.zeros(WORD_BUCKETS) if text is None else written_out(text)
        np.testing.assert_allclose(row, expected, rtol=1e-12)


def test_what_sentences_are():
    names = [f"street number {'abc'[k % 3]}" for k in range(100)]
    assert not are_sentences(pa.array(names))  # three words, but three values
    assert not are_sentences(pa.array([f"word{chr(97 + k % 26)}{k}" for k in range(100)]))
    spread = [f"Braund, Mr. {'ABCDEFGHIJ'[k % 10]} {'KLMNOPQRST'[k // 10]}" for k in range(100)]
    assert are_sentences(pa.array(spread))
    assert are_sentences(pa.array(["这个产品很好" + "一二三四五六七八九十"[k] for k in range(10)]))
    assert are_sentences(pa.array(["There is nothing better than this"]))
    assert not are_sentences(pa.array(["Married, with children"]))
    assert not are_sentences(pa.array([], pa.string()))


# What is said of a thing holds words that say whether it was good, among many that do not.
FILL = ["the", "of", "it", "today", "again", "here", "box", "came", "was", "with", "food", "shop"]


def sentences(rows, seed=0):
    rng = np.random.default_rng(seed)
    good = rng.random(rows) < 0.5
    texts = []
    for yes in good:
        own = rng.choice(["good", "great", "lovely"] if yes else ["bad", "awful", "poor"])
        words = [*rng.choice(FILL, 6), own]
        texts.append(" ".join(words[k] for k in rng.permutation(7)) + ".")
    return texts, ["yes" if yes else "no" for yes in good]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "t.csv"
    rows = [f"{k % 5},{t},{y}" for k, (t, y) in enumerate(zip(*sentences(600), strict=True))]
    path.write_text("\n".join(["k,text,y", *rows]) + "\n")
    return path


def test_a_table_says_what_it_takes_for_sentences(reviews):
    with Table(reviews, label="y") as table:
        assert table.kinds["text"] is WORDS
        (remark,) = table.remarks()
    for part in ("'text'", "sentences", "--text text"):
        assert part in remark
    for kind in (TEXT, WORDS):
        with Table(reviews, types={"text": kind}) as table:
            assert table.kinds["text"] is kind
            assert not [line for line in table.remarks() if "sentences" in line]
    with Table(reviews, label="text") as table:  # classes are classes
        assert table.kinds["text"] is TEXT
    assert Settings(target="y", types={"text": "words"}).kinds == {"text": "words"}
    with pytest.raises(ConfigError, match="cannot be words"):
        Settings(target="y", types={"y": "words"})


def test_sentences_are_learned_and_resumed_to_the_same_bits(reviews, tmp_path):
    given = Settings(target="y", hidden=(8,))
    found, whole = learn(reviews, given)
    # Of 600 rows half are yes; one word of seven tells, and each is met some 100 times.
    assert found.score > found.baseline["score"] + 0.25
    assert found.importance["text"] > 3 * found.importance["k"]  # which tells nothing
    kept = tmp_path / "c"
    learn(reviews, given, checkpoint=kept, limit=250)
    _, apart = learn(reviews, given, checkpoint=kept, resume=True)
    assert apart.state() == whole.state()


def test_rows_of_a_program_are_sentences_if_the_first_is():
    texts, targets = sentences(12)
    one, many = Online(hidden=(2,)), Online(hidden=(2,))
    for text, target in zip(texts, targets, strict=True):
        one.learn_one({"text": text}, target)
    many.learn_many(pa.table({"text": texts}), targets)
    assert one.kinds == many.kinds == {"text": WORDS}
    asked = [{"text": text} for text in ["good", "was it bad?", "", "?!", None]]
    assert one.predict_proba_many(asked) == many.predict_proba_many(asked)
    assert read_row({"text": "good"}, {})["text"].kind is TEXT
    assert read_row({"text": texts[0]}, {"text": TEXT})["text"].kind is TEXT


@settings(deadline=None, max_examples=50)
@given(st.lists(st.none() | SENTENCES, min_size=1, max_size=20), st.lists(st.integers(0, 20)))
def test_pieces_and_checkpoints_change_no_input(texts, places):
    ends = [0, *sorted({p % len(texts) for p in places} - {0}), len(texts)]
    whole, apart = Encoder(), Encoder()
    together = inputs(whole, column(texts))
    for start, stop in pairwise(ends):
        part = inputs(apart, column(texts).cut(start, stop))
        np.testing.assert_array_equal(part, together[start:stop, : part.shape[1]])
        apart = Encoder.restore(apart.state())
    assert apart.inputs == whole.inputs
    # What is met again looks as it was learned.
    met = [text for text in texts if text is not None]
    looked, *_ = whole.look({"t": column(met)}, len(met), len(whole.inputs), 0)
    np.testing.assert_array_equal(looked, inputs(whole, column(met)))


def test_nothing_grows_with_the_number_of_words():
    encoder = Encoder()
    texts = [f"{chr(97 + k % 26)}{k} {k + 1}x {k * k}y" for k in range(5000)]
    for start in range(0, 5000, 1000):
        encoder.encode({"t": column(texts[start : start + 1000])}, 1000)
    assert len(encoder.inputs) == WORD_BUCKETS
    assert set(encoder.columns) == {"t"}
    full = encoder.state()
    encoder.encode({"t": column([text + " more" for text in texts])}, 5000)
    assert encoder.state() == full


def test_2000_categories_have_bounded_room_too():
    encoder = Encoder()
    values = [f"word{k}" for k in range(2000)]
    assert not are_sentences(pa.array(values))
    for start in range(0, 2000, 500):
        encoder.encode({"t": column(values[start : start + 500], TEXT)}, 500)
    assert len(encoder.inputs) == OWN_VALUES + BUCKETS
    full = encoder.state()
    u = inputs(encoder, column(values[::-1], TEXT))
    assert encoder.state() == full
    np.testing.assert_array_equal(u.sum(axis=1), 1.0)


def test_a_column_can_be_cut_into_words():
    cut = column(["a b", "c d", "a b"]).cut(1)
    assert (cut.kind, cut.categories, cut.values.tolist()) == (WORDS, ["c d", "a b"], [0, 1])
    assert Column(WORDS, np.array([-1, 0]), ["a"]).known.tolist() == [False, True]
