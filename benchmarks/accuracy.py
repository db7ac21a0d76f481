"""Score of `localprop learn` with no option but `--target`, beside River's online learners.

    python -m benchmarks.accuracy

Exports the streams that ship inside the `river` package to CSV, learns each with the command
line exactly as a user would, also with `--law least-action`, lets River's learners and learners
without a model do the same, and writes `benchmarks/accuracy.md`.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from river import datasets, dummy, forest, linear_model, metrics, neighbors, stats, tree
from river.preprocessing import MinMaxScaler, StandardScaler, TargetStandardScaler

HERE = Path(__file__).parent
BOUNDS = {"Phishing": 0.912, "Bananas": 0.886, "TrumpApproval": 0.205}
LAWS = {"hamiltonian": "**localprop**, Hamiltonian", "least-action": "**localprop**, least action"}
SEEDS = range(10)
WINDOW = 1000  # rows that k-nearest neighbours keep: River's default for its approximate search


class Rival(NamedTuple):
    """A learner of River, as a classifier and as a regressor, at River's own defaults.

    **Fields:** `name`; `classifier`, `regressor`: what builds it; `seeded`: whether it draws at
    random; `scaled`: whether it is also tried behind scalers.
    """

    name: str
    classifier: Callable[..., Any]
    regressor: Callable[..., Any]
    seeded: bool = False
    scaled: bool = True


RIVALS = (
    Rival(
        "no model: last class, last value",
        dummy.NoChangeClassifier,
        lambda: dummy.StatisticRegressor(stats.Shift(0)),
        scaled=False,
    ),
    Rival(
        "no model: majority class, running mean",
        dummy.PriorClassifier,
        lambda: dummy.StatisticRegressor(stats.Mean()),
        scaled=False,
    ),
    Rival("logistic, linear", linear_model.LogisticRegression, linear_model.LinearRegression),
    Rival(
        "k-nearest neighbours",
        lambda: neighbors.KNNClassifier(engine=neighbors.LazySearch(WINDOW)),
        lambda: neighbors.KNNRegressor(engine=neighbors.LazySearch(WINDOW)),
    ),
    Rival("Hoeffding tree", tree.HoeffdingTreeClassifier, tree.HoeffdingTreeRegressor),
    Rival(
        "Hoeffding adaptive tree",
        tree.HoeffdingAdaptiveTreeClassifier,
        tree.HoeffdingAdaptiveTreeRegressor,
        seeded=True,
    ),
    Rival("adaptive random forest", forest.ARFClassifier, forest.ARFRegressor, seeded=True),
    Rival("aggregated Mondrian forest", forest.AMFClassifier, forest.AMFRegressor, seeded=True),
)
# What stands before a model, by its mark in the table; a bare model comes first and wins ties.
FEATURES: dict[str, Callable[[Any], Any]] = {
    "": lambda model: model,
    "s": lambda model: StandardScaler() | model,
    "m": lambda model: MinMaxScaler() | model,
}


class Scores(NamedTuple):
    """What a learner scored on a stream: one score per seed, and the mark of its scalers."""

    values: list[float]
    mark: str = ""


class Stream(NamedTuple):
    """What is measured on a stream.

    **Fields:** `name`; `rows`; `result`: JSON of a run with no option but `--target`; `again`:
    whether a second such run scored the same; `laws`: scores under each law; `rivals`: scores of
    each rival.
    """

    name: str
    rows: int
    result: dict[str, Any]
    again: bool
    laws: Mapping[str, Scores]
    rivals: Mapping[str, Scores]

    @property
    def better(self) -> Callable[..., Any]:
        """Picks the better of several scores: `max` or `min`."""
        return max if self.result["metric"] == "accuracy" else min

    @property
    def learners(self) -> dict[str, Scores]:
        """Scores of every learner, by its name in the table."""
        return {**self.rivals, **{LAWS[law]: scores for law, scores in self.laws.items()}}

    @property
    def means(self) -> dict[str, float]:
        """Every learner's mean over its seeds."""
        return {name: mean(scores.values) for name, scores in self.learners.items()}


def export(name: str, folder: Path) -> tuple[Path, str]:
    """Writes a stream of River as CSV; returns the file and the name of its target."""
    dataset = getattr(datasets, name)()
    rows = list(dataset)
    target = {"Phishing": "is_phishing", "TrumpApproval": "five_thirty_eight"}.get(name, "class")
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*rows[0][0], target])
        writer.writerows([*x.values(), y] for x, y in rows)
    return path, target


def localprop(path: Path, target: str, *options: str) -> dict[str, Any]:
    """Runs the command line and returns its JSON."""
    command = [sys.executable, "-m", "localprop", "learn", str(path), "--target", target, "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def prequential(rows: Iterable[tuple[Any, Any]], model: Any, classify: bool) -> float:
    """Lets a model of River predict every row before it learns it; returns its score."""
    metric = metrics.Accuracy() if classify else metrics.MAE()
    for k, (x, y) in enumerate(rows):
        if k or classify:  # localprop does not score a first number either
            metric.update(y, model.predict_one(x))
        model.learn_one(x, y)
    return metric.get()


def peer(rows: list[tuple[Any, Any]], rival: Rival, classify: bool) -> Scores:
    """Measures a rival bare and behind each scaler; returns its best, by the mean over seeds."""
    build = rival.classifier if classify else rival.regressor
    if not rival.scaled:
        return Scores([prequential(rows, build(), classify)])
    seeds = [{"seed": seed} for seed in SEEDS] if rival.seeded else [{}]
    targets = {"": FEATURES[""]} if classify else {"": FEATURES[""], "t": TargetStandardScaler}
    tried = []
    for mark, before in FEATURES.items():
        for target, around in targets.items():
            values = [prequential(rows, before(around(build(**seed))), classify) for seed in seeds]
            tried.append(Scores(values, mark + target))
    return (max if classify else min)(tried, key=lambda scores: mean(scores.values))


def measure(name: str, folder: Path) -> Stream:
    """Measures localprop and its rivals on a stream."""
    file = export(name, folder)
    rows = list(getattr(datasets, name)())
    result = localprop(*file)
    again = localprop(*file)["score"] == result["score"]
    laws = {
        law: Scores([localprop(*file, "--law", law, "--seed", str(s))["score"] for s in SEEDS])
        for law in LAWS
    }
    classify = result["metric"] == "accuracy"
    rivals = {rival.name: peer(rows, rival, classify) for rival in RIVALS}
    return Stream(name, len(rows), result, again, laws, rivals)


def everyone(streams: list[Stream]) -> str:
    """Returns the table of all learners, a row each, the best of a stream in bold."""
    heads = [f"{s.name}, {s.result['metric']}, {s.rows} rows" for s in streams]
    lines = [f"| learner | {' | '.join(heads)} |", "| --- " * (1 + len(streams)) + "|"]
    for name in streams[0].learners:
        cells = [_cell(stream.learners[name], stream) for stream in streams]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def places(streams: list[Stream]) -> str:
    """Returns where localprop with its default law stands on each stream, and who is ahead."""
    lines = []
    for stream in streams:
        means = stream.means
        own = means[LAWS["hamiltonian"]]
        ahead = [n for n, m in means.items() if m != own and stream.better(m, own) == m]
        ahead.sort(key=means.__getitem__, reverse=stream.better is max)
        who = "; ".join(f"{n} ({means[n]:.3f})" for n in ahead) or "nobody"
        lines.append(
            f"* {stream.name}: place {len(ahead) + 1} of {len(means)} with {own:.3f}. "
            f"Ahead of it: {who}."
        )
    return "\n".join(lines)


def bounded(stream: Stream) -> str:
    """Returns a stream's row of the table of bounds."""
    result, bound, seeds = stream.result, BOUNDS[stream.name], stream.laws["hamiltonian"].values
    holds = stream.better(result["score"], bound) == result["score"]
    sign, fool = "≥" if stream.better is max else "≤", result["baseline"]
    return (
        f"| {stream.name} | {result['metric']} | {result['score']:.4f} | {sign} {bound} | "
        f"{_word(holds)} | {_word(stream.again)} | {min(seeds):.3f} to {max(seeds):.3f} | "
        f"{fool['name']} {fool['score']:.3f} |"
    )


def compared(stream: Stream) -> str:
    """Returns a stream's row of the table of both laws."""
    scores = [stream.laws[law].values for law in ("hamiltonian", "least-action")]
    default, other = (values[0] for values in scores)
    merit = stream.better is max
    holds = default - other <= 0.02 if merit else other <= 1.1 * default
    return (
        f"| {stream.name} | {default:.4f} | {other:.4f} | "
        f"at most {'0.02 lower' if merit else '10 % higher'} | {_word(holds)} | "
        f"{mean(scores[0]):.4f} | {mean(scores[1]):.4f} |"
    )


TEXT = """# Scores with no option but `--target`

Regenerate with `python -m benchmarks.accuracy`. Every row is predicted before it is learned;
accuracy (higher is better), or mean absolute error for TrumpApproval (lower is better).

## Beside River's learners, and no model at all

{everyone}

The best of a column is in bold. Where a learner draws at random, its score is the mean ± standard
deviation over seeds 0 to 9; the others have no seed. All are at their own defaults, but
k-nearest neighbours search the last {window} rows exactly. Each of River's learners was run bare
and behind each scaler, and its best is shown, marked **s** for `StandardScaler` or **m** for
`MinMaxScaler` on the columns, and **t** for `TargetStandardScaler` around the regressor; no mark:
no scaler did better. That choice is made afterwards, stream by stream, in the rivals' favour;
localprop ran with its defaults, though settings like them were first tried on these same streams
(`docs/laws.md`, section 11). An accuracy of 0.89 on 1250 rows has a standard error of 0.009,
of 0.84 on 5300 rows one of 0.005, whatever the seeds say. TrumpApproval is in the order of the
days; its last value is a column of no learner.

Where localprop stands with its default law:

{places}

## Bounds, and ten seeds

| stream | metric | score, seed 0 | bound | holds | same numbers twice | ten seeds | baseline |
| --- | --- | --- | --- | --- | --- | --- | --- |
{bounded}

## With `--law least-action`

| stream | hamiltonian, seed 0 | least action, seed 0 | bound | holds | hamiltonian, mean of ten seeds | least action, mean of ten seeds |
| --- | --- | --- | --- | --- | --- | --- |
{compared}
"""  # noqa: E501


def main() -> int:
    """Measures, writes the tables, and returns 1 if a bound is missed."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [measure(name, Path(folder)) for name in BOUNDS]
    text = TEXT.format(
        everyone=everyone(streams),
        places=places(streams),
        bounded="\n".join(map(bounded, streams)),
        compared="\n".join(map(compared, streams)),
        window=WINDOW,
    )
    (HERE / "accuracy.md").write_text(text, encoding="utf-8")
    print(text)
    return int("| NO |" in text)


def _cell(scores: Scores, stream: Stream) -> str:
    value = f"{mean(scores.values):.3f}"
    best = f"{stream.better(stream.means.values()):.3f}"
    spread = f" ± {stdev(scores.values):.3f}" if len(scores.values) > 1 else ""
    mark = f" ({', '.join(scores.mark)})" if scores.mark else ""
    return (f"**{value}**" if value == best else value) + spread + mark


def _word(holds: bool) -> str:
    return "yes" if holds else "NO"


if __name__ == "__main__":
    sys.exit(main())
