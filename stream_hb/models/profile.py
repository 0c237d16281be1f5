"""The maximum of a profile likelihood in one variance component, zero included."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from stream_hb.statistics.columns import Floats

Function = Callable[[float], float]

_SCAN_POINTS = 60


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


def find_root(function: Function, below: float, above: float) -> tuple[float, int]:
    """Return a root between two points with different signs, and the steps it took."""
    # Where rounding keeps it from converging the last point is as good as any: nothing is raised.
    root, report = brentq(
        function, below, above, xtol=1e-300, rtol=1e-14, full_output=True, disp=False
    )
    return float(root), int(report.iterations)
