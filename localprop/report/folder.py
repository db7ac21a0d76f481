"""The folder that a report is written to, each file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError
from ..written_aside import written_aside


def check_folder(folder: Path) -> None:
    """Looks, before any work is done, whether a report can be written here; makes nothing yet.

    **Raises:** `ConfigError` if it cannot.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise ConfigError(f"--out {folder}: '{there}' is not a folder; name another folder")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"--out {folder}: '{there}' cannot be written; name another folder")


def write_text(path: Path, text: str) -> None:
    """Writes a page, in UTF-8, whole or not at all."""
    with written_aside(path, ConfigError) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
