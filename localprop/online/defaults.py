"""The bank of experts with which a stream is learned when nobody tunes anything.

Measured on two dozen streams (benchmarks/streams.md); none is fitted to one data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..cost import Cost, Huber, SoftmaxCrossEntropy
from ..law import AbstractLaw, Adaptive, Hamiltonian, LeastAction
from ..learner import Learner
from ..network import Layered
from .bank import ALONE, Bank, Expert, View
from .memory import AT_FIRST, MEMORY, width
from .neighbours import FIRST
from .settings import OnlineSettings

OUTPUT_SCALE = 0.0  # new classes start with zero weights; the first ones are no exception
BIAS_SCALE = 0.8  # hidden neurons bend at different places from the start
ACTIVATION = "silu"
SMOOTHING = 0.05  # of classes; a linear expert cannot overfit, and has none
DECAY, FLOOR = 1e-3, 3e-4  # of the adaptive mass

# Least action feels the target in its outputs at once, and wants gentler steps.
ACTION_SHARE = 0.7
ACTION_DECAY, ACTION_FLOOR = 3e-4, 3e-5


@dataclass(frozen=True)
class Recipe:
    """What makes one expert different from the others.

    **Fields:** `rate`: of the adaptive mass, per row; `keep`: share of the momentum that outlives
    a row; `view`: what it sees; `hidden`: sizes of its hidden layers, `None` for those that the
    settings say; `forecasts`: whether it is asked for forecasts.
    """

    rate: float
    keep: float
    view: View
    hidden: tuple[int, ...] | None = None
    forecasts: bool = True


# *fast* follows what moves, *high* and *slow* learn from what they review, *linear* is hard to
# beat where everything is linear, *memory* learns what hangs on the rows before; the networks of a
# forecast see its past anyway.
RECIPES = {
    "fast": Recipe(2.5e-3, 0.0, "new"),
    "high": Recipe(4e-3, 0.5, "reviewed"),
    "slow": Recipe(1e-3, 0.5, "reviewed"),
    "linear": Recipe(2e-3, 0.0, "plain", hidden=()),
    MEMORY: Recipe(1e-3, 0.0, "memory", hidden=(16,), forecasts=False),
}
NAMES = list(RECIPES)  # of experts that learn
# What learns where there is no bank: alone it needs all that it can get, and nothing slows it down.
LONE = "network"  # its name
LONE_RECIPE = Recipe(2.5e-3, 0.0, "reviewed")
FIRST_WEIGHTS = {MEMORY: AT_FIRST, **FIRST}  # in a mixture, of those that do not begin with 1
FORECASTERS = [name for name, recipe in RECIPES.items() if recipe.forecasts]


Experts = Literal["bank", "bank and neighbours", "network"]


def names_of(experts: Experts, own: Sequence[str]) -> list[str]:
    """Returns names of experts, those of a task's `own` after the networks, neighbours the last."""
    if experts == "network":
        return [LONE]
    return [*NAMES, *(own if experts == "bank and neighbours" else own[:-1])]


def bank_for(
    settings: OnlineSettings, task: str, inputs: int, plain: int, outputs: int, streams: int
) -> Bank:
    """Returns the bank for a task, for networks of these sizes.

    **Arguments:** `streams`: how many rows the networks that review see at once; 1 for none.
    """
    experts = []
    wide = {"plain": plain, "memory": width(plain)}
    recipes = {n: r for n, r in RECIPES.items() if r.forecasts or task != "forecast"}
    for name, recipe in (recipes if settings.bank else {LONE: LONE_RECIPE}).items():
        hidden = settings.hidden if recipe.hidden is None else recipe.hidden
        sizes = [wide.get(recipe.view, inputs), *hidden, outputs]
        network = Layered.dense(
            sizes, activation=ACTIVATION, output_scale=OUTPUT_SCALE, bias_scale=BIAS_SCALE
        )
        hops, settle = hops_for(settings, network.depth)
        learner = Learner(
            network,
            _cost(task, recipe),
            law_for(settings.law, recipe, hops - settle),
            hops=hops,
            settle=settle,
            duration=float(hops),
            streams=None if recipe.view in ALONE else streams,
        )
        experts.append(Expert(name, learner, recipe.view))
    # All that the experts above were made of.
    recipe = f"{settings.law} {settings.hops} {settings.hidden} {task} {wide} {inputs} {outputs}"
    return Bank(experts, f"{recipe} {streams} {settings.bank}")


def hops_for(settings: OnlineSettings, depth: int) -> tuple[int, int]:
    """Returns how many hops a row takes, and in how many of them the weights are held.

    After 2 × depth hops the costates have settled, and the one more in which weights move follows
    the exact gradient. Under least action the error needs two more hops to reach a weight.
    """
    action = settings.law == "least-action"
    hops = 2 * depth + (3 if action else 1)
    if isinstance(settings.hops, int):
        hops = settings.hops
    settled = depth if action else 2 * depth
    return hops, settled if hops > settled else max(0, min(depth, hops) - 1)


def law_for(name: str, recipe: Recipe, plastic: int) -> AbstractLaw:
    """Returns the law of that name for an expert.

    **Arguments:** `plastic`: hops of a row in which weights move; the rate is that of a row.
    """
    if name == "least-action":
        mass = Adaptive(ACTION_SHARE * recipe.rate / plastic, ACTION_DECAY, ACTION_FLOOR)
        return LeastAction(mass=mass, dissipation=1.0 - recipe.keep)
    mass = Adaptive(recipe.rate / plastic, DECAY / plastic, FLOOR)
    return Hamiltonian(mass=mass, dissipation=1.0 - recipe.keep)


def _cost(task: str, recipe: Recipe) -> Cost:
    if task != "classification":
        return Cost(Huber())
    return Cost(SoftmaxCrossEntropy(0.0 if recipe.hidden == () else SMOOTHING))
