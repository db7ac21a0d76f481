"""What a hop costs.

Every neuron of a complete digraph reads two inputs, a constant and all neurons; a sparse one has 30
parents. Weights learn in every hop, at constant mass, from random inputs and targets in float32.
Each contender is called in turns with the others, so that all meet the same machine: what is told
is the median over the rounds, and the least and the most in brackets. A hop is

* *native*, *XLA*: one of `Learner.run`, 16 to a sample, four samples to a call of a large network,
  with all that `run` does around it, its copies of the weights too;
* *bound*: reading and writing two arrays of the size of the weights once, in the same number of
  threads: the least that a hop of weights and momenta takes where they do not fit into a cache; for
  sparse arcs, reading their tails besides. No loop over sparse arcs can reach it: an arc reads
  nine numbers and writes four, at least three cycles of a core that reads three and writes two in
  one, where the bound is less than half of that for 10⁵ neurons;
* *HL*: a step of Hamiltonian Learning as `unaiverse` ships it, in PyTorch, eagerly;
* *backprop*: a step of SGD with momentum (Optax) on one sample, in a compiled scan;
* *D-RTRL*: a step of `braintrace`'s, for a layer of leaky neurons that read as many inputs.

    python -m benchmarks.hops [--quick]

`--quick` leaves out the largest dense and the largest sparse networks.
`UNAIVERSE_PYTHON` names an interpreter that has `unaiverse`, if this one has not. Writes
`benchmarks/hops.md`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from localprop import Cost, Digraph, Hamiltonian, Layered, Learner, SquaredError
from localprop.native import workers
from localprop.native.room import aligned
from localprop.native.workers import free_cores, together
from localprop.processors import cores

from .page import write_page

DENSE = (5, 16, 64, 256, 1024, 2048, 4096, 8192)
SPARSE = (100_000, 1_000_000)
STREAMS = (8, 64)
HOPS, PARENTS, ROUNDS = 16, 30, 3
LAW = Hamiltonian(mass=1e5, dissipation=0.5)
THREADS, LOAD = free_cores(), os.getloadavg()[0]
SECONDS = 0.4  # of one call, where so many hops are not too few
Timing = Callable[[], float]  # makes some hops, and returns seconds per hop


def stream(samples: int, inputs: int, streams: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns random inputs and targets."""
    rng, lead = np.random.default_rng(0), (samples,) if streams is None else (samples, streams)
    u, z = rng.standard_normal((*lead, inputs)), rng.standard_normal((*lead, 1))
    return u.astype(np.float32), z.astype(np.float32)


def sparse(neurons: int) -> Digraph:
    """Returns neurons of 30 parents each, drawn at random; one of them reads the input."""
    rng = np.random.default_rng(0)
    gaps = rng.integers(1, neurons // (PARENTS + 1), (neurons, PARENTS))
    tails = (rng.integers(0, neurons, (neurons, 1)) + np.cumsum(gaps, axis=1)) % neurons
    heads = np.repeat(np.arange(neurons), PARENTS)
    names = ["u", *range(neurons)]
    ends = np.append(tails.ravel() + 1, 0), np.append(heads + 1, 1)
    return Digraph(names, *ends, inputs=1, outputs=[0], bias=False, storage="sparse")


def of_learner(network: Digraph, kind: str, streams: int | None = None, samples: int = 1) -> Timing:
    """Returns what times hops of a learner, as many as take long enough."""
    given: dict[str, Any] = {"hops": HOPS, "settle": 0, "streams": streams, "engine": kind}
    learner = Learner(network, Cost(SquaredError()), LAW, **given)
    start = learner.init(jax.random.key(0))

    def run(samples: int) -> float:
        u, z = stream(samples, network.inputs, streams)
        begun = time.perf_counter()
        jax.block_until_ready(learner.run(start, (u, z), ("output",), chunk=samples)[0])
        return (time.perf_counter() - begun) / samples / HOPS

    return timed(run, samples)


def timed(run: Callable[[int], float], samples: int = 1, hops: int = HOPS) -> Timing:
    """Returns what calls `run` with a number for which it takes long enough."""
    run(samples)
    while run(samples) * samples * hops < SECONDS and samples < 20_000:
        samples *= 4
        run(samples)
    return lambda: run(samples)


def of_bound(weights: int, arcs: bool) -> Timing:
    """Returns what times reading and writing two arrays once, and reading a third of arcs."""
    import numba

    @numba.njit(nogil=True, fastmath=True)
    def sweep(thread, threads, times, a, b, tails):
        low, high = thread * a.size // threads, (thread + 1) * a.size // threads
        x, y, ends = a[low:high], b[low:high], tails[low:high]
        found = 0
        for _ in range(times):
            for k in range(x.size):
                old = y[k]
                x[k] += np.float32(1e-9) * old
                y[k] = np.float32(0.999999) * old
            for k in range(ends.size):
                found += ends[k]
        return found

    a, b = (aligned((weights,), np.float32) for _ in range(2))
    tails = np.ones(weights if arcs else 0, np.int32)
    threads = THREADS if weights >= 1 << 18 else 1

    def run(times: int) -> float:
        begun = time.perf_counter()
        together(sweep, threads, (times, a, b, tails))
        return (time.perf_counter() - begun) / times

    return timed(lambda samples: run(samples * HOPS))


def of_backprop(neurons: int, streams: int | None = None) -> Timing:
    """Returns what times steps of backpropagation on one sample each, of every stream."""
    import optax

    optimiser = optax.sgd(1e-5, momentum=0.5)
    upright = streams is None and neurons > 1024  # whichever XLA makes the faster program of
    w = jax.random.normal(jax.random.key(0), (neurons, neurons + 3)) / neurons**0.5

    def loss(w: Any, x: Any, u: Any, z: Any) -> Any:
        one = jnp.ones((*x.shape[:-1], 1))
        x = jnp.concatenate([u, one, x], axis=-1)
        x = jnp.tanh(w @ x if upright else x @ w.T)
        return jnp.sum((x[..., :1] - z) ** 2) / 2, x

    def step(carry: Any, sample: Any) -> Any:
        w, memory, x = carry
        (_, x), slope = jax.value_and_grad(loss, has_aux=True)(w, x, *sample)
        updates, memory = optimiser.update(slope, memory, w)
        return (optax.apply_updates(w, updates), memory, x), x[..., 0]

    scan = jax.jit(lambda carry, samples: jax.lax.scan(step, carry, samples))

    def run(samples: int) -> float:
        given = stream(samples * HOPS, 2, streams)
        x = jnp.zeros(neurons if streams is None else (streams, neurons))
        carry = (w, optimiser.init(w), x)
        jax.block_until_ready(scan(carry, given))
        begun = time.perf_counter()
        jax.block_until_ready(scan(carry, given))
        return (time.perf_counter() - begun) / samples / HOPS

    return timed(run)


def of_traces(neurons: int, streams: int | None = None) -> Timing:
    """Returns what times steps of D-RTRL."""
    import brainstate
    import braintrace

    lead = () if streams is None else (streams,)

    class Layer(brainstate.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            w = jax.random.normal(jax.random.key(0), (neurons + 3, neurons)) / neurons**0.5
            self.w = brainstate.ParamState(w)
            self.h = brainstate.HiddenState(jnp.zeros((*lead, neurons)))

        def update(self, u: Any) -> Any:
            drive = jnp.tanh(braintrace.matmul(u, self.w.value))
            self.h.value = 0.9 * self.h.value + 0.1 * drive
            return self.h.value

    def run(samples: int) -> float:
        u, z = (jnp.asarray(a) for a in stream(samples * HOPS, neurons + 3, streams))
        layer = braintrace.compile(Layer(), braintrace.D_RTRL, u[0])
        loss = lambda u, z: jnp.sum((layer(u)[..., :1] - z) ** 2) / 2  # noqa: E731
        slopes = brainstate.transform.jit(lambda u, z: layer.etrace_grad(u, z, step_fn=loss))
        jax.block_until_ready(slopes(u, z))
        begun = time.perf_counter()
        jax.block_until_ready(slopes(u, z))
        return (time.perf_counter() - begun) / samples / HOPS

    return timed(run)


def of_hamiltonian_learning(neurons: int, streams: int | None = None) -> Timing:
    """Returns what times steps of HL, in a process of its own."""
    python = os.environ.get("UNAIVERSE_PYTHON", sys.executable)
    script = Path(__file__).with_name("hamiltonian_learning.py")
    steps = int(np.clip(2e7 / neurons**2 / (streams or 1) ** 0.5, 3, 500))

    def run() -> float:
        command = [python, str(script), str(neurons), str(steps), "1", str(streams or 1)]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(made.stderr.strip().splitlines()[-1])
        told = json.loads(made.stdout)
        VERSIONS.update(told["versions"])
        return told["seconds"][0]

    run()
    return run


VERSIONS: dict[str, str] = {}
REASONS: dict[str, str] = {}


def measure(contenders: dict[str, Callable[[], Timing]], rounds: int) -> dict[str, list[float]]:
    """Returns seconds per hop of every contender that can be had, one number for each round."""
    ready: dict[str, Timing] = {}
    for name, make in contenders.items():
        try:
            ready[name] = make()
        except Exception as error:  # a rival that is not there, or has no memory for so many
            REASONS.setdefault(name, " ".join(str(error).split())[:120])
    found: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(rounds):
        for name, run in ready.items():
            found[name].append(run())
    return found


def told(seconds: list[float] | None) -> str:
    """Returns a median, and the spread, in microseconds."""
    if not seconds:
        return "–"
    middle, low, high = (f(seconds) * 1e6 for f in (statistics.median, min, max))
    digits = 3 if middle < 1 else 1 if middle < 100 else 0
    return f"{middle:,.{digits}f} [{low:,.{digits}f}–{high:,.{digits}f}]"


NAMES = ("native", "XLA", "bound", "HL", "backprop", "D-RTRL")


def row(title: str, weights: int, found: dict[str, list[float]], streams: int = 1) -> str:
    """Returns a line of the table."""
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    cells = [title, f"{weights:,}", *(told(found.get(name)) for name in NAMES)]
    cells.append(f"{streams * weights / middle['native'] / 1e9:.2f}")
    for name in ("bound", "XLA", "HL", "backprop", "D-RTRL"):
        ratio = middle[name] / middle["native"] if name in middle else None
        cells.append(
            "–" if ratio is None else f"{ratio:.0%}" if name == "bound" else f"{ratio:,.1f}"
        )
    line = f"| {' | '.join(cells)} |"
    print(line, flush=True)
    return line


def one_sample() -> list[str]:
    """Returns lines of how long single calls take."""
    lines = []
    for n in (5, 64, 1024):
        found = {}
        for kind in ("native", "xla"):
            given: dict[str, Any] = {"hops": 1, "settle": 0, "engine": kind}
            learner = Learner(Digraph.complete(n, 2), Cost(SquaredError()), LAW, **given)
            phase = learner.init(jax.random.key(0))
            u, z = (a[0] for a in stream(1, 2))
            times = 2000 if n < 100 else 100
            for name in ("step", "predict"):
                seconds = []
                for k in range(ROUNDS + 1):
                    begun = time.perf_counter()
                    for _ in range(times):
                        if name == "step":
                            phase, _ = learner.step(phase, u, z)
                        else:
                            np.asarray(learner.predict(phase, u))
                    if k:
                        seconds.append((time.perf_counter() - begun) / times)
                found[kind, name] = told(seconds)
        order = [(e, name) for name in ("step", "predict") for e in ("native", "xla")]
        lines.append(f"| {n} | {' | '.join(found[key] for key in order)} |")
        print(lines[-1], flush=True)
    return lines


CHAINS = {"64–64": [16, 64, 64, 8], "512 × 8": [512] * 9}


def of_chain(sizes: list[int], kind: str, streams: int | None) -> Timing:
    """Returns what times samples of a chain of dense layers, with the exact gradient in each."""
    depth = len(sizes) - 1
    times: dict[str, Any] = {"hops": 2 * depth + 1, "settle": 2 * depth}
    cost = Cost(SquaredError())
    learner = Learner(Layered.dense(sizes), cost, LAW, **times, streams=streams, engine=kind)
    start = learner.init(jax.random.key(0))

    def run(samples: int) -> float:
        u, z = of_sizes(sizes, samples, streams)
        begun = time.perf_counter()
        jax.block_until_ready(learner.run(start, (u, z), ("output",), chunk=samples)[0])
        return (time.perf_counter() - begun) / samples

    return timed(run, hops=1)


def of_sizes(sizes: list[int], samples: int, streams: int | None) -> tuple[Any, Any]:
    """Returns random inputs and targets of a chain."""
    rng, lead = np.random.default_rng(0), (samples,) if streams is None else (samples, streams)
    u, z = rng.standard_normal((*lead, sizes[0])), rng.standard_normal((*lead, sizes[-1]))
    return u.astype(np.float32), z.astype(np.float32)


def of_chain_backprop(sizes: list[int], streams: int | None) -> Timing:
    """Returns what times steps of backpropagation through the same chain."""
    import optax

    optimiser = optax.sgd(1e-5, momentum=0.5)
    pairs = list(pairwise(sizes))
    keys = jax.random.split(jax.random.key(0), len(pairs))
    w = [
        (jax.random.normal(k, (m, n)) / n**0.5, jnp.zeros(m))
        for k, (n, m) in zip(keys, pairs, strict=True)
    ]

    def loss(w: Any, u: Any, z: Any) -> Any:
        for matrix, bias in w[:-1]:
            u = jnp.tanh(u @ matrix.T + bias)
        return jnp.mean(jnp.sum((u @ w[-1][0].T + w[-1][1] - z) ** 2, axis=-1)) / 2

    def step(carry: Any, sample: Any) -> Any:
        w, memory = carry
        value, slope = jax.value_and_grad(loss)(w, *sample)
        updates, memory = optimiser.update(slope, memory, w)
        return (optax.apply_updates(w, updates), memory), value

    scan = jax.jit(lambda carry, samples: jax.lax.scan(step, carry, samples))

    def run(samples: int) -> float:
        given = of_sizes(sizes, samples, streams)
        carry = (w, optimiser.init(w))
        jax.block_until_ready(scan(carry, given))
        begun = time.perf_counter()
        jax.block_until_ready(scan(carry, given))
        return (time.perf_counter() - begun) / samples

    return timed(run, hops=1)


def chains() -> list[str]:
    """Returns lines of how long a sample takes in chains of dense layers."""
    lines = []
    for title, sizes in CHAINS.items():
        for streams in (None, *STREAMS):
            contenders = {
                "native": lambda z=sizes, s=streams: of_chain(z, "native", s),
                "XLA": lambda z=sizes, s=streams: of_chain(z, "xla", s),
                "backprop": lambda z=sizes, s=streams: of_chain_backprop(z, s),
            }
            found = measure(contenders, ROUNDS)
            middle = {name: statistics.median(seconds) for name, seconds in found.items()}
            cells = [title, str(streams or 1), *(told(found.get(n)) for n in contenders)]
            cells += [f"{middle[n] / middle['native']:.1f}" for n in ("XLA", "backprop")]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def memory(network: str) -> str:
    """Returns how many bytes per weight a run takes beside the phase that it begins with and the
    one that it ends with, measured in a process of its own."""
    code = f"""
import ctypes, gc
import jax, numpy as np
from localprop import *
def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
from benchmarks.hops import sparse
law = Hamiltonian(mass=1e5, dissipation=0.5)
for small in (Digraph.complete(200, 2), sparse(20_000)):  # what is loaded once is not counted
    learner = Learner(small, Cost(SquaredError()), law, hops=2, settle=0, engine="native")
    learner.run(learner.init(jax.random.key(0)), (np.ones((9, small.inputs)), np.ones((9, 1))))
network = {network}
learner = Learner(network, Cost(SquaredError()), law, hops=2, settle=0, engine="native")
start = learner.init(jax.random.key(0))
jax.block_until_ready(start)
gc.collect()
ctypes.CDLL(None).malloc_trim(0)  # what is free and not given back would not be seen to be taken
now = lambda: int(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmRSS")))
before = now()
open("/proc/self/clear_refs", "w").write("5")
after, _ = learner.run(start, (np.ones((4, network.inputs)), np.ones((4, 1))))
print((peak() - before) * 1024 / start.w.size)
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return f"{float(made.stdout):.1f}" if made.returncode == 0 else "–"


def main() -> int:
    """Measures and writes the page."""
    quick = "--quick" in sys.argv
    workers.threads_given = THREADS
    single, several = [], []
    for n in reversed(DENSE[:-1] if quick else DENSE):
        network, samples = Digraph.complete(n, 2), 4 if n >= 1024 else 1
        contenders = {
            # In some hops of a large network its copies count for little.
            "native": lambda net=network, k=samples: of_learner(net, "native", samples=k),
            "XLA": lambda net=network, k=samples: of_learner(net, "xla", samples=k),
            "bound": lambda n=n: of_bound(n * (n + 3), False),
            "HL": lambda n=n: of_hamiltonian_learning(n),
            "backprop": lambda n=n: of_backprop(n),
            **({"D-RTRL": lambda n=n: of_traces(n)} if n <= 1024 else {}),
        }
        single.append(row(f"dense {n}", n * (n + 3), measure(contenders, ROUNDS)))
    for n in SPARSE[: 1 if quick else None]:
        network = sparse(n)
        arcs = n * PARENTS + 1
        contenders = {
            "native": lambda net=network: of_learner(net, "native", samples=4),
            "XLA": lambda net=network: of_learner(net, "xla"),
            "bound": lambda a=arcs: of_bound(a, True),
        }
        single.append(row(f"sparse {n:,}", arcs, measure(contenders, ROUNDS)))
    for streams in STREAMS:
        for n in DENSE[: -3 if quick else -1]:
            network = Digraph.complete(n, 2)
            contenders = {
                "native": lambda net=network, s=streams: of_learner(net, "native", s),
                "XLA": lambda net=network, s=streams: of_learner(net, "xla", s),
                "bound": lambda n=n: of_bound(n * (n + 3), False),
                "HL": lambda n=n, s=streams: of_hamiltonian_learning(n, s),
                "backprop": lambda n=n, s=streams: of_backprop(n, s),
                **({"D-RTRL": lambda n=n, s=streams: of_traces(n, s)} if n <= 64 else {}),
            }
            title = f"dense {n}, {streams} streams"
            found = measure(contenders, ROUNDS if n <= 256 else 2)
            several.append(row(title, n * (n + 3), found, streams))
        for n in SPARSE[: 1 if quick or streams > STREAMS[0] else None]:
            network, arcs = sparse(n), n * PARENTS + 1
            contenders = {
                "native": lambda net=network, s=streams: of_learner(net, "native", s),
                "bound": lambda a=arcs: of_bound(a, True),
            }
            if n == SPARSE[0]:  # of the larger one XLA needs gigabytes, and seconds for a hop
                contenders["XLA"] = lambda net=network, s=streams: of_learner(net, "xla", s)
            title = f"sparse {n:,}, {streams} streams"
            several.append(row(title, arcs, measure(contenders, 2), streams))
    single.sort(key=lambda line: ("sparse" in line, int(line.split("|")[2].replace(",", ""))))
    calls, layered = one_sample(), chains()
    for name in ("localprop", "jax", "numba", "numpy", "optax", "braintrace"):
        try:
            VERSIONS[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            VERSIONS[name] = "not installed"
    told_by = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next(line.split(":")[1].strip() for line in told_by if "model name" in line)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(VERSIONS.items()))
    reasons = "".join(f" {name}: {reason}." for name, reason in REASONS.items())
    note = (
        f"{processor}, {cores()} cores, {THREADS} of them for large networks; load "
        f"{LOAD:.1f} when this began, {os.getloadavg()[0]:.1f} at its end; "
        f"Python {platform.python_version()}, {versions}. Microseconds per hop; then billions of "
        "weights per second, the share of the bound that native reaches, and by how many times "
        f"the others take longer. A dash: not measured.{reasons} D-RTRL's traces are measured up "
        "to 1024. Memory: at 4096 neurons a run needs at most "
        f"{memory('Digraph.complete(4096, 2)')} bytes per weight, a sparse one of 3 * 10⁶ arcs "
        f"{memory('sparse(100_000)')}, beside the phase that it is handed, which stays valid, the "
        "8 bytes of the phase that it hands out among them."
    )
    columns = ["network", "weights", *NAMES, "10⁹ weights/s", "of the bound"]
    columns += [f"{name} ÷ native" for name in ("XLA", "HL", "backprop", "D-RTRL")]
    write_page(
        Path(__file__),
        __doc__,
        note,
        columns,
        single,
        [
            (
                "Several streams that share the weights, each of which counts by itself in weights "
                "per second; backprop, HL and D-RTRL take as many at once. D-RTRL up to 64. A hop "
                "has three products of matrices (errors go back, forces, drives), a step of "
                "backprop, whose error goes back through no weight, two.",
                columns,
                several,
            ),
            (
                "One call with one sample, of one hop; `predict` of depth 1. Microseconds.",
                ["neurons", "step, native", "step, XLA", "predict, native", "predict, XLA"],
                calls,
            ),
            (
                "A sample of all streams in a chain of dense layers, 2 × depth + 1 hops of which "
                "the last moves the weights, beside backpropagation with momentum. Microseconds.",
                [
                    "layers",
                    "streams",
                    "native",
                    "XLA",
                    "backprop",
                    "XLA ÷ native",
                    "backprop ÷ native",
                ],
                layered,
            ),
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
