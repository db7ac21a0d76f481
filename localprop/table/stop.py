"""A wish to stop that is heard even while nothing comes."""

from __future__ import annotations

import os
import select
from typing import Any


class Stop:
    """A wish to stop, which any thread may voice, and which ends a wait for a pipe.

    !!! example

        ```python
        >>> from localprop.table.stop import Stop
        >>> stop = Stop()
        >>> stop.ask()
        >>> stop.asked
        True
        >>> stop.close()

        ```
    """

    def __init__(self) -> None:
        self.asked = False
        self._reader, self._writer = os.pipe()

    def ask(self) -> None:
        """Voices the wish; once is enough."""
        if not self.asked:
            self.asked = True
            os.write(self._writer, b".")

    def wait(self, file: Any) -> bool:
        """Waits until the file has something, or its end, to read; `False` if to stop instead.

        What has come already is there to be read, asked or not.
        """
        ready, _, _ = select.select([file, self._reader], [], [])
        return file in ready

    def close(self) -> None:
        """Closes the pipe by which a wait is ended."""
        os.close(self._reader)
        os.close(self._writer)
