"""One method on one stream, in a process of its own.

Seconds are of the processor, all threads of the process on one core, from the first row to the
last: without imports, loading, and compiling where that can be told apart. Memory is the most that
the process ever held above what it held before the first row.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from .data import SOURCES, Stream
from .methods import METHODS, Method
from .scoring import prequential, score
from .whole import AbsentError

Key = tuple[str, str, int]  # stream, method, seed
# One thread for everyone; a process is bound to one core besides.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
WALL = 20  # a cell may take so many times its limit on the wall: others may use the machine


@dataclass
class Cell:
    """What a method did on a stream.

    **Fields:** `state`: `done`, `diverged`, `stopped` by the limit, `failed` or `absent`; `score`,
    of the rows that were predicted; `seconds`, `compiling`: of the processor; `memory`: MB above
    `before`; `limit`: minutes; `version`: of the package; `reason`: why it is not done.
    """

    stream: str
    method: str
    seed: int
    state: str = "done"
    score: float | None = None
    rows: int = 0
    seconds: float | None = None
    compiling: float = 0.0
    memory: float | None = None
    before: float | None = None
    limit: float = 10.0
    version: str = ""
    reason: str = ""


class TimeIsUpError(Exception):
    """The processor time that a cell may take is used up."""


def measure(stream: Stream, method: Method, cell: Cell) -> None:
    """Lets the method learn the stream, and writes what it did into the cell."""
    answers = np.full(len(stream), np.nan)
    learner = method.rows(stream, cell.seed) if method.rows else None
    cell.before = _memory("VmRSS")
    began = time.process_time()
    signal.signal(signal.SIGXCPU, _stop)
    soft = int(began + 60 * cell.limit) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 60))
    try:
        if learner is not None:
            prequential(learner, stream, answers)
            cell.seconds, cell.rows = time.process_time() - began, len(stream)
            cell.score = score(stream, answers)
        else:
            assert method.whole is not None
            cell.score, cell.seconds, cell.compiling = method.whole(stream, cell.seed)
            cell.rows = len(stream)
    except TimeIsUpError:
        cell.state, cell.seconds = "stopped", time.process_time() - began
        cell.rows = int(np.isfinite(answers).sum())
        cell.reason = f"over {cell.limit:g} minutes of processor time"
        if cell.rows > stream.horizon:
            cell.score = score(stream, answers[: cell.rows])
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    cell.memory = _memory("VmHWM") - cell.before
    if cell.state == "done" and not (cell.score is not None and np.isfinite(cell.score)):
        cell.state, cell.score, cell.reason = "diverged", None, "its answers stopped being finite"


def _stop(*_: Any) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # it would come again every second
    raise TimeIsUpError


def _memory(what: str) -> float:
    """Returns memory of this process in MB: what it holds, or the most that it ever held."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith(what))
        return int(line.split()[1]) / 1000 * 1.024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1000 * 1.024


def run(name: str, method: str, seed: int, limit: float, rows: int | None = None) -> Cell:
    """Measures one cell in this process."""
    found = METHODS[method]
    cell = Cell(name, method, seed, limit=limit)
    try:
        for package in found.needs:
            import_module(package)
        if found.needs:
            package = found.needs[0].split(".")[0]
            cell.version = version({"sklearn": "scikit-learn"}.get(package, package))
        stream = SOURCES[name].load(seed)
        measure(stream.first(rows) if rows else stream, found, cell)
    except (ImportError, PackageNotFoundError, AbsentError) as error:
        cell.state, cell.reason = "absent", str(error).splitlines()[0]
    except Exception as error:  # a rival may stop for any reason at all, and the page says which
        text = str(error).splitlines() or [""]
        cell.state, cell.reason = "failed", f"{type(error).__name__}: {text[0]}"[:200]
    return cell


def apart(name: Key, limit: float, rows: int | None = None) -> Cell:
    """Measures a cell in a process of its own, which is forked from one that imported the rivals.

    **Arguments:** `name`: stream, method, seed; `limit`: minutes of processor time; `rows`: most of
    them.
    """
    os.environ.update(ONE_THREAD)
    context = get_context("forkserver")
    # Those that start no threads: a fork would lose them.
    context.set_forkserver_preload(["numpy", "river", "river.datasets", "sklearn.neural_network"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_alone, args=(there, name, limit, rows))
    process.start()
    there.close()
    if not here.poll(60 * WALL * limit + 120):
        process.kill()
        return Cell(*name, state="stopped", limit=limit, reason=f"over {WALL * limit:g} minutes")
    try:
        return Cell(**here.recv())
    except EOFError:
        process.join()
        reason = f"its process ended with {process.exitcode}"
        return Cell(*name, state="failed", limit=limit, reason=reason)
    finally:
        process.join()


def _alone(there: Connection, name: Key, limit: float, rows: int | None) -> None:
    """Measures a cell in this process, sends it and ends."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    if hasattr(os, "sched_setaffinity"):
        # Before anything starts threads: one core, whichever is allowed, for all of them.
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})
    there.send(asdict(run(*name, limit, rows)))
    os._exit(0)  # a virtual machine of Java may not want to end
