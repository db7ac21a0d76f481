"""Every method by its name, in the order of the tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from . import rivals, whole
from .data import Stream
from .scoring import RowByRow


class Method(NamedTuple):
    """A learner of streams.

    **Fields:** `told`: its name on the page; `rows`: what builds a learner of rows, or `None`;
    `whole`: what learns a stream whole, or `None`; `needs`: what is imported before, the package
    first that gives the version; `seeded`: whether it draws at random; `slow`: whether it
    comes after the others; `tasks`: those it is made for.
    """

    told: str
    rows: Callable[[Stream, int], RowByRow] | None = None
    whole: Callable[[Stream, int], whole.Learned] | None = None
    needs: tuple[str, ...] = ()
    seeded: bool = True
    slow: bool = False
    tasks: tuple[str, ...] = ("classification", "regression", "forecast")


def _localprop(told: str, **settings: Any) -> Method:
    return Method(told, whole=partial(whole.localprop, settings), needs=("localprop.online.learn",))


def _river(told: str, name: str, **more: Any) -> Method:
    return Method(told, rows=partial(rivals.river, name), needs=("river",), **more)


def _moa(told: str, name: str, **more: Any) -> Method:
    rows = partial(rivals.capymoa, name)
    return Method(told, rows=rows, needs=("capymoa", "torch"), slow=True, **more)


METHODS = {
    "localprop": _localprop("**localprop**"),
    "localprop-no-review": _localprop("**localprop**, no review", review=0),
    "localprop-least-action": _localprop("**localprop**, least action", law="least-action"),
    "localprop-least-action-no-review": _localprop(
        "**localprop**, least action, no review", law="least-action", review=0
    ),
    "backprop-adam": Method(
        "backpropagation, Adam",
        whole=partial(whole.backpropagation, "adam"),
        needs=("optax", "jax"),
    ),
    "backprop-sgd": Method(
        "backpropagation, SGD", whole=partial(whole.backpropagation, "sgd"), needs=("optax", "jax")
    ),
    "last": Method("last class, last value", rows=rivals.last, seeded=False),
    "season": Method("seasonal last value", rows=rivals.season, seeded=False, tasks=("forecast",)),
    "constant": Method("majority class, mean so far", rows=rivals.constant, seeded=False),
    "river-linear": _river("logistic, linear (River)", "linear", seeded=False),
    "river-tree": _river("Hoeffding adaptive tree (River)", "tree"),
    "river-neighbours": _river(
        "k-nearest neighbours (River)", "neighbours", seeded=False, slow=True
    ),
    "river-forest": _river("adaptive random forest (River)", "forest", slow=True),
    "river-patches": _river("streaming random patches (River)", "patches", slow=True),
    "river-mondrian": _river("aggregated Mondrian forest (River)", "mondrian", slow=True),
    "sklearn-linear": Method(
        "SGD (scikit-learn)", rows=partial(rivals.sklearn, "linear"), needs=("sklearn",)
    ),
    "sklearn-network": Method(
        "MLP (scikit-learn)", rows=partial(rivals.sklearn, "network"), needs=("sklearn",)
    ),
    "vw-coin": Method(
        *("`--coin` (Vowpal Wabbit)", partial(rivals.vowpal, "coin")),
        needs=("vowpalwabbit",),
        seeded=False,
    ),
    "vw-network": Method(
        *("`--nn 10` (Vowpal Wabbit)", partial(rivals.vowpal, "network")),
        needs=("vowpalwabbit",),
    ),
    "moa-forest": _moa("adaptive random forest (MOA)", "forest"),
    "moa-patches": _moa("streaming random patches (MOA)", "patches", tasks=("classification",)),
    "moa-boosting": _moa("gradient boosted trees (MOA)", "boosting"),
}


def named(names: str | None) -> list[str]:
    """Returns the methods of these names, or of these families: `river` means all of River's.

    **Raises:** `ValueError` for a name that is neither.
    """
    if names is None:
        return list(METHODS)
    found = []
    for name in names.split(","):
        family = [n for n in METHODS if n == name or n.startswith(f"{name}-")]
        if not family:
            raise ValueError(f"no method '{name}'; there are {', '.join(METHODS)}")
        found += family
    return list(dict.fromkeys(found))
