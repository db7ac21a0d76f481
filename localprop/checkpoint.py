"""What survives a crash: one file, written whole or not at all, readable without this program.

The file is a NumPy archive (`.npz`, a zip with a checksum per member, no pickle). Its member
`header` is JSON in UTF-8: the format's version, descriptions of network, cost and law, the
position in the stream, whatever the caller adds, and the names of the other members: the leaves of
the phase.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import jax
import msgspec
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree
from numpy.lib import format as npy

from . import strict_json
from .describe import describe, differences
from .errors import CheckpointError
from .written_aside import LONGEST_NAME, written_aside

FORMAT = "localprop checkpoint"
VERSION = 8
DAMAGED = "is damaged; delete it to start afresh, or take another file"
FOREIGN = "is not a localprop checkpoint; delete it to start afresh, or take another file"


class Learns(Protocol):
    """A `Learner`, or several: whatever begins with a phase, a tree of arrays."""

    def init(self, key: PRNGKeyArray) -> PyTree:
        """Returns the phase at rest."""
        ...


class Header(msgspec.Struct):
    """The member `header`: what the other members are."""

    format: Literal["localprop checkpoint"]
    version: int
    position: Annotated[int, msgspec.Meta(ge=0)]
    learner: dict[str, Any]
    extra: dict[str, Any]
    arrays: list[str]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    **Fields:** `position`: samples learned so far; `learner`: description of network, cost and
    law; `extra`: whatever the caller added, JSON-able; `arrays`: the leaves of the phase by path.
    """

    path: Path
    position: int
    learner: dict[str, Any]
    extra: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def phase(self, learner: Learns) -> Any:
        """Returns the phase for this learner.

        **Raises:** `CheckpointError` if the checkpoint was made by another kind of learner.
        """
        wrong = list(differences(self.learner, describe(learner)))
        if wrong:
            raise CheckpointError(
                f"{self.path}: made with other settings ({'; '.join(wrong[:3])}); "
                "use those settings again, or another checkpoint file"
            )
        like = jax.eval_shape(learner.init, jax.random.key(0))
        leaves, structure = jax.tree_util.tree_flatten_with_path(like)
        names = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
        for name, leaf in names.items():
            found = self.arrays.get(name)
            if found is None or found.shape != leaf.shape or found.dtype != leaf.dtype:
                held = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
                raise CheckpointError(
                    f"{self.path}: phase{name} should be {leaf.dtype}{list(leaf.shape)}, the "
                    f"checkpoint has {held}; it was made in another precision or by another version"
                )
        return jax.tree.unflatten(structure, [jax.device_put(self.arrays[n].copy()) for n in names])


def save(
    path: str | Path,
    learner: Learns,
    phase: PyTree,
    *,
    position: int,
    extra: dict[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes a checkpoint: aside, flushed to the disk, then renamed over the old one.

    **Arguments:** `path`, in an existing folder; `learner`, `phase`; `position`: samples learned
    so far; `extra`: anything JSON-able; `arrays`: more of them, by names that the phase has not.

    **Raises:** `CheckpointError`, with the old checkpoint untouched, if the disk is full or the
    folder cannot be written.

    !!! example

        ```python
        >>> import jax, tempfile
        >>> from localprop import Cost, Digraph, Learner, SquaredError, checkpoint
        >>> learner = Learner(Digraph.layered([2, 3, 1]), Cost(SquaredError()))
        >>> phase = learner.init(jax.random.key(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoint.save(f"{folder}/c.npz", learner, phase, position=0)
        ...     again = checkpoint.load(f"{folder}/c.npz").phase(learner)
        >>> bool((again.w == phase.w).all())
        True

        ```
    """
    check_writable(path)
    with written_aside(Path(path), CheckpointError, "the last checkpoint") as file:
        _write(file, learner, phase, position, extra, arrays)


def dumps(
    learner: Learns,
    phase: PyTree,
    *,
    position: int,
    extra: dict[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """Returns what `save` would write."""
    file = io.BytesIO()
    _write(file, learner, phase, position, extra, arrays)
    return file.getvalue()


def _write(
    file: Any,
    learner: Learns,
    phase: PyTree,
    position: int,
    extra: dict[str, Any] | None,
    more: Mapping[str, np.ndarray] | None,
) -> None:
    leaves = jax.tree_util.tree_flatten_with_path(phase)[0]
    arrays = {"phase" + jax.tree_util.keystr(where): np.asarray(leaf) for where, leaf in leaves}
    arrays |= more or {}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "position": position,
        "learner": describe(learner),
        "extra": extra or {},
        "arrays": list(arrays),
    }
    members = {"header": np.frombuffer(strict_json.dumps(header).encode(), dtype=np.uint8)}
    np.savez(file, allow_pickle=False, **members, **arrays)


def load(path: str | Path) -> Checkpoint:
    """Reads a checkpoint and verifies its checksums.

    **Raises:** `CheckpointError` if there is none, or if the file is damaged, foreign or of a
    newer version.
    """
    path = Path(path)
    try:
        # A pipe would be waited for, for ever; a folder says so itself.
        if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise CheckpointError(f"{path}: is not a regular file; take another file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; take another file") from error
    return parse(path, data)


def parse(path: Path, data: bytes) -> Checkpoint:
    """Reads a checkpoint from its bytes.

    **Arguments:** `path`: for messages; `data`.

    **Raises:** `CheckpointError` if they are damaged, foreign or of a newer version.
    """
    try:
        members = _members(data)
    except Exception as error:  # NumPy and zipfile raise whatever the bytes lead them to
        problem = DAMAGED if data.startswith(b"PK") else FOREIGN
        raise CheckpointError(f"{path}: {problem}") from error
    return _parse(path, members)


def _members(data: bytes) -> dict[str, np.ndarray]:
    """Returns the arrays of an archive, none larger than the bytes that hold it.

    **Raises:** anything, for bytes that are no such archive.
    """
    found = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("a checkpoint is not compressed")
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("the archive declares more than it holds")
        for entry in entries:
            member = io.BytesIO(archive.read(entry))  # which verifies its checksum
            if npy.read_magic(member) != (1, 0):
                raise ValueError("an array of another version")
            shape, fortran, dtype = npy.read_array_header_1_0(member)
            if fortran or dtype.kind not in "fiub":
                raise ValueError("an array of another kind")
            values = np.frombuffer(member.read(), dtype)  # before the shape is believed
            found[entry.filename.removesuffix(".npy")] = values.reshape(shape)
    return found


def check_writable(path: str | Path) -> None:
    """Raises `CheckpointError` now for a path at which `save` would fail later."""
    path = Path(path)
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise CheckpointError(f"{path}: the name is too long; give a shorter one")
    if path.is_symlink():
        path = path.resolve()
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: is not a regular file; give the name of one")
    if not path.parent.is_dir():
        raise CheckpointError(f"{path}: the folder '{path.parent}' does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise CheckpointError(f"{path}: the folder '{path.parent}' cannot be written")


def _parse(path: Path, members: dict[str, np.ndarray]) -> Checkpoint:
    foreign = CheckpointError(f"{path}: {FOREIGN}")
    try:
        header = msgspec.json.decode(members.pop("header").tobytes(), type=Header)
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise foreign from None
    if header.version < VERSION:
        raise CheckpointError(
            f"{path}: has version {header.version}, of an older localprop; learn afresh, or "
            "install that one"
        )
    if header.version > VERSION:
        raise CheckpointError(
            f"{path}: has version {header.version}, this localprop reads up to {VERSION}; "
            "install a newer localprop"
        )
    if sorted(members) != sorted(header.arrays):  # a zip's directory has no checksum
        raise CheckpointError(f"{path}: {DAMAGED}")
    arrays = {name.removeprefix("phase"): array for name, array in members.items()}
    return Checkpoint(path, header.position, header.learner, header.extra, arrays)
