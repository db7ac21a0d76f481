"""Seconds per step of Hamiltonian Learning as `unaiverse` ships it, in PyTorch, eagerly.

    python benchmarks/hamiltonian_learning.py NEURONS STEPS REPEATS [STREAMS]

Runs by itself, in an environment that has `unaiverse` and no localprop; prints one JSON object. The
network is that of benchmarks/hops.py: every neuron reads two inputs, a constant and all neurons.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

INPUTS = 2


def hamiltonian_learning() -> Any:
    """Returns `unaiverse.modules.hl.hl_utils.HL`, without the vision models beside it."""
    package = importlib.util.find_spec("unaiverse")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "modules" / "hl" / "hl_utils.py"
    spec = importlib.util.spec_from_file_location("hl_utils", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.HL


class Complete(torch.nn.Module):
    """A complete digraph of tanh neurons that take time."""

    def __init__(self, neurons: int, streams: int, delta: float = 0.1):
        super().__init__()
        sources = INPUTS + 1 + neurons
        self.w = torch.nn.Parameter(torch.randn(neurons, sources) / sources**0.5)
        lead = () if streams == 1 else (streams,)
        self.register_buffer("h_init", torch.zeros(*lead, neurons))
        self.h, self.h_next, self.delta = self.h_init, self.h_init, delta
        self.one = torch.ones(*lead, 1)

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        self.h = self.h_next.detach().requires_grad_()
        sources = torch.cat([u, self.one, self.h], dim=-1)
        drive = torch.tanh(self.w @ sources if sources.ndim == 1 else sources @ self.w.T)
        self.dh = drive - self.h
        h = self.h + self.delta * self.dh
        self.h_next = h.detach()
        return h[..., :1]


def main() -> None:
    """Prints seconds per step, one for each repetition."""
    neurons, steps, repeats, streams = (*map(int, sys.argv[1:]), 1)[:4]
    torch.manual_seed(0)
    net = Complete(neurons, streams)
    law = hamiltonian_learning()(net, theta=0.5, beta=1e-4, local=True)
    lead = (steps,) if streams == 1 else (steps, streams)
    u, z = torch.randn(*lead, INPUTS), torch.randn(*lead, 1)

    def step(k: int) -> None:
        y = net(u[k])
        law.zero_grad()
        law.compute_hamiltonian(((y - z[k]) ** 2).sum() / 2).backward()
        law.step()

    step(0)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for k in range(steps):
            step(k)
        seconds.append((time.perf_counter() - start) / steps)
    names = ("unaiverse", "torch")
    versions = {name: importlib.metadata.version(name) for name in names}
    print(json.dumps({"seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main()
