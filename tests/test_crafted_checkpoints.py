"""Checkpoints that somebody crafted: each is refused in one line, or is one that could be kept."""

from __future__ import annotations

import copy
import io
import json
import math
import random
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from localprop import Online, checkpoint
from localprop.errors import CheckpointError
from localprop.online.run import Run
from localprop.online.settings import Settings

pytestmark = pytest.mark.usefixtures("bounded")

WORDS = ("is damaged; delete it", "is not a localprop checkpoint; delete it", "made with other")
STRANGE = [None, True, -1, 0, 1, 2**31, 2**63, -(2**70), 1e308, -1e308, 0.5, "", "x", "\0", [], {}]
STRANGE += [[1], [[]], [None], {"a": 1}, [0] * 1000, "x" * 10_000, {"name": "regression"}]
TABLE = {
    "target": "y",
    "on_bad_row": "stop",
    "columns": ["t", "a", "b", "y"],
    "position": 12,
    "digests": ["0" * 16] * 10,
    "digest": "0" * 16,
    "kinds": {"t": "number", "a": "number", "b": "text", "y": "text"},
    "commas": [],
    "dates": {"t": "DMY"},
    "predictions": None,
    "mark": 0,
}


def learned(kind):
    """A model of each task, that has met text, gaps and a time, small enough to be quick."""
    options = {"horizon": 2} if kind == "forecast" else {}
    model = Online(hidden=(2,), time="t", **options)
    for k in range(12):
        row = {"t": float(k), "a": None if k == 5 else k % 3, "b": "xyz"[k % 3]}
        model.learn_one(row, "pqr"[k % 2] if kind == "classification" else k % 4)
    return model


@pytest.fixture(scope="module", params=["classification", "regression", "forecast"])
def kept(request):
    """The members of a checkpoint, its header parsed, and what its model answers."""
    model = learned(request.param)
    with np.load(io.BytesIO(model.to_bytes())) as archive:
        members = dict(archive)
    header = json.loads(members.pop("header").tobytes())
    header["extra"]["table"] = copy.deepcopy(TABLE)
    return header, members


def packed(header, members, compress=False):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    file = io.BytesIO()
    save = np.savez_compressed if compress else np.savez
    save(file, header=np.frombuffer(raw, np.uint8), **members)
    return file.getvalue()


def places(value, path=()):
    """Yields the path of every part of a tree of lists and mappings."""
    yield path
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


def crafted(header, members, pick):
    """Returns a checkpoint of which one or two things are not as they were."""
    header, members = copy.deepcopy(header), dict(members)
    for _ in range(pick.choice([1, 1, 2])):
        if pick.random() < 0.1:
            name = pick.choice(list(members))
            array = np.atleast_1d(members[name])
            members[name] = pick.choice([array[:0], array.astype("f8"), array.ravel()[:1]])
            continue
        *inner, last = pick.choice(list(places(header))[1:])
        part = header
        for key in inner:
            if not isinstance(part, dict | list) or key not in (
                part if isinstance(part, dict) else range(len(part))
            ):
                break
            part = part[key]
        else:
            change(part, last, pick)
    return packed(header, members)


def change(part, key, pick):
    if isinstance(part, dict):
        act = pick.choice(["replace", "replace", "remove", "add"])
        if act == "remove":
            part.pop(key, None)
        else:
            part[key if act == "replace" else "more"] = copy.deepcopy(pick.choice(STRANGE))
    elif isinstance(part, list) and part:
        act = pick.choice(["replace", "remove", "repeat", "empty"])
        if act == "remove":
            part.pop()
        elif act == "repeat":
            part.extend(copy.deepcopy(part))
        elif act == "empty":
            part.clear()
        else:
            part[key % len(part)] = copy.deepcopy(pick.choice(STRANGE))


def refused_or_usable(path):
    """Loads and uses a checkpoint; returns whether it was refused, as it should be."""
    row = {"t": 12.0, "a": 1.0, "b": "x"}
    try:
        model = Online.load(path)
        run = Run(Settings("y", time="t"), checkpoint.load(path))
    except CheckpointError as error:
        told = str(error)
        return told.startswith(str(path)) and any(w in told for w in WORDS) and "\n" not in told
    assert run.position >= 0
    answer = model.predict_one(row)
    assert answer is None or isinstance(answer, str | int | float)
    if model.settings.task != "classification" and not model.classes:
        bounds = model.predict_interval_one(row)
        assert bounds is None or bounds[0] <= bounds[1] or not math.isfinite(sum(bounds))
    model.importance()
    return False


@pytest.mark.parametrize("part", range(10))
def test_crafted_checkpoints_are_refused_or_usable(kept, tmp_path, part):
    pick, path = (
        random.Random(f"{part} {kept[0]['extra']['online']['task']['name']}"),
        tmp_path / "c",
    )
    refused = 0
    for _ in range(12):
        path.write_bytes(crafted(*kept, pick))
        refused += refused_or_usable(path)
    assert refused > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(100))
def test_many_more_crafted_checkpoints_are_refused_or_usable(kept, tmp_path, part):
    pick, path = random.Random(f"slow {part}"), tmp_path / "c"
    for _ in range(12):
        path.write_bytes(crafted(*kept, pick))
        refused_or_usable(path)


def test_what_is_untouched_is_usable(kept, tmp_path):
    path = tmp_path / "c"
    path.write_bytes(packed(*kept))
    assert not refused_or_usable(path)


def bomb():
    """An archive of a few kilobytes that declares, and holds, a hundred megabytes."""
    file = io.BytesIO()
    np.savez_compressed(file, header=np.zeros(100 << 20, np.uint8))
    return file.getvalue()


def declared():
    """An array that says it is far larger than its bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
        )
        archive.writestr("header.npy", head.getvalue())
    return file.getvalue()


def nested():
    return packed(b"[" * 200_000, {})


def deep():
    inside = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    return packed(b'{"format":"localprop checkpoint","version":2,"extra":' + inside + b"}", {})


@pytest.mark.parametrize("make", [bomb, declared, nested, deep])
def test_bombs_are_refused_before_they_are_unpacked(tmp_path, make):
    path = tmp_path / "c"
    path.write_bytes(make())
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"is damaged|is not a localprop checkpoint"):
        checkpoint.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_a_compressed_copy_is_refused(kept, tmp_path):
    path = tmp_path / "c"
    path.write_bytes(packed(*kept, compress=True))
    with pytest.raises(CheckpointError, match="is damaged"):
        Online.load(path)


@pytest.mark.parametrize("width", [0, -1, 1.5, None])
def test_a_curve_of_no_width_is_refused(kept, tmp_path, width):
    header = copy.deepcopy(kept[0])
    header["extra"]["online"]["task"]["score"]["width"] = width
    path = tmp_path / "c"
    path.write_bytes(packed(header, kept[1]))
    with pytest.raises(CheckpointError, match="is damaged"):
        Online.load(path)


def behind_its_bins(online, arrays):
    """The scaled value of a column no longer before its bins, which loops count on."""
    inputs = online["encoder"]["inputs"]
    online["encoder"]["inputs"] = [key for key in inputs if key != ("a", "")] + [("a", "")]


def of_a_class_that_is_not(online, arrays):
    arrays["review targets"][:] = 7.0


def products_of_nothing(online, arrays):
    products = online["task"]["stacked"]["products"]
    products[0][0], products[1][1] = -3.0, 3.1e6


def products_without_bounds(online, arrays):
    many = len(online["task"]["stacked"]["moments"])
    online["task"]["stacked"]["products"] = [[1e308] * many] * many


def squares_of_classes(online, arrays):
    online["task"]["mixture"]["squares"] = [[0.0] * len(online["task"]["mixture"]["names"])]


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("regression", behind_its_bins),
        ("classification", of_a_class_that_is_not),
        ("regression", products_of_nothing),
        ("regression", products_without_bounds),
        ("classification", squares_of_classes),
    ],
)
def test_what_would_lead_a_compiled_loop_astray_is_refused(task, change):
    """Loops have no bounds of their own: what is wrong must be found before they run."""
    model = Online(task, hidden=(2,))
    for k in range(40):
        model.learn_one({"a": float(k % 9), "b": k / 7}, k % 2 == 0 if task[0] == "c" else k % 3)
    bank, phase, rest = model._parts(None)
    rest["arrays"] = {name: a.copy() for name, a in rest["arrays"].items()}
    online = copy.deepcopy(rest["extra"]["online"])
    whole = checkpoint.dumps(bank, phase, **rest)
    Online.restore(checkpoint.parse(Path("whole"), whole))
    change(online, rest["arrays"])
    rest["extra"] = {**rest["extra"], "online": online}
    with pytest.raises(CheckpointError, match="damaged"):
        Online.restore(checkpoint.parse(Path("crafted"), checkpoint.dumps(bank, phase, **rest)))
