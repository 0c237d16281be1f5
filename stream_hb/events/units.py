"""Experiment units: a visitor, else a visit, with its arm and what it did."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stream_hb.events.arm_sets import NO_ARMS, ArmSets
from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.events.id_table import IdTable, Slots, TableWrite
from stream_hb.events.packed_time import COLUMNS, DAY_MS, packed, unpacked
from stream_hb.events.visit_memory import NEVER_MS, VisitMemory, Visits
from stream_hb.field_names import field_names
from stream_hb.statistics.columns import Rows

_MIX = np.uint64(0xA0761D6478BD642F)


@dataclass(frozen=True, slots=True)
class Units:
    """Units as they stand, a row each.

    Attributes
    ----------
    key, row
        The unit and its group.
    arms
        The set of arms of the experiment that it was seen in; of several: a crossover.
    visits, orders, revenue_minor
        Its visits, its live orders and their value; bots' are not among them.
    first_ms
        Attribution time of its first visit.
    """

    key: Hashes
    row: Rows
    arms: Int64s
    visits: Int64s
    orders: Int64s
    revenue_minor: Int64s
    first_ms: Int64s

    def take(self, rows: Rows) -> "Units":
        """Return some of the rows."""
        return Units(*(getattr(self, name)[rows] for name in field_names(Units)))


@dataclass(frozen=True, slots=True)
class UnitDeltas:
    """What is counted of units, before (-1) or after (+1).

    Attributes
    ----------
    unit
        The unit of each thing.
    sign
        -1 or +1.
    visits, orders, revenue_minor
        What the thing adds to it.
    """

    unit: Hashes
    sign: Int64s
    visits: Int64s
    orders: Int64s
    revenue_minor: Int64s


class UnitMemory:
    """The units of a shard."""

    def __init__(self) -> None:
        self.table = IdTable(
            {
                "row": np.uint32,
                "arms": np.uint32,
                "visits": np.uint32,
                "orders": np.uint32,
                "revenue": np.int64,
                **COLUMNS,
            }
        )

    def all(self) -> Units:
        """Return the units that have been seen and are remembered."""
        return self.since(0)

    def since(self, after_ms: int) -> Units:
        """Return those of them that were first seen at a time or later, some of before too."""
        some = (self.table.column("key") != 0) & (self.table.column("day") >= after_ms // DAY_MS)
        slots = np.flatnonzero(some)
        slots = slots[self.table.read(slots, "visits") > 0]  # the others were left by every visit
        return self._read(self.table.column("key")[slots], slots)

    def _read(self, keys: Hashes, slots: Slots) -> Units:
        read = self.table.read
        first = unpacked(read(slots, "day"), read(slots, "ms"))
        first[(slots < 0) | (read(slots, "visits") == 0)] = NEVER_MS
        return Units(
            keys,
            read(slots, "row").astype(np.intp),
            read(slots, "arms").astype(np.int64) - 1,
            read(slots, "visits").astype(np.int64),
            read(slots, "orders").astype(np.int64),
            read(slots, "revenue"),
            first,
        )

    def probe(self, seen: "Sightings", deltas: UnitDeltas, others: "Others") -> TableWrite:
        """Return what to write; nothing is changed.

        Parameters
        ----------
        seen
            The visits that change, with their units.
        deltas
            What is counted of units.
        others
            Finds the visits of the units that some leave.
        """
        keys = np.unique(np.concatenate([seen.before.unit, seen.after.unit, deltas.unit]))
        slots = self.table.find(keys)
        known = self._read(keys, slots)
        counts = [known.visits.copy(), known.orders.copy(), known.revenue_minor.copy()]
        at = np.searchsorted(keys, deltas.unit)
        for count, delta in zip(
            counts, (deltas.visits, deltas.orders, deltas.revenue_minor), strict=True
        ):
            np.add.at(count, at, deltas.sign * delta)
        row, arms, first = seen.told(known, keys, others)
        slots[slots < 0] = self.table.plan(keys[slots < 0])
        values = {
            "row": row,
            "arms": arms + 1,
            "visits": np.maximum(counts[0], 0),  # what was forgotten cannot be taken away
            "orders": np.maximum(counts[1], 0),
            "revenue": counts[2],
            **packed(np.where(first == NEVER_MS, 0, first)),
        }
        return TableWrite(slots, keys, values)


@dataclass(frozen=True, slots=True)
class VisitUnits:
    """The units of visits: one for each experiment that a visit is in.

    Attributes
    ----------
    visit
        The visit's place, ascending.
    unit
        The visitor in the experiment, else the visit.
    arms
        The set of the experiment's arms that the visit was in.
    """

    visit: Slots
    unit: Hashes
    arms: Int64s

    @classmethod
    def of(cls, sets: ArmSets, keys: Hashes, visits: Visits, counts: Bools) -> "VisitUnits":
        """Find the units of visits, of which those count that are said to."""
        arms = np.where(counts & visits.exists, visits.arms, NO_ARMS)
        visit, experiment, arms = sets.by_experiment(arms)
        who = np.where(visits.visitor == 0, keys, visits.visitor)[visit]
        units = (who + (experiment + np.uint64(1)) * _MIX) * _MIX
        return cls(visit, np.maximum(units, 1), arms)

    def take(self, chosen: Bools) -> "VisitUnits":
        """Return some of the rows."""
        return VisitUnits(self.visit[chosen], self.unit[chosen], self.arms[chosen])

    def of_visits(self, places: Slots) -> tuple[Slots, Slots]:
        """Return all rows of some visits: which of these a row is of, and the row."""
        start = np.searchsorted(self.visit, places, side="left")
        times = np.searchsorted(self.visit, places, side="right") - start
        ends = np.cumsum(times)
        rows = np.repeat(start - (ends - times), times) + np.arange(int(times.sum()))
        return np.repeat(np.arange(len(places)), times), rows

    def alike(self, other: "VisitUnits", *, with_arms: bool) -> Bools:
        """Tell which rows the other has too: the visit in the unit, with these arms or any."""
        which, rows = other.of_visits(self.visit)
        same = self.unit[which] == other.unit[rows]
        if with_arms:
            same &= self.arms[which] == other.arms[rows]
        alike = np.zeros(len(self.unit), np.bool_)
        alike[which[same]] = True
        return alike


@dataclass(frozen=True, slots=True)
class Sightings:
    """Visits that change, with their units.

    Attributes
    ----------
    sets
        The sets of arms.
    keys, slots
        The visits.
    before, after
        Their units.
    visits_before, visits_after
        How they stand.
    """

    sets: ArmSets
    keys: Hashes
    slots: Slots
    before: VisitUnits
    after: VisitUnits
    visits_before: Visits
    visits_after: Visits

    @classmethod
    def of(
        cls,
        sets: ArmSets,
        keys: Hashes,
        slots: Slots,
        before: tuple[Visits, Bools],
        after: tuple[Visits, Bools],
    ) -> "Sightings":
        """Find the units of visits, of which those count that are said to."""
        one, other = (VisitUnits.of(sets, keys, *side) for side in (before, after))
        return cls(sets, keys, slots, one, other, before[0], after[0])

    def moved(self) -> Slots:
        """Return the places of the visits that leave a unit or join one."""
        left = self.before.visit[~self.before.alike(self.after, with_arms=False)]
        joined = self.after.visit[~self.after.alike(self.before, with_arms=False)]
        return np.union1d(left, joined)

    def told(self, known: Units, keys: Hashes, others: "Others") -> tuple[Rows, Int64s, Int64s]:
        """Return row, arms and first time of the units."""
        row, arms, first = known.row.copy(), known.arms.copy(), known.first_ms.copy()
        left = self._left()
        members = self._members(left, others)
        at = np.searchsorted(keys, left)
        # What a forgotten visit has said stays: a unit that was first seen later would be told of
        # a second time.
        forgotten = known.visits.copy()
        for unit in (self.before.unit, *(units.unit for units, _ in members[1:])):
            np.subtract.at(forgotten, np.searchsorted(keys, unit), 1)
        at = at[forgotten[at] <= 0]
        arms[at], first[at] = NO_ARMS, NEVER_MS
        for units, visits in members:
            at = np.searchsorted(keys, units.unit)
            row[at] = visits.row[units.visit]
            np.minimum.at(first, at, visits.time_ms[units.visit])
            arms = self.sets.union(arms, at, units.arms)
        return row, arms, first

    def _left(self) -> Hashes:
        """Return the units that a visit leaves, or of which it no longer says what it said."""
        later = self.visits_before.time_ms < self.visits_after.time_ms
        gone = ~self.before.alike(self.after, with_arms=True) | later[self.before.visit]
        return np.unique(self.before.unit[gone])

    def _members(self, left: Hashes, others: "Others") -> list[tuple[VisitUnits, Visits]]:
        """Return the visits that say of units what they are: those that change, and the others."""
        told = [(self.after, self.visits_after)]
        if len(left):
            mine = np.isin(self.before.unit, left)
            visitors = np.unique(self.visits_before.visitor[self.before.visit[mine]])
            keys, visits = others.of_visitors(visitors[visitors != 0], self.slots)
            units = VisitUnits.of(self.sets, keys, visits, np.ones(len(keys), np.bool_))
            told.append((units.take(np.isin(units.unit, left)), visits))
        return told


@dataclass(frozen=True, slots=True)
class Others:
    """The visits that a batch does not touch.

    Attributes
    ----------
    memory
        All visits.
    is_bots
        Tells which are bots', once the batch is applied.
    """

    memory: VisitMemory
    is_bots: Callable[[Visits], Bools]

    def of_visitors(self, visitors: Hashes, touched: Slots) -> tuple[Hashes, Visits]:
        """Return the visits of some visitors that count, but for those touched: a pass over all."""
        slots = np.setdiff1d(self.memory.of_visitors(visitors), touched)
        visits = self.memory.read(slots)
        counts = visits.exists & ~self.is_bots(visits)
        return self.memory.table.column("key")[slots[counts]], visits.take(counts)
