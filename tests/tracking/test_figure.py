"""The picture of a tracking run: whatever the signs and the scales, it shows every number."""

from __future__ import annotations

import numpy as np
import pytest

from localprop import CostateReversal, SignFlip
from localprop.tracking.figure import tracking_figure
from localprop.tracking.signals import Sine
from localprop.tracking.track import track
from localprop.tracking.tracker import tracker


@pytest.mark.parametrize("policy", [None, CostateReversal(), SignFlip()])
def test_energies_of_either_sign_are_all_shown(policy):
    run = track(Sine(), tracker(policy), duration=300.0)
    for axes, name in zip(
        tracking_figure(run).axes[1:], ("lagrangian", "hamiltonian"), strict=True
    ):
        values, low, high = run.trace[name], *axes.get_ylim()
        assert low <= values.min() <= values.max() <= high
        # In the axis's own scale the values spread over it, and all of them have a place.
        shown = axes.transData.transform(np.c_[run.trace["time"], values])[:, 1]
        assert np.isfinite(shown).all()
        assert 1 <= len(axes.get_yticks()) <= 12


def test_an_energy_that_is_0_throughout_is_drawn():
    run = track(Sine(), tracker(CostateReversal()), duration=20.0)
    run.trace["lagrangian"][:] = 0
    assert tracking_figure(run).axes[1].get_yscale() == "linear"
