"""Feedback weights of their own against weight transport, on tables.

Each stream is learned by `localprop learn` as it stands, with one thing changed: the networks'
errors come back by weights of their own (`FeedbackWeights`, learned as Kolen and Pollack do). The
forward output layer starts at zero there. *zero* lets its feedback start at zero, too, which is
aligned from the start; *random* draws it with variance 1/fan-in, so that first errors come back
along arbitrary directions. With weight decay k forward and feedback weights align; without, their
difference stays. *alignment* is the cosine between the two sets of hidden and output weights that
errors pass, after the stream, its mean over the three experts that have hidden layers.

    python -m benchmarks.feedback
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from unittest import mock

import numpy as np

from localprop import Cost, FeedbackWeights, Layered
from localprop.online import defaults, growing
from localprop.online.learn import learn
from localprop.online.settings import Settings

from .accuracy import export
from .page import write_page

STREAMS, SEEDS = ("Phishing", "Bananas", "TrumpApproval"), range(10)
DECAYS = (0.0, 1e-3)
WAYS = ("transport", "own, zero", "own, random")
PASSED = ("hidden2", "output")  # no error passes the first hidden layer's weights


class _Networks:
    """Stands where the model takes its network from."""

    def __init__(self, way: str):
        self.way = way

    def dense(self, sizes: list[int], **settings) -> Layered | FeedbackWeights:
        """Returns the model's network, errors coming back by the way that is measured."""
        network = Layered.dense(sizes, **settings)
        if self.way == "transport" or len(sizes) == 2:  # no error passes a linear expert's weights
            return network
        drawn = Layered.dense(sizes, **settings | {"output_scale": 1.0})
        return FeedbackWeights(network, drawn if self.way == "own, random" else None)


def run(file: Path, target: str, way: str, decay: float, seed: int) -> tuple[float, float]:
    """Returns the prequential score, and the alignment after the stream."""
    models = []

    class Seen(growing.Model):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            models.append(self)

    def cost(*arguments) -> Cost:
        return Cost(plain(*arguments).loss, decay)

    plain = defaults._cost
    with (
        mock.patch.object(defaults, "Layered", _Networks(way)),
        mock.patch.object(defaults, "_cost", cost),
        mock.patch("localprop.online.column_model.Model", Seen),
    ):
        result, _ = learn(file, Settings(target=target, seed=seed))
    assert result.score is not None
    if way == "transport":
        return result.score, 1.0
    # Experts that are one program are one phase, whose arrays have them as their first axis.
    weights = [phase.w for phase in models[-1].phase if "feedback" in phase.w]
    found = []
    for w in weights:
        there, back = (
            np.concatenate(
                [
                    w[name][block].weight.reshape(len(w[name][block].weight), -1).T
                    for block in PASSED
                ]
            )
            for name in ("forward", "feedback")
        )
        size = np.sqrt((there**2).sum(axis=0) * (back**2).sum(axis=0))
        found += ((there * back).sum(axis=0) / size).tolist()
    return result.score, mean(found)


def main() -> int:
    """Measures and writes `feedback.md`."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = {name: export(name, Path(folder)) for name in STREAMS}
        for decay in DECAYS:
            for way in WAYS:
                cells = []
                for name in STREAMS:
                    one = partial(run, *files[name], way, decay)
                    scores, aligned = zip(*map(one, SEEDS), strict=True)
                    cells.append(f"{mean(scores):.3f} ± {stdev(scores):.3f}")
                    cells.append(f"{mean(aligned):.2f}")
                rows.append(f"| {way} | {decay:g} | {' | '.join(cells)} |")
                print(rows[-1], flush=True)
    titles = [f"{name}{', MAE' * (name == 'TrumpApproval')}" for name in STREAMS]
    note = (
        f"Mean and standard deviation over {len(SEEDS)} seeds, accuracy unless said. Written by "
        "`python -m benchmarks.feedback`."
    )
    columns = ["errors come back by", "k", *(c for title in titles for c in (title, "alignment"))]
    write_page(Path(__file__), __doc__, note, columns, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
