"""A histogram that keeps moments: sums of smooth functions of many values, without the values.

The bins are spaced evenly in the logarithm, 64 a decade, at edges 10^(k/64) that are the same for
all, so histograms merge by addition; each keeps the moments 0 to 4 of (x - c)/c about its centre c.
Counts alone would err by 3 %, counts and sums by nearly as much: with five moments a sum of
likelihood terms errs by about 1e-11 a term. (Moments 0 to 3 leave 1e-9: where groups hardly
differ the terms cancel, and the spread of a Gamma-Poisson then erred by up to 3e-5.)

There is no lowest and no highest bin: the array reaches from the lowest to the highest bin that was
ever met (2.5 kB a decade for each measure), so no unit of time or money falls off its ends.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import FitError
from stream_hb.statistics.columns import Floats, Rows
from stream_hb.statistics.measure import Measure
from stream_hb.statistics.quadrature import CHEBYSHEV, MOMENTS, interpolated, three_nodes

BINS_PER_DECADE = 64

_LARGEST = 1e300
_NO_WEIGHT = 1e-12
_HALF_WIDTH = 10 ** (0.5 / BINS_PER_DECADE) - 1
"""The farthest that a value of a bin lies from its centre, relative to the centre."""

_HALF_WIDTHS: Floats = _HALF_WIDTH ** -np.arange(float(MOMENTS))


@dataclass(frozen=True, slots=True)
class Histogram:
    """Several measures of the same positive values: their number, and any weights.

    Values at zero are left out: what is summed over them is zero at zero.

    Attributes
    ----------
    first
        k of the first bin.
    moments
        Shape (measures, 5, bins). Measure 0 is the number of values.

    Examples
    --------
    >>> histogram = Histogram.of(np.array([0.0, 3.0, 3.0, 1e-9]))
    >>> histogram.counting()
    Measure(x=array([1.e-09, 3.e+00]), weight=array([1., 2.]))
    """

    first: int
    moments: Floats

    @classmethod
    def empty(cls, measures: int = 1) -> Self:
        """Return the histogram of nothing."""
        return cls(0, np.zeros((measures, MOMENTS, 0)))

    @classmethod
    def of(cls, x: Floats, *weights: Floats) -> Self:
        """Gather values with their weights in each further measure."""
        return cls.empty(1 + len(weights)).exchange(
            x[:0], x, [w[:0] for w in weights], list(weights)
        )

    def merge(self, other: Self) -> Self:
        """Return the histogram of the values of both."""
        if not (len(self) and len(other)):
            return self if len(self) else other
        first = min(self.first, other.first)
        stop = max(self.first + len(self), other.first + len(other))
        moments = self._within(first, stop) + other._within(first, stop)
        return type(self)(first, moments)

    def exchange(
        self,
        old: Floats,
        new: Floats,
        old_weights: list[Floats] | None = None,
        new_weights: list[Floats] | None = None,
    ) -> Self:
        """Take out old values and put in new ones, with their weights in each further measure."""
        x, sign = np.concatenate((old, new)), np.repeat((-1.0, 1.0), (len(old), len(new)))
        pairs = zip(old_weights or [], new_weights or [], strict=True)
        weights = [sign, *(sign * np.concatenate(pair) for pair in pairs)]
        _check(x, weights)
        if not x.all():
            kept = x > 0
            x, weights = x[kept], [w[kept] for w in weights]
        if not len(x):
            return self
        bins = np.floor(BINS_PER_DECADE * np.log10(x)).astype(np.intp)
        first, stop = self._reach(bins)
        moments = self._within(first, stop)
        away = x / _centres(first, stop)[bins - first] - 1
        for measure, weight in zip(moments, weights, strict=True):
            _add_moments(measure, bins - first, away, weight)
        return type(self)(first, moments)

    def counting(self) -> Measure:
        """Return the number of values as a measure on at most three nodes a bin."""
        bins = self._filled()
        m0, *raw = self.moments[0][:, bins]
        mean, second, cube, quartic = (m / m0 for m in raw)
        variance = second - mean**2
        third = cube - mean * (3 * variance + mean**2)
        fourth = quartic - mean * (4 * third + mean * (6 * variance + mean**2))
        away, weight = three_nodes(m0, mean, variance, third, fourth)
        centres = _centres(self.first, self.first + len(self))[bins]
        used = weight > _NO_WEIGHT * m0[:, np.newaxis]
        return Measure((centres[:, np.newaxis] * (1 + away))[used], weight[used])

    def weighing(self) -> tuple[Floats, Floats]:
        """Return five nodes a bin, shape (nodes,), and every measure's weights, (measures, nodes).

        The weights are linear in the moments; single ones may be negative.
        """
        bins = self._filled()
        scaled = self.moments[:, :, bins] * _HALF_WIDTHS[:, np.newaxis]
        weights = interpolated(scaled).swapaxes(1, 2)
        centres = _centres(self.first, self.first + len(self))[bins]
        nodes = centres[:, np.newaxis] * (1 + _HALF_WIDTH * CHEBYSHEV)
        return nodes.ravel(), weights.reshape(len(weights), -1)

    def totals(self) -> Floats:
        """Return every measure's total, shape (measures,)."""
        totals: Floats = self.moments[:, 0, self._filled()].sum(axis=-1)
        return totals

    def largest_mean(self, measure: int) -> float:
        """Return the largest of the bins' means of a weight, 0 without values."""
        bins = self._filled()
        means = self.moments[measure, 0, bins] / self.moments[0, 0, bins]
        return float(means.max(initial=0.0))

    def mixed(self, matrix: Floats) -> Self:
        """Return the histogram whose measures are linear combinations of this one's."""
        return type(self)(self.first, np.tensordot(matrix, self.moments, axes=1))

    def __len__(self) -> int:
        return int(self.moments.shape[-1])

    def _filled(self) -> Rows:
        # The number of values in a bin is a whole number and exact. The other moments are not:
        # what is left of them when the last value has gone is rounding.
        return np.flatnonzero(self.moments[0, 0] > 0.5)

    def _reach(self, bins: NDArray[np.intp]) -> tuple[int, int]:
        first, stop = int(bins.min()), int(bins.max()) + 1
        if len(self):
            first, stop = min(first, self.first), max(stop, self.first + len(self))
        return first, stop

    def _within(self, first: int, stop: int) -> Floats:
        """Return a copy of the moments in the bins [first, stop), which hold all of them."""
        moments = np.zeros((*self.moments.shape[:2], stop - first))
        moments[:, :, self.first - first : self.first - first + len(self)] = self.moments
        return moments


def _centres(first: int, stop: int) -> Floats:
    centres: Floats = 10.0 ** ((np.arange(first, stop) + 0.5) / BINS_PER_DECADE)
    return centres


def _add_moments(moments: Floats, bins: Rows, away: Floats, weight: Floats) -> None:
    term = weight
    for power in range(MOMENTS):
        moments[power] += np.bincount(bins, term, moments.shape[-1])
        term = term * away


def _check(x: Floats, weights: list[Floats]) -> None:
    # A NaN fails both comparisons.
    wrong = ~((x >= 0) & (x <= _LARGEST))
    if wrong.any():
        raise FitError(f"a histogram takes values from 0 to {_LARGEST:g}, not {x[wrong][0]}")
    for weight in weights:
        if not np.isfinite(weight).all():
            raise FitError(
                f"a histogram takes finite weights, not {weight[~np.isfinite(weight)][0]}"
            )
