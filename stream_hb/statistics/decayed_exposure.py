"""Weighted events over a weighted exposure: a rate that forgets."""

from dataclasses import dataclass
from typing import Self

from stream_hb.statistics.columns import Floats, Rows, sum_by_row
from stream_hb.statistics.decayed import Decayed, Exponent, faded, kish_scale, left, rescaled
from stream_hb.statistics.exposure import Exposure


@dataclass(frozen=True, slots=True)
class DecayedExposure(Decayed[Exposure]):
    """Weighted events and exposure per group.

    With yᵢ ~ Poisson(tᵢθ) the estimate Σwy/Σwt has the variance θ·Σw²t/(Σwt)²; an exposure T gives
    θ/T. So the exposure that is worth as much is T = (Σwt)²/Σw²t: each square is weighted by its
    exposure, and how a stretch of time is cut into rows does not matter (Σw² would count rows).

    Attributes
    ----------
    events, exposure
        Σwy and Σwt.
    squares
        Σw²t.

    Examples
    --------
    An hour of weight 1 and ten of weight ½, whether those are one row or ten:

    >>> import numpy as np
    >>> rows, weights = np.zeros(2, dtype=np.intp), np.array([1.0, 0.5])
    >>> a = DecayedExposure.of(rows, np.array([3.0, 20.0]), np.array([1.0, 10.0]), weights, size=1)
    >>> a.exposure, a.effective().exposure.round(3)
    (array([6.]), array([10.286]))
    >>> (a.effective().events / a.effective().exposure).round(3)  # 13 / 6, as without the scale
    array([2.167])
    """

    events: Floats
    exposure: Floats
    squares: Floats

    @classmethod
    def of(cls, rows: Rows, events: Floats, exposure: Floats, weights: Floats, size: int) -> Self:
        """Sum a batch: ``rows[i]`` had ``events[i]`` events in ``exposure[i]``, all of one weight.

        ``rows`` lie in ``[0, size)``; all four arrays are of one length.
        """
        return cls(
            sum_by_row(rows, weights * events, size),
            sum_by_row(rows, weights * exposure, size),
            sum_by_row(rows, weights**2 * exposure, size),
        )

    def merge(self, other: Self) -> Self:
        """Add every column."""
        return type(self)(
            self.events + other.events,
            self.exposure + other.exposure,
            self.squares + other.squares,
        )

    def remove(self, other: Self) -> Self:
        """Subtract every column."""
        events, exposure = self.events - other.events, self.exposure - other.exposure
        squares = self.squares - other.squares
        some = left(self.exposure, exposure) * left(self.squares, squares)
        return type(self)(
            left(self.events, events) * events,
            some * exposure,
            some * squares,
        )

    def rescaled(self, exponent: Exponent) -> Self:
        """Return the sums with every weight times 2^-exponent."""
        return type(self)(*rescaled((self.events, self.exposure), self.squares, exponent))

    def effective(self, age_in_half_lives: Floats | float = 0.0) -> Exposure:
        """Return (T·θ̂, T) with θ̂ = Σwy/Σwt and T = (Σwt)²/Σw²t, times 2^-age.

        Events without any exposure say nothing of a rate: nothing is returned for them.
        """
        scale = kish_scale(self.exposure, self.squares) * faded(age_in_half_lives)
        return Exposure(scale * self.events, scale * self.exposure)
