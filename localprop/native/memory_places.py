"""Where the loops of `memory` find what belongs to each block, and in which of their arrays."""

from __future__ import annotations

# Of a block: whether it is one of modes; its features, and these in whole vectors; its inputs, and
# these with a 1 after them, which biases are weights of, in whole vectors; whether there are
# weights, and whether they move; the activation. Where its weights begin, a row for each feature;
# where, in those of one stream, what it reads begins, its features, and its states; how many those
# are.
(
    MODAL, FEATURES, LANED, INPUTS, WIDE, DENSE, FREE, KIND, WEIGHTS, SOURCE, NEURONS, STATE, OWN,
    # What it reads: of which block, -1 for an input, from where on, `OUTER` times `INNER` runs of
    # `RUN` numbers, so far apart, times which mask, -1 for none; whether errors go there. Whether
    # it feels an input at once; whether it is told the target, and is a part of the answer.
    PARENT, FROM, OUTER, OUTER_STEP, INNER, INNER_STEP, RUN, MASK, HEARD, FED, JUDGED, SAYS,
    # Of modes: how many; those that errors come back from; the first one among all; where what is
    # known of each and feature begins; where traces do, and those of speeds; and leaks among the
    # weights, and frequencies after them, -1 where none is learned.
    MODES, VOICES, MODE, KNOWN, TRACE, SWING, LEARNED, COLUMNS,
) = range(33)  # fmt: skip

# Of a mode: leak, frequency and gain as they begin; whether the former are learned; its number
# among those that errors come back from, -1 for a silent one.
LEAK, FREQUENCY, GAIN, GAIN_SIDE, LEARNS, VOICE, OF_MODE = range(7)

# Of a mode and feature: what a sample leaves of the state, how a feature pulls it, and the leak.
KEEP, SIDE, PULL, PULL_SIDE, SPEED, OF_STATE = range(6)

# Arrays to work in: sources and sums, features, and these after a hop, slopes, errors, and these
# after a hop, what is pulled back, targets, room for losses, a force, a matrix turned, checks.
(
    SOURCES, SUMS, HERE, NEXT, SLOPES, ERRORS, ERRORS_NEXT, PULLED, TARGETS, MORE, FORCE, TURN,
    CHECKS, ARRAYS,
) = range(14)  # fmt: skip

# Of streams: their order, those with a target first; their places in it; which begin anew.
ORDER, PLACE, FRESH, OF_STREAM = range(4)
