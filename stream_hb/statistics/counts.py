"""Successes out of trials: what a conversion rate needs."""

from dataclasses import dataclass
from typing import Self

from stream_hb.statistics.columns import Floats, Rows, Statistic, sum_by_row


@dataclass(frozen=True, slots=True)
class Counts(Statistic):
    """Successes and trials per group, ``0 <= successes <= trials``.

    Attributes
    ----------
    successes, trials
        Float64 columns; whole numbers are exact up to 2**53.

    Examples
    --------
    >>> import numpy as np
    >>> a = Counts.of(np.array([0, 0, 1]), np.array([1.0, 0.0, 1.0]), size=2)
    >>> a.successes, a.trials
    (array([1., 1.]), array([2., 1.]))
    >>> a.merge(a).remove(a).trials
    array([2., 1.])
    """

    successes: Floats
    trials: Floats

    @classmethod
    def of(cls, rows: Rows, success: Floats, size: int) -> Self:
        """Count a batch: ``rows[i]`` had one trial that ended in ``success[i]`` (0 or 1)."""
        return cls(sum_by_row(rows, success, size), sum_by_row(rows, None, size))

    def merge(self, other: Self) -> Self:
        """Add both columns."""
        return type(self)(self.successes + other.successes, self.trials + other.trials)

    def remove(self, other: Self) -> Self:
        """Subtract both columns."""
        return type(self)(self.successes - other.successes, self.trials - other.trials)
