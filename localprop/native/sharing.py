"""Room for weights that streams share."""

from __future__ import annotations

import numpy as np

from .arcs_of_streams import room_for_arcs
from .plan import Plan
from .rows_of_streams import room_for_rows


def room_for_streams(plan: Plan, stride: int) -> tuple[np.ndarray, ...]:
    """Returns room for rows, or for arcs.

    **Arguments:** `plan`: of the learner; `stride`: numbers from one row to the next.
    """
    return room_for_rows(plan, stride) if plan.tails is None else room_for_arcs(plan)
