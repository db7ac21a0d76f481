"""Rivals that learn row by row: each takes a stream and a seed, and returns a `RowByRow`.

All are at their own defaults, behind the scaler that suits them: a standard one, but none for trees
that learn classes, nor for MOA's, which scale what they need themselves. Where numbers are
predicted, the target is scaled too, and of a series it is the change from the last known value.
What differs from a default is said beside it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .data import Stream
from .scoring import RowByRow, moments, standardised

# A scaler that learns moves the thresholds of trees, whose classes need none; the linear leaves of
# their regressors do. Phishing, adaptive random forest: 0.909 without, 0.888 with one.
BARE = ("tree", "forest", "patches")
WINDOW = 1000  # rows that k-nearest neighbours keep: River's default for its approximate search


def last(stream: Stream, seed: int) -> RowByRow:
    """Answers with the class or the value that was known last."""
    del seed
    truth, known = stream.truth().tolist(), [None]

    def learn(row: int) -> None:
        known[0] = truth[row]

    return RowByRow(lambda _: known[0], learn)


def season(stream: Stream, seed: int) -> RowByRow:
    """Answers with the value a season ago, or as many seasons as the horizon asks for."""
    del seed
    truth, known = stream.truth().tolist(), [-1]
    back = -(-stream.horizon // stream.season) * stream.season

    def predict(row: int) -> float | None:
        row = row - back if row >= back else known[0]
        return truth[row] if row >= 0 else None

    return RowByRow(predict, lambda row: known.__setitem__(0, row))


def constant(stream: Stream, seed: int) -> RowByRow:
    """Answers with the majority class, or the mean, of what is known."""
    del seed
    truth = stream.truth().tolist()
    counts: Counter[float] = Counter()
    total = [0.0, 0]

    def learn(row: int) -> None:
        counts[truth[row]] += 1
        total[0], total[1] = total[0] + truth[row], total[1] + 1

    if stream.task == "classification":
        return RowByRow(lambda _: counts.most_common(1)[0][0] if counts else None, learn)
    return RowByRow(lambda _: total[0] / total[1] if total[1] else None, learn)


def river(name: str, stream: Stream, seed: int) -> RowByRow:
    """Returns a learner of River."""
    from river.preprocessing import StandardScaler, TargetStandardScaler

    classify = stream.task == "classification"
    if classify:
        model = _river_classifier(name, len(stream.classes), seed)
        if name not in BARE:
            model = StandardScaler() | model
    else:
        model = StandardScaler() | TargetStandardScaler(_river_regressor(name, seed))
    names, values = stream.features()
    x = [dict(zip(names, row, strict=True)) for row in values.tolist()]
    kind = float
    if classify:
        kind = bool if len(stream.classes) == 2 else int
    base = stream.base().tolist()
    y: list[Any] = [kind(v) for v in (stream.truth() - stream.base()).tolist()]

    learned = [classify]  # a forest behind a scaled target cannot be asked before its first row

    def predict(row: int) -> float | None:
        answer = model.predict_one(x[row]) if learned[0] else None
        return None if answer is None else base[row] + answer

    def learn(row: int) -> None:
        model.learn_one(x[row], y[row])
        learned[0] = True

    return RowByRow(predict, learn)


def _river_classifier(name: str, classes: int, seed: int) -> Any:
    from river import ensemble, forest, linear_model, multiclass, neighbors, tree

    match name:
        case "linear":
            model = linear_model.LogisticRegression()
            return model if classes == 2 else multiclass.OneVsRestClassifier(model)
        case "tree":
            return tree.HoeffdingAdaptiveTreeClassifier(seed=seed)
        case "forest":
            return forest.ARFClassifier(seed=seed)
        case "patches":
            return ensemble.SRPClassifier(seed=seed)
        case "mondrian":
            return forest.AMFClassifier(seed=seed)
    return neighbors.KNNClassifier(engine=neighbors.LazySearch(WINDOW))


def _river_regressor(name: str, seed: int) -> Any:
    from river import ensemble, forest, linear_model, neighbors, tree

    match name:
        case "linear":
            return linear_model.LinearRegression()
        case "tree":
            return tree.HoeffdingAdaptiveTreeRegressor(seed=seed)
        case "forest":
            return forest.ARFRegressor(seed=seed)
        case "patches":
            return ensemble.SRPRegressor(seed=seed)
        case "mondrian":
            return forest.AMFRegressor(seed=seed)
    return neighbors.KNNRegressor(engine=neighbors.LazySearch(WINDOW))


def sklearn(name: str, stream: Stream, seed: int) -> RowByRow:
    """Returns a learner of scikit-learn, by `partial_fit` of one row after the other.

    The linear classifier has the logistic loss.
    """
    from sklearn.linear_model import SGDClassifier, SGDRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    z = standardised(stream.features()[1])
    if stream.task == "classification":
        linear = name == "linear"
        model = SGDClassifier(loss="log_loss", random_state=seed) if linear else None
        model = model or MLPClassifier(random_state=seed)
        y = stream.truth().astype(int)
        classes = np.arange(len(stream.classes))
        return _fitted(model.predict, lambda u, t: model.partial_fit(u, t, classes=classes), z, y)
    model = (SGDRegressor if name == "linear" else MLPRegressor)(random_state=seed)
    return _scaled_target(_fitted(model.predict, model.partial_fit, z, _scaled(stream)), stream)


def _fitted(predict: Any, fit: Any, z: np.ndarray, y: np.ndarray) -> RowByRow:
    learned = [False]

    def learn(row: int) -> None:
        fit(z[row : row + 1], y[row : row + 1])
        learned[0] = True

    return RowByRow(lambda row: predict(z[row : row + 1])[0] if learned[0] else None, learn)


def _scaled(stream: Stream) -> np.ndarray:
    """Returns the target's change from the base by the moments so far, `(rows,)`."""
    y = stream.truth() - stream.base()
    mean, deviation = moments(y)
    return (y - mean[1:]) / deviation[1:]


def _scaled_target(learner: RowByRow, stream: Stream) -> RowByRow:
    """Returns a learner whose answers are in the unit of the target again."""
    base = stream.base()
    mean, deviation = moments(stream.truth() - base)

    def predict(row: int) -> float | None:
        known = max(row - stream.horizon + 1, 0)  # so many targets
        answer = learner.predict(row)
        return None if answer is None else base[row] + mean[known] + deviation[known] * answer

    return RowByRow(predict, learner.learn)


def vowpal(name: str, stream: Stream, seed: int) -> RowByRow:
    """Returns Vowpal Wabbit with `--coin`, or with a network of 10 hidden neurons."""
    from vowpalwabbit import Workspace

    classes = len(stream.classes) if stream.task == "classification" else 0
    options = ["--quiet", f"--random_seed {seed}", "--coin" if name == "coin" else "--nn 10"]
    if classes:
        options.append("--loss_function logistic")
    if classes > 2:
        options.append(f"--oaa {classes}")
    workspace: Any = Workspace(" ".join(options))
    z = standardised(stream.features()[1])
    x = ["| " + " ".join(f"{k}:{v:.6g}" for k, v in enumerate(row) if v) for row in z.tolist()]
    y = stream.truth() if classes else _scaled(stream)
    if classes == 2:
        y = 2 * y - 1
    elif classes:
        y = y + 1
    lines = [f"{label:.9g} {text}" for label, text in zip(y.tolist(), x, strict=True)]

    def predict(row: int) -> float:
        answer = workspace.predict(x[row])
        if not classes:
            return answer
        return float(answer > 0) if classes == 2 else answer - 1

    learner = RowByRow(predict, lambda row: workspace.learn(lines[row]))
    return learner if classes else _scaled_target(learner, stream)


def capymoa(name: str, stream: Stream, seed: int) -> RowByRow:
    """Returns a learner of MOA, by CapyMOA; its random patches know classes only."""
    from capymoa import classifier, regressor
    from capymoa.stream import NumpyStream

    classify = stream.task == "classification"
    y = stream.truth().astype(int) if classify else _scaled(stream)
    kind = "categorical" if classify else "numeric"
    source = NumpyStream(stream.features()[1], y, target_type=kind)
    rows = [source.next_instance() for _ in range(len(y))]
    build: Any = {
        ("forest", True): classifier.AdaptiveRandomForestClassifier,
        ("forest", False): regressor.AdaptiveRandomForestRegressor,
        ("patches", True): classifier.StreamingRandomPatches,
        ("boosting", True): classifier.StreamingGradientBoostedTrees,
        ("boosting", False): regressor.StreamingGradientBoostedRegression,
    }[name, classify]
    model = build(schema=source.get_schema(), random_seed=seed)
    learner = RowByRow(lambda row: model.predict(rows[row]), lambda row: model.train(rows[row]))
    return learner if classify else _scaled_target(learner, stream)
