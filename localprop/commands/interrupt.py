"""Ctrl-C: once to stop after the piece that is being learned, twice to stop at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..table.stop import Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM)
FIRST = b"localprop: stopping after this piece; press again to stop at once\n"
SECOND = b"localprop: stopped at once; what came after the last checkpoint is lost\n"


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Turns a first SIGINT or SIGTERM into a wish to stop, and a second into the end.

    They are heard by a thread of their own: the main one may be inside the compiler for seconds,
    where Python runs no handler, and which must not be left by an exception.
    """
    stop = Stop()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    listener = threading.Thread(target=_listen, args=(reader, stop), daemon=True)
    listener.start()
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(writer)
        listener.join()
        os.close(reader)
        stop.close()


def _listen(reader: int, stop: Stop) -> None:
    """Reads the numbers of signals as they come, until the other end is closed."""
    while numbers := os.read(reader, 1):
        if numbers[0] not in SIGNALS:
            continue
        if stop.asked:
            os.write(2, SECOND)
            os._exit(130)
        os.write(2, FIRST)
        stop.ask()
