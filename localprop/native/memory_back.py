"""How errors go back through what follows the modes of a `memory`, and all weights move."""

from __future__ import annotations

import math

from .chain_loops import meet, multiply, part
from .chain_neurons import DECAY, WEIGHT_DECAY, loss_slope
from .codes import LANES, STRETCH
from .jit import called
from .lanes import add_forward, force
from .memory_modes import move_features, move_rows, move_speeds
from .memory_places import (
    FEATURES,
    FORCE,
    FREE,
    FROM,
    HEARD,
    INNER,
    INNER_STEP,
    INPUTS,
    JUDGED,
    LANED,
    MASK,
    MODAL,
    MORE,
    NEURONS,
    ORDER,
    OUTER,
    OUTER_STEP,
    OWN,
    PARENT,
    PULLED,
    RUN,
    SLOPES,
    SOURCE,
    SOURCES,
    STATE,
    TARGETS,
    WEIGHTS,
    WIDE,
)


@called
def judge(blocks, loss, c, share, x, errors, work, weight, order, streams, live):
    """Writes the slopes of all losses of the streams with a target, and 0 where no loss is."""
    for b in range(len(blocks)):
        block = blocks[b]
        lanes, first = block[LANED], block[STATE] * streams
        for k in range(first, first + live * block[OWN]):
            errors[k] = 0
        if block[JUDGED] != 0:
            of, size = block[NEURONS] * streams, live * lanes
            loss_slope(
                loss, c, share, x[of : of + size], work[TARGETS][:size],
                errors[first : first + size], lanes, block[FEATURES], work[MORE],
            )  # fmt: skip
            for k in range(live if weight.size > 0 else 0):
                for i in range(first + k * lanes, first + (k + 1) * lanes):
                    errors[i] *= weight[order[k]]


@called
def send_back(block, parent, w, nothing, d, pulled, errors, u, order, streams, live, begin, end):
    """Adds to the errors of the parent what some of a block's arcs bring back."""
    inputs, wide = block[INPUTS], block[WIDE]
    of = block[NEURONS] * streams
    add_forward(
        w, block[WEIGHTS], block[FEATURES], nothing, wide, d, of, block[LANED], pulled, 0, wide,
        live, begin, end,
    )  # fmt: skip
    for k in range(live):
        back = pulled[k * wide :]
        if block[MASK] >= 0:
            mask = u[order[k]][block[MASK] :]
            for j in range(begin, min(end, inputs)):
                back[j] *= mask[j]
        base, j = parent[STATE] * (streams - 1) + k * parent[OWN] + block[FROM], 0
        for outer in range(block[OUTER]):
            for inner in range(block[INNER]):
                here = base + outer * block[OUTER_STEP] + inner * block[INNER_STEP] - j
                for r in range(max(begin, j), min(end, j + block[RUN])):
                    errors[here + r] += back[r]
                j += block[RUN]


@called
def move_dense(block, mass, c, tau, keep, hold, rates, w, p, v, work, f, streams, live, begin, end):
    """Moves some rows of a dense block; returns 0, or NaN if one is not finite."""
    wide, lanes, check = block[WIDE], block[LANED], w.dtype.type(0)
    decay = c[WEIGHT_DECAY] * w.dtype.type(block[FREE])
    source, back = block[SOURCE] * streams, block[NEURONS] * streams
    stretch, end = max(STRETCH // wide // LANES, 1) * LANES, min(end, block[FEATURES])
    for row in range(begin, end, stretch):
        last = min(row + stretch, end)
        for r in range(row, last, LANES):
            rows = min(LANES, last - r)
            force(
                work[SLOPES], back + r, lanes, work[SOURCES], source, wide, rows, wide, f,
                (r - row) * wide, live * block[FREE],
            )  # fmt: skip
        check += move_rows(
            mass, c, decay, tau, keep, hold, rates, w, p, v, f, block[WEIGHTS] + row * wide,
            block[INPUTS], wide, last - row,
        )  # fmt: skip
    return check


@called
def go_back(
    blocks, modes, rates, mass, c, tau, keep, nothing, w, p, v, known, e, swing, u, work, errors,
    felt, which, live, first, thread, threads, met, turn,
):  # fmt: skip
    """Takes errors back and moves every weight for a hop; returns 0, or NaN if one is not finite,
    and the next turn.

    **Arguments:** `errors`: what becomes of them; `felt`: what weights feel of them, the same in
    the first hop; `first`: whether this is it.
    """
    streams = len(u)
    hold, check = w.dtype.type(math.exp(-c[DECAY] * tau)), w.dtype.type(0)
    left, right = part(thread, threads, live), part(thread + 1, threads, live)
    d, f = work[SLOPES], work[FORCE][work[FORCE].size // threads * thread :]
    for back in range(len(blocks)):
        block = blocks[len(blocks) - 1 - back]
        if block[MODAL] != 0:
            continue
        lanes, whole = block[LANED], block[WIDE] // LANES
        of, own = block[NEURONS] * streams, block[STATE] * streams
        multiply(d[of + left * lanes : of + right * lanes], felt[own + left * lanes :])
        turn = meet(met, threads, turn)
        if block[HEARD] != 0:
            begin = part(thread, threads, whole) * LANES
            end = part(thread + 1, threads, whole) * LANES
            send_back(
                block, blocks[block[PARENT]], w, nothing, d, work[PULLED], errors, u, which[ORDER],
                streams, live, begin, end,
            )  # fmt: skip
        turn = meet(met, threads, turn)
        whole = lanes // LANES
        begin, end = part(thread, threads, whole) * LANES, part(thread + 1, threads, whole) * LANES
        own_rates = rates[len(blocks) - 1 - back]
        check += move_dense(
            block, mass, c, tau, keep, hold, own_rates, w, p, v, work, f, streams, live, begin, end
        )
    for b in range(len(blocks)):
        block = blocks[b]
        if block[MODAL] == 0:
            continue
        begin = part(thread, threads, block[FEATURES])
        end = part(thread + 1, threads, block[FEATURES])
        check += move_features(
            block, modes, mass, c, tau, keep, rates[b], w, p, v, known, e, work, felt, which, live,
            streams, begin, end, f, first,
        )  # fmt: skip
        check += move_speeds(
            block, modes, mass, c, tau, keep, rates[len(blocks) :], w, p, v, swing, felt, which,
            live, streams, thread, threads, f,
        )  # fmt: skip
    return check, turn
