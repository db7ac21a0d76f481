"""Shapes of all of localprop are checked while it is tested; float64 where a test asks for it."""

from __future__ import annotations

import jax
import pytest
from jaxtyping import install_import_hook

# Before anything imports localprop: only modules loaded after this line are checked.
install_import_hook("localprop", "beartype.beartype")


@pytest.fixture
def x64():
    """The test runs in float64; all others keep float32, the default."""
    with jax.enable_x64(True):
        yield
