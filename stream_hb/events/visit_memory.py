"""Visits: seen or implied, when, with how many orders, whose."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.events.id_table import IdTable, Slots, TableWrite
from stream_hb.events.mentions import OrderMentions, VisitMentions
from stream_hb.events.order_memory import OrderChange, OrderMemory, Orders
from stream_hb.events.packed_time import COLUMNS, packed, unpacked
from stream_hb.statistics.columns import Rows

NEVER_MS = np.iinfo(np.int64).max
"""The time of what has not happened."""

NO_ARM = -1
_NO_EVENT = 2**32 - 1
_BOT = 1
_CROSSED = 2
_NOBODY = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits as they stand, a row each.

    Attributes
    ----------
    row
        Group.
    own_ms
        Earliest time of its visit events; ``NEVER_MS`` where there is none.
    time_ms
        Attribution time: the earliest of these and of its orders' times.
    orders, live
        Number of its orders, and of those that count.
    is_bot
        Whether one of its events says that it is a bot's.
    visitor
        The smallest of the visitors that its events name; 0: none is named.
    arm
        The smallest of the arms that its events name; -1: none is.
    crossed
        Whether they name several.
    """

    row: Rows
    own_ms: Int64s
    time_ms: Int64s
    orders: Int64s
    live: Int64s
    is_bot: Bools
    visitor: Hashes
    arm: Int64s
    crossed: Bools

    @property
    def exists(self) -> Bools:
        """Whether an event or an order says that it was."""
        return (self.own_ms < NEVER_MS) | (self.orders > 0)

    def take(self, chosen: Any) -> Self:
        """Return some of the visits."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def concatenate(self, other: Self) -> Self:
        """Return the visits of both."""
        names = [field.name for field in fields(self)]
        return type(self)(
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names)
        )


@dataclass(frozen=True, slots=True)
class VisitChange:
    """What becomes of the visits that a batch touches.

    Attributes
    ----------
    keys, slots
        The visits, by key in ascending order.
    before, after
        How they stand.
    """

    keys: Hashes
    slots: Slots
    before: Visits
    after: Visits

    def write(self) -> TableWrite:
        """Return what to write of those that change."""
        differ = self.slots < 0
        for field in fields(self.before):
            differ = differ | (getattr(self.before, field.name) != getattr(self.after, field.name))
        a = self.after.take(differ)
        delay = a.own_ms - a.time_ms  # a horizon is shorter than the 49 days that it can hold
        values = {
            "row": a.row,
            **packed(a.time_ms),
            "delay": np.where(a.own_ms < NEVER_MS, np.minimum(delay, _NO_EVENT - 1), _NO_EVENT),
            "orders": a.orders,
            "live": a.live,
            "flags": a.is_bot * _BOT + a.crossed * _CROSSED,
            "visitor": a.visitor,
            "arm": a.arm + 1,
        }
        return TableWrite(self.slots[differ], self.keys[differ], values)


class VisitMemory:
    """The visits of a shard. Visitors and arms take room from the first event that names one."""

    def __init__(self) -> None:
        self.table = IdTable(
            {
                "row": np.uint32,
                **COLUMNS,
                "delay": np.uint32,
                "orders": np.uint32,
                "live": np.uint32,
                "flags": np.uint8,
            },
            optional={"visitor": np.uint64, "arm": np.uint32},
        )

    def probe(
        self,
        visits: VisitMentions,
        orders: OrderMentions,
        changed: OrderChange,
        memory: OrderMemory,
    ) -> VisitChange:
        """Return what becomes of the visits that events or their orders touch."""
        left, joined = changed.before.visit_key, changed.after.visit_key
        keys = np.concatenate([visits.key, orders.visit_key, left, joined])
        keys = np.unique(keys[keys != 0])
        slots = self.table.find(keys)
        before = self.read(slots)
        after = _after(before, keys, visits, orders, changed)
        at = _earliest_left(before, keys, changed)
        if len(at):
            times = _earliest_orders(keys[at], changed, memory)
            after.time_ms[at] = np.minimum(after.own_ms[at], times)
        # A visit that neither was nor is leaves no trace: its time would be that of never.
        gone = after.time_ms == NEVER_MS
        after.time_ms[gone] = np.where(slots[gone] >= 0, before.time_ms[gone], 0)
        new = np.flatnonzero((slots < 0) & after.exists)
        slots[new] = self.table.plan(keys[new])
        kept = slots >= 0
        return VisitChange(keys[kept], slots[kept], before.take(kept), after.take(kept))

    def read(self, slots: Slots) -> Visits:
        """Return the visits at some slots; where the slot is -1, one that nothing is known of."""
        read, flags = self.table.read, self.table.read(slots, "flags")
        times, delay = unpacked(read(slots, "day"), read(slots, "ms")), read(slots, "delay")
        times[slots < 0] = NEVER_MS
        own = np.where((delay == _NO_EVENT) | (slots < 0), NEVER_MS, times + delay)
        return Visits(
            read(slots, "row").astype(np.intp),
            own,
            times,
            read(slots, "orders").astype(np.int64),
            read(slots, "live").astype(np.int64),
            (flags & _BOT) > 0,
            read(slots, "visitor"),
            read(slots, "arm").astype(np.int64) - 1,
            (flags & _CROSSED) > 0,
        )

    def of_visitors(self, visitors: Hashes) -> Slots:
        """Return the slots of all visits of some visitors: a pass over all visits."""
        if not len(visitors) or not self.table.has("visitor"):
            return np.empty(0, np.int64)
        return np.flatnonzero(np.isin(self.table.column("visitor"), visitors))


def _after(
    before: Visits,
    keys: Hashes,
    visits: VisitMentions,
    orders: OrderMentions,
    changed: OrderChange,
) -> Visits:
    """Return the visits with the batch's events, but for orders that leave their earliest time."""
    seen = np.searchsorted(keys, visits.key)
    named = orders.visit_key != 0
    bought = np.searchsorted(keys, orders.visit_key[named])
    row, own, is_bot = before.row.copy(), before.own_ms.copy(), before.is_bot.copy()
    row[seen] = visits.row
    row[bought] = orders.row[named]
    np.minimum.at(own, seen, visits.time_ms)
    is_bot[seen[visits.is_bot]] = True
    visitor = _smallest_visitor(
        before.visitor, (seen, visits.visitor), (bought, orders.visitor[named])
    )
    arm, crossed = _arms(before, (seen, visits.arm), (bought, orders.arm[named]))
    time_ms = np.minimum(before.time_ms, own)
    number, live = _order_numbers(before, keys, time_ms, changed)
    return Visits(row, own, time_ms, number, live, is_bot, visitor, arm, crossed)


def _smallest_visitor(known: Hashes, *named: tuple[Slots, Hashes]) -> Hashes:
    if not any(hashes.any() for _, hashes in named):
        return known
    smallest = np.where(known == 0, _NOBODY, known)
    for at, hashes in named:
        np.minimum.at(smallest, at, np.where(hashes == 0, _NOBODY, hashes))
    return np.where(smallest == _NOBODY, np.uint64(0), smallest)


def _arms(before: Visits, *named: tuple[Slots, Int64s]) -> tuple[Int64s, Bools]:
    if not any(len(arms) and int(arms.max()) >= 0 for _, arms in named):
        return before.arm, before.crossed
    least = np.where(before.arm < 0, NEVER_MS, before.arm)
    most = before.arm.copy()
    for at, arms in named:
        np.minimum.at(least, at, np.where(arms < 0, NEVER_MS, arms))
        np.maximum.at(most, at, arms)
    crossed = before.crossed | ((most >= 0) & (least < most))
    return np.where(least == NEVER_MS, NO_ARM, least), crossed


def _order_numbers(
    before: Visits, keys: Hashes, time_ms: Int64s, changed: OrderChange
) -> tuple[Int64s, Int64s]:
    """Return how many orders visits have, and how many that count; times only grow earlier."""
    number, live = before.orders.copy(), before.live.copy()
    for orders, sign in ((changed.before, -1), (changed.after, 1)):
        mine = _of_visits(orders)
        at = np.searchsorted(keys, orders.visit_key[mine])
        np.add.at(number, at, sign)
        np.add.at(live, at, sign * orders.counts[mine])
        if sign > 0:
            np.minimum.at(time_ms, at, orders.time_ms[mine])
    return number, live


def _of_visits(orders: Orders) -> Bools:
    mine: Bools = orders.bought & (orders.visit_key != 0)
    return mine


def _earliest_left(before: Visits, keys: Hashes, changed: OrderChange) -> Slots:
    """Return the visits whose earliest time was that of an order which has left it or moved."""
    one, other = changed.before, changed.after
    moved = _of_visits(one) & ((one.visit_key != other.visit_key) | (one.time_ms != other.time_ms))
    at = np.searchsorted(keys, one.visit_key[moved])
    mine = (before.time_ms[at] == one.time_ms[moved]) & (before.own_ms[at] > before.time_ms[at])
    return np.unique(at[mine])


def _earliest_orders(keys: Hashes, changed: OrderChange, memory: OrderMemory) -> Int64s:
    """Return the earliest time among all orders of some visits, ``NEVER_MS`` without any."""
    slots = np.setdiff1d(memory.of_visits(keys), changed.slots)
    orders = memory.read(slots).concatenate(changed.after)
    mine = _of_visits(orders) & np.isin(orders.visit_key, keys)
    times = np.full(len(keys), NEVER_MS)
    at = np.searchsorted(keys, orders.visit_key[mine])
    np.minimum.at(times, at, orders.time_ms[mine])
    return times
