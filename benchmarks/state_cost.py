"""What a bias and a cost of the state change in tracking.

NLP prints neither. The script of its authors has both, a constant input for every neuron and a
regularisation of the state; here the latter adds $r_x|x|^2$ to the rate of cost, beside
$r_w|w|^2$. Each row is a policy on $0.5 \\sin 0.02t$ for six periods, five neurons, $r = 0.1$,
$r_w = 1$, from eight starts.

- *in flip time*: NRMSE of the policy's own state after the first third, median and worst start;
- *replayed*: the same of the forward network under the same weights;
- *cost*: of the replay, over that of doing nothing, median; above 1 doing nothing is cheaper.

To repeat the target of the step before scores $0.02\\tau$, that is 0.002 at $\\tau = 0.1$, 0.001 at
0.05 and 0.02 at 1: below every row. The rows compare dynamics; none is a forecast worth having.

    python -m benchmarks.state_cost
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from localprop import CostateReversal, DivergenceError, HamiltonianTrack, SignFlip
from localprop.law import AbstractPolicy
from localprop.tracking.signals import Sine
from localprop.tracking.track import track
from localprop.tracking.tracker import LinearQuadratic, tracker

from .page import write_page

STARTS = range(8)
BIASES, COSTS = (False, True), (0.0, 1.0, 10.0)
# Policy, q, step: those of the tracking table, where the paper's setting tracks.
POLICIES: dict[str, tuple[Callable[[], AbstractPolicy], float, float]] = {
    "sign flip, q = 100": (lambda: SignFlip(1), 100.0, 0.1),
    "sign flip, q = 1000": (lambda: SignFlip(1), 1000.0, 0.1),
    "Hamiltonian track, q = 100": (lambda: HamiltonianTrack(200.0), 100.0, 0.05),
    "costate reversal, q = 1000": (CostateReversal, 1000.0, 1.0),
}


def measure(name: str, bias: bool, rx: float) -> np.ndarray:
    """Returns per start: NRMSE in flip time, replayed, and the cost over that of doing nothing.

    A start that diverges counts as infinite.
    """
    policy, q, dt = POLICIES[name]
    how = tracker(policy(), LinearQuadratic(q, rx=rx), dt=dt, bias=bias)
    found = []
    for seed in STARTS:
        try:
            run = track(Sine(0.02), how, seed=seed)
            found.append((run.nrmse, run.replayed_nrmse, run.cost / run.untracked_cost))
        except DivergenceError:
            found.append((np.inf,) * 3)
    return np.array(found).T


def row(name: str, bias: bool, rx: float, found: np.ndarray) -> str:
    """Returns a line of the table."""
    flip, replayed, cost = found
    lost = int(np.isinf(flip).sum())
    cells = [f"{np.median(e):.3g} ({np.max(e):.3g})" for e in (flip, replayed)]
    cells += [f"{np.median(cost):.3g}", str(lost)]
    return f"| {name} | {'yes' if bias else 'no'} | {rx:g} | {' | '.join(cells)} |"


def main() -> int:
    """Measures and writes `state_cost.md`."""
    rows = []
    for name in POLICIES:
        for bias in BIASES:
            for rx in COSTS:
                rows.append(row(name, bias, rx, measure(name, bias, rx)))
                print(rows[-1], flush=True)
    columns = ["policy", "bias", "r_x", "in flip time", "replayed", "cost", "diverged"]
    note = "Written by `python -m benchmarks.state_cost`."
    write_page(Path(__file__), __doc__, note, columns, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
