"""Runs every benchmark, or those named: `python -m benchmarks [NAME ...]`."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path


def benchmarks() -> list[str]:
    """Returns the names of this package's modules that define `main()`."""
    here = Path(__file__).parent
    names = sorted(m.name for m in pkgutil.iter_modules([str(here)]) if m.name != "__main__")
    return [n for n in names if "main" in vars(importlib.import_module(f"{__package__}.{n}"))]


def run(names: list[str]) -> int:
    """Runs benchmarks one after the other and returns 1 if one failed, 2 for an unknown name."""
    known = benchmarks()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark '{unknown[0]}'; there are {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or known:
        print(f"\n=== {name}", flush=True)
        # A process of its own: peak memory and compiled code of one must not colour the next.
        if subprocess.run([sys.executable, "-m", f"{__package__}.{name}"]).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
