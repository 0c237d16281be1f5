"""A pool of measured means without its groups: what the Normal-Normal likelihood reads."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.centred import CentredMeans
from stream_hb.statistics.measured import Measured


class MeasuredTotals(NamedTuple):
    """Sums over the groups of a pool.

    Attributes
    ----------
    groups_count
        Number of groups.
    variance
        Σv.
    log_precision
        -Σ ln v.
    """

    groups_count: float
    variance: float
    log_precision: float

    @classmethod
    def of(cls, groups: Measured) -> Self:
        """Sum over groups."""
        v = groups.variance
        return cls(float(len(groups)), float(v.sum()), -float(np.log(v).sum()))

    def add(self, other: Self, sign: float = 1.0) -> Self:
        """Return the sums over both, or, with a sign of -1, over what ``other`` leaves."""
        return type(self)(*(a + sign * b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class MeasuredSummary(BinnedSummary[Measured]):
    """Binned measures of a pool of measured means.

    Attributes
    ----------
    means
        The means by their precision 1/v.
    totals
        Sums over the groups.
    """

    means: CentredMeans
    totals: MeasuredTotals

    @classmethod
    def empty(cls) -> Self:
        """Return the summary of no groups."""
        return cls(CentredMeans.empty(), MeasuredTotals(0.0, 0.0, 0.0))

    @classmethod
    def have_data(cls, groups: Measured) -> NDArray[Any]:
        """Return which groups are measured: with a finite variance."""
        return ~np.isposinf(groups.variance)

    def exchange(self, old: Measured, new: Measured) -> Self:
        """Take out groups as they were and put them in as they are."""
        old, new = (groups.take(self.have_data(groups)) for groups in (old, new))
        with np.errstate(divide="ignore"):  # a variance of 0 is refused with its precision
            precisions = 1 / old.variance, 1 / new.variance
        means = self.means.exchange(precisions[0], old.mean, precisions[1], new.mean)
        totals = self.totals.add(MeasuredTotals.of(new)).add(MeasuredTotals.of(old), -1.0)
        return type(self)(means, totals)

    def add(self, other: Self) -> Self:
        """Return the summary of the union with another binned one."""
        return type(self)(self.means.merge(other.means), self.totals.add(other.totals))

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        return round(self.totals.groups_count)
