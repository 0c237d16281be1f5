"""The maximum of a profile likelihood in one variance component, zero included."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from stream_hb.statistics.columns import Floats

Function = Callable[[float], float]

_SCAN_POINTS = 60
_DIP_NATS = 0.01


class Peak(NamedTuple):
    """Where a variance component's likelihood is highest."""

    at: float
    bimodal: bool
    iterations: int


def highest_peak(
    score: Function,
    value: Function,
    lowest: float,
    highest: float,
    scores: Callable[[Floats], Floats] | None = None,
) -> Peak:
    """Return the variance in {0} ∪ [0, highest] with the highest likelihood.

    Parameters
    ----------
    score, value
        Derivative and value of the log-likelihood in the variance.
    lowest, highest
        Range of the scan on a log scale: below it the likelihood is linear, above it falls.
    scores
        The same derivative at many variances at once, where that is cheaper.
    """
    scan = np.concatenate(([0.0], np.geomspace(lowest, highest, _SCAN_POINTS)))
    slopes = np.array([score(variance) for variance in scan]) if scores is None else scores(scan)
    downward = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    roots = [find_root(score, scan[i], scan[i + 1]) for i in downward]
    iterations = sum(steps for _, steps in roots)
    peaks = [0.0] if slopes[0] <= 0 else []
    peaks += [root for root, _ in roots]
    if slopes[-1] > 0:
        peaks.append(highest)
    return Peak(max(peaks, key=value), len(peaks) > 1, iterations)


class Shape(NamedTuple):
    """What a likelihood says of itself: highest where there is no spread, of two modes."""

    boundary: bool
    bimodal: bool


def shape_of(heights: Floats) -> Shape:
    """Return the shape of a log-likelihood from its values at no spread and at rising spreads.

    A mode counts if .01 nats of descent part it from the one before: less is rounding, or how the
    spreads happened to lie.

    >>> shape_of(np.array([3.0, 2.0, 1.0, 1.5, 0.0]))
    Shape(boundary=True, bimodal=True)
    >>> shape_of(np.array([1.0, 2.0, 1.995, 1.999, 0.0]))
    Shape(boundary=False, bimodal=False)
    """
    modes, turn, is_rising = 0, float(heights[0]), True
    for height in heights.tolist():
        turn = max(turn, height) if is_rising else min(turn, height)
        if is_rising and height < turn - _DIP_NATS:
            modes, turn, is_rising = modes + 1, height, False
        elif not is_rising and height > turn + _DIP_NATS:
            turn, is_rising = height, True
    boundary = float(heights[0]) >= float(heights.max())
    return Shape(boundary, modes + is_rising > 1)


def find_root(function: Function, below: float, above: float) -> tuple[float, int]:
    """Return a root between two points with different signs, and the steps it took."""
    # Where rounding keeps it from converging the last point is as good as any: nothing is raised.
    root, report = brentq(
        function, below, above, xtol=1e-300, rtol=1e-14, full_output=True, disp=False
    )
    return float(root), int(report.iterations)
