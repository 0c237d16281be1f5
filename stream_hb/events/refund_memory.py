"""Refunds: distinct ids add up, of contradictory repetitions the earliest counts."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np

from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.events.id_hash import without_currency
from stream_hb.events.id_table import IdTable, Slots, TableWrite
from stream_hb.events.mentions import RefundMentions
from stream_hb.events.packed_time import COLUMNS, packed, unpacked
from stream_hb.statistics.columns import Rows

_LAST_MS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class RefundDeltas:
    """What refunds change of their orders; an order may stand here several times.

    Attributes
    ----------
    order_key, row, time_ms
        The order, its group and the refund's time.
    number, cancels, amount_minor
        Change in the number of refunds, in that of those that cancel, and in their sum.
    currency
        What the amount is in.
    """

    order_key: Hashes
    row: Rows
    time_ms: Int64s
    number: Int64s
    cancels: Int64s
    amount_minor: Int64s
    currency: Int64s

    def taken_back(self, chosen: Bools) -> Self:
        """Return what undoes some of them."""
        return type(self)(
            self.order_key[chosen],
            self.row[chosen],
            self.time_ms[chosen],
            -self.number[chosen],
            -self.cancels[chosen],
            -self.amount_minor[chosen],
            self.currency[chosen],
        )


@dataclass(frozen=True, slots=True)
class _Refunds:
    """Refunds as they stand, a row each; time is the last of all where there is none.

    ``order`` is the key of the order whatever its currency: by it refunds are compared, since what
    an order's key is depends on which currency came first.
    """

    order_key: Hashes
    order: Hashes
    time_ms: Int64s
    amount_minor: Int64s
    cancels: Bools
    currency: Int64s

    def take(self, chosen: Any) -> Self:
        return type(self)(
            self.order_key[chosen],
            self.order[chosen],
            self.time_ms[chosen],
            self.amount_minor[chosen],
            self.cancels[chosen],
            self.currency[chosen],
        )

    def before(self, other: Self) -> Bools:
        """Tell where this one counts and the other does not: the first, the smallest, ..."""
        earlier = self.time_ms < other.time_ms
        same = self.time_ms == other.time_ms
        for mine, its in (
            (self.amount_minor, other.amount_minor),
            (self.cancels, other.cancels),
            (self.order, other.order),
            (self.currency, other.currency),
        ):
            earlier |= same & (mine < its)
            same &= mine == its
        return earlier


class RefundMemory:
    """The refunds of a shard.

    Parameters
    ----------
    by_currency
        Orders have other keys in other currencies, which is so where no rates convert.
    """

    def __init__(self, *, by_currency: bool = False) -> None:
        self._by_currency = by_currency
        self.table = IdTable(
            {"order_key": np.uint64, "amount": np.int64, "cancels": np.uint8, **COLUMNS},
            optional={"currency": np.uint16},
        )

    def probe(self, refunds: RefundMentions) -> tuple[TableWrite, RefundDeltas]:
        """Return what to write, and what changes of the orders; nothing is changed."""
        if not len(refunds.key):
            return _nothing()
        r = refunds
        named = self._orders(r.order_key, r.currency)
        mine = _Refunds(r.order_key, named, r.time_ms, r.amount_minor, r.cancels, r.currency)
        order = np.lexsort(
            (mine.currency, mine.order, mine.cancels, mine.amount_minor, mine.time_ms, r.key)
        )
        keys, first = np.unique(r.key[order], return_index=True)
        chosen = order[first]
        best, slots = mine.take(chosen), self.table.find(keys)
        known = self._read(slots)
        better = best.before(known)
        keys, chosen, slots = keys[better], chosen[better], slots[better]
        slots[slots < 0] = self.table.plan(keys[slots < 0])
        return self._write(slots, keys, best.take(better)), _deltas(
            r.row[chosen], known.take(better), best.take(better)
        )

    def _read(self, slots: Slots) -> _Refunds:
        times = unpacked(self.table.read(slots, "day"), self.table.read(slots, "ms"))
        times[slots < 0] = _LAST_MS
        order_key = self.table.read(slots, "order_key")
        currency = self.table.read(slots, "currency").astype(np.int64)
        return _Refunds(
            order_key,
            self._orders(order_key, currency),
            times,
            self.table.read(slots, "amount"),
            self.table.read(slots, "cancels").astype(np.bool_),
            currency,
        )

    def _orders(self, order_keys: Hashes, currencies: Int64s) -> Hashes:
        return without_currency(order_keys, currencies) if self._by_currency else order_keys

    def of_orders(self, order_keys: Hashes) -> RefundDeltas:
        """Return all refunds of some orders: a pass over all refunds."""
        mine = np.isin(self.table.column("order_key"), order_keys)
        slots = np.flatnonzero(mine & (self.table.column("key") != 0))
        refunds = self._read(slots)
        return _deltas(np.zeros(len(slots), np.intp), refunds.take(slice(0)), refunds)

    def _write(self, slots: Slots, keys: Hashes, refunds: _Refunds) -> TableWrite:
        values = {
            "order_key": refunds.order_key,
            "amount": refunds.amount_minor,
            "cancels": refunds.cancels,
            "currency": refunds.currency,
            **packed(refunds.time_ms),
        }
        return TableWrite(slots, keys, values)


@cache
def _nothing() -> tuple[TableWrite, RefundDeltas]:
    """Return what no refunds change: most batches have none, and there are many."""
    slots, memory = np.empty(0, np.int64), RefundMemory()
    nobody = memory._read(slots)
    return memory._write(slots, nobody.order_key, nobody), _deltas(slots, nobody, nobody)


def _deltas(rows: Rows, known: _Refunds, best: _Refunds) -> RefundDeltas:
    there = np.flatnonzero(known.time_ms < _LAST_MS)
    old = known.take(there)
    ones = np.concatenate([np.full(len(old.time_ms), -1), np.ones(len(best.time_ms), np.int64)])
    cancels = np.concatenate([old.cancels, best.cancels])
    amounts = np.concatenate([old.amount_minor, best.amount_minor])
    return RefundDeltas(
        np.concatenate([old.order_key, best.order_key]),
        np.concatenate([rows[there], rows]),
        np.concatenate([old.time_ms, best.time_ms]),
        ones,
        ones * cancels,
        ones * amounts,
        np.concatenate([old.currency, best.currency]),
    )
