"""A pool of observed means without its groups: what the Normal likelihood with a fitted σ² reads.

The means are binned by the groups' weights n, their precision in units of 1/σ²: a new σ² scales the
bins and moves nothing between them.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.centred import CentredMeans
from stream_hb.statistics.moments import Moments


class MomentsTotals(NamedTuple):
    """Sums over the groups of a pool.

    Attributes
    ----------
    groups_count
        Number of groups.
    weight
        Σ max(n, 1): observations; less the groups they are the degrees of freedom within, of which
        a group with less than one observation takes none away.
    reciprocal_weight
        Σ1/n: times σ², the sum of the sampling variances.
    log_weight
        Σ ln n.
    m2
        ΣM2: squared deviations from the groups' own means.
    """

    groups_count: float
    weight: float
    reciprocal_weight: float
    log_weight: float
    m2: float

    @classmethod
    def of(cls, groups: Moments) -> Self:
        """Sum over groups."""
        n = groups.weight
        sums = (x.sum() for x in (np.maximum(n, 1.0), 1 / n, np.log(n), groups.m2))
        return cls(float(len(groups)), *map(float, sums))

    def add(self, other: Self, sign: float = 1.0) -> Self:
        """Return the sums over both, or, with a sign of -1, over what ``other`` leaves."""
        return type(self)(*(a + sign * b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class MomentsSummary(BinnedSummary[Moments]):
    """Binned measures of a pool of observed means.

    Attributes
    ----------
    means
        The means by their weight n.
    totals
        Sums over the groups.
    """

    means: CentredMeans
    totals: MomentsTotals

    @classmethod
    def empty(cls) -> Self:
        """Return the summary of no groups."""
        return cls(CentredMeans.empty(), MomentsTotals(*[0.0] * len(MomentsTotals._fields)))

    @classmethod
    def have_data(cls, groups: Moments) -> NDArray[Any]:
        """Return which groups have observations."""
        return np.asarray(groups.weight > 0)

    def exchange(self, old: Moments, new: Moments) -> Self:
        """Take out groups as they were and put them in as they are."""
        old, new = (groups.take(self.have_data(groups)) for groups in (old, new))
        means = self.means.exchange(old.weight, old.mean, new.weight, new.mean)
        totals = self.totals.add(MomentsTotals.of(new)).add(MomentsTotals.of(old), -1.0)
        return type(self)(means, totals)

    def add(self, other: Self) -> Self:
        """Return the summary of the union with another binned one."""
        return type(self)(self.means.merge(other.means), self.totals.add(other.totals))

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        return round(self.totals.groups_count)
