"""Shapes of arrays are checked while localprop is tested; float64 where a test asks for it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

# Where arrays have shapes. The others handle a row at a time, and being watched takes them longer
# than their work.
SHAPED = ["audit", "cost", "law", "learner", "network", "oracle", "reproduce", "tracking"]

# Loops of XLA's older kind compile in half the time. Slow tests, and those who set XLA_FLAGS
# themselves (as `make test-shuffled` does), compile what users compile.
QUICK_FLAGS = "--xla_cpu_use_fusion_emitters=false"

# Before anything imports localprop: only modules loaded after this line are checked.
install_import_hook([f"localprop.{name}" for name in SHAPED], "beartype.beartype")


def pytest_configure(config):
    """Both workers, and every process that a test starts, share compiled programs.

    JAX finds them again by their content and its own version; a fresh clone begins with none.
    """
    folder = str(config.rootpath / ".pytest_cache" / "jax")
    folder = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
    jax.config.update("jax_compilation_cache_dir", folder)
    # And localprop's own, whole programs and Numba's loops: never those of who runs the tests.
    own = str(config.rootpath / ".pytest_cache" / "localprop")
    os.environ["LOCALPROP_CACHE"] = own
    # Each worker has a core of its own: splitting its programs up to compile them costs a tenth.
    flags = ["--xla_cpu_parallel_codegen_split_count=1"]
    if config.option.markexpr == "not slow":
        flags.append(QUICK_FLAGS)
    os.environ.setdefault("XLA_FLAGS", " ".join(flags))
    for name, value in (("MIN_COMPILE_TIME_SECS", 0.0), ("MIN_ENTRY_SIZE_BYTES", -1)):
        os.environ.setdefault(f"JAX_PERSISTENT_CACHE_{name}", str(value))
        jax.config.update(f"jax_persistent_cache_{name.lower()}", value)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Programs go where a worker holds more than a gigabyte when the tests of a file are over."""
    yield
    with contextlib.suppress(OSError):  # where the system does not say
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        if pages * os.sysconf("SC_PAGE_SIZE") > 1 << 30:
            forget()


def forget():
    """Forgets every program that JAX has compiled, and those that localprop holds itself."""
    jax.clear_caches()
    for module, name in (("online.bank", "_programs"), ("network.gaussian", "_splitter")):
        if module := sys.modules.get(f"localprop.{module}"):
            getattr(module, name).cache_clear()


# Files that hold bits of one program against those of another: streams against streams in pieces,
# rows against batches, what is derived against autodiff. Compilers may round the two otherwise.
EXACT = ["test_identities.py", "test_integrator.py", "test_learner.py", "test_predict.py"]
EXACT += ["test_growing.py", "test_faces.py", "test_track.py", "reproduce", "localprop"]


@pytest.fixture(scope="module", autouse=True)
def compile_lightly(request):
    """Compiles for the quick tests of all other files in a fraction of the time.

    Programs of tests are many and small, and compiling them for speed takes longer than what it
    saves. What a test starts is told to do the same.
    """
    names = {*request.path.relative_to(request.config.rootpath).parts}
    light = QUICK_FLAGS in os.environ["XLA_FLAGS"] and names.isdisjoint(EXACT)
    if light != jax.config.read("jax_disable_most_optimizations"):
        forget()
        jax.config.update("jax_disable_most_optimizations", light)
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(light)


@pytest.fixture
def x64():
    """The test runs in float64; all others keep float32, the default."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def bounded():
    """The test neither hangs nor takes more than a gigabyte: far more than it needs."""

    def ring(*_):
        raise TimeoutError("this took more than a minute")

    before, most = signal.signal(signal.SIGALRM, ring), most_memory()
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert most_memory() < most + (1 << 30)


def most_memory() -> int:
    """The most bytes that this process or one that it started ever held."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(1024 * resource.getrusage(k).ru_maxrss for k in who)
