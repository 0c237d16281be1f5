"""Weighted mean and sum of squared deviations: a mean with its variance that forgets."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.statistics.columns import Floats, Rows, sum_by_row
from stream_hb.statistics.decayed import Decayed, Exponent, faded, kish_scale, left, rescaled
from stream_hb.statistics.moments import Moments


@dataclass(frozen=True, slots=True)
class DecayedMoments(Decayed[Moments]):
    """Welford moments per group, with weights.

    Merge and removal are those of :class:`~stream_hb.statistics.moments.Moments` (Chan et al. 1983,
    doi:10.1080/00031305.1983.10483115).

    Attributes
    ----------
    weight
        Σw.
    mean
        Σwx/Σw; 0 while there are no observations.
    m2
        Σw(x - mean)², never negative.
    squares
        Σw².

    Examples
    --------
    Weights that are all alike are no weights, whatever they are:

    >>> rows, values = np.zeros(4, dtype=np.intp), 1e9 + np.array([4.0, 7.0, 13.0, 16.0])
    >>> a = DecayedMoments.of(rows, values, np.full(4, 0.01), size=1).effective()
    >>> a.weight.round(9), a.variance().round(9)
    (array([4.]), array([30.]))
    """

    weight: Floats
    mean: Floats
    m2: Floats
    squares: Floats

    @classmethod
    def of(cls, rows: Rows, values: Floats, weights: Floats, size: int) -> Self:
        """Summarise a batch: ``rows[i]`` observed ``values[i]`` with ``weights[i]``.

        ``rows`` lie in ``[0, size)``; all three arrays are of one length. Two passes, as
        :meth:`Moments.of <stream_hb.statistics.moments.Moments.of>` and for the same reason.
        """
        weight = sum_by_row(rows, weights, size)
        mean = _divide(sum_by_row(rows, weights * values, size), weight)
        mean += _divide(sum_by_row(rows, weights * (values - mean[rows]), size), weight)
        m2 = sum_by_row(rows, weights * (values - mean[rows]) ** 2, size)
        return cls(weight, mean, m2, sum_by_row(rows, weights**2, size))

    def merge(self, other: Self) -> Self:
        """Combine two samples' moments."""
        joined = self._plain().merge(other._plain())
        return type(self)(joined.weight, joined.mean, joined.m2, self.squares + other.squares)

    def remove(self, other: Self) -> Self:
        """Undo ``merge(other)``; m2 is kept at or above 0, where rounding would leave it below."""
        rest = self._plain().remove(other._plain())
        squares = self.squares - other.squares
        some = left(self.weight, rest.weight) * left(self.squares, squares)
        return type(self)(
            some * rest.weight,
            some * rest.mean,
            some * rest.m2,
            some * squares,
        )

    def rescaled(self, exponent: Exponent) -> Self:
        """Return the moments with every weight times 2^-exponent."""
        weight, m2, squares = rescaled((self.weight, self.m2), self.squares, exponent)
        return type(self)(weight, self.mean * (weight > 0), m2, squares)

    def effective(self, age_in_half_lives: Floats | float = 0.0) -> Moments:
        """Return n = (Σw)²/Σw² observations, times 2^-age, of the same mean and variance.

        The variance is the unbiased s² = M2/(Σw - Σw²/Σw), for weights that say how much an
        observation counts and not how often it was made; an n of at most 1 has none.
        """
        scale = kish_scale(self.weight, self.squares)
        size, kept = scale * self.weight, faded(age_in_half_lives)
        # s² = M2·scale/(n - 1), in the form that divides by nothing at n = 1.
        degrees_kept = _divide(np.maximum(size * kept - 1, 0.0), size - 1)
        return Moments(size * kept, self.mean, scale * self.m2 * degrees_kept)

    def _plain(self) -> Moments:
        return Moments(self.weight, self.mean, self.m2)


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    out = np.zeros(len(denominator))
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
