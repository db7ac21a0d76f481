"""Threads that take a loop through its parts together."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..processors import cores

# How many threads take a large network through a hop; `None`: as many as there are free cores.
_asked = os.environ.get("LOCALPROP_THREADS", "")
threads_given = int(_asked) if _asked.isdecimal() and int(_asked) > 0 else None

_pools: dict[int, ThreadPoolExecutor] = {}  # by process: threads do not survive a fork


def free_cores() -> int:
    """Returns how many threads may wait for each other: one, where others want the processors too.

    A thread that has to stand in line keeps all others waiting, at every hop.
    """
    most = cores()
    return 1 if most > 1 and hasattr(os, "getloadavg") and os.getloadavg()[0] > most + 1 else most


def threads_for(parts: int) -> int:
    """Returns how many threads are to take a loop through its parts."""
    return 1 if parts == 1 else min(threads_given or free_cores(), parts)


def together(loop: Callable[..., Any], threads: int, arguments: tuple[Any, ...]) -> Any:
    """Calls `loop(thread, threads, *arguments)` for every thread at once; they wait for each other.

    Returns what the first one does.

    A pool that is not free for all of them could let one wait for ever, so each call has its own
    threads where the pool of the process is in use.
    """
    if threads == 1:
        return loop(0, 1, *arguments)
    # Taken out while it is in use, so that nobody else's loop stands in line behind this one.
    pool = _pools.pop(os.getpid(), None) or ThreadPoolExecutor(MOST - 1, "localprop")
    others = [pool.submit(loop, k, threads, *arguments) for k in range(1, threads)]
    found = loop(0, threads, *arguments)
    for other in others:
        other.result()
    _pools[os.getpid()] = pool
    return found


MOST = 8  # parts of a loop
