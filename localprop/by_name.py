"""JAX's own functions in pickles and copies: by their names, as Python does with its functions.

`jnp.tanh` is a compiled function that hides the plain one of its name, and pickle, which looks a
function up by its name, finds another than it was given and gives up. Networks and costs hold such
functions; registered here, they pickle wherever they are held, and a copy is the function itself.
"""

from __future__ import annotations

import copyreg
import operator
import sys
from typing import Any

import jax
import jax.numpy as jnp

KINDS = (type(jax.jit(abs)), jax.custom_jvp, jax.custom_vjp, jnp.ufunc)


def reduced(function: Any) -> Any:
    """Returns the name by which pickle finds the function, or what the function itself gives."""
    module = getattr(function, "__module__", None) or "__main__"
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    # What is defined in a script is not there in the process that reads it.
    if name and module != "__main__":
        try:
            if operator.attrgetter(name)(sys.modules[module]) is function:
                return name
        except (KeyError, AttributeError):
            pass
    return function.__reduce_ex__(4)


for kind in KINDS:
    copyreg.pickle(kind, reduced)
