"""What every binned summary of a pool shares: it is empty, exchanges groups, and merges."""

from typing import Any, Generic, Protocol, Self, TypeVar

from numpy.typing import NDArray

from stream_hb.statistics.columns import Statistic

S = TypeVar("S", bound=Statistic)
S_co = TypeVar("S_co", bound=Statistic, covariant=True)


class OfGroups(Protocol[S_co]):
    """A summary that has kept its groups."""

    @property
    def groups(self) -> S_co:
        """One row per group."""
        ...


class BinnedSummary(Generic[S]):
    """Base of the summaries whose size does not grow with the number of groups.

    They are made from the groups' statistics and are rebuilt from them after a restart, so they are
    never stored. Groups without data are not part of them: one enters with its first data.
    """

    __slots__ = ()

    @classmethod
    def of(cls, groups: S) -> Self:
        """Summarise groups."""
        return cls.empty().exchange(groups.take(slice(0)), groups)

    def merge(self, other: "Self | OfGroups[S]") -> Self:
        """Return the summary of the union of two disjoint sets of groups."""
        return self.add(other if isinstance(other, type(self)) else self.of(_groups(other)))

    @classmethod
    def empty(cls) -> Self:
        """Return the summary of no groups."""
        raise NotImplementedError

    @classmethod
    def have_data(cls, groups: S) -> NDArray[Any]:
        """Return which groups belong in a summary, a mask."""
        raise NotImplementedError

    def exchange(self, old: S, new: S) -> Self:
        """Take out groups as they were and put them in as they are, arrays of any two lengths.

        New groups come from an empty ``old``. What is taken out must have been put in: that is not
        checked.
        """
        raise NotImplementedError

    def add(self, other: Self) -> Self:
        """Return the summary of the union with another binned one."""
        raise NotImplementedError

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        raise NotImplementedError


def _groups(summary: Any) -> Any:
    return summary.groups
