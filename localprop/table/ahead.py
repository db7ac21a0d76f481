"""What is used next is made ready beside what is used now."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], several: int = 1) -> Generator[Item]:
    """Yields items, none of them `None`, of which several are made while the ones before are used.

    What goes wrong is raised where the item would have come. Closing it waits for the item that is
    being made.

    !!! example

        ```python
        >>> from localprop.table.ahead import ahead
        >>> list(ahead(iter("abc")))
        ['a', 'b', 'c']

        ```
    """
    with ThreadPoolExecutor(1, thread_name_prefix="localprop reader") as thread:
        coming = deque(thread.submit(next, items, None) for _ in range(several))
        try:
            while (item := coming.popleft().result()) is not None:
                coming.append(thread.submit(next, items, None))
                yield item
        finally:
            for one in coming:
                one.cancel()
