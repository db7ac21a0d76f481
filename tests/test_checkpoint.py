"""A checkpoint comes back whole or is refused, and never half replaces an older one."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import zipfile

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Block,
    Cost,
    Digraph,
    Layered,
    Learner,
    SoftmaxCrossEntropy,
    SquaredError,
    checkpoint,
)
from localprop.errors import CheckpointError


def dense(size=3, **options):
    return Learner(Digraph.layered([2, size, 1]), Cost(SquaredError()), **options)


def convolution():
    network = Layered(
        {
            "conv": Block(eqx.Partial(eqx.nn.Conv2d, 1, 2, 3, stride=2), ["input"], "tanh"),
            "flat": Block(eqx.nn.Lambda(jnp.ravel), ["conv"]),
            "head": Block(eqx.Partial(eqx.nn.Linear, 2 * 3 * 3, 2), ["flat"]),
        },
        inputs=(1, 8, 8),
        output="head",
    )
    return Learner(network, Cost(SoftmaxCrossEntropy()))


MAKERS = {
    "digraph": dense,
    "convolution": convolution,
    "shared weights": lambda: dense(streams=3),
}


def phase_of(learner, seed=0):
    """A phase in which every number is different."""
    phase = learner.init(jax.random.key(seed))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), phase)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))


@pytest.fixture
def saved(tmp_path):
    learner = dense()
    path = tmp_path / "c.npz"
    checkpoint.save(path, learner, phase_of(learner), position=7, extra={"a": [1, 2.5, None, "ü"]})
    return learner, path


@pytest.mark.parametrize("kind", MAKERS)
def test_round_trip(tmp_path, kind):
    learner = MAKERS[kind]()
    phase, path = phase_of(learner), tmp_path / "c.npz"
    checkpoint.save(path, learner, phase, position=12, extra={"a": 1})
    kept = checkpoint.load(path)
    assert (kept.position, kept.extra) == (12, {"a": 1})
    assert_same(kept.phase(MAKERS[kind]()), phase)
    assert os.listdir(tmp_path) == ["c.npz"]


def test_round_trip_in_float64(tmp_path, x64):
    learner = dense()
    phase = phase_of(learner)
    assert phase.x.dtype == np.float64
    checkpoint.save(tmp_path / "c", learner, phase, position=0)
    assert_same(checkpoint.load(tmp_path / "c").phase(learner), phase)
    with jax.enable_x64(False), pytest.raises(CheckpointError, match="another precision"):
        checkpoint.load(tmp_path / "c").phase(dense())


def test_any_zip_and_numpy_reader_can_read_it(saved):
    _, path = saved
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    with np.load(path, allow_pickle=False) as members:
        header = json.loads(bytes(members["header"]).decode("utf-8"))
    assert header["position"] == 7
    assert header["extra"] == {"a": [1, 2.5, None, "ü"]}
    assert header["learner"]["network"]["class"] == "Digraph"


def test_every_flipped_bit_is_found_or_harmless(saved, tmp_path):
    _, path = saved
    expected, data = checkpoint.load(path), path.read_bytes()
    bad, complaints = tmp_path / "bad.npz", []
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    # Every byte of the directory, where a flip misleads the reader; every seventh elsewhere.
    for place in [*range(0, directory, 7), *range(directory, len(data))]:
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            bad.write_bytes(changed)
            try:
                kept = checkpoint.load(bad)
            except CheckpointError as error:
                complaints.append(str(error))
            else:  # a date, say
                assert (kept.position, kept.extra) == (expected.position, expected.extra)
                assert kept.learner == expected.learner
                assert kept.arrays.keys() == expected.arrays.keys()
                for name, array in kept.arrays.items():
                    assert array.tobytes() == expected.arrays[name].tobytes()
                    assert (array.dtype, array.shape) == _kind(expected.arrays[name])
    assert len(complaints) > 1000
    words = ("is damaged; delete it", "is not a localprop checkpoint; delete it")
    assert all(c.startswith(str(bad)) and any(w in c for w in words) for c in complaints)


def _kind(array):
    return array.dtype, array.shape


def test_every_truncation_is_found(saved, tmp_path):
    _, path = saved
    data, bad = path.read_bytes(), tmp_path / "bad.npz"
    for length in range(0, len(data), 11):
        bad.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"is damaged|not a localprop checkpoint"):
            checkpoint.load(bad)


def _foreign(folder):
    np.savez(folder / "other.npz", a=np.ones(3))
    np.save(folder / "array.npy", np.ones(3))
    np.savez(folder / "header.npz", header=np.frombuffer(b'{"format": "x"}', np.uint8))
    thin = json.dumps({"format": checkpoint.FORMAT, "version": checkpoint.VERSION}).encode()
    np.savez(folder / "thin.npz", header=np.frombuffer(thin, np.uint8))
    np.savez(folder / "number.npz", header=np.ones(2))
    (folder / "text.txt").write_text("a,b\n1,2\n")
    (folder / "pickle.pkl").write_bytes(pickle.dumps({"a": np.ones(2)}))
    (folder / "some.json").write_text("{}")
    (folder / "empty").write_bytes(b"")


FOREIGN = "other.npz array.npy header.npz thin.npz number.npz text.txt pickle.pkl some.json empty"


@pytest.mark.parametrize("name", FOREIGN.split())
def test_foreign_files_are_refused(tmp_path, name):
    _foreign(tmp_path)
    with pytest.raises(CheckpointError, match="is not a localprop checkpoint; delete it") as caught:
        checkpoint.load(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match=r"[Dd]irectory; take another"):
        checkpoint.load(tmp_path)


def test_a_newer_version_is_refused(saved, monkeypatch):
    learner, path = saved
    monkeypatch.setattr(checkpoint, "VERSION", checkpoint.VERSION + 1)
    checkpoint.save(path, learner, phase_of(learner), position=0)
    monkeypatch.undo()
    newer, known = checkpoint.VERSION + 1, checkpoint.VERSION
    words = f"version {newer}, this localprop reads up to {known}; install"
    with pytest.raises(CheckpointError, match=words):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: dense(4), "network"),
        (lambda: dense(hops=2), r"hops was \d+, is 2"),
        (lambda: Learner(Digraph.layered([2, 3, 1]), Cost(SquaredError(), 0.1)), "weight_decay"),
    ],
)
def test_a_mismatch_names_what_differs(saved, other, words):
    with pytest.raises(CheckpointError, match=f"made with other settings .*{words}"):
        checkpoint.load(saved[1]).phase(other())


@pytest.mark.parametrize("failing", ["fsync", "replace", "write"])
def test_a_failed_save_leaves_the_old_one_and_nothing_else(saved, monkeypatch, failing):
    learner, path = saved
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    where, name = (checkpoint.np, "savez") if failing == "write" else (checkpoint.os, failing)
    monkeypatch.setattr(where, name, full)
    with pytest.raises(CheckpointError, match="No space left on device; the last checkpoint"):
        checkpoint.save(path, learner, phase_of(learner, 1), position=8)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_place_that_cannot_be_written_is_told_before_any_work(tmp_path):
    for path, words in [
        (tmp_path, "is a folder; give the name of a file"),
        (tmp_path / "none" / "c.npz", "does not exist; create it first"),
    ]:
        with pytest.raises(CheckpointError, match=words):
            checkpoint.check_writable(path)


def with_header(path, **changes):
    """Writes other values, or none, into the header of a checkpoint, with sound checksums."""
    with np.load(path) as archive:
        members = dict(archive)
    header = json.loads(members["header"].tobytes()) | changes
    header = {key: value for key, value in header.items() if value is not ...}
    members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **members)


@pytest.mark.parametrize("value", [..., None, "1", 1.5, [1], {"a": 1}])
@pytest.mark.parametrize("key", ["version", "position", "learner", "extra", "arrays"])
def test_a_header_of_wrong_types_is_refused(saved, key, value):
    _, path = saved
    with_header(path, **{key: value})
    if (key, value) in [("learner", {"a": 1}), ("extra", {"a": 1})]:
        assert getattr(checkpoint.load(path), key) == value
        return
    with pytest.raises(CheckpointError, match=r"is not a localprop checkpoint|is damaged"):
        checkpoint.load(path)


def test_only_regular_files_are_read_and_written(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for attempt in (checkpoint.load, checkpoint.check_writable):
        with pytest.raises(CheckpointError, match="is not a regular file"):
            attempt(path)


def test_what_a_killed_process_left_is_removed_and_no_other(tmp_path):
    learner, path = dense(), tmp_path / "c.npz"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for process in (ended.pid, os.getppid()):
        (tmp_path / f".c.npz.{process}.partial").write_bytes(b"half")
    checkpoint.save(path, learner, learner.init(jax.random.key(0)), position=0)
    assert {f.name for f in tmp_path.iterdir()} == {"c.npz", f".c.npz.{os.getppid()}.partial"}
