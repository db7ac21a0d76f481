"""Times that come in bursts: `--time` may cost little, and must never make learning explode."""

from __future__ import annotations

import numpy as np
import pytest

from localprop.online.learn import learn
from localprop.online.settings import Settings

ROWS = 3000
GAPS = {
    "a tenth are 30 times as long": ((1.0, 0.9), (30.0, 0.1)),
    "three quarters are next to nothing": ((0.001, 0.75), (4.0, 0.25)),
}


def scores(folder, bursts, law, timed):
    """The mean absolute error on y = 2a + b, and that of the running mean."""
    rng = np.random.default_rng(0)
    lengths, shares = zip(*GAPS[bursts], strict=True)
    t = np.cumsum(rng.choice(lengths, ROWS, p=shares))
    a, b = rng.standard_normal((2, ROWS))
    path = folder / "bursts.csv"
    table = np.stack([t, a, b, 2 * a + b], axis=1)
    np.savetxt(path, table, "%.9g", ",", header="t,a,b,y", comments="")
    used = path if timed else _without_time(path)
    result, _ = learn(used, Settings(target="y", time="t" if timed else None, law=law))
    assert result.metric == "mean absolute error"
    return result.score, result.baseline["score"]


def _without_time(path):
    rest = path.with_name("no_times.csv")
    lines = path.read_text().splitlines()
    rest.write_text("\n".join(line.split(",", 1)[1] for line in lines) + "\n")
    return rest


@pytest.mark.parametrize(
    "law", ["hamiltonian", pytest.param("least-action", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("bursts", GAPS)
def test_bursty_times_are_learned_about_as_well_as_without_times(tmp_path, bursts, law):
    timed, baseline = scores(tmp_path, bursts, law, True)
    untimed, _ = scores(tmp_path, bursts, law, False)
    assert timed < baseline
    assert timed < 2 * untimed
