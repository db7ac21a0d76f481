"""The loops of chains, compiled by a process of their own while others are compiled here.

They take as long as all others of a bank together, and Numba compiles one at a time. A process that
finds them compiled by another one reads them from where loops are kept; where there is no such
place, or but one processor, it compiles them when it gets to them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .kept_loops import loops_folder
from .processors import cores

LOOPS = {"hamiltonian": "chain_loops.learn", "least-action": "chain_action.learn"}
MOST_SECONDS = 120.0  # to wait for: four times what it takes on a slow processor
# The modules that this process has, and none that happen to be where it was started.
CODE = "import sys; sys.path[:] = sys.argv[2:]; from {0} import compile_loops; compile_loops()"

_process: subprocess.Popen[bytes] | None = None
_owner = 0  # the process that started it, which a fork of it is not


def begin(law: str) -> None:
    """Starts to compile the loops of chains under a law, where that saves time.

    **Arguments:** `law`: by name; of one that is not in `LOOPS` nothing is compiled.
    """
    global _process, _owner
    # Where Python is a part of another program, that program is what is called executable.
    is_python = Path(sys.executable or "").name.lower().startswith("python")
    possible = law in LOOPS and is_python and cores() > 1
    if _process is not None or not possible or not _are_missing(law):
        return
    command = [sys.executable, "-P", "-c", CODE.format(__name__), law, *map(str, sys.path)]
    none = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        # A session of its own, or it would be interrupted and say so when this process is.
        _process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=none, stderr=none, start_new_session=True
        )
        _owner = os.getpid()
        atexit.register(_end)


def wait() -> None:
    """Waits until the loops are compiled, if another process is at it."""
    if _process is not None and _owner == os.getpid():
        with contextlib.suppress(subprocess.TimeoutExpired):
            _process.wait(MOST_SECONDS)
        _end()


def _end() -> None:
    if _process is not None and _owner == os.getpid():
        _process.kill()
        _process.communicate()  # closes what it was given, too


def _are_missing(law: str) -> bool:
    """Returns whether the loops are kept nowhere, and can be."""
    folder = loops_folder()
    if folder is None or any(folder.glob(f"*/{LOOPS[law]}-*.nbi")):
        return False
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def compile_loops() -> None:
    """Compiles the loops under the law that the command line names; for the other process."""
    # Where the first process ends, however it does, so does what it writes to.
    threading.Thread(target=_live_no_longer, daemon=True).start()
    import numpy as np

    from .native.chain import ACTION, NUMBERS, Chain, ChainState

    settings = tuple(1.0 for _ in NUMBERS)
    action = tuple(1.0 for _ in ACTION) if sys.argv[1] == "least-action" else ()
    chain = Chain(("output",), (1, 1), (0,), 0, 0, settings, action, 1, 3, 3.0, 1)
    w = {"output": SimpleNamespace(weight=np.zeros((1, 1)), bias=np.zeros(1))}
    x, zero = {"output": np.zeros(1, np.float32)}, np.float32(0)
    phase: Any = SimpleNamespace(x=x, costate=x, w=w, momentum=w, mass=None, time=zero, hop=0)
    ChainState(chain, phase).compile()


def _live_no_longer() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
