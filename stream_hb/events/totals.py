"""Totals: counts of a period that somebody else added up, absolute, the higher revision replaces.

What is remembered of a series (group, source, arm) are its periods, which never overlap; so the
order of arrival matters where two contradict each other, and nowhere else.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple, Self

import numpy as np
from msgspec import structs

from stream_hb.events.batch import Bools, Hashes, Int64s, Texts, TotalsRows
from stream_hb.events.id_hash import scoped
from stream_hb.events.id_table import IdTable, Slots, TableWrite
from stream_hb.events.packed_time import COLUMNS, packed, unpacked
from stream_hb.events.schema import Totals
from stream_hb.field_names import field_names
from stream_hb.statistics.columns import Floats, Rows

ABSENT = -1
_MIX = np.uint64(0xC2B2AE3D27D4EB4F)
_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class TotalsMentions:
    """Totals of a batch in the order of arrival.

    Attributes
    ----------
    row
        Group of each.
    series
        Key of each one's group, source and arm.
    totals
        The events.
    arm
        The set of the one arm that each is of.
    """

    row: Rows
    series: Hashes
    totals: Sequence[Totals]
    arm: Int64s


@dataclass(frozen=True, slots=True)
class Summed:
    """Totals as they stand, a row each.

    Attributes
    ----------
    row
        Group.
    start_ms, end_ms
        Their period.
    taken_ms, revision
        Of two with one key the higher revision counts, then the one that was taken first.
    visits, conversions, orders, log_count
        Counts; ``ABSENT`` where the totals do not say.
    log_mean, log_m2
        Mean and sum of squared deviations of the logarithms of the order values.
    arm
        The set of the arm that they are of.
    """

    row: Rows
    start_ms: Int64s
    end_ms: Int64s
    taken_ms: Int64s
    revision: Int64s
    visits: Int64s
    conversions: Int64s
    orders: Int64s
    log_count: Int64s
    log_mean: Floats
    log_m2: Floats
    arm: Int64s

    @property
    def middle_ms(self) -> Int64s:
        """What they are weighed by."""
        return (self.start_ms + self.end_ms) // 2

    def take(self, chosen: Any) -> Self:
        """Return some of them."""
        return type(self)(*(getattr(self, name)[chosen] for name in field_names(type(self))))


class Refusal(NamedTuple):
    """Why totals at a place of the batch cannot be used."""

    place: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class TotalsChange:
    """What totals change.

    Attributes
    ----------
    taken, put
        What was counted of the touched periods, and what is.
    write
        What to remember.
    periods
        The touched series' periods.
    refusals
        Totals that cannot be used.
    repeated
        Number of those that say nothing new: what was known, or less than what is known since.
    """

    taken: Summed
    put: Summed
    write: TableWrite
    periods: Mapping[int, list[tuple[int, int]]]
    refusals: list[Refusal]
    repeated: int


class TotalsMemory:
    """The totals of a shard."""

    def __init__(self) -> None:
        self.table = IdTable(
            {
                "series": np.uint64,
                "row": np.uint32,
                "start_ms": np.int64,
                "end_ms": np.int64,
                **COLUMNS,
                "revision": np.int32,
                "visits": np.int64,
                "conversions": np.int64,
                "orders": np.int64,
                "log_count": np.int64,
                "log_mean": np.float64,
                "log_m2": np.float64,
            },
            optional={"arm": np.uint32},
        )
        self._periods: dict[int, list[tuple[int, int]]] = {}

    def probe(self, mentions: TotalsMentions) -> TotalsChange:
        """Work out what totals change; nothing is changed."""
        if not mentions.totals:
            return _nothing()
        periods: dict[int, list[tuple[int, int]]] = {}
        best: dict[int, int] = {}
        refusals = []
        for place, series in enumerate(mentions.series.tolist()):
            totals = mentions.totals[place]
            mine = periods.setdefault(series, list(self._periods.get(series, ())))
            overlap = _entered(mine, totals.period_start_ms, totals.period_end_ms)
            if overlap:
                refusals.append(Refusal(place, "overlapping_period", overlap))
                continue
            key = _key(series, totals)
            if key not in best or _rank(totals) < _rank(mentions.totals[best[key]]):
                best[key] = place
        return self._change(mentions, best, periods, refusals)

    def _change(
        self,
        mentions: TotalsMentions,
        best: Mapping[int, int],
        periods: Mapping[int, list[tuple[int, int]]],
        refusals: list[Refusal],
    ) -> TotalsChange:
        keys = np.array(list(best), np.uint64)
        places = np.array(list(best.values()), np.int64)
        chosen = [mentions.totals[at] for at in places.tolist()]
        summed = _summed(mentions.row[places], chosen, mentions.arm[places])
        slots = self.table.find(keys)
        known = self._read(slots)
        better = (slots < 0) | _before(summed, known)
        taken = known.take(better & (slots >= 0))
        keys, places, slots, put = keys[better], places[better], slots[better], summed.take(better)
        slots[slots < 0] = self.table.plan(keys[slots < 0])
        write = _write(slots, keys, mentions.series[places], put)
        repeated = len(mentions.totals) - len(refusals) - len(keys)
        return TotalsChange(taken, put, write, periods, refusals, repeated)

    def _read(self, slots: Slots) -> Summed:
        read = self.table.read
        columns = {
            name: read(slots, name)
            for name in field_names(Summed)
            if name not in ("row", "taken_ms", "revision", "arm")
        }
        return Summed(
            row=read(slots, "row").astype(np.intp),
            taken_ms=unpacked(read(slots, "day"), read(slots, "ms")),
            revision=read(slots, "revision").astype(np.int64),
            arm=read(slots, "arm").astype(np.int64) - 1,
            **columns,
        )

    def of_arms(self) -> Summed:
        """Return the totals of arms that are remembered."""
        if not self.table.has("arm"):
            return self._read(np.empty(0, np.int64))
        return self._read(np.flatnonzero(self.table.column("arm")))

    def apply(self, change: TotalsChange) -> None:
        """Make a change the state."""
        self.table.apply(change.write)
        self._periods.update(change.periods)

    def forget(self, before_ms: int) -> Slots:
        """Forget the periods that ended before a time; return the slots that are free then."""
        if not len(self.table):
            return np.empty(0, np.int64)
        slots = np.flatnonzero(
            (self.table.column("key") != 0) & (self.table.column("end_ms") < before_ms)
        )
        self.table.forget(slots)
        if len(slots):
            self.restored()
        return slots

    def restored(self) -> None:
        """Make the series' periods from the table."""
        slots = np.flatnonzero(self.table.column("key"))
        self._periods = {}
        columns = (self.table.column(name)[slots] for name in ("series", "start_ms", "end_ms"))
        for series, start, end in zip(*(column.tolist() for column in columns), strict=True):
            self._periods.setdefault(series, []).append((start, end))
        for periods in self._periods.values():
            periods.sort()


@cache
def no_totals() -> TotalsMentions:
    """Return what a batch without totals says of them."""
    return TotalsMentions(np.empty(0, np.intp), np.empty(0, np.uint64), [], np.empty(0, np.int64))


@cache
def _nothing() -> TotalsChange:
    """Return the change that no totals make: most batches have none, and there are many."""
    return TotalsMemory()._change(no_totals(), {}, {}, [])


def money_of(rows: TotalsRows) -> tuple[Texts, Int64s]:
    """Return the currency of each one's values, empty without any, and the middle of its period."""
    totals = rows.totals.tolist()
    named = [(each.log_amount and each.currency) or "" for each in totals]
    middle_ms = [(each.period_start_ms + each.period_end_ms) // 2 for each in totals]
    return np.array(named, "U3"), np.array(middle_ms, np.int64)


def converted(rows: TotalsRows, factors: Floats) -> TotalsRows:
    """Return totals with their values times a factor: to the mean log its logarithm is added."""
    if (factors == 1).all():
        return rows
    totals = rows.totals.copy()
    for at in np.flatnonzero(factors != 1).tolist():
        log_amount = totals[at].log_amount
        if log_amount is not None:
            mean = log_amount.mean + math.log(factors[at])
            totals[at] = structs.replace(
                totals[at], log_amount=structs.replace(log_amount, mean=mean)
            )
    return replace(rows, totals=totals)


def series_keys(sources: Hashes, arms: Hashes, groups: Hashes) -> Hashes:
    """Return the key of each group's, source's and arm's series; ``arms`` are the names' hashes."""
    return scoped(sources + arms * _MIX, groups)


def _entered(periods: list[tuple[int, int]], start: int, end: int) -> str:
    """Enter a period unless it is known; return which one it overlaps, empty where none."""
    at = bisect_left(periods, (start, end))
    if at < len(periods) and periods[at] == (start, end):
        return ""
    for other_start, other_end in periods[max(at - 1, 0) : at + 1]:
        if start < other_end and other_start < end:
            return f"period {start}..{end} overlaps {other_start}..{other_end} of the same source"
    periods.insert(at, (start, end))
    return ""


def _key(series: int, totals: Totals) -> int:
    mixed = (series ^ totals.period_start_ms * int(_MIX) ^ totals.period_end_ms) * int(_MIX)
    return mixed & _WORD or 1


def _rank(totals: Totals) -> tuple[int, int]:
    return -totals.revision, totals.event_time_ms


def _before(one: Summed, other: Summed) -> Bools:
    later = one.revision == other.revision
    before: Bools = (one.revision > other.revision) | (later & (one.taken_ms < other.taken_ms))
    return before


def _summed(rows: Rows, totals: Sequence[Totals], arms: Int64s) -> Summed:
    logs = [each.log_amount for each in totals]
    return Summed(
        rows,
        np.array([each.period_start_ms for each in totals], np.int64),
        np.array([each.period_end_ms for each in totals], np.int64),
        np.array([each.event_time_ms for each in totals], np.int64),
        np.array([each.revision for each in totals], np.int64),
        np.array([each.visits for each in totals], np.int64),
        np.array([_known(each.conversions) for each in totals], np.int64),
        np.array([_known(each.orders) for each in totals], np.int64),
        np.array([log.count if log else ABSENT for log in logs], np.int64),
        np.array([log.mean if log else 0.0 for log in logs], np.float64),
        np.array([log.m2 if log else 0.0 for log in logs], np.float64),
        arms,
    )


def _known(count: int | None) -> int:
    return ABSENT if count is None else count


def _write(slots: Slots, keys: Hashes, series: Hashes, put: Summed) -> TableWrite:
    values = {name: getattr(put, name) for name in field_names(Summed)}
    values |= {"series": series, "arm": put.arm + 1, **packed(values.pop("taken_ms"))}
    return TableWrite(slots, keys, values)
