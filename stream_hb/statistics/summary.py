"""What a refit reads: a pool's summary, which merges over shards and workers."""

from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from stream_hb.statistics.columns import Statistic

S = TypeVar("S", bound=Statistic)


class PoolSummary(Protocol):
    """What every summary of a pool can do, whatever it keeps."""

    def merge(self, other: Self) -> Self:
        """Return the summary of the union of two disjoint sets of groups."""
        ...

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        ...


@dataclass(frozen=True, slots=True)
class ExactSummary(Generic[S]):
    """The groups' own statistics, so a fit from it is the exact one; it grows with the groups.

    Attributes
    ----------
    groups
        One row per group of the pool.
    """

    groups: S

    def merge(self, other: Self) -> Self:
        """Put the groups of both side by side."""
        return type(self)(self.groups.concatenate(other.groups))

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        return len(self.groups)
