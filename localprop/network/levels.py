"""Levels of memory, of which `Layered.memory` is made."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ..errors import GraphError
from .block import Block, dense
from .modes import ModeBank, Modes, read_modes

# In units of a sample (benchmarks/mnist1d.md).
SENSES = ModeBank.harmonics(16.0, 4.0, 6)
SHORT = ModeBank.harmonics(20.0, 6.0, 3, silent=True)
LONG = ModeBank.harmonics(48.0, 30.0, 3, learned=True)


def memory_blocks(
    inputs: int,
    outputs: int,
    levels: Sequence[int],
    banks: tuple[ModeBank, ModeBank, ModeBank],
    *,
    hidden: int,
    masks: bool,
    source: str,
) -> tuple[dict[str, Block], dict[str, tuple[int, ...]]]:
    """Returns the blocks of `Layered.memory`, and the shapes of the masks by the names of inputs.

    **Arguments:** as for `Layered.memory`; `banks`: of the senses, short, and long; `source`: the
    name of the input.

    **Raises:** `GraphError` where there is no level.
    """
    if not levels:
        raise GraphError("no level of memory; give the number of features of at least one")
    senses, short, long = banks
    masked = {f"kept{k}": (2 * long.count * n,) for k, n in enumerate(levels, 1) if masks}
    blocks = {"senses": Block(Modes(None, "identity", senses), [source])}
    below, fan_in, read = "senses", 2 * senses.count * inputs, read_modes()
    for k, features in enumerate(levels, 1):
        level = f"level{k}"
        # No level reads the top one, so that it has the long bank alone.
        own, first = ((long,), 0) if k == len(levels) else ((short, long), short.count)
        make = eqx.Partial(dense, fan_in, features, scale=math.sqrt(2))
        make = eqx.Partial(Modes, make, "gelu", own)
        blocks[level] = Block(make, [below], join=read, silent=(below,))
        blocks[f"hidden{k}"] = Block(
            eqx.Partial(dense, 2 * long.count * features, hidden, scale=math.sqrt(2)),
            [level, f"kept{k}"] if masks else [level],
            "gelu",
            join=_Thinned(first) if masks else read_modes(first),
        )
        readout = eqx.Partial(dense, hidden, outputs, scale=math.sqrt(0.5))
        blocks[f"readout{k}"] = Block(readout, [f"hidden{k}"])
        below, fan_in, read = level, 2 * short.count * features, read_modes(0, short.count)
    return blocks, masked


class _Thinned(eqx.Module):
    """Reads the modes of a level from `first` on, each number times its mask."""

    first: int = eqx.field(static=True)

    def __call__(self, level: Array, mask: Array) -> Array:
        return jnp.ravel(level[:, self.first :]) * mask
