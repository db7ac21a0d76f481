"""Score of `localprop learn` with no option but `--target`, beside River's online learners.

    python -m benchmarks.accuracy

Exports the streams that ship inside the `river` package to CSV, learns each with the command
line exactly as a user would, also with `--law least-action`, and writes `benchmarks/accuracy.md`.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from river import compose, datasets, forest, linear_model, metrics, preprocessing, tree

HERE = Path(__file__).parent
BOUNDS = {"Phishing": 0.885, "Bananas": 0.83, "TrumpApproval": 0.30}
SEEDS = range(10)


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


def peers(name: str) -> Iterable[tuple[str, float]]:
    """Yields River's prequential scores on the same stream."""
    scale = preprocessing.StandardScaler
    classify = name != "TrumpApproval"
    models: dict[str, Any] = {
        "logistic regression": compose.Pipeline(scale(), linear_model.LogisticRegression()),
        "Hoeffding tree": tree.HoeffdingTreeClassifier(),
        "adaptive random forest": forest.ARFClassifier(seed=0),
    }
    if not classify:
        models = {
            "linear regression": compose.Pipeline(scale(), linear_model.LinearRegression()),
            "Hoeffding tree": tree.HoeffdingTreeRegressor(),
            "adaptive random forest": forest.ARFRegressor(seed=0),
        }
    for label, model in models.items():
        metric = metrics.Accuracy() if classify else metrics.MAE()
        for k, (x, y) in enumerate(getattr(datasets, name)()):
            if k or classify:  # localprop does not score a first number either
                metric.update(y, model.predict_one(x))
            model.learn_one(x, y)
        yield label, metric.get()


def row(name: str, path: Path, target: str) -> str:
    """Measures the default law on a stream: one row of the first table."""
    result = localprop(path, target)
    again = localprop(path, target)["score"] == result["score"]
    scores = [localprop(path, target, "--seed", str(s))["score"] for s in SEEDS]
    better, bound = result["metric"] == "accuracy", BOUNDS[name]
    holds = result["score"] >= bound if better else result["score"] <= bound
    others = ", ".join(f"{label} {value:.3f}" for label, value in peers(name))
    fool = result["baseline"]
    return (
        f"| {name} | {result['metric']} | {result['score']:.4f} | {'≥' if better else '≤'} {bound} "
        f"| {_word(holds)} | {_word(again)} | {min(scores):.3f} to {max(scores):.3f} | "
        f"{fool['name']} {fool['score']:.3f} | {others} |"
    )


def compared(name: str, path: Path, target: str) -> str:
    """Measures both laws on a stream: one row of the second table."""
    scores = {
        law: [localprop(path, target, "--law", law, "--seed", str(s))["score"] for s in SEEDS]
        for law in ("hamiltonian", "least-action")
    }
    default, other = scores["hamiltonian"][0], scores["least-action"][0]
    better = name != "TrumpApproval"
    holds = default - other <= 0.02 if better else other <= 1.1 * default
    means = [f"{sum(s) / len(s):.4f}" for s in scores.values()]
    bound = "0.02 lower" if better else "10 % higher"
    return (
        f"| {name} | {default:.4f} | {other:.4f} | at most {bound} | {_word(holds)} | "
        f"{means[0]} | {means[1]} |"
    )


def main() -> int:
    """Measures, writes the tables, and returns 1 if a bound is missed."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: export(name, Path(folder)) for name in BOUNDS}
        first = [row(name, *file) for name, file in files.items()]
        second = [compared(name, *file) for name, file in files.items()]
    text = """# Scores with no option but `--target`

Regenerate with `python -m benchmarks.accuracy`. Every row is predicted before it is learned;
accuracy (higher is better), or mean absolute error for TrumpApproval (lower is better).

| stream | metric | score, seed 0 | bound | holds | same numbers twice | ten seeds | baseline | River's learners |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{}

## With `--law least-action`

| stream | hamiltonian, seed 0 | least action, seed 0 | bound | holds | hamiltonian, mean of ten seeds | least action, mean of ten seeds |
| --- | --- | --- | --- | --- | --- | --- |
{}
"""  # noqa: E501
    text = text.format("\n".join(first), "\n".join(second))
    (HERE / "accuracy.md").write_text(text, encoding="utf-8")
    print(text)
    return int("| NO |" in text)


def _word(holds: bool) -> str:
    return "yes" if holds else "NO"


if __name__ == "__main__":
    sys.exit(main())
