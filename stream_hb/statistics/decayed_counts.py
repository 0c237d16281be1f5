"""Weighted successes out of weighted trials: a conversion rate that forgets."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.statistics.columns import Floats, Rows, sum_by_row
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.decayed import Decayed, Exponent, faded, kish_scale, left, rescaled


@dataclass(frozen=True, slots=True)
class DecayedCounts(Decayed[Counts]):
    """Weighted successes and trials per group.

    Attributes
    ----------
    successes, trials
        Σwy and Σw over the trials, y being 0 or 1.
    squares
        Σw² over the trials.

    Examples
    --------
    Four visits, each half as heavy as the next one, are 1.875 heavy and worth 2.6; a Beta-Binomial
    that is given 1.875 trials takes the groups for more alike than chance allows.

    >>> weights = np.array([0.125, 0.25, 0.5, 1.0])
    >>> success = np.array([0.0, 1.0, 0.0, 0.0])
    >>> a = DecayedCounts.of(np.zeros(4, dtype=np.intp), success, weights, size=1)
    >>> a.trials, a.effective().trials.round(3)
    (array([1.875]), array([2.647]))
    >>> a.effective(age_in_half_lives=1.0).trials.round(3)  # silent for one half-life
    array([1.324])
    """

    successes: Floats
    trials: Floats
    squares: Floats

    @classmethod
    def of(cls, rows: Rows, success: Floats, weights: Floats, size: int) -> Self:
        """Count a batch: ``rows[i]`` had one trial of weight ``weights[i]``, ``success[i]`` 0 or 1.

        ``rows`` lie in ``[0, size)``; all three arrays are of one length.
        """
        return cls(
            sum_by_row(rows, weights * success, size),
            sum_by_row(rows, weights, size),
            sum_by_row(rows, weights**2, size),
        )

    def merge(self, other: Self) -> Self:
        """Add every column."""
        return type(self)(
            self.successes + other.successes,
            self.trials + other.trials,
            self.squares + other.squares,
        )

    def remove(self, other: Self) -> Self:
        """Subtract every column; no more successes are left than trials.

        What is 24 half-lives older than what is taken out is lost in rounding (its squares are).
        """
        successes, trials = self.successes - other.successes, self.trials - other.trials
        squares = self.squares - other.squares
        some = left(self.trials, trials) * left(self.squares, squares)
        return type(self)(
            np.minimum(left(self.successes, successes) * successes, some * trials),
            some * trials,
            some * squares,
        )

    def rescaled(self, exponent: Exponent) -> Self:
        """Return the counts with every weight times 2^-exponent."""
        return type(self)(*rescaled((self.successes, self.trials), self.squares, exponent))

    def effective(self, age_in_half_lives: Floats | float = 0.0) -> Counts:
        """Return (n·p̂, n) with p̂ = Σwy/Σw and Kish's n = (Σw)²/Σw², times 2^-age.

        p̂ then has the variance θ(1-θ)/n that the binomial takes it to have.
        """
        scale = kish_scale(self.trials, self.squares) * faded(age_in_half_lives)
        return Counts(scale * self.successes, scale * self.trials)
