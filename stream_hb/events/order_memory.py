"""Orders: which event defines each, and what its refunds leave of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.arm_sets import ArmSets
from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.events.currencies import Currencies
from stream_hb.events.differing import differing
from stream_hb.events.id_table import IdTable, Slots, TableWrite
from stream_hb.events.mentions import OrderMentions
from stream_hb.events.packed_time import COLUMNS, packed, unpacked
from stream_hb.events.refund_memory import RefundDeltas, RefundMemory
from stream_hb.field_names import field_names
from stream_hb.statistics.columns import Floats, Rows

Factors = Callable[[Int64s, Int64s], Floats]
"""(numbers of currencies, times) -> what a minor unit is worth in the group's currency."""

_BOUGHT = 1
_BOT = 2
_FOREIGN = 4


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders as they stand, a row each.

    Attributes
    ----------
    row
        Group.
    bought
        Whether a purchase defines it; else only refunds are known of it.
    revision, time_ms, amount_minor, visit_key, is_bot, visitor, arm, currency
        Of the event that defines it.
    refunds, cancels, refunded
        Number of its refunds, of those that cancel it, and their sum in its own currency.
    factor
        What a minor unit of its currency is worth in the group's, at its time.
    foreign
        Whether it is in another currency than its group's and nothing converts it.
    """

    row: Rows
    bought: Bools
    revision: Int64s
    time_ms: Int64s
    amount_minor: Int64s
    visit_key: Hashes
    is_bot: Bools
    visitor: Hashes
    arm: Int64s
    currency: Int64s
    refunds: Int64s
    cancels: Int64s
    refunded: Int64s
    factor: Floats
    foreign: Bools

    @property
    def value(self) -> Int64s:
        """What is left of the amount, in the group's currency."""
        left: Int64s = np.maximum(self.amount_minor - self.refunded, 0)
        same = self.factor == 1
        if same.all():
            return left
        return np.where(same, left, np.rint(left * self.factor).astype(np.int64))

    @property
    def accepted(self) -> Bools:
        """Whether a purchase in the group's currency defines it; another was as if never sent."""
        return self.bought & ~self.foreign

    @property
    def live(self) -> Bools:
        """Whether the order counts, were it not for bots."""
        gone = (self.cancels > 0) | ((self.refunds > 0) & (self.refunded >= self.amount_minor))
        return self.accepted & ~gone

    @property
    def counts(self) -> Bools:
        """Whether it counts as far as it knows itself: live, and no bot's by its own event."""
        return self.live & ~self.is_bot

    def take(self, chosen: Any) -> Self:
        """Return some of the orders."""
        return type(self)(*(getattr(self, name)[chosen] for name in field_names(type(self))))

    def concatenate(self, other: Self) -> Self:
        """Return the orders of both."""
        names = field_names(type(self))
        return type(self)(
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names)
        )

    def defined_before(self, other: Self, sets: ArmSets) -> Bools:
        """Tell where this one's event defines the order and not the other's (README, rule 3)."""
        if not other.bought.any():
            return self.bought
        better = self.revision > other.revision
        same = self.revision == other.revision
        arms = np.split(sets.ranks(np.concatenate([self.arm, other.arm])), 2)
        for mine, its in (
            (self.time_ms, other.time_ms),
            (self.amount_minor, other.amount_minor),
            (self.visit_key, other.visit_key),
            (self.is_bot, other.is_bot),
            (self.visitor, other.visitor),
            (arms[0], arms[1]),
            (self.currency, other.currency),
        ):
            better |= same & (mine < its)
            same &= mine == its
        return self.bought & (better | ~other.bought)


@dataclass(frozen=True, slots=True)
class OrderChange:
    """What becomes of the orders that a batch touches.

    Attributes
    ----------
    keys, slots
        The orders.
    before, after
        How they stand.
    """

    keys: Hashes
    slots: Slots
    before: Orders
    after: Orders

    def write(self) -> TableWrite:
        """Return what to write of those that change."""
        a = self.after
        flags = a.bought * _BOUGHT + a.is_bot * _BOT + a.foreign * _FOREIGN
        values = {
            "visit_key": a.visit_key,
            "row": a.row,
            **packed(a.time_ms),
            "amount": a.amount_minor,
            "refunded": a.refunded,
            "revision": a.revision,
            "refunds": a.refunds,
            "cancels": a.cancels,
            "flags": flags,
            "visitor": a.visitor,
            "arm": a.arm + 1,
            "currency": a.currency,
        }
        return TableWrite(self.slots, self.keys, values)


class OrderMemory:
    """The orders of a shard. Visitors and arms take room from the first order that names one.

    Parameters
    ----------
    factors
        Converts; None: every amount is in its group's currency.
    """

    def __init__(self, factors: Factors | None = None) -> None:
        self._factors = factors
        self.table = IdTable(
            {
                "visit_key": np.uint64,
                "row": np.uint32,
                **COLUMNS,
                "amount": np.int64,
                "refunded": np.int64,
                "revision": np.int32,
                "refunds": np.uint32,
                "cancels": np.uint32,
                "flags": np.uint8,
            },
            optional={"visitor": np.uint64, "arm": np.uint32, "currency": np.uint16},
        )

    def probe(
        self,
        orders: OrderMentions,
        deltas: RefundDeltas,
        sets: ArmSets,
        known_refunds: RefundMemory,
        currencies: Currencies | None = None,
    ) -> OrderChange:
        """Return what becomes of the orders that events or refunds touch; nothing is changed.

        ``deltas`` is what the batch changes of ``known_refunds``; without ``currencies`` every
        order is in its group's.
        """
        if not len(orders.key) and not len(deltas.order_key):
            return _nothing()
        chosen = _best_mentions(orders, sets)
        keys = orders.key[chosen]
        others = [deltas.order_key]
        if currencies is not None:
            others.append(self._of_groups(currencies.turned))
        if any(map(len, others)):
            keys = np.unique(np.concatenate([keys, *others]))
        slots = self.table.find(keys)
        before = self.read(slots)
        after = _defined(before, keys, orders, chosen, sets)
        if self._factors is not None:
            after = self._priced(before, after, keys, known_refunds)
        after = self._refunded(after, keys, deltas)
        if currencies is not None:
            after = replace(after, foreign=currencies.foreign(after.row, after.currency))
        changed = differing(before, after, "bought")
        if not changed.all():
            keys, slots = keys[changed], slots[changed]
            before, after = before.take(changed), after.take(changed)
        slots[slots < 0] = self.table.plan(keys[slots < 0])
        return OrderChange(keys, slots, before, after)

    def read(self, slots: Slots) -> Orders:
        """Return the orders at some slots; where the slot is -1, one that nothing is known of."""
        read = self.table.reader(slots)
        flags, currency = read("flags"), read("currency").astype(np.int64)
        time_ms = unpacked(read("day"), read("ms"))
        return Orders(
            read("row").astype(np.intp),
            (flags & _BOUGHT) > 0,
            read("revision").astype(np.int64),
            time_ms,
            read("amount"),
            read("visit_key"),
            (flags & _BOT) > 0,
            read("visitor"),
            read("arm").astype(np.int64) - 1,
            currency,
            read("refunds").astype(np.int64),
            read("cancels").astype(np.int64),
            read("refunded"),
            np.ones(len(slots)) if self._factors is None else self._factors(currency, time_ms),
            (flags & _FOREIGN) > 0,
        )

    def known_before(self, slots: Slots, times_ms: Int64s, refunds: RefundMemory) -> Orders:
        """Return orders, their keys ascending, without the refunds from a time on of each."""
        orders, keys = self.read(slots), self.table.column("key")[slots]
        if not (orders.refunds > 0).any():
            return orders
        deltas = refunds.of_orders(keys[orders.refunds > 0])
        late = deltas.time_ms >= times_ms[np.searchsorted(keys, deltas.order_key)]
        return self._refunded(orders, keys, deltas.taken_back(late))

    def _priced(
        self, before: Orders, after: Orders, keys: Hashes, known_refunds: RefundMemory
    ) -> Orders:
        """Return the orders with their factors, and what the known refunds come to by these."""
        assert self._factors is not None
        after = replace(after, factor=self._factors(after.currency, after.time_ms))
        again = (after.refunds > 0) & (
            (before.bought != after.bought)
            | (before.currency != after.currency)
            | (before.time_ms != after.time_ms)
        )
        if not again.any():
            return after
        refunded = np.where(again, 0, after.refunded)
        deltas = known_refunds.of_orders(keys[again])
        at = np.searchsorted(keys, deltas.order_key)
        np.add.at(refunded, at, self._in_currency_of(after, at, deltas))
        return replace(after, refunded=refunded)

    def _in_currency_of(self, orders: Orders, at: Slots, deltas: RefundDeltas) -> Int64s:
        """Return refunds in their orders' currency, by the rates of the orders' time."""
        same = (deltas.currency == orders.currency[at]) | ~orders.bought[at]
        if self._factors is None or same.all():
            return deltas.amount_minor
        worth = self._factors(deltas.currency, orders.time_ms[at]) / orders.factor[at]
        converted = np.rint(deltas.amount_minor * worth).astype(np.int64)
        return np.where(same, deltas.amount_minor, converted)

    def _refunded(self, orders: Orders, keys: Hashes, deltas: RefundDeltas) -> Orders:
        """Return the orders with what a batch changes of their refunds."""
        if not len(deltas.order_key):
            return orders
        at = np.searchsorted(keys, deltas.order_key)
        refunds, cancels, refunded = (
            orders.refunds.copy(),
            orders.cancels.copy(),
            orders.refunded.copy(),
        )
        np.add.at(refunds, at, deltas.number)
        np.add.at(cancels, at, deltas.cancels)
        np.add.at(refunded, at, self._in_currency_of(orders, at, deltas))
        # Until a purchase comes, what waits has the row of its refund, and the time of the newest:
        # that is what it is forgotten by.
        row, time_ms = orders.row.copy(), orders.time_ms.copy()
        waits = ~orders.bought[at]
        row[at[waits]] = deltas.row[waits]
        np.maximum.at(time_ms, at[waits], deltas.time_ms[waits])
        orders = replace(orders, row=row, time_ms=time_ms)
        if self._factors is None and deltas.currency.any():  # without rates it is its order's too
            currency = orders.currency.copy()
            currency[at] = deltas.currency
            orders = replace(orders, currency=currency)
        return replace(orders, refunds=refunds, cancels=cancels, refunded=refunded)

    def _of_groups(self, rows: Rows) -> Hashes:
        """Return the keys of all orders of some groups: a pass over all orders."""
        if not len(rows) or not len(self.table):
            return np.empty(0, np.uint64)
        mine = np.isin(self.table.column("row"), rows) & (self.table.column("key") != 0)
        keys: Hashes = self.table.column("key")[mine]
        return keys

    def of_visits(self, visit_keys: Hashes) -> Slots:
        """Return the slots of all orders of some visits: a pass over all orders."""
        if not len(visit_keys) or not len(self.table):
            return np.empty(0, np.int64)
        mine = np.isin(self.table.column("visit_key"), visit_keys)
        return np.flatnonzero(mine & (self.table.column("key") != 0))


@cache
def _nothing() -> OrderChange:
    keys, slots = np.empty(0, np.uint64), np.empty(0, np.int64)
    none = OrderMemory().read(slots)
    return OrderChange(keys, slots, none, none)


def _defined(
    before: Orders, keys: Hashes, orders: OrderMentions, chosen: Slots, sets: ArmSets
) -> Orders:
    """Return the orders as the better of what is known and of the batch's events defines them."""
    if not len(chosen):
        return before
    at = np.searchsorted(keys, orders.key[chosen])
    known = before if len(at) == len(keys) else before.take(at)  # all of them, in their order
    best = Orders(
        orders.row[chosen],
        np.ones(len(chosen), np.bool_),
        orders.revision[chosen],
        orders.time_ms[chosen],
        orders.amount_minor[chosen],
        orders.visit_key[chosen],
        orders.is_bot[chosen],
        orders.visitor[chosen],
        orders.arm[chosen],
        orders.currency[chosen],
        known.refunds,
        known.cancels,
        known.refunded,
        known.factor,
        known.foreign,
    )
    better = best.defined_before(known, sets)
    if better.all() and len(at) == len(keys):
        return best
    return _put(before, at[better], best.take(better))


def _best_mentions(orders: OrderMentions, sets: ArmSets) -> Slots:
    """Return which event of the batch defines each of its orders, by the orders' keys."""
    mine, first = np.unique(orders.key, return_index=True)
    if len(mine) == len(orders.key):
        return first
    order = np.lexsort(
        (
            orders.currency,
            sets.ranks(orders.arm),
            orders.visitor,
            orders.is_bot,
            orders.visit_key,
            orders.amount_minor,
            orders.time_ms,
            -orders.revision,
            orders.key,
        )
    )
    _, first = np.unique(orders.key[order], return_index=True)
    best: Slots = order[first]
    return best


def _put(into: Orders, at: NDArray[np.intp], values: Orders) -> Orders:
    columns = {name: getattr(into, name).copy() for name in field_names(Orders)}
    for name, column in columns.items():
        column[at] = getattr(values, name)
    return Orders(**columns)
