"""Trying a wrong change: the tests, in a process of their own, with one module changed."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .changes import ROOT, Mutant

# The tests that speak of a module, what fails soonest first; without the slow ones. Fewer than
# all, for time's sake: a change that other tests would notice counts as survived. A module that
# is not named here is tried by the tests of its package.
TESTS = {
    "network/activation.py": ["network/test_digraph.py", "network/test_graph_errors.py"],
    "network/arcs.py": ["network/test_digraph.py", "law/test_hamiltonian.py"],
    "network/base.py": ["network/test_digraph.py"],
    "network/digraph.py": [
        "network/test_digraph.py", "network/test_graph_errors.py", "network/test_repr.py",
        "test_pickles.py",
    ],
    "network/block.py": ["network/test_layered.py", "network/test_graph_errors.py"],
    "network/exchange.py": ["network/test_digraph.py", "network/test_graph_errors.py"],
    "network/gaussian.py": ["network/test_digraph.py", "network/test_layered.py"],
    "network/grow.py": ["online/test_growing.py", "network/test_graph_errors.py"],
    "network/layered.py": [
        "network/test_layered.py", "network/test_graph_errors.py", "network/test_repr.py",
        "law/test_hamiltonian.py",
    ],
    "network/shared.py": [
        "law/test_one_hop.py", "law/test_hamiltonian.py", "network/test_repr.py",
        "network/test_graph_errors.py", "learner/test_learner_errors.py",
    ],
    "network/topology.py": ["network/test_digraph.py", "network/test_graph_errors.py"],
    "law/base.py": ["law/test_one_hop.py", "law/test_hamiltonian.py", "law/test_identities.py"],
    "law/hamiltonian.py": [
        "law/test_one_hop.py", "law/test_hamiltonian.py", "learner/test_learner.py",
        "law/test_identities.py", "network/test_graph_errors.py",
    ],
    "law/integrator.py": [
        "law/test_integrator.py", "network/test_graph_errors.py", "law/test_bibo.py",
    ],
    "law/least_action.py": ["law/test_one_hop.py", "law/test_least_action.py"],
    "law/mass.py": ["law/test_mass.py", "law/test_one_hop.py"],
    "law/motion.py": ["law/test_one_hop.py", "law/test_least_action.py"],
    "law/policy.py": ["law/test_policy.py", "tracking/test_track.py"],
    "law/review.py": ["law/test_policy.py", "tracking/test_track.py"],
    "law/untuned.py": ["learner/test_untuned.py"],
    "learner/divergence.py": ["learner/test_learner_errors.py", "law/test_least_action.py"],
    "learner/fit.py": ["learner/test_predict.py", "test_arguments.py"],
    "learner/learner.py": [
        "learner/test_learner.py", "learner/test_predict.py", "learner/test_learner_errors.py",
        "learner/test_many_hops.py", "learner/test_untuned.py", "test_arguments.py",
    ],
    "learner/loop.py": [
        "learner/test_learner.py", "learner/test_many_hops.py", "learner/test_learner_errors.py",
    ],
    "learner/presentation.py": [
        "learner/test_learner.py", "learner/test_many_hops.py", "learner/test_predict.py",
    ],
    "learner/samples.py": [
        "learner/test_learner_errors.py", "learner/test_learner.py", "learner/test_predict.py",
        "test_arguments.py",
    ],
    "oracle/backprop.py": ["oracle/test_backprop.py"],
    "oracle/bptt.py": ["oracle/test_recurrent_references.py"],
    "oracle/constrained.py": ["oracle/test_constrained.py"],
    "oracle/heavy_ball.py": ["oracle/test_riccati_and_heavy_ball.py"],
    "oracle/linear_quadratic.py": ["oracle/test_linear_quadratic.py"],
    "oracle/riccati.py": ["oracle/test_riccati_and_heavy_ball.py"],
    "oracle/rtrl.py": ["oracle/test_recurrent_references.py"],
    "oracle/boundary_value.py": ["oracle/test_closed_forms.py", "oracle/test_boundary_value.py"],
    "oracle/newton.py": ["oracle/test_closed_forms.py", "oracle/test_boundary_value.py"],
    "oracle/quasi_newton.py": ["oracle/test_closed_forms.py", "oracle/test_boundary_value.py"],
    "oracle/transcription.py": ["oracle/test_closed_forms.py", "oracle/test_boundary_value.py"],
}  # fmt: skip
STAND_IN = Path(__file__).parent / "stand_in"


@dataclass(frozen=True)
class Outcome:
    """What became of the mutant of that name: `killed`, `out of time` or `survived`; by what."""

    name: str
    fate: str
    test: str


def packages() -> list[str]:
    """Returns the packages whose modules are changed."""
    return list(dict.fromkeys(module.split("/")[0] for module in TESTS))


def try_one(module: str, changed: str | None, seconds: float | None, log: Path) -> int:
    """Forks, and runs a module's tests and examples there; returns the child's number.

    **Arguments:** `changed`: what stands in for the module's code; `seconds`: of processor time,
    as others may use the machine as well; `log`: file that takes what pytest prints.
    """
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        if seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if changed is not None:
            _change(ROOT / "localprop" / module, changed, log.with_suffix(".py"))
        import pytest

        options = ["-x", "-p", "no:cacheprovider", "-m", "not slow", "--tb=line", "-rfE"]
        names = TESTS.get(module, [module.split("/")[0]])
        tests = [f"localprop/{module}", *(f"tests/{name}" for name in names)]
        code = int(pytest.main([*options, *tests]))
        sys.stdout.flush()
    except BaseException as error:
        print(repr(error), flush=True)
        code = 99
    os._exit(code)


def _change(path: Path, changed: str, other: Path) -> None:
    """Puts the changed code in the place of a file, here and in processes started from here."""
    other.write_text(changed)
    os.environ["LOCALPROP_STAND_IN"] = f"{path}={other}"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(STAND_IN), os.environ.get("PYTHONPATH", "")])
    code = compile((STAND_IN / "sitecustomize.py").read_text(), "sitecustomize", "exec")
    exec(code, {"__name__": "sitecustomize"})


def limits(modules: Iterable[str], log: Path) -> dict[str, float]:
    """Returns the processor time that a mutant of each module may take, in seconds.

    **Raises:** `SystemExit` where the tests fail without any change.
    """
    found = {}
    for module in modules:
        file = log / f"{module.replace('/', '-')}.txt"
        child = try_one(module, None, None, file)
        _, status, used = os.wait4(child, 0)
        if status:
            raise SystemExit(f"the tests of {module} fail as they are: see {file}")
        seconds = used.ru_utime + used.ru_stime
        print(f"{module}: {seconds:.0f} s of processor time as it is", flush=True)
        found[module] = 60 + 3 * seconds
    return found


def run(
    todo: list[Mutant], seconds: dict[str, float], workers: int, log: Path
) -> Iterator[Outcome]:
    """Tries all mutants, several at a time, and yields each outcome.

    **Arguments:** `seconds`: from `limits`; `workers`: how many at a time; `log`: a folder.
    """
    running: dict[int, tuple[Mutant, float, Path]] = {}
    waiting = list(enumerate(todo))
    while waiting or running:
        while waiting and len(running) < workers:
            number, mutant = waiting.pop(0)
            file = log / f"{number}.txt"
            child = try_one(mutant.module, mutant.source, seconds[mutant.module], file)
            running[child] = mutant, time.perf_counter(), file
        child, status = _wait(running, seconds)
        mutant, _, file = running.pop(child)
        fate = "killed" if status else "survived"
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
            fate = "out of time"
        yield Outcome(mutant.name, fate, _first_failure(file))


def _wait(running: dict, seconds: dict[str, float]) -> tuple[int, int]:
    """Waits for one child, and ends one that sleeps for ever."""
    while True:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            return child, status
        for child, (mutant, start, _) in running.items():
            if time.perf_counter() - start > 20 * seconds[mutant.module]:
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.1)


def _first_failure(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return failed[0].split(" - ")[0].split(" ", 1)[1] if failed else ""
