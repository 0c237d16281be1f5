"""What moves become of a shard's groups: counted now, or when a metric's window gets there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from stream_hb.contributions import Exchange, contribution
from stream_hb.events.batch import Bools, Int64s
from stream_hb.events.moves import Moves
from stream_hb.events.totals import TotalsChange
from stream_hb.intake import Readers
from stream_hb.statistics.columns import Rows, Statistic
from stream_hb.statistics.forgetting import ALWAYS_MS
from stream_hb.statistics.table import GroupTable, NewGroups, TableChange

Exchanges = tuple[Exchange, Exchange]
"""What events, and what totals take and put, by the place among the touched groups."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a batch changes.

    Attributes
    ----------
    change
        The rows of the table that it touches.
    awaited
        What counts later, by metric.
    exchanges
        What events and totals took and put.
    by_totals
        Of each metric, which of the touched groups read totals.
    """

    change: TableChange
    awaited: Mapping[str, Exchange]
    exchanges: Exchanges
    by_totals: Mapping[str, Bools]


@dataclass(frozen=True, slots=True)
class Counting:
    """Works out what becomes of a table of groups.

    Attributes
    ----------
    table
        The groups as they stand.
    awaited
        What waits, by metric.
    readers
        Tells which groups read totals.
    cap_minor
        Larger values of orders count as this one; None: there is no cap.
    """

    table: GroupTable
    awaited: Mapping[str, Exchange]
    readers: Readers
    cap_minor: int | None

    def of(
        self,
        moves: Moves,
        totals: TotalsChange,
        times_ms: Sequence[tuple[Rows, Int64s]],
        reached_ms: int,
        new: NewGroups,
    ) -> Counted:
        """Return what events and totals change.

        Parameters
        ----------
        moves, totals
            What is taken out, and put in its place.
        times_ms
            Rows of events, and their times.
        reached_ms
            Time that all sources have reached: windows and half-lives go on to there.
        new
            The groups that the table does not have yet.
        """
        marks = self.table.later_marks(reached_ms)
        others = (totals.taken.row, totals.put.row, *(e.rows for e in self.awaited.values()))
        seen = (rows for rows, _ in times_ms)
        size = len(self.table) + len(new.keys)
        rows, place = _touched(size, moves, [*seen, *self.table.lapsing(marks), *others])
        exchanges = (
            Exchange.of(moves, place, self.cap_minor),
            Exchange.of_totals(totals, place),
        )
        by_totals = self.readers.by_totals(self.table, rows, new)
        statistics: dict[str, Any] = {}
        awaited: dict[str, Exchange] = {}
        for name, mine in by_totals.items():
            chosen = _chosen(exchanges, mine)
            statistics[name] = self._counted(name, rows, place, chosen, marks[name])
            awaited |= self._ahead(name, chosen, rows, marks[name])
        times = self._times_ms(rows, place, times_ms)
        change = TableChange(rows, statistics, times, new, marks)
        return Counted(change, awaited, exchanges, by_totals)

    def _counted(
        self, metric: str, rows: Rows, place: Rows, exchanges: Iterable[Exchange], mark: int
    ) -> Statistic:
        """Return a metric of the touched groups at its mark, with what has waited for it."""
        kept = self.table.at_mark(metric, rows, mark)
        if metric in self.awaited:
            kept = self._arrived(metric, kept, self.awaited[metric].placed(place), mark)
        for exchange in exchanges:
            kept = self._exchanged(metric, kept, exchange, mark)
        return kept

    def _arrived(self, metric: str, kept: Statistic, waited: Exchange, mark: int) -> Statistic:
        """Count what waited for this mark; some of it was taken back before it ever counted."""
        rule, kind, size = self.table.rules[metric], self.table.kind(metric), len(kept)
        kept = kept.merge(contribution(metric, kind, waited.put, rule, mark, size))
        return kept.remove(contribution(metric, kind, waited.taken, rule, mark, size))

    def _exchanged(self, metric: str, kept: Statistic, exchange: Exchange, mark: int) -> Statistic:
        rule, kind, size = self.table.rules[metric], self.table.kind(metric), len(kept)
        if exchange.taken.is_something:
            kept = kept.remove(contribution(metric, kind, exchange.taken, rule, mark, size))
        return kept.merge(contribution(metric, kind, exchange.put, rule, mark, size))

    def _ahead(
        self, metric: str, exchanges: Iterable[Exchange], rows: Rows, mark: int
    ) -> dict[str, Exchange]:
        """Return what counts at a later mark only, of what waited and of what comes."""
        reach_ms = self.table.rules[metric].reach_ms(mark)
        if reach_ms == ALWAYS_MS:
            return {}
        left = [each for each in self._later(metric, exchanges, rows, reach_ms) if each]
        return {metric: reduce(Exchange.joined, left)} if left else {}

    def _later(
        self, metric: str, exchanges: Iterable[Exchange], rows: Rows, reach_ms: int
    ) -> Iterator[Exchange | None]:
        waited = self.awaited.get(metric)
        yield waited and waited.after(reach_ms)
        for exchange in exchanges:
            comes = exchange.after(reach_ms)
            yield comes and comes.placed(rows)

    def _times_ms(self, rows: Rows, place: Rows, times_ms: Sequence[tuple[Rows, Int64s]]) -> Int64s:
        """Return the newest event time of the touched groups."""
        times = self.table.read_event_time_ms(rows)
        for of_part, part_ms in times_ms:
            np.maximum.at(times, place[of_part], part_ms)
        return times


def _chosen(exchanges: Exchanges, by_totals: Bools) -> list[Exchange]:
    """Return the events of groups that read events, and the totals of the others."""
    events, totals = exchanges
    if not by_totals.any():
        return [events]
    return [events.within(~by_totals), totals.within(by_totals)]


def _touched(size: int, moves: Moves, others: Iterable[Rows]) -> tuple[Rows, Rows]:
    """Return the distinct rows, ascending, and for each of them (by row) its place among these."""
    mark = np.zeros(size, np.bool_)
    for rows in (*(signed.rows for signed in moves.all), *others):
        mark[rows] = True
    touched = mark.nonzero()[0]
    place = np.empty(len(mark), dtype=np.intp)
    place[touched] = np.arange(len(touched))
    return touched, place
