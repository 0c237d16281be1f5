"""The summaries of a shard's large pools, kept up to date as their groups change.

Small pools are read from the table whenever they are fitted: that is as cheap, and exact. A large
one is summarised when it is fitted first; from then on a batch takes its groups out as they were
and puts them in as they are, so that a refit costs the same whatever the number of groups.
"""

from dataclasses import dataclass
from typing import Any

from stream_hb.membership import Membership
from stream_hb.metrics import METRICS
from stream_hb.models.described import Described
from stream_hb.statistics.columns import Rows, Statistic
from stream_hb.statistics.summary import ExactSummary, summary_of
from stream_hb.statistics.table import GroupTable, TableChange


@dataclass(frozen=True, slots=True)
class Summarised:
    """What a refit reads of one pool's groups in one shard.

    Attributes
    ----------
    summary
        Of the groups that have not retired; the groups themselves, where the model asks for them.
    data_count
        Their observations.
    """

    summary: Any
    data_count: float

    def merge(self, other: "Summarised") -> "Summarised":
        """Return what a refit reads of the union of two disjoint sets of groups."""
        rows = isinstance(self.summary, Statistic | Described)
        join = self.summary.concatenate if rows else self.summary.merge
        return Summarised(join(other.summary), self.data_count + other.data_count)


class PoolSummaries:
    """Summaries by pool; a memory of what the table says, which may be forgotten.

    Parameters
    ----------
    table
        The shard's groups.
    membership
        Who of them is still of the pool.
    """

    def __init__(self, table: GroupTable, membership: Membership) -> None:
        self._table = table
        self._membership = membership
        self._kept: dict[tuple[str, str, int | None], Summarised] = {}
        self._kept_at_ms = 0

    def forget(self) -> None:
        """Make every summary anew when it is asked for: removals leave rounding behind."""
        self._kept.clear()

    def rows(self, chain: str, now_ms: int) -> Rows:
        """Return the rows of a pool's groups, ascending."""
        rows = self._table.rows_of_chain(chain)
        return rows[~self._membership.retired(rows, now_ms)]

    def seen(self, metric: str, rows: Rows, half_life_ms: int | None) -> Statistic:
        """Return groups as a model may see them, under one of the half-lives kept side by side."""
        mark = self._table.marks[metric]
        return self._seen(metric, self._table.read(metric, rows), mark, half_life_ms)

    def _seen(self, metric: str, kept: Statistic, mark: int, half_life_ms: int | None) -> Statistic:
        one = self._table.under(metric, kept, mark, half_life_ms)
        return METRICS[metric].seen(one.statistic)

    def of(
        self, chain: str, metric: str, now_ms: int, half_life_ms: int | None = None
    ) -> Summarised:
        """Summarise a pool."""
        if self._membership.changes(self._kept_at_ms, now_ms):
            self.forget()
        self._kept_at_ms = now_ms
        key = chain, metric, half_life_ms
        if key in self._kept:
            return self._kept[key]
        groups = self.seen(metric, self.rows(chain, now_ms), half_life_ms)
        made = Summarised(summary_of(groups), METRICS[metric].data_count(groups))
        if not isinstance(made.summary, ExactSummary):
            self._kept[key] = made
        return made

    def exchange(self, change: TableChange) -> None:
        """Take the changed groups out as they are and put them in as they will be."""
        if not self._kept:
            return
        chains, codes = self._table.chain_codes_with(change.new_groups.keys)
        alive = ~self._membership.retired(change.rows, self._kept_at_ms)
        for key, known in self._kept.items():
            chain, metric, half_life_ms = key
            mine = alive & (codes[change.rows] == chains.index(chain))
            old = self.seen(metric, change.rows[mine], half_life_ms)
            mark = change.marks.get(metric, self._table.marks[metric])
            new = self._seen(metric, change.statistics[metric].take(mine), mark, half_life_ms)
            count = METRICS[metric].data_count(new) - METRICS[metric].data_count(old)
            summary = known.summary.exchange(old, new)
            self._kept[key] = Summarised(summary, known.data_count + count)
