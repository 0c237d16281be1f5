"""Raw messages of one source, and what decoding makes of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.field_names import field_names

Int64s = NDArray[np.int64]
StoreKey = tuple[str | None, str]
"""(chain id, or None for the default chain; store id) as an event spells it."""

Arm = tuple[str, str]
"""(experiment id, arm)."""

Hashes = NDArray[np.uint64]
Bools = NDArray[np.bool_]
Texts = NDArray[np.str_]
Objects = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Consecutive messages of one source: a partition of a topic, or a file.

    Attributes
    ----------
    topic, partition
        Where the messages come from; a file is its name and partition 0.
    payloads
        The messages' values in offset order; None is a message without a value. They are taken
        in slices, so a sequence that makes its values when a slice is asked for saves memory.
    offset_of
        Offset of the message at an index. Asked only for the few messages that are rejected:
        reading every offset costs 40 ns a message.
    next_offset
        Offset after the last message of the batch.
    """

    topic: str
    partition: int
    payloads: Sequence[bytes | None]
    offset_of: Callable[[int], int]
    next_offset: int

    def since(self, offset: int) -> Self:
        """Return the messages from an offset on."""
        start = 0
        while start < len(self.payloads) and self.offset_of(start) < offset:
            start += 1
        if start == 0:
            return self
        return replace(
            self,
            payloads=self.payloads[start:],
            offset_of=lambda at: self.offset_of(at + start),
        )


class EventColumns:
    """Base of the events of one type as columns of one length, in the order of arrival."""

    __slots__ = ()

    store_codes: Int64s
    known_stores: Sequence[StoreKey]
    event_time_ms: Int64s
    ingest_time_ms: Int64s
    indexes: Int64s

    def __len__(self) -> int:
        return len(self.indexes)

    def take(self, chosen: Any) -> Self:
        """Return some of the events (an index array or a mask)."""
        columns = (getattr(self, name) for name in field_names(type(self)))
        return type(self)(*(c[chosen] if isinstance(c, np.ndarray) else c for c in columns))

    @property
    def store_keys(self) -> list[StoreKey]:
        """The store key of each event, made anew at every call."""
        return [self.known_stores[code] for code in self.store_codes.tolist()]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put the columns of consecutive parts, at least one, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(_joined([getattr(part, name) for part in parts]) for name in field_names(cls)))


def _joined(columns: Sequence[Any]) -> Any:
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    if isinstance(columns[0], list):
        return list(chain.from_iterable(columns))
    return columns[-1]  # a memory that all parts share: its newest state


@dataclass(frozen=True, slots=True)
class Visits(EventColumns):
    """Valid visits.

    Attributes
    ----------
    store_codes
        The store of each event: a place in ``known_stores``.
    known_stores
        (chain id, or None where the event names none; store id) by code. The decoder appends to
        it as it meets stores, so as long as it is the same sequence a code means the same store.
    event_time_ms
        When it happened, epoch milliseconds UTC.
    ingest_time_ms
        When it was taken in; 0 where the event does not say.
    indexes
        Where in the batch's payloads the event stood.
    visit_hash, visitor_hash
        :class:`~stream_hb.events.id_hash.IdHash` of the visit's and the visitor's id; 0: none.
    arm_codes, arms
        The arm of each event: a place in ``arms``, which grows as ``known_stores`` does; -1: none.
    is_bot
        Whether the sender takes it for a bot's.
    """

    store_codes: Int64s
    known_stores: Sequence[StoreKey]
    event_time_ms: Int64s
    ingest_time_ms: Int64s
    indexes: Int64s
    visit_hash: Hashes
    visitor_hash: Hashes
    arm_codes: Int64s
    arms: Sequence[Arm]
    is_bot: Bools


@dataclass(frozen=True, slots=True)
class Purchases(EventColumns):
    """Valid purchases.

    Attributes
    ----------
    store_codes, known_stores, event_time_ms, ingest_time_ms, indexes
        As in :class:`Visits`.
    visit_hash, visitor_hash, arm_codes, arms, is_bot
        As in :class:`Visits`; a purchase may name no visit.
    order_hash
        Hash of the order's id.
    revision
        Of one order's events the highest counts.
    amount_minor
        Order value in minor units of the currency, net of discount.
    currencies
        ISO 4217 codes.
    """

    store_codes: Int64s
    known_stores: Sequence[StoreKey]
    event_time_ms: Int64s
    ingest_time_ms: Int64s
    indexes: Int64s
    visit_hash: Hashes
    visitor_hash: Hashes
    arm_codes: Int64s
    arms: Sequence[Arm]
    is_bot: Bools
    order_hash: Hashes
    revision: Int64s
    amount_minor: Int64s
    currencies: Texts


@dataclass(frozen=True, slots=True)
class Refunds(EventColumns):
    """Valid refunds.

    Attributes
    ----------
    store_codes, known_stores, event_time_ms, ingest_time_ms, indexes
        As in :class:`Visits`.
    refund_hash, order_hash
        Hashes of the refund's and the order's id.
    amount_minor
        What was given back, above 0.
    currencies
        ISO 4217 codes.
    cancels_order
        Whether nothing of the order is left, whatever the amount.
    """

    store_codes: Int64s
    known_stores: Sequence[StoreKey]
    event_time_ms: Int64s
    ingest_time_ms: Int64s
    indexes: Int64s
    refund_hash: Hashes
    order_hash: Hashes
    amount_minor: Int64s
    currencies: Texts
    cancels_order: Bools


@dataclass(frozen=True, slots=True)
class TotalsRows(EventColumns):
    """Valid totals.

    Attributes
    ----------
    store_codes, known_stores, event_time_ms, ingest_time_ms, indexes
        As in :class:`Visits`.
    source_hash
        Hash of who counted.
    arm_codes, arms
        As in :class:`Visits`.
    totals
        The events themselves.
    """

    store_codes: Int64s
    known_stores: Sequence[StoreKey]
    event_time_ms: Int64s
    ingest_time_ms: Int64s
    indexes: Int64s
    source_hash: Hashes
    arm_codes: Int64s
    arms: Sequence[Arm]
    totals: Objects


@dataclass(frozen=True, slots=True)
class ControlRows(EventColumns):
    """Valid control events.

    Attributes
    ----------
    store_codes, known_stores, event_time_ms, ingest_time_ms, indexes
        As in :class:`Visits`.
    accepts
        The events themselves.
    """

    store_codes: Int64s
    known_stores: Sequence[StoreKey]
    event_time_ms: Int64s
    ingest_time_ms: Int64s
    indexes: Int64s
    accepts: Objects


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that cannot be used: where it stood, why, and its bytes.

    Attributes
    ----------
    reason
        A code of the closed list in :data:`stream_hb.events.rejects.REASONS`.
    detail
        What was expected, what came and where; empty where the code says it all.
    payload
        The original bytes; None for a message without a value.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch taken apart: ``received`` is the number of all of its events and rejects."""

    received: int
    visits: Visits
    purchases: Purchases
    refunds: Refunds
    totals: TotalsRows
    controls: ControlRows
    rejects: list[Reject]

    @property
    def events(self) -> tuple[Visits, Purchases, Refunds, TotalsRows, ControlRows]:
        """The valid events by type."""
        return self.visits, self.purchases, self.refunds, self.totals, self.controls
