"""Visits: seen or implied, when, with how many orders, whose."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from stream_hb.events.arm_sets import NO_ARMS, ArmSets
from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.events.differing import differing
from stream_hb.events.distinct import distinct
from stream_hb.events.id_table import IdTable, Slots, TableWrite
from stream_hb.events.mentions import VisitMentions
from stream_hb.events.order_memory import OrderChange, OrderMemory, Orders
from stream_hb.events.packed_time import COLUMNS, packed, unpacked
from stream_hb.field_names import field_names
from stream_hb.statistics.columns import Rows

NEVER_MS = np.iinfo(np.int64).max
"""The time of what has not happened."""

_NO_EVENT = 2**32 - 1
_BOT = 1
_OWN_VISITOR = 2
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
    own_visitor
        Whether one of its visit events names its visitor.
    visitor
        The smallest of the visitors that these name, else of those that its orders do; 0: none.
    own_arms
        The set of arms that its visit events name.
    arms
        The same of its visit events and its orders.
    """

    row: Rows
    own_ms: Int64s
    time_ms: Int64s
    orders: Int64s
    live: Int64s
    is_bot: Bools
    own_visitor: Bools
    visitor: Hashes
    own_arms: Int64s
    arms: Int64s

    @property
    def exists(self) -> Bools:
        """Whether an event or an order says that it was."""
        return (self.own_ms < NEVER_MS) | (self.orders > 0)

    def take(self, chosen: Any) -> Self:
        """Return some of the visits."""
        return type(self)(*(getattr(self, name)[chosen] for name in field_names(type(self))))

    def concatenate(self, other: Self) -> Self:
        """Return the visits of both."""
        names = field_names(type(self))
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
        differ = differing(self.before, self.after, "own_ms")
        slots, keys, a = self.slots, self.keys, self.after
        if not differ.all():
            slots, keys, a = slots[differ], keys[differ], a.take(differ)
        delay = a.own_ms - a.time_ms  # a horizon is shorter than the 49 days that it can hold
        values = {
            "row": a.row,
            **packed(np.where(a.exists, a.time_ms, 0)),  # what is nothing is forgotten first
            "delay": np.where(a.own_ms < NEVER_MS, np.minimum(delay, _NO_EVENT - 1), _NO_EVENT),
            "orders": a.orders,
            "live": a.live,
            "flags": _flags(a),
            "visitor": a.visitor,
            "own_arms": a.own_arms + 1,
            "arms": a.arms + 1,
        }
        return TableWrite(slots, keys, values)


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
            optional={"visitor": np.uint64, "own_arms": np.uint32, "arms": np.uint32},
        )

    def probe(
        self,
        visits: VisitMentions,
        changed: OrderChange,
        memory: OrderMemory,
        sets: ArmSets,
    ) -> VisitChange:
        """Return what becomes of the visits that events or their orders touch."""
        left, joined = changed.before.visit_key, changed.after.visit_key
        parts = (visits.key, left[left != 0], joined[joined != 0])
        keys, place = distinct(np.concatenate(parts))
        slots = self.table.find(keys)
        before = self.read(slots)
        after = _after(before, keys, place[: len(visits.key)], visits, changed, sets)
        at = _earliest_left(before, keys, changed)
        if len(at):
            times = _earliest_orders(keys[at], changed, memory)
            after.time_ms[at] = np.minimum(after.own_ms[at], times)
        after = _named(after, keys, changed, memory, sets)
        new = ((slots < 0) & after.exists).nonzero()[0]
        slots[new] = self.table.plan(keys[new])
        kept = slots >= 0
        if kept.all():
            return VisitChange(keys, slots, before, after)
        return VisitChange(keys[kept], slots[kept], before.take(kept), after.take(kept))

    def read(self, slots: Slots) -> Visits:
        """Return the visits at some slots; where the slot is -1, one that nothing is known of."""
        read = self.table.reader(slots)
        flags, orders = read("flags"), read("orders").astype(np.int64)
        times, delay = unpacked(read("day"), read("ms")), read("delay")
        unseen = (delay == _NO_EVENT) | (slots < 0)
        own = np.where(unseen, NEVER_MS, times + delay)
        times[unseen & (orders == 0)] = NEVER_MS
        return Visits(
            read("row").astype(np.intp),
            own,
            times,
            orders,
            read("live").astype(np.int64),
            (flags & _BOT) > 0,
            (flags & _OWN_VISITOR) > 0,
            read("visitor"),
            read("own_arms").astype(np.int64) - 1,
            read("arms").astype(np.int64) - 1,
        )

    def of_visitors(self, visitors: Hashes) -> Slots:
        """Return the slots of all visits of some visitors: a pass over all visits."""
        if not len(visitors) or not self.table.has("visitor"):
            return np.empty(0, np.int64)
        return np.flatnonzero(np.isin(self.table.column("visitor"), visitors))


def _flags(visits: Visits) -> Int64s:
    flags: Int64s = visits.is_bot * _BOT + visits.own_visitor * _OWN_VISITOR
    return flags


def _after(
    before: Visits,
    keys: Hashes,
    seen: Slots,
    visits: VisitMentions,
    changed: OrderChange,
    sets: ArmSets,
) -> Visits:
    """Return the visits with the batch's events; ``seen`` are these events' places among the keys.

    Their own facts are final; what orders add to visitor and arm is left to :func:`_named`, and
    the time of a visit that an order leaves to :func:`_earliest_orders`.
    """
    row, own, is_bot = before.row.copy(), before.own_ms.copy(), before.is_bot.copy()
    row[seen] = visits.row
    np.minimum.at(own, seen, visits.time_ms)
    is_bot[seen[visits.is_bot]] = True
    own_visitor, visitor = _own_visitor(before, seen, visits.visitor)
    time_ms = np.minimum(before.time_ms, own)
    number, live = _order_numbers(before, keys, row, time_ms, changed)
    return Visits(
        row,
        own,
        time_ms,
        number,
        live,
        is_bot,
        own_visitor,
        visitor,
        sets.union(before.own_arms, seen, visits.arm),
        before.arms,
    )


def _own_visitor(before: Visits, seen: Slots, named: Hashes) -> tuple[Bools, Hashes]:
    """Return whether visit events name the visitor, and whom: an order's word yields to theirs."""
    if not named.any():
        return before.own_visitor, before.visitor
    own = _smallest(np.where(before.own_visitor, before.visitor, 0), seen, named)
    return own != 0, np.where(own == 0, before.visitor, own)


def _smallest(known: Hashes, at: Slots, named: Hashes) -> Hashes:
    smallest = np.where(known == 0, _NOBODY, known)
    np.minimum.at(smallest, at, np.where(named == 0, _NOBODY, named))
    return np.where(smallest == _NOBODY, np.uint64(0), smallest)


def _named(
    visits: Visits, keys: Hashes, changed: OrderChange, memory: OrderMemory, sets: ArmSets
) -> Visits:
    """Return the visits with the visitor and the arms that their orders name."""
    orders = changed.after
    if not len(changed.keys) and (visits.own_arms == NO_ARMS).all():
        return visits
    named = [_naming(side) for side in (changed.before, changed.after)]
    own_arms = (visits.own_arms != NO_ARMS).any()
    if not (own_arms or named[0].any() or named[1].any()):
        return visits
    # What an order no longer says is gone from the union: it is made anew from the orders left.
    lost = np.zeros(len(keys), np.bool_)
    lost[np.searchsorted(keys, changed.before.visit_key[named[0]])] = True
    if lost.any():
        slots = np.setdiff1d(memory.of_visits(keys[lost]), changed.slots)
        orders = memory.read(slots).concatenate(orders)
    mine = _naming(orders) & np.isin(orders.visit_key, keys)
    at, told = np.searchsorted(keys, orders.visit_key[mine]), orders.take(mine)
    visitor = _smallest(np.where(lost & ~visits.own_visitor, 0, visits.visitor), at, told.visitor)
    visitor = np.where(visits.own_visitor, visits.visitor, visitor)
    arms = np.where(lost, NO_ARMS, visits.arms)
    arms = sets.union(arms, np.arange(len(arms)), visits.own_arms)
    return replace(visits, visitor=visitor, arms=sets.union(arms, at, told.arm))


def _naming(orders: Orders) -> Bools:
    naming: Bools = _of_visits(orders) & ((orders.visitor != 0) | (orders.arm != NO_ARMS))
    return naming


def _order_numbers(
    before: Visits, keys: Hashes, row: Rows, time_ms: Int64s, changed: OrderChange
) -> tuple[Int64s, Int64s]:
    """Return how many orders visits have, and how many that count; times only grow earlier.

    A visit that an order implies has the order's row.
    """
    if not len(changed.keys):
        return before.orders, before.live
    number, live = before.orders.copy(), before.live.copy()
    for orders, sign in ((changed.before, -1), (changed.after, 1)):
        mine = _of_visits(orders)
        at = np.searchsorted(keys, orders.visit_key[mine])
        np.add.at(number, at, sign)
        np.add.at(live, at, sign * orders.counts[mine])
        if sign > 0:
            np.minimum.at(time_ms, at, orders.time_ms[mine])
            row[at] = orders.row[mine]
    # Of a visit that was forgotten before one of its orders, nothing is known to take away from.
    return np.maximum(number, 0), np.maximum(live, 0)


def _of_visits(orders: Orders) -> Bools:
    mine: Bools = orders.accepted & (orders.visit_key != 0)
    return mine


def _earliest_left(before: Visits, keys: Hashes, changed: OrderChange) -> Slots:
    """Return the visits whose earliest time was that of an order which has left it or moved."""
    one, other = changed.before, changed.after
    if not one.bought.any():
        return np.empty(0, np.int64)
    moved = (one.visit_key != other.visit_key) | (one.time_ms != other.time_ms) | other.foreign
    moved &= _of_visits(one)
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
