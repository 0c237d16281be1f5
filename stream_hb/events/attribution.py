"""The attribution of a shard: which visits there were, which of them bought, what orders are worth.

The state is a function of the set of events (README.md of this folder has the rules). A batch is
probed against what is remembered: how do the orders, visits and units that it touches stand before
and after? The difference is what the counts are told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream_hb.events.arm_sets import ArmSets
from stream_hb.events.batch import Bools, Hashes
from stream_hb.events.currencies import Currencies
from stream_hb.events.id_table import IdTable, Slots, TableWrite
from stream_hb.events.mentions import OrderMentions, RefundMentions, VisitMentions
from stream_hb.events.moves import Counted, Moves, Signed
from stream_hb.events.order_memory import Factors, OrderChange, OrderMemory, Orders
from stream_hb.events.packed_time import DAY_MS
from stream_hb.events.refund_memory import RefundMemory
from stream_hb.events.units import Others, Sightings, UnitDeltas, UnitMemory
from stream_hb.events.visit_memory import VisitChange, VisitMemory, Visits
from stream_hb.events.visitor_hours import HourChange, VisitorHours, hour_keys

TABLES = ("visits", "orders", "refunds", "hours", "units")


@dataclass(frozen=True, slots=True)
class AttributionSettings:
    """How visits and orders are attributed.

    Attributes
    ----------
    visits_per_hour
        More visits of a visitor in a store and hour are a bot's.
    units_kept_ms
        How long after its first visit a unit of an experiment is remembered.
    factors
        Converts orders' amounts; None: all are in their groups' currencies.
    """

    visits_per_hour: int = 60
    units_kept_ms: int = 30 * DAY_MS
    factors: Factors | None = None


@dataclass(frozen=True, slots=True)
class AttributionChange:
    """What a batch changes.

    Attributes
    ----------
    moves
        What the counts are told.
    writes
        What is remembered, by table.
    tallies
        Changes of the numbers of what is not counted.
    """

    moves: Moves
    writes: Mapping[str, TableWrite]
    tallies: Mapping[str, int]

    def with_repeated(self, number: int) -> "AttributionChange":
        """Return the same with more events that said nothing new: totals, which come beside it."""
        repeated = self.tallies["repeated_events"] + number
        return replace(self, tallies={**self.tallies, "repeated_events": repeated})


class Attribution:
    """What a shard remembers of visits, orders, refunds, visitors and units.

    Attributes
    ----------
    tallies
        How many visits and orders are bots', how many events repeated what was known, how many
        refunds never met their order.
    """

    def __init__(self, settings: AttributionSettings = AttributionSettings()) -> None:
        self.tallies = dict.fromkeys(
            ("bot_visits", "bot_orders", "repeated_events", "unmatched_refunds"), 0
        )
        self.visits = VisitMemory()
        self.orders = OrderMemory(settings.factors)
        self.refunds = RefundMemory(by_currency=settings.factors is None)
        self.hours = VisitorHours(settings.visits_per_hour)
        self.units = UnitMemory()
        self._forgotten_day = 0
        self._units_kept_ms = settings.units_kept_ms

    @property
    def tables(self) -> dict[str, IdTable]:
        """The tables by name: all of the state but for a few numbers."""
        return {name: getattr(self, name).table for name in TABLES}

    def probe(
        self,
        visits: VisitMentions,
        orders: OrderMentions,
        refunds: RefundMentions,
        sets: ArmSets,
        currencies: Currencies | None = None,
    ) -> AttributionChange:
        """Work out what a batch changes; nothing is changed but the sets of arms that are known.

        Without ``currencies`` every order is in its group's.
        """
        refund_write, deltas = self.refunds.probe(refunds)
        ordered = self.orders.probe(orders, deltas, sets, self.refunds, currencies)
        visited = self.visits.probe(visits, ordered, self.orders, sets)
        hours = self.hours.probe(visited.before, visited.after)
        standing = self._standing(ordered, visited, hours)
        writes = {
            "visits": visited.write(),
            "orders": ordered.write(),
            "refunds": refund_write,
            "hours": hours.write,
        }
        if len(sets):
            writes["units"] = self._units(standing, sets, hours)
        repeated = len(visits.key) + len(orders.key) + len(refunds.key)
        repeated -= _news(visited, ordered) + len(refund_write.keys)
        counted = standing.counted()
        tallies = {**standing.tallies(counted), "repeated_events": repeated}
        return AttributionChange(standing.moves(counted), writes, tallies)

    def _standing(
        self, ordered: OrderChange, visited: VisitChange, hours: HourChange
    ) -> "_Standing":
        more = self._in_crossing_hours(visited, hours)
        keys, slots, before, after = visited.keys, visited.slots, visited.before, visited.after
        if len(more):
            others = self.visits.read(more)
            keys = np.concatenate([keys, self.visits.table.column("key")[more]])
            slots = np.concatenate([slots, more])
            before, after = before.concatenate(others), after.concatenate(others)
        bots_before = before.is_bot | self.hours.too_full(before, None)
        bots_after = after.is_bot | self.hours.too_full(after, hours)
        sides = _Sides(keys, slots, before, after, bots_before, bots_after)
        return self._with_orders(ordered, sides)

    def _in_crossing_hours(self, visited: VisitChange, hours: HourChange) -> Slots:
        """Return the visits that become bots', or are no longer, without being touched."""
        crossing = self.hours.crossing(hours)
        if not len(crossing):
            return np.empty(0, np.int64)
        touched = [(visits, hour_keys(visits)) for visits in (visited.before, visited.after)]
        visitors = [visits.visitor[np.isin(keys, crossing)] for visits, keys in touched]
        slots = self.visits.of_visitors(np.unique(np.concatenate(visitors)))
        slots = np.setdiff1d(slots, visited.slots)
        mine: Slots = slots[np.isin(hour_keys(self.visits.read(slots)), crossing)]
        return mine

    def _with_orders(self, ordered: OrderChange, visits: "_Sides") -> "_Standing":
        """Add the orders that stand otherwise because their visit does."""
        standing = _Standing(visits, ordered.slots, ordered.before, ordered.after)
        turned = visits.turned()
        if not len(turned):
            return standing
        more = np.setdiff1d(self.orders.of_visits(turned), ordered.slots)
        return standing.with_orders(more, self.orders)

    def _units(self, standing: "_Standing", sets: ArmSets, hours: HourChange) -> TableWrite:
        v = standing.visits
        sides = (v.before, v.counted(after=False)), (v.after, v.counted(after=True))
        seen = Sightings.of(sets, v.keys, v.slots, *sides)
        # Of a visit that changes its units, all orders do.
        slots = self.orders.of_visits(v.keys[seen.moved()])
        more = standing.with_orders(np.setdiff1d(slots, standing.slots), self.orders)
        untouched = Others(
            self.visits,
            lambda visits: visits.is_bot | self.hours.too_full(visits, hours),
        )
        return self.units.probe(seen, more.unit_deltas(seen), untouched)

    def counts(self, visits: Visits) -> Bools:
        """Tell which visits count as things stand: those that are no bot's."""
        return visits.exists & ~(visits.is_bot | self.hours.too_full(visits, None))

    def apply(self, change: AttributionChange) -> None:
        """Make a change the state."""
        tables = self.tables
        for name, write in change.writes.items():
            tables[name].apply(write)
        self.hours.applied(change.writes["hours"])
        for name, number in change.tallies.items():
            self.tallies[name] += number

    def forget(self, before_ms: int, watermark_ms: int) -> dict[str, Slots]:
        """Forget what is older, in whole days; return the slots that are free then, by table.

        What it had counted stays counted.

        A visit goes a day later than its orders and not while one of them is remembered, else a
        change of that order would take away from a visit of which nothing is known; a visitor's
        hour goes with the last of its visits. Units have a time of their own, counted from the
        watermark.
        """
        day = before_ms // DAY_MS
        if day <= self._forgotten_day:
            return {}
        self._forgotten_day = day
        orders = _older(self.orders.table, day)
        self.tallies["unmatched_refunds"] += int(self._unmatched(orders).refunds.sum())
        self.orders.table.forget(orders)
        visits, kept = self._forgettable_visits(day - 1)
        hours = _older(self.hours.table, day - 1)
        needed = np.isin(self.hours.table.column("key")[hours], hour_keys(kept))
        gone = {
            "refunds": _older(self.refunds.table, day),
            "units": _older(self.units.table, (watermark_ms - self._units_kept_ms) // DAY_MS),
            "visits": visits,
            "hours": hours[~needed],
        }
        for name, slots in gone.items():
            self.tables[name].forget(slots)
        return {"orders": orders, **gone}

    def unmatched_rows(self, before_ms: int) -> list[int]:
        """Return the groups of refunds that :meth:`forget` will drop, their order unknown."""
        day = before_ms // DAY_MS
        if day <= self._forgotten_day:
            return []
        rows: list[int] = self._unmatched(_older(self.orders.table, day)).row.tolist()
        return rows

    @property
    def waiting_refunds(self) -> int:
        """Number of refunds that have not met their order yet: a pass over all orders."""
        orders = self._unmatched(np.flatnonzero(self.orders.table.column("key")))
        return int(orders.refunds.sum())

    def _unmatched(self, slots: Slots) -> Orders:
        """Return those of some orders of which there are only refunds."""
        orders = self.orders.read(slots)
        return orders.take(~orders.bought & ~orders.foreign & (orders.refunds > 0))

    def _forgettable_visits(self, day: int) -> tuple[Slots, Visits]:
        """Return the visits before a day without a remembered order; and those with one."""
        visits = _older(self.visits.table, day)
        needed = self.visits.table.column("key")[visits]
        needed = np.isin(needed, self.orders.table.column("visit_key"))
        return visits[~needed], self.visits.read(visits[needed])

    @property
    def forgotten_day(self) -> int:
        """What is older than this day is forgotten; days since 1970."""
        return self._forgotten_day

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain values and arrays, a page at a time."""
        pages = {
            name: [table.page(n) for n in table.dirty(0)] for name, table in self.tables.items()
        }
        return {"pages": pages, "tallies": dict(self.tallies), "day": self._forgotten_day}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the attribution of a :meth:`snapshot`; this one must be new."""
        for name, table in self.tables.items():
            for number, page in enumerate(state["pages"][name]):
                table.restore_page(number, page)
        self.restored(state["tallies"], state["day"])

    def restored(self, tallies: Mapping[str, int], forgotten_day: int) -> None:
        """Go on from tables that hold what was written of them."""
        for table in self.tables.values():
            table.restored()
        self.hours.restored()
        self.tallies = dict(tallies)
        self._forgotten_day = forgotten_day


def _older(table: IdTable, day: int) -> Slots:
    return np.flatnonzero((table.column("key") != 0) & (table.column("day") < day))


@dataclass(frozen=True, slots=True)
class _Sides:
    """Visits before and after, with whether they are bots'."""

    keys: Hashes
    slots: Slots
    before: Visits
    after: Visits
    bots_before: Bools
    bots_after: Bools

    def turned(self) -> Hashes:
        """Return the visits that become bots', or are no longer."""
        turned: Hashes = self.keys[self.bots_before != self.bots_after]
        return turned

    def counted(self, *, after: bool) -> Bools:
        """Tell which visits count."""
        visits, bots = (self.after, self.bots_after) if after else (self.before, self.bots_before)
        return visits.exists & ~bots

    def place(self, visit_keys: Hashes) -> tuple[Slots, Bools]:
        """Return where some visits stand here, and which of them do."""
        order = np.argsort(self.keys)
        if not len(order):
            return np.zeros(len(visit_keys), np.int64), np.zeros(len(visit_keys), np.bool_)
        at = order[np.minimum(np.searchsorted(self.keys[order], visit_keys), len(order) - 1)]
        return at, (self.keys[at] == visit_keys) & (visit_keys != 0)


@dataclass(frozen=True, slots=True)
class _Standing:
    """All visits and orders that a batch concerns, before and after."""

    visits: _Sides
    slots: Slots
    before: Orders
    after: Orders

    def with_orders(self, slots: Slots, memory: OrderMemory) -> "_Standing":
        """Return the same with further orders, which the batch does not touch."""
        if not len(slots):
            return self
        others = memory.read(slots)
        return _Standing(
            self.visits,
            np.concatenate([self.slots, slots]),
            self.before.concatenate(others),
            self.after.concatenate(others),
        )

    def _orders_counted(self, *, after: bool) -> Bools:
        orders = self.after if after else self.before
        bots = self.visits.bots_after if after else self.visits.bots_before
        if not bots.any():
            return orders.counts
        at, there = self.visits.place(orders.visit_key)
        return orders.counts & ~(there & bots[at])

    def counted(self) -> tuple[Bools, Bools]:
        """Tell which orders count, before and after."""
        return self._orders_counted(after=False), self._orders_counted(after=True)

    def moves(self, counted: tuple[Bools, Bools]) -> Moves:
        """Return what changes of the counts, if those orders count that do."""
        v = self.visits
        sides = [(v.before, v.counted(after=False)), (v.after, v.counted(after=True))]
        visits = [_counted(visits, counts) for visits, counts in sides]
        conversions = [_counted(visits, counts & (visits.live > 0)) for visits, counts in sides]
        orders = [
            Counted(counts, orders.row, orders.time_ms, orders.value)
            for orders, counts in zip((self.before, self.after), counted, strict=True)
        ]
        return Moves(Signed.between(*visits), Signed.between(*conversions), Signed.between(*orders))

    def tallies(self, counted: tuple[Bools, Bools]) -> dict[str, int]:
        """Return how many more visits and orders are bots', if those orders count that do."""
        v = self.visits
        visits = [
            int(np.count_nonzero(visits.exists & bots)) if bots.any() else 0
            for visits, bots in ((v.before, v.bots_before), (v.after, v.bots_after))
        ]
        orders = [
            int(np.count_nonzero(side.live & ~counts))
            for side, counts in zip((self.before, self.after), counted, strict=True)
        ]
        return {"bot_visits": visits[1] - visits[0], "bot_orders": orders[1] - orders[0]}

    def unit_deltas(self, seen: Sightings) -> UnitDeltas:
        """Return what the units' visits and orders were, and what they are."""
        parts = []
        for after, sign in ((False, -1), (True, 1)):
            units = seen.after if after else seen.before
            parts.append((units.unit, sign, 1, 0, np.zeros(len(units.unit), np.int64)))
            orders = self.after if after else self.before
            at, there = self.visits.place(orders.visit_key)
            mine = np.flatnonzero(self._orders_counted(after=after) & there)
            which, rows = units.of_visits(at[mine])
            parts.append((units.unit[rows], sign, 0, 1, orders.value[mine[which]]))
        sizes = [len(part[0]) for part in parts]
        signs, visits, numbers = (
            np.repeat([part[field] for part in parts], sizes) for field in (1, 2, 3)
        )
        return UnitDeltas(
            np.concatenate([part[0] for part in parts]),
            signs,
            visits,
            numbers,
            np.concatenate([part[4] for part in parts]),
        )


def _counted(visits: Visits, counts: Bools) -> Counted:
    return Counted(counts, visits.row, visits.time_ms, np.zeros(len(counts), np.int64))


def _news(visited: VisitChange, ordered: OrderChange) -> int:
    """Return how many events brought something new: a visit seen first, an order's event."""
    visits = int(np.count_nonzero(visited.before.own_ms != visited.after.own_ms))
    if not len(ordered.keys):
        return visits
    before, after = ordered.before, ordered.after
    defined = after.bought & (
        ~before.bought
        | (before.revision != after.revision)
        | (before.time_ms != after.time_ms)
        | (before.amount_minor != after.amount_minor)
        | (before.visit_key != after.visit_key)
        | (before.is_bot != after.is_bot)
        | (before.currency != after.currency)
    )
    return visits + int(np.count_nonzero(defined))
