"""How `fit` of `localprop.sklearn` compares with scikit-learn's own, each at its defaults.

Five folds, drawn once with a seed; every model gets the same. Prints a table in Markdown.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from localprop.sklearn import LocalClassifier, LocalRegressor

CLASSIFIERS = {
    "localprop": LocalClassifier(random_state=0),
    "MLP": make_pipeline(StandardScaler(), MLPClassifier(random_state=0)),
    "MLP (64, 64), early stopping": make_pipeline(
        StandardScaler(), MLPClassifier((64, 64), early_stopping=True, random_state=0)
    ),
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
    "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}
REGRESSORS = {
    "localprop": LocalRegressor(random_state=0),
    "MLP": make_pipeline(StandardScaler(), MLPRegressor(random_state=0)),
    "MLP (64, 64), early stopping": make_pipeline(
        StandardScaler(), MLPRegressor((64, 64), early_stopping=True, random_state=0)
    ),
    "gradient boosting": HistGradientBoostingRegressor(random_state=0),
    "linear": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11))),
}
STREAMS = [
    ("breast cancer, accuracy", load_breast_cancer, CLASSIFIERS),
    ("digits, accuracy", load_digits, CLASSIFIERS),
    ("diabetes, R²", load_diabetes, REGRESSORS),
]


def main() -> None:
    """Measures and prints."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # a default that stops early is a default
    rows = {name: [] for name in CLASSIFIERS}
    for title, load, models in STREAMS:
        X, y = load(return_X_y=True)
        folds = StratifiedKFold if models is CLASSIFIERS else KFold
        for name, model in models.items():
            began = time.perf_counter()
            scores = cross_val_score(model, X, y, cv=folds(5, shuffle=True, random_state=0))
            seconds = (time.perf_counter() - began) / 5
            rows[name].append(f"{scores.mean():.3f} ± {scores.std():.3f} | {seconds:.1f}")
    print("|", *(f" | {title} | s" for title, _, _ in STREAMS), "|", sep="")
    print("|---" * (1 + 2 * len(STREAMS)), "|", sep="")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
