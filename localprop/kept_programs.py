"""Compiled programs that a later process finds again, in `cache_folder`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import zlib
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

from .cache_folder import Entries, cache_folder, machine

LEAST_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
JAX_DEFAULT = 1.0  # seconds: what compiles faster than that JAX does not keep by itself


def keep_programs() -> None:
    """From here on JAX keeps what it compiles in localprop's cache folder, and finds it there.

    Commands and `Online` call it; who works with `Learner` alone may. A folder that JAX was given
    by `JAX_COMPILATION_CACHE_DIR` or its configuration is left to do the same, now or later.
    """
    folder = cache_folder()
    if folder is None or _told("jax_compilation_cache_dir"):
        return
    try:
        # There is no public way to give JAX another cache than its own, which is not bounded
        # without one more dependency, and keeps a file that was half written for good.
        from jax._src import compilation_cache

        if compilation_cache._cache is None:
            compilation_cache._cache = _cache_of_jax()(folder)
            compilation_cache._cache_initialized = True
    except (ImportError, AttributeError):
        jax.config.update("jax_compilation_cache_dir", str(folder / "jax"))
    if LEAST_SECONDS not in os.environ and (
        _told("jax_persistent_cache_min_compile_time_secs") == JAX_DEFAULT
    ):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@cache
def _cache_of_jax() -> Any:
    from jax._src import compilation_cache
    from jax._src.compilation_cache_interface import CacheInterface

    class Programs(CacheInterface):
        """JAX's programs as entries of localprop's folder."""

        def __init__(self, folder: Path):
            self._path, self._entries = folder, Entries(folder)

        def get(self, key: str) -> bytes | None:
            if (other := self._other()) is not None:
                return other.get(key)
            return self._entries.get(machine() + key)

        def put(self, key: str, value: bytes) -> None:
            if (other := self._other()) is not None:
                other.put(key, value)
            else:
                self._entries.put(machine() + key, value)

        def _other(self) -> Any:
            """Returns JAX's own cache, where a folder was named for it in the meantime."""
            if named := _told("jax_compilation_cache_dir"):
                found = compilation_cache.get_file_cache(named)
                compilation_cache._cache = found and found[0]
                return compilation_cache._cache
            return None

    return Programs


def kept_program(
    function: Callable[..., Any], name: str | None, arguments: tuple[Any, ...], like: Any
) -> Callable[..., Any]:
    """Returns a function compiled for arguments like these, or as it was compiled before.

    JAX keeps what the compiler made of a program; to ask for it, it has to trace the program first,
    which takes most of the time. Here `name` and the shapes of the arguments say which one it is.

    **Arguments:** `function`: of trees of arrays; `name`: all else that its program hangs on, the
    same in every process; `None` keeps nothing; `arguments`: such trees; `like`: a tree of the
    structure that the result has.
    """
    folder = cache_folder()
    if name is None or folder is None or not _plain():
        return jax.jit(function)
    given, result = jax.tree.structure(arguments), jax.tree.structure(like)

    # Of plain leaves, for the structures of modules cannot be kept.
    def flat(*leaves: Any) -> list[Any]:
        found, structure = jax.tree.flatten(function(*jax.tree.unflatten(given, leaves)))
        assert structure == result
        return found

    program = _kept(flat, _full_name(name, arguments), jax.tree.leaves(arguments), Entries(folder))

    def call(*arguments: Any) -> Any:
        return jax.tree.unflatten(result, program(*jax.tree.leaves(arguments)))

    return call


def _kept(flat: Callable[..., Any], name: str, leaves: list[Any], entries: Entries) -> Any:
    content = entries.get(name)
    if content is not None:
        # One that cannot be read is made afresh, whatever the reason.
        with contextlib.suppress(Exception):
            parts = pickle.loads(zlib.decompress(content))
            first = jax.devices()[:1]
            return serialize_executable.deserialize_and_load(*parts, execution_devices=first)
    program = jax.jit(flat).lower(*leaves).compile()
    with contextlib.suppress(Exception):  # nor need one be kept
        parts = serialize_executable.serialize(program)
        entries.put(name, zlib.compress(pickle.dumps(parts), 1))
    return program


def _plain() -> bool:
    """Whether programs run on the first device, as they are, in one process."""
    odd = ("jax_disable_jit", "jax_debug_nans", "jax_debug_infs", "jax_default_device")
    return not any(map(_told, odd)) and jax.process_count() == 1


def _told(name: str) -> Any:
    """Returns how JAX is configured."""
    return getattr(jax.config, name)


def _full_name(name: str, arguments: Any) -> str:
    leaves, structure = jax.tree.flatten(arguments)
    shapes = [(a.shape, str(a.dtype)) for a in leaves]
    return "\n".join([machine(), _versions(), _configuration(), name, str(structure), str(shapes)])


@cache
def _versions() -> str:
    """Describes everything that programs are made with, localprop's own code included."""
    digest, here = hashlib.sha256(), Path(__file__).parent
    for path in sorted(here.rglob("*.py")):
        digest.update(f"{path.relative_to(here)}\n".encode() + path.read_bytes())
    device = jax.devices()[0]
    known = [f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib", "equinox", "numpy")]
    backend = f"{device.platform} {device.device_kind} {device.client.platform_version}"
    return "\n".join([digest.hexdigest(), *known, backend])


def _configuration() -> str:
    """Describes how JAX is told to compile."""
    plain = (str, int, float, bool, type(None))
    values = {name: getattr(jax.config, name, value) for name, value in jax.config.values.items()}
    told = {k: v for k, v in values.items() if isinstance(v, plain) and "cache" not in k}
    flags = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    return f"{sorted(told.items())} {flags}"
