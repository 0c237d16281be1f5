"""What an arm does in each store: the contrast with its control, and its sampling variance.

Stores differ far more from each other than arms do within a store. A contrast is taken within the
store and pooled as such: cells that are shrunk one by one and then subtracted keep the noise of
both (RMSE 7.4 against 4.9 in events-and-feeds' simulation of 40 stores).
"""

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.experiments.lift import ArmMean
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured

Bools = NDArray[np.bool_]

_HALF = 0.5
"""Added to every cell (Haldane 1956): a store without an order still has a finite contrast."""


def log_odds_ratio(
    successes: Floats, units: Floats, control_successes: Floats, control_units: Floats
) -> Measured:
    """Return ln of the odds ratio of each store with 1/2 added to all cells; V = sum of 1/cell.

    Stores without a unit in either arm have none: variance infinite.

    Examples
    --------
    >>> one = np.ones(1)
    >>> found = log_odds_ratio(30 * one, 500 * one, 20 * one, 500 * one)
    >>> found.mean.round(6), found.variance.round(6)
    (array([0.418333]), array([0.085774]))
    """
    failures, control_failures = units - successes, control_units - control_successes
    cells = [one + _HALF for one in (successes, failures, control_successes, control_failures)]
    effect = np.log(cells[0] / cells[1]) - np.log(cells[2] / cells[3])
    return _where(np.minimum(units, control_units) > 0, effect, sum_of_reciprocals(cells))


def log_rate_ratio(
    counts: Floats, exposure: Floats, control_counts: Floats, control_exposure: Floats
) -> Measured:
    """Return ln of the ratio of two rates of counts with 1/2 added to both; Poisson variance."""
    known = np.minimum(exposure, control_exposure) > 0
    safe, control_safe = (np.where(known, one, 1.0) for one in (exposure, control_exposure))
    cells = [counts + _HALF, control_counts + _HALF]
    effect = np.log(cells[0] / safe) - np.log(cells[1] / control_safe)
    return _where(known, effect, sum_of_reciprocals(cells))


def difference(arm: ArmMean, control: ArmMean) -> Measured:
    """Return the difference of two means, of logarithms of order values for example."""
    variance = arm.variance + control.variance
    return _where(_is_usable(variance), arm.mean - control.mean, variance)


def log_ratio(arm: ArmMean, control: ArmMean) -> Measured:
    """Return ln of the ratio of two means above 0, its variance by the delta method."""
    known = (arm.mean > 0) & (control.mean > 0)
    means = [np.where(known, one.mean, 1.0) for one in (arm, control)]
    parts = [one.variance / mean**2 for one, mean in zip((arm, control), means, strict=True)]
    variance = parts[0] + parts[1]
    return _where(known & _is_usable(variance), np.log(means[0]) - np.log(means[1]), variance)


def sum_of_reciprocals(cells: list[Floats]) -> Floats:
    """Return the sum of 1/cell."""
    total: Floats = np.sum([1 / cell for cell in cells], axis=0)
    return total


def _is_usable(variance: Floats) -> Bools:
    """Tell where a variance is known and not zero (equal observations are not known for sure)."""
    usable: Bools = np.isfinite(variance) & (variance > 0)
    return usable


def _where(known: Bools, effect: Floats, variance: Floats) -> Measured:
    return Measured(np.where(known, effect, 0.0), np.where(known, variance, np.inf))
