"""A mean with a known sampling variance: what published summaries and tables give."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.statistics.columns import Floats, Statistic


@dataclass(frozen=True, slots=True)
class Measured(Statistic):
    """One measured mean per group, its sampling variance known.

    Attributes
    ----------
    mean
        The group's mean.
    variance
        The variance of that mean (a squared standard error); infinite while nothing is measured.
    """

    mean: Floats
    variance: Floats

    @classmethod
    def zeros(cls, size: int) -> Self:
        """Return nothing measured: mean 0 with infinite variance."""
        return cls(np.zeros(size), np.full(size, np.inf))

    def merge(self, other: Self) -> Self:
        """Combine two measurements of the same quantity by their precisions."""
        return self._from_precisions(other, 1.0)

    def remove(self, other: Self) -> Self:
        """Undo ``merge(other)``."""
        return self._from_precisions(other, -1.0)

    def _from_precisions(self, other: Self, sign: float) -> Self:
        mine, theirs = 1 / self.variance, sign / other.variance
        precision = mine + theirs
        known = precision > 0
        total = np.where(known, precision, 1.0)
        mean = np.where(known, (mine * self.mean + theirs * other.mean) / total, 0.0)
        return type(self)(mean, np.where(known, 1 / total, np.inf))
