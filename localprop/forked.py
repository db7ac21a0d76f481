"""Processes forked from one in which JAX was running.

JAX computes in threads of its own. `os.fork` copies none of them, and a computation in the child
waits for them for ever. A child that was forked before JAX had begun to compute is sound.
"""

from __future__ import annotations

import os
import sys

from jax._src.xla_bridge import backends_are_initialized  # there is no public way to ask

from .errors import ForkError

_lame = False


def refuse_lame_fork() -> None:
    """Raises `ForkError` where a computation would never end."""
    if _lame:
        raise ForkError(
            f"process {os.getpid()} was forked after JAX had begun to compute, and JAX's threads "
            "do not survive a fork: start processes by multiprocessing.get_context('spawn'), or "
            "fork before anything is built or learned"
        )


def _note() -> None:
    global _lame
    _lame = backends_are_initialized()


if sys.platform != "win32":  # which cannot fork
    os.register_at_fork(after_in_child=_note)
