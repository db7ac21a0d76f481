"""localprop: learning while the stream happens, local in space and time.

What is named here is imported when it is first asked for: JAX takes longer than all the rest.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import by_name as by_name
    from . import checkpoint as checkpoint
    from .audit import Audit as Audit
    from .audit import SampleAudit as SampleAudit
    from .audit import audit as audit
    from .audit import audit_sample as audit_sample
    from .cost import Cost as Cost
    from .cost import Huber as Huber
    from .cost import SoftmaxCrossEntropy as SoftmaxCrossEntropy
    from .cost import SquaredError as SquaredError
    from .errors import CheckpointError as CheckpointError
    from .errors import ConfigError as ConfigError
    from .errors import DivergenceError as DivergenceError
    from .errors import ForkError as ForkError
    from .errors import GraphError as GraphError
    from .errors import LocalpropError as LocalpropError
    from .errors import StreamError as StreamError
    from .errors import UnsettledWarning as UnsettledWarning
    from .law import AbstractLaw as AbstractLaw
    from .law import Adaptive as Adaptive
    from .law import Cauchy as Cauchy
    from .law import Constant as Constant
    from .law import CostateReversal as CostateReversal
    from .law import ExplicitEuler as ExplicitEuler
    from .law import ExponentialEuler as ExponentialEuler
    from .law import FastCostates as FastCostates
    from .law import Growing as Growing
    from .law import Hamiltonian as Hamiltonian
    from .law import HamiltonianTrack as HamiltonianTrack
    from .law import Inertial as Inertial
    from .law import LeastAction as LeastAction
    from .law import Overdamped as Overdamped
    from .law import Phase as Phase
    from .law import Review as Review
    from .law import SemiImplicitEuler as SemiImplicitEuler
    from .law import SignFlip as SignFlip
    from .law import Splitting as Splitting
    from .law import Traces as Traces
    from .learner import Learner as Learner
    from .learner import Samples as Samples
    from .network import AbstractNetwork as AbstractNetwork
    from .network import Block as Block
    from .network import Digraph as Digraph
    from .network import FeedbackWeights as FeedbackWeights
    from .network import Layered as Layered
    from .network import ModeBank as ModeBank
    from .network import Modes as Modes
    from .network import SharedWeights as SharedWeights
    from .network import read_modes as read_modes
    from .online import Online as Online

# The same, for Python: which names come from where.
_NAMES = {
    "audit": "Audit SampleAudit audit audit_sample",
    "cost": "Cost Huber SoftmaxCrossEntropy SquaredError",
    "errors": (
        "CheckpointError ConfigError DivergenceError ForkError GraphError LocalpropError "
        "StreamError UnsettledWarning"
    ),
    "law": (
        "AbstractLaw Adaptive Cauchy Constant CostateReversal ExplicitEuler ExponentialEuler "
        "FastCostates Growing Hamiltonian HamiltonianTrack Inertial LeastAction Overdamped "
        "Phase Review SemiImplicitEuler SignFlip Splitting Traces"
    ),
    "learner": "Learner Samples",
    "network": (
        "AbstractNetwork Block Digraph FeedbackWeights Layered ModeBank Modes SharedWeights "
        "read_modes"
    ),
    "online": "Online",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

if not TYPE_CHECKING:
    __all__ = [*_HOMES, "by_name", "checkpoint"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = found
        return found
    whole = f"{__name__}.{name}"
    if not name.startswith("_"):
        try:
            return import_module(whole)
        except ModuleNotFoundError as error:
            if error.name != whole:
                raise
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _Package(ModuleType):
    """`localprop.audit` is the function, whether or not the package of that name was imported."""

    @property
    def audit(self) -> Any:
        from .audit import audit

        return audit

    @audit.setter
    def audit(self, package: ModuleType) -> None:
        del package  # which Python would put there


sys.modules[__name__].__class__ = _Package
