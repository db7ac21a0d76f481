"""Loops compiled by Numba that a later process finds again, in `cache_folder`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from .cache_folder import cache_folder, make_room, sources
from .compiling import listen_to_numba


def kept_loop(function: Callable[..., Any], **options: Any) -> Any:
    """Returns the function compiled by Numba; what it is compiled to is kept, where that can be.

    A folder named by `NUMBA_CACHE_DIR` is used instead of localprop's.

    **Arguments:** `function`; `options`: of `numba.njit`.
    """
    import numba

    listen_to_numba()
    loop: Any = numba.njit(function, **options)
    config: Any = numba.config
    folder, given = cache_folder(), config.CACHE_DIR
    own = given or loops_folder()
    if folder is None or own is None:
        return loop
    try:
        os.makedirs(own, mode=0o700, exist_ok=True)
        config.CACHE_DIR = str(own)
        loop._cache = _careful_cache()(function, None if given else folder)
    except Exception:  # a folder that cannot be written, or another Numba
        pass
    finally:
        config.CACHE_DIR = given
    return loop


def loops_folder() -> Path | None:
    """Returns where loops are kept, in folders by module; `None` where none are."""
    folder, given = cache_folder(), os.environ.get("NUMBA_CACHE_DIR")
    if folder is None:
        return None
    # Numba looks at the file of a loop alone, and not at those of the loops that it calls.
    return Path(given) if given else folder / "numba" / sources()


@cache
def _careful_cache() -> Any:
    from numba.core.caching import FunctionCache

    class Careful(FunctionCache):
        """A cache whose files may be damaged, or impossible to write, at no more than its cost."""

        def __init__(self, function: Callable[..., Any], folder: Path | None):
            super().__init__(function)
            self._bounded = folder
            if self._impl.locator.get_cache_path().startswith(os.path.dirname(__file__)):
                self.disable()  # Numba's second choice, beside the code

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            with contextlib.suppress(Exception):
                return super().load_overload(sig, target_context)
            with contextlib.suppress(Exception):  # so that the next one finds what is saved now
                self.flush()
            return None

        def save_overload(self, sig: Any, data: Any) -> None:
            with contextlib.suppress(Exception):
                super().save_overload(sig, data)
                if self._bounded is not None:
                    make_room(self._bounded)

    return Careful
