"""Weight, mean and sum of squared deviations: what a mean with its variance needs.

Sums of squares are not kept: the variance of {1e9 + 4, 7, 13, 16} from them is -170.67, true 30.
The merge is Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115; the removal is its
inverse.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.statistics.columns import Floats, Rows, Statistic, sum_by_row


@dataclass(frozen=True, slots=True)
class Moments(Statistic):
    """Weighted Welford moments per group.

    Attributes
    ----------
    weight
        Number (or sum of weights) of the observations.
    mean
        Their mean; 0 while there are none.
    m2
        Sum of (weighted) squared deviations from the mean, never negative.

    Examples
    --------
    The variance that a sum of squares gets wrong:

    >>> x = 1e9 + np.array([4.0, 7.0, 13.0, 16.0])
    >>> a = Moments.of(np.zeros(4, dtype=np.intp), x, size=1)
    >>> a.variance()
    array([30.])
    """

    weight: Floats
    mean: Floats
    m2: Floats

    @classmethod
    def of(cls, rows: Rows, values: Floats, size: int) -> Self:
        """Summarise a batch: ``rows[i]`` observed ``values[i]``. Two passes, so it is stable."""
        weight = sum_by_row(rows, None, size)
        mean = _divide(sum_by_row(rows, values, size), weight)
        # The first mean has lost digits when the values are large: the second pass mends it.
        mean += _divide(sum_by_row(rows, values - mean[rows], size), weight)
        return cls(weight, mean, sum_by_row(rows, (values - mean[rows]) ** 2, size))

    def merge(self, other: Self) -> Self:
        """Combine two samples' moments (Chan et al., eq. 2.1)."""
        weight = self.weight + other.weight
        share = _divide(other.weight, weight)
        delta = other.mean - self.mean
        m2 = self.m2 + other.m2 + delta**2 * self.weight * share
        return type(self)(weight, self.mean + delta * share, m2)

    def remove(self, other: Self) -> Self:
        """Undo ``merge(other)``; m2 is kept at or above 0, where rounding would leave it below."""
        weight = self.weight - other.weight
        share = _divide(other.weight, weight)
        delta = self.mean - other.mean
        mean = np.where(weight > 0, self.mean + delta * share, 0.0)
        m2 = self.m2 - other.m2 - delta**2 * self.weight * share
        return type(self)(weight, mean, np.where(weight > 0, np.maximum(m2, 0.0), 0.0))

    def total(self) -> Self:
        """Return the moments of each row's panes together; the panes are the second axis."""
        weight = self.weight.sum(axis=1)
        mean = _divide((self.weight * self.mean).sum(axis=1), weight)
        apart = (self.weight * (self.mean - mean[:, None]) ** 2).sum(axis=1)
        return type(self)(weight, mean, self.m2.sum(axis=1) + apart)

    def variance(self) -> Floats:
        """Return the unbiased sample variance, NaN for groups with fewer than two observations."""
        variance = np.full(len(self), np.nan)
        np.divide(self.m2, self.weight - 1, out=variance, where=self.weight > 1)
        return variance


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    out = np.zeros_like(denominator)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
