"""What a refit reads: a pool's summary, which merges over shards and workers.

Up to 2,000 groups it keeps them all and a fit from it is the exact one. Above, it keeps binned
measures (:mod:`stream_hb.statistics.histogram`): a fit's hyperparameters are then within 1e-6 of
the exact ones, and neither its size nor the time of a refit grows with the groups.
"""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np

from stream_hb.errors import FitError
from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.counts_summary import CountsSummary
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.exposure_summary import ExposureSummary
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.measured_summary import MeasuredSummary
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.moments_summary import MomentsSummary

EXACT_GROUPS_MAX = 2_000
"""Groups up to which a summary keeps them all."""

S = TypeVar("S", bound=Statistic)

_BINNED: dict[type[Statistic], type[BinnedSummary[Any]]] = {
    Counts: CountsSummary,
    Exposure: ExposureSummary,
    Measured: MeasuredSummary,
    Moments: MomentsSummary,
}


class PoolSummary(Protocol):
    """What every summary of a pool can do, whatever it keeps."""

    def merge(self, other: Any) -> "PoolSummary":
        """Return the summary of the union of two disjoint sets of groups."""
        ...

    def exchange(self, old: Any, new: Any) -> "PoolSummary":
        """Take out groups as they were and put them in as they are."""
        ...

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        ...


@dataclass(frozen=True, slots=True)
class ExactSummary(Generic[S]):
    """The groups' own statistics, so a fit from it is the exact one; it grows with the groups.

    Made by hand it is exact at any size; what comes out of its methods is binned where it holds
    more than ``EXACT_GROUPS_MAX`` groups.

    Attributes
    ----------
    groups
        One row per group of the pool.
    """

    groups: S

    def merge(self, other: "Self | BinnedSummary[S]") -> PoolSummary:
        """Put the groups of both side by side, or add these to the bins of the other."""
        if isinstance(other, BinnedSummary):
            return other.merge(self)
        return summary_of(self.groups.concatenate(other.groups))

    def exchange(self, old: S, new: S) -> PoolSummary:
        """Take out groups as they were and put them in as they are; equal groups are alike."""
        have_data = _BINNED[type(new)].have_data
        old, new = old.take(have_data(old)), new.take(have_data(new))
        everything = self.groups.concatenate(old).concatenate(new)
        rows = np.stack(list(everything.columns().values()), axis=1)
        _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        sign = np.repeat((1, -1, 1), (len(self.groups), len(old), len(new)))
        copies = np.bincount(which.ravel(), sign, len(first)).astype(np.intp)
        if (copies < 0).any():
            raise FitError("a group to be taken out of a summary is not in it")
        return summary_of(everything.take(np.repeat(first, copies)))

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        return len(self.groups)


def summary_of(groups: S) -> ExactSummary[S] | BinnedSummary[S]:
    """Summarise groups: those with data, exactly if there are at most ``EXACT_GROUPS_MAX``.

    Examples
    --------
    >>> type(summary_of(Counts(np.ones(2_000), np.ones(2_000)))).__name__
    'ExactSummary'
    >>> type(summary_of(Counts(np.ones(2_001), np.ones(2_001)))).__name__
    'CountsSummary'
    """
    binned = _BINNED[type(groups)]
    seen = binned.have_data(groups)
    if int(seen.sum()) > EXACT_GROUPS_MAX:
        return binned.of(groups)
    return ExactSummary(groups if seen.all() else groups.take(seen))


def as_summary(
    pool: "S | ExactSummary[S] | BinnedSummary[S]",
) -> ExactSummary[S] | BinnedSummary[S]:
    """Return the summary of what is a summary or the groups' statistic; groups have data."""
    if isinstance(pool, BinnedSummary):
        return pool
    if isinstance(pool, ExactSummary):
        seen = _BINNED[type(pool.groups)].have_data(pool.groups)
        return pool if seen.all() else ExactSummary(pool.groups.take(seen))
    return summary_of(pool)
