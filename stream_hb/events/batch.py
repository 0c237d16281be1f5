"""Raw messages of one source, and what decoding makes of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
StoreKey = tuple[str | None, str]
"""(chain id, or None for the default chain; store id) as an event spells it."""

T = TypeVar("T")


def _listed(columns: Iterable[list[T]]) -> list[T]:
    return list(chain.from_iterable(columns))


def _concatenated(columns: Sequence[Int64s]) -> Int64s:
    return np.concatenate((np.empty(0, np.int64), *columns))


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


@dataclass(frozen=True, slots=True)
class Visits:
    """Valid visits as columns of one length, in the order of arrival.

    Attributes
    ----------
    store_codes
        The store of each event: a place in ``known_stores``.
    known_stores
        (chain id, or None where the event names none; store id) by code. The decoder appends to
        it as it meets stores, so as long as it is the same list a code means the same store.
    event_time_ms
        When it happened, epoch milliseconds UTC.
    indexes
        Where in the batch's payloads the event stood.
    """

    store_codes: Int64s
    known_stores: Sequence[StoreKey]
    event_time_ms: Int64s
    indexes: Int64s

    @property
    def store_keys(self) -> list[StoreKey]:
        """The store key of each event, made anew at every call."""
        return [self.known_stores[code] for code in self.store_codes.tolist()]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put the columns of consecutive parts one after the other."""
        return cls(
            store_codes=_concatenated([part.store_codes for part in parts]),
            known_stores=parts[0].known_stores if parts else (),
            event_time_ms=_concatenated([part.event_time_ms for part in parts]),
            indexes=_concatenated([part.indexes for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Purchases:
    """Valid purchases as columns of one length, in the order of arrival.

    Attributes
    ----------
    store_codes, known_stores, event_time_ms, indexes
        As in :class:`Visits`.
    visit_ids
        The visit that the purchase belongs to, None where the event names none.
    order_ids
        Business key of the order.
    amount_minor
        Order value in minor units of the currency, net of discount.
    currencies
        ISO 4217 codes.
    """

    store_codes: Int64s
    known_stores: Sequence[StoreKey]
    visit_ids: list[str | None]
    order_ids: list[str]
    amount_minor: Int64s
    currencies: list[str]
    event_time_ms: Int64s
    indexes: Int64s

    @property
    def store_keys(self) -> list[StoreKey]:
        """The store key of each event, made anew at every call."""
        return [self.known_stores[code] for code in self.store_codes.tolist()]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put the columns of consecutive parts one after the other."""
        return cls(
            store_codes=_concatenated([part.store_codes for part in parts]),
            known_stores=parts[0].known_stores if parts else (),
            visit_ids=_listed(part.visit_ids for part in parts),
            order_ids=_listed(part.order_ids for part in parts),
            amount_minor=_concatenated([part.amount_minor for part in parts]),
            currencies=_listed(part.currencies for part in parts),
            event_time_ms=_concatenated([part.event_time_ms for part in parts]),
            indexes=_concatenated([part.indexes for part in parts]),
        )


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
    """A batch taken apart: ``received`` = visits + purchases + rejects, always."""

    received: int
    visits: Visits
    purchases: Purchases
    rejects: list[Reject]
