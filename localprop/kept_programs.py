"""Compiled programs that a later process finds again, in `cache_folder`."""

from __future__ import annotations

import contextlib
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

from .cache_folder import Entries, cache_folder, machine, sources

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
            compilation_cache._cache = _caches()[0](folder)
            compilation_cache._cache_initialized = True
    except (ImportError, AttributeError):
        jax.config.update("jax_compilation_cache_dir", str(folder / "jax"))
    if LEAST_SECONDS not in os.environ and (
        _told("jax_persistent_cache_min_compile_time_secs") == JAX_DEFAULT
    ):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@cache
def _caches() -> tuple[Any, Any]:
    """Returns what JAX can be given as its cache: localprop's folder, or nothing at all."""
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

    class Nothing(CacheInterface):
        """No cache at all."""

        _path = Path()

        def get(self, key: str) -> None:
            del key

        def put(self, key: str, value: bytes) -> None:
            del key, value

    return Programs, Nothing


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

    name, entries, leaves = _full_name(name, arguments), Entries(folder), jax.tree.leaves(arguments)
    program = _loaded(entries, name)
    tried = program is None
    program = program or _made(flat, leaves, entries, name)

    def call(*arguments: Any) -> Any:
        nonlocal program, tried
        leaves = jax.tree.leaves(arguments)
        if not tried:
            tried = True
            try:
                return jax.tree.unflatten(result, program(*leaves))
            except Exception:  # it was kept badly
                program = _made(flat, leaves, entries, name)
        return jax.tree.unflatten(result, program(*leaves))

    return call


def _loaded(entries: Entries, name: str) -> Any:
    """Returns a program that was kept, or `None`, whatever the reason."""
    with contextlib.suppress(Exception):
        content = entries.get(name)
        if content is not None:
            parts, first = pickle.loads(zlib.decompress(content)), jax.devices()[:1]
            return serialize_executable.deserialize_and_load(*parts, execution_devices=first)
    return None


def _made(flat: Callable[..., Any], leaves: list[Any], entries: Entries, name: str) -> Any:
    """Compiles a program, and keeps it if that can be done."""
    lowered = jax.jit(flat).lower(*leaves)
    with _afresh() as sure:
        program = lowered.compile()
    if sure:
        with contextlib.suppress(Exception):
            parts = serialize_executable.serialize(program)
            entries.put(name, zlib.compress(pickle.dumps(parts), 1))
    return program


@contextlib.contextmanager
def _afresh() -> Iterator[bool]:
    """Compiles without JAX's cache: a program that comes from there cannot be kept once more.

    XLA does not say so, but leaves functions out of it.
    """
    try:
        from jax._src import compilation_cache as of_jax

        before = of_jax._cache, of_jax._cache_initialized
        of_jax._cache, of_jax._cache_initialized = _caches()[1](), True
    except (ImportError, AttributeError):
        yield False
        return
    try:
        yield True
    finally:
        of_jax._cache, of_jax._cache_initialized = before


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
    device = jax.devices()[0]
    known = [f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib", "equinox", "numpy")]
    backend = f"{device.platform} {device.device_kind} {device.client.platform_version}"
    return "\n".join([sources(), *known, backend])


def _configuration() -> str:
    """Describes how JAX is told to compile."""
    plain = (str, int, float, bool, type(None))
    values = {name: getattr(jax.config, name, value) for name, value in jax.config.values.items()}
    told = {k: v for k, v in values.items() if isinstance(v, plain) and "cache" not in k}
    flags = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    return f"{sorted(told.items())} {flags}"
