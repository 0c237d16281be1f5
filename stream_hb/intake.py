"""The events of one candidate that have a row, over all its sources, as attribution takes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stream_hb.admission import Admission
from stream_hb.events.batch import (
    Arm,
    Decoded,
    EventColumns,
    Hashes,
    Int64s,
    Purchases,
    RawBatch,
    Refunds,
    Reject,
    TotalsRows,
    Visits,
)
from stream_hb.events.id_hash import scoped
from stream_hb.events.mentions import OrderMentions, RefundMentions, VisitMentions
from stream_hb.statistics.columns import Rows


class Arms:
    """The arms that a shard has met, by number.

    A candidate's new ones are appended at once: a number that nothing refers to does no harm.

    Attributes
    ----------
    known
        The arms by number.
    """

    def __init__(self, known: Sequence[Arm] = ()) -> None:
        self.known: list[Arm] = list(known)
        self._numbers = {arm: number for number, arm in enumerate(self.known)}

    @property
    def experiments(self) -> Int64s:
        """Return the number of each arm's experiment: that of its first arm."""
        first: dict[str, int] = {}
        for number, (experiment, _) in enumerate(self.known):
            first.setdefault(experiment, number)
        return np.array([first[experiment] for experiment, _ in self.known], np.int64)

    def of(self, codes: Int64s, arms: Sequence[Arm]) -> Int64s:
        """Return the shard's numbers for the decoder's codes; -1 stays."""
        if not len(codes) or int(codes.max()) < 0:
            return codes
        used = np.unique(codes[codes >= 0])
        numbers = np.full(int(used[-1]) + 2, -1)  # the last place is that of code -1
        numbers[used] = [self._number(arms[code]) for code in used.tolist()]
        return numbers[codes]

    def _number(self, arm: Arm) -> int:
        number = self._numbers.setdefault(arm, len(self.known))
        if number == len(self.known):
            self.known.append(arm)
        return number


class Intake:
    """Collects events; changes nothing but the arms' numbers.

    Parameters
    ----------
    admission
        Gives rows.
    arms
        The shard's.
    """

    def __init__(self, admission: Admission, arms: Arms) -> None:
        self.rejects: list[Reject] = []
        self._admission = admission
        self._arms = arms
        self._visits: list[tuple[Rows, Visits]] = []
        self._purchases: list[tuple[Rows, Purchases]] = []
        self._refunds: list[tuple[Rows, Refunds]] = []

    def add(self, raw: RawBatch, decoded: Decoded, rejects: Sequence[Reject]) -> None:
        """Take one source's batch, and what was rejected of it before."""
        refused: list[Reject] = [*decoded.rejects, *rejects, *_unread(raw, decoded.totals)]
        for events, taken in zip(
            decoded.events, (self._visits, self._purchases, self._refunds), strict=False
        ):
            rows, more = self._admission.rows(raw, events)
            refused += more
            keep = rows >= 0
            whole = events if not more else events.take(keep)
            taken.append((rows[keep] if more else rows, whole))  # type: ignore[attr-defined]
        self.rejects += sorted(refused, key=lambda reject: reject.offset)

    @property
    def accepted(self) -> int:
        """Number of events."""
        parts: Sequence[Sequence[tuple[Rows, EventColumns]]]
        parts = (self._visits, self._purchases, self._refunds)
        return sum(len(rows) for part in parts for rows, _ in part)

    def newest_ms(self, size: int) -> Int64s:
        """Return the newest event time of each of so many rows, 0 where there is none."""
        newest = np.zeros(size, np.int64)
        parts: Sequence[Sequence[tuple[Rows, EventColumns]]]
        parts = (self._visits, self._purchases, self._refunds)
        for part in parts:
            for rows, events in part:
                np.maximum.at(newest, rows, events.event_time_ms)
        return newest

    def visits(self, groups: Hashes) -> VisitMentions:
        """Return the visits; ``groups`` is every row's hash."""
        rows = _flat([rows for rows, _ in self._visits], np.intp)
        of_row = groups[rows]
        return VisitMentions(
            key=scoped(self._column(self._visits, "visit_hash"), of_row),
            row=rows,
            time_ms=self._column(self._visits, "event_time_ms"),
            visitor=_if_any(self._column(self._visits, "visitor_hash"), of_row),
            arm=self._arm(self._visits),
            is_bot=self._column(self._visits, "is_bot"),
        )

    def orders(self, groups: Hashes) -> OrderMentions:
        """Return the orders; ``groups`` is every row's hash."""
        rows = _flat([rows for rows, _ in self._purchases], np.intp)
        of_row = groups[rows]
        return OrderMentions(
            key=scoped(self._column(self._purchases, "order_hash"), of_row),
            row=rows,
            time_ms=self._column(self._purchases, "event_time_ms"),
            revision=self._column(self._purchases, "revision"),
            amount_minor=self._column(self._purchases, "amount_minor"),
            visit_key=_if_any(self._column(self._purchases, "visit_hash"), of_row),
            visitor=_if_any(self._column(self._purchases, "visitor_hash"), of_row),
            arm=self._arm(self._purchases),
            is_bot=self._column(self._purchases, "is_bot"),
        )

    def refunds(self, groups: Hashes) -> RefundMentions:
        """Return the refunds; ``groups`` is every row's hash."""
        rows = _flat([rows for rows, _ in self._refunds], np.intp)
        of_row = groups[rows]
        return RefundMentions(
            key=scoped(self._column(self._refunds, "refund_hash"), of_row),
            row=rows,
            order_key=scoped(self._column(self._refunds, "order_hash"), of_row),
            time_ms=self._column(self._refunds, "event_time_ms"),
            amount_minor=self._column(self._refunds, "amount_minor"),
            cancels=self._column(self._refunds, "cancels_order"),
        )

    def _column(self, parts: Sequence[tuple[Rows, Any]], name: str) -> Any:
        return _flat([getattr(events, name) for _, events in parts], _DTYPES.get(name, np.int64))

    def _arm(self, parts: Sequence[tuple[Rows, Any]]) -> Int64s:
        arms: Int64s = _flat([self._arms.of(e.arm_codes, e.arms) for _, e in parts], np.int64)
        return arms


def _unread(raw: RawBatch, totals: TotalsRows) -> list[Reject]:
    """Reject totals where every metric reads events: added on top they would count twice."""
    detail = "no metric of the pool reads totals"
    return [
        Reject(
            raw.topic,
            raw.partition,
            raw.offset_of(at),
            "unexpected_input",
            detail,
            raw.payloads[at],
        )
        for at in totals.indexes.tolist()
    ]


_DTYPES: dict[str, type] = {
    "visit_hash": np.uint64,
    "visitor_hash": np.uint64,
    "order_hash": np.uint64,
    "refund_hash": np.uint64,
    "is_bot": np.bool_,
    "cancels_order": np.bool_,
}


def _if_any(hashes: Hashes, of_row: Hashes) -> Hashes:
    """Scope hashes to their groups; 0, which is none, stays."""
    if not hashes.any():
        return hashes
    return np.where(hashes == 0, hashes, scoped(hashes, of_row))


def _flat(arrays: Sequence[Any], dtype: Any) -> Any:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate([np.empty(0, dtype), *arrays])
