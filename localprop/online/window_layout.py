"""How much a window holds, and where its numbers lie in arrays."""

from __future__ import annotations

MOST = 2000  # values that a window holds
BINS = 6
EARLY, STEP, GROWTH, LATEST = 20, 5, 1.15, 200  # when the quantiles are found anew
FENCES = (0.05, 0.02, 0.01, 0.005)  # the first that has a spread bounds what moments take in
LEAP = 1000.0  # times the spread: a column that moved so far has begun anew
FEWEST = 50  # values by which that is judged
AHEAD = 128  # rows that are taken at once
EVENLY = 256  # places for values that are about to be sorted
PARTS = 2 * MOST // LATEST + 2  # of a window: two neighbours hold more than `LATEST` together

# Of a column: where its sums are taken about, these, fences and spread, then `QUANTILES`.
SHIFT, TOTAL, SQUARES, LOW, HIGH, SPREAD, QUANTILES = range(7)
MEDIAN = QUANTILES + BINS + 1
# Values met so far, those in the sums, those since the quantiles were found last, how many more
# until they are found anew, and parts.
MET, HELD, NEW, DUE, PIECES = range(5)
SCALE = 2 + BINS + 2  # numbers in a row of scales
