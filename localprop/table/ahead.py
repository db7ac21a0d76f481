"""What is used next is made ready beside what is used now."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Generator[Item]:
    """Yields items, none of them `None`, each of which is made while the one before is used.

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
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
