"""Means binned by their precision, about a fixed centre."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.statistics.columns import Floats
from stream_hb.statistics.histogram import Histogram


@dataclass(frozen=True, slots=True)
class CentredMeans:
    """Precisions p with the weights z and z², z = y - origin.

    Precisions and not variances: the terms p/(1 + pτ²) and ln(1 + pτ²) tend to polynomials in p as
    τ² → 0, which the moments of a bin give exactly. Binned by the variance the same terms err by
    1e-8 of v, and so by any share of a τ² that is small beside v.

    Attributes
    ----------
    origin
        The centre: Σz² about zero would lose the digits that squared means have before squared
        deviations.
    histogram
        Values p with the measures 1, z and z².

    Examples
    --------
    >>> means = CentredMeans.of(np.ones(3), np.array([1e9, 1e9 + 1, 1e9 + 5]))
    >>> means.origin, means.histogram.totals()
    (1000000001.0, array([ 3.,  3., 17.]))
    >>> means.about(1e9).histogram.totals()
    array([ 3.,  6., 26.])
    """

    origin: float
    histogram: Histogram

    @classmethod
    def empty(cls) -> Self:
        """Return nothing; the first means will choose the centre."""
        return cls(0.0, Histogram.empty(3))

    @classmethod
    def of(cls, precision: Floats, mean: Floats) -> Self:
        """Bin means by their precision, about their median."""
        return cls.empty().exchange(precision[:0], mean[:0], precision, mean)

    def exchange(
        self, old_precision: Floats, old_mean: Floats, new_precision: Floats, new_mean: Floats
    ) -> Self:
        """Take out means as they were and put them in as they are."""
        origin = self.origin
        if not self.histogram.totals()[0] and len(new_mean):
            origin = float(np.median(new_mean))
        old, new = old_mean - origin, new_mean - origin
        histogram = self.histogram if origin == self.origin else Histogram.empty(3)
        return type(self)(
            origin,
            histogram.exchange(old_precision, new_precision, [old, old**2], [new, new**2]),
        )

    def about(self, origin: float) -> Self:
        """Return the same means about another centre."""
        shift = self.origin - origin
        if shift == 0:
            return self
        matrix = np.array([[1.0, 0.0, 0.0], [shift, 1.0, 0.0], [shift**2, 2 * shift, 1.0]])
        return type(self)(origin, self.histogram.mixed(matrix))

    def merge(self, other: Self) -> Self:
        """Return the means of both, about this one's centre."""
        if not len(self.histogram):
            return other
        return type(self)(self.origin, self.histogram.merge(other.about(self.origin).histogram))
