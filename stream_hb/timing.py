"""Which events of a batch come in time: neither from the future nor beyond the horizon."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stream_hb.events.batch import (
    Bools,
    ControlRows,
    Decoded,
    EventColumns,
    Int64s,
    RawBatch,
    Reject,
    StoreKey,
    TotalsRows,
)
from stream_hb.events.clock import LATEST_MS, SourceClock, TimeRules, watermark_ms

Source = tuple[str, int]
"""(topic, partition)."""

_NONE = np.empty(0, np.bool_)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has been read.

    Attributes
    ----------
    next_offset
        The next offset to read.
    clock
        How far its events reach.
    """

    next_offset: int = 0
    clock: SourceClock = field(default_factory=SourceClock)

    @property
    def event_time_ms(self) -> int:
        """The source's clock; 0 before its first valid event."""
        return self.clock.time_ms


def plain_positions(positions: Mapping[Source, Position]) -> list[list[Any]]:
    """Return positions as plain values."""
    return [
        [*source, position.next_offset, *position.clock.plain]
        for source, position in positions.items()
    ]


def read_positions(told: Iterable[Sequence[Any]]) -> dict[Source, Position]:
    """Undo :func:`plain_positions`.

    >>> at = {("events", 3): Position(7, SourceClock(900, 0, 950))}
    >>> read_positions(plain_positions(at)) == at
    True
    """
    return {
        (topic, partition): Position(next_offset, SourceClock(*clock))
        for topic, partition, next_offset, *clock in told
    }


@dataclass(frozen=True, slots=True)
class InTime:
    """A decoded batch without what came too late or too early.

    Attributes
    ----------
    decoded
        What is left of it.
    rejects
        The rest.
    clock
        The source's clock after it.
    late
        Of which stores something came too late.
    """

    decoded: Decoded
    rejects: list[Reject]
    clock: SourceClock
    late: frozenset[StoreKey] = frozenset()


def in_time(
    raw: RawBatch,
    decoded: Decoded,
    positions: Mapping[Source, Position],
    rules: TimeRules,
    now_ms: int,
) -> InTime:
    """Judge a batch's events, each by the watermark as it stood when the event came.

    Parameters
    ----------
    raw, decoded
        The batch.
    positions
        How far the shard's sources were read before it.
    rules
        How time is judged.
    now_ms
        The driver's clock.
    """
    decoded, rejects = _without_future(raw, decoded, rules, now_ms)
    source = (raw.topic, raw.partition)
    before = positions.get(source, Position()).clock
    clock, running = before.observed(_times_by_place(decoded), rules.horizon_ms, now_ms)
    others = [position.clock for other, position in positions.items() if other != source]
    left, late = _without_late(raw, decoded, running, others, rules, now_ms)
    return InTime(left, rejects + late, clock, _missing(decoded, left) if late else frozenset())


def _missing(before: Decoded, after: Decoded) -> frozenset[StoreKey]:
    """Return the stores of the events that are left out."""
    return frozenset(
        one.known_stores[code]
        for one, other in zip(before.events, after.events, strict=True)
        for code in one.store_codes[~np.isin(one.indexes, other.indexes)].tolist()
    )


def _without_future(
    raw: RawBatch, decoded: Decoded, rules: TimeRules, now_ms: int
) -> tuple[Decoded, list[Reject]]:
    wrong = [
        rules.from_future(events.event_time_ms, events.ingest_time_ms, now_ms)
        if len(events)
        else _NONE
        for events in decoded.events
    ]
    return _without(raw, decoded, wrong, "from_future", "later than it can be known")


def _times_by_place(decoded: Decoded) -> Int64s:
    """Return the times that move the source's clock, 0 where there is none.

    A word of an operator does not: the next one comes in weeks, and until then all that is read of
    its topic would seem to be as old as the last.
    """
    times = np.zeros(decoded.received, np.int64)
    for events in decoded.events:
        if len(events) and not isinstance(events, ControlRows):
            times[events.indexes] = events.event_time_ms
    return times


def _without_late(
    raw: RawBatch,
    decoded: Decoded,
    running: Int64s,
    others: list[SourceClock],
    rules: TimeRules,
    now_ms: int,
) -> tuple[Decoded, list[Reject]]:
    back_ms = rules.lateness_ms + rules.horizon_ms
    if len(running) and _earliest(decoded) >= int(running[-1]) - back_ms:
        return decoded, []
    # The source itself is busy now; the others hold the watermark as far as they are not idle.
    here = SourceClock(int(running.max(initial=0)), 0, now_ms)
    held_ms = watermark_ms([here, *others], 0, now_ms)
    bound = np.minimum(running, held_ms) - back_ms
    wrong = [_due_ms(events) < bound[events.indexes] for events in decoded.events]
    return _without(raw, decoded, wrong, "too_late", "older than the watermark less the horizon")


def _earliest(decoded: Decoded) -> int:
    return min((int(_due_ms(e).min()) for e in decoded.events if len(e)), default=LATEST_MS)


def _due_ms(events: EventColumns) -> Int64s:
    """Return what an event's lateness is measured by: the end of the period, for totals."""
    if isinstance(events, TotalsRows):
        return np.array([totals.period_end_ms for totals in events.totals], np.int64)
    return events.event_time_ms


def _without(
    raw: RawBatch, decoded: Decoded, wrong: list[Bools], reason: str, detail: str
) -> tuple[Decoded, list[Reject]]:
    if not any(mask.any() for mask in wrong):
        return decoded, []
    rejects = [
        _reject(raw, at, reason, f"{time} is {detail}")
        for events, mask in zip(decoded.events, wrong, strict=True)
        for at, time in _places(events, mask)
    ]
    visits, purchases, refunds, totals, controls = (~mask for mask in wrong)
    left = replace(
        decoded,
        visits=decoded.visits.take(visits),
        purchases=decoded.purchases.take(purchases),
        refunds=decoded.refunds.take(refunds),
        totals=decoded.totals.take(totals),
        controls=decoded.controls.take(controls),
    )
    return left, rejects


def _reject(raw: RawBatch, index: int, reason: str, detail: str) -> Reject:
    where = (raw.topic, raw.partition, raw.offset_of(index))
    return Reject(*where, reason, detail, raw.payloads[index])


def _places(events: EventColumns, mask: Bools) -> Iterator[tuple[int, int]]:
    indexes, times = events.indexes[mask], _due_ms(events)[mask]
    return zip(indexes.tolist(), times.tolist(), strict=True)
