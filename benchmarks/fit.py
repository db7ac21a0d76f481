"""`fit` of `localprop.sklearn` against scikit-learn's own networks, trees and linear models.

    python -m benchmarks.fit

Defaults, five folds drawn with a seed, the same for every model. Writes `benchmarks/fit.md`.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from localprop.sklearn import LocalClassifier, LocalRegressor

HERE = Path(__file__).parent


def scaled(network: MLPRegressor) -> TransformedTargetRegressor:
    """Returns a network behind a scaler of the columns, and of the target, as it needs them."""
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), network), transformer=StandardScaler()
    )


CLASSIFIERS = {
    "localprop": LocalClassifier(random_state=0),
    "MLP": make_pipeline(StandardScaler(), MLPClassifier(random_state=0)),
    "MLP (64, 64), early stopping": make_pipeline(
        StandardScaler(),
        MLPClassifier(hidden_layer_sizes=(64, 64), early_stopping=True, random_state=0),
    ),
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
    "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}
REGRESSORS = {
    "localprop": LocalRegressor(random_state=0),
    "MLP": scaled(MLPRegressor(random_state=0)),
    "MLP (64, 64), early stopping": scaled(
        MLPRegressor(hidden_layer_sizes=(64, 64), early_stopping=True, random_state=0)
    ),
    "gradient boosting": HistGradientBoostingRegressor(random_state=0),
    "linear": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11))),
}
STREAMS = [
    ("breast cancer, accuracy", load_breast_cancer, CLASSIFIERS),
    ("digits, accuracy", load_digits, CLASSIFIERS),
    ("diabetes, R²", load_diabetes, REGRESSORS),
]


def measure() -> list[str]:
    """Returns the lines of the table: a model each, its scores and seconds per fold."""
    rows = {name: [] for name in CLASSIFIERS}
    for _, load, models in STREAMS:
        X, y = load(return_X_y=True)
        folds = StratifiedKFold if models is CLASSIFIERS else KFold
        for name, model in models.items():
            began = time.perf_counter()
            with threadpool_limits(1):  # trees on shared cores wait for each other
                scores = cross_val_score(model, X, y, cv=folds(5, shuffle=True, random_state=0))
            seconds = (time.perf_counter() - began) / 5
            rows[name] += [f"{scores.mean():.3f} ± {scores.std():.3f}", f"{seconds:.1f}"]
            print(name, *rows[name][-2:], file=sys.stderr, flush=True)
    return [" | ".join([f"| {name}", *cells, ""]).rstrip() for name, cells in rows.items()]


def main() -> int:
    """Measures and writes."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # a default that stops early is a default
    heads = [cell for title, _, _ in STREAMS for cell in (title, "s")]
    text = f"""# `fit` against scikit-learn's own

Regenerate with `python -m benchmarks.fit`. Nothing tuned, 5 folds (shuffled, seed 0), mean ±
standard deviation over the folds; seconds per fold on one thread, compilation included. Networks
and linear models of scikit-learn stand behind a `StandardScaler`, networks for regression also
around one of the target.

| model | {" | ".join(heads)} |
| --- |{" ---: |" * len(heads)}
"""
    text += "\n".join(measure()) + "\n"
    (HERE / "fit.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
