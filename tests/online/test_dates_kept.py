"""How dates are read is decided once, and kept with what was learned."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from localprop import checkpoint
from localprop.errors import CheckpointError
from localprop.online import run as running
from localprop.online.learn import learn
from localprop.online.predict import predict
from localprop.online.settings import Settings

FIRST = dt.datetime(2024, 3, 1)


def written(path, days, form):
    rows = [f"{(FIRST + dt.timedelta(days=k)).strftime(form)},{k % 3}.5" for k in days]
    path.write_text("\n".join(["t,y", *rows]) + "\n")
    return path


@pytest.fixture
def seen(monkeypatch):
    """The times that were learned or asked for."""
    times = []
    for name in ("learn", "ask"):
        plain = getattr(running.Run, name)

        def watched(self, piece, *given, plain=plain, **more):
            times.extend(piece.columns["t"].values.tolist())
            return plain(self, piece, *given, **more)

        monkeypatch.setattr(running.Run, name, watched)
    return times


def test_the_order_of_a_checkpoint_stays(tmp_path, seen):
    kept = tmp_path / "c"
    given = Settings(target="y", hidden=(2,))
    learn(written(tmp_path / "a.csv", range(20), "%m/%d/%Y"), given, checkpoint=kept)
    assert checkpoint.load(kept).extra["table"]["dates"] == {"t": "MDY"}
    # By themselves these would be read day first, and be four months apart.
    tomorrow = written(tmp_path / "b.csv", range(62, 66), "%m/%d/%Y")
    said = []
    learn(tomorrow, given, checkpoint=kept, resume=True, say=said.append)
    assert not [line for line in said if "dates" in line]
    predict(kept, tomorrow)
    days = [*range(20), *range(62, 66), *range(62, 66)]
    expected = [(FIRST + dt.timedelta(days=k)).replace(tzinfo=dt.UTC).timestamp() for k in days]
    np.testing.assert_array_equal(seen, expected)
    other = Settings(target="y", hidden=(2,), types={"t": "time:DMY"})
    with pytest.raises(CheckpointError, match="dates of column 't' were MDY, are DMY"):
        learn(tomorrow, other, checkpoint=kept, resume=True)
