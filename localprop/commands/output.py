"""What commands print for machines."""

from __future__ import annotations

import sys
from dataclasses import asdict, is_dataclass
from typing import Any

from ..strict_json import dumps


def print_json(result: Any) -> None:
    """Prints one JSON object on one line of standard output; what is not finite becomes null."""
    data = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    sys.stdout.write(dumps(data) + "\n")
    sys.stdout.flush()
