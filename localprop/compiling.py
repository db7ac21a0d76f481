"""Whoever waits is told when something is compiled, by JAX or by Numba."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

OF_JAX = "/jax/core/compile/"  # what JAX calls tracing, lowering and compiling

_watchers: list[Callable[[bool], None]] = []
_lock = threading.RLock()
_depth = 0  # of what is being compiled: a loop brings those that it calls


@contextmanager
def told_of_compiling(watch: Callable[[bool], None]) -> Iterator[None]:
    """Calls `watch` with `True` when something begins to be compiled, with `False` when it is done.

    !!! example

        ```python
        >>> import jax
        >>> from localprop.compiling import told_of_compiling
        >>> told = []
        >>> with told_of_compiling(told.append):
        ...     number = jax.jit(lambda x: x + 1)(1)
        >>> told[0], told[-1]
        (True, False)

        ```
    """
    from jax import monitoring

    begins = lambda event, value, **_: event.startswith(OF_JAX) and _note(1)  # noqa: E731
    ends = lambda event, duration_secs, **_: event.startswith(OF_JAX) and _note(-1)  # noqa: E731
    monitoring.register_scalar_listener(begins)
    monitoring.register_event_duration_secs_listener(ends)
    _watchers.append(watch)
    try:
        yield
    finally:
        _watchers.remove(watch)
        monitoring.unregister_scalar_listener(begins)
        monitoring.unregister_event_duration_listener(ends)


@cache
def listen_to_numba() -> None:
    """Takes note of what Numba compiles; for whoever imports it, as that takes time."""
    from numba.core import event

    class Loops(event.Listener):
        def on_start(self, event: Any) -> None:
            del event
            _note(1)

        def on_end(self, event: Any) -> None:
            del event
            _note(-1)

    event.register("numba:compile", Loops())


def _note(more: int) -> None:
    global _depth
    with _lock:
        before, _depth = _depth, max(0, _depth + more)
        if not (before and _depth):
            for watch in _watchers:
                watch(_depth > 0)
