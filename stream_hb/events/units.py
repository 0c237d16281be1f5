"""Experiment units: a visitor, else a visit, with its arm and what it did."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.events.id_table import IdTable, Slots, TableWrite
from stream_hb.events.packed_time import COLUMNS, packed, unpacked
from stream_hb.events.visit_memory import NEVER_MS, NO_ARM, VisitMemory, Visits
from stream_hb.statistics.columns import Rows

_MIX = np.uint64(0xA0761D6478BD642F)


@dataclass(frozen=True, slots=True)
class Units:
    """Units as they stand, a row each.

    Attributes
    ----------
    key, row
        The unit and its group.
    arm
        Number of its arm.
    crossed
        Whether it was seen in several arms of the experiment.
    visits, orders, revenue_minor
        Its visits, its live orders and their value; bots' are not among them.
    first_ms
        Attribution time of its first visit.
    """

    key: Hashes
    row: Rows
    arm: Int64s
    crossed: Bools
    visits: Int64s
    orders: Int64s
    revenue_minor: Int64s
    first_ms: Int64s


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
                "arm": np.uint32,
                "crossed": np.uint8,
                "visits": np.uint32,
                "orders": np.uint32,
                "revenue": np.int64,
                **COLUMNS,
            }
        )

    def all(self) -> Units:
        """Return the units that have been seen and are remembered."""
        slots = np.flatnonzero(self.table.column("key"))
        slots = slots[self.table.read(slots, "visits") > 0]  # the others were left by every visit
        return self._read(self.table.column("key")[slots], slots)

    def _read(self, keys: Hashes, slots: Slots) -> Units:
        read = self.table.read
        first = unpacked(read(slots, "day"), read(slots, "ms"))
        first[(slots < 0) | (read(slots, "visits") == 0)] = NEVER_MS
        return Units(
            keys,
            read(slots, "row").astype(np.intp),
            read(slots, "arm").astype(np.int64) - 1,
            read(slots, "crossed").astype(np.bool_),
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
        keys = np.unique(np.concatenate([seen.before, seen.after, deltas.unit]))
        keys = keys[keys != 0]
        slots = self.table.find(keys)
        known = self._read(keys, slots)
        counts = [known.visits.copy(), known.orders.copy(), known.revenue_minor.copy()]
        mine = deltas.unit != 0
        at = np.searchsorted(keys, deltas.unit[mine])
        for count, delta in zip(
            counts, (deltas.visits, deltas.orders, deltas.revenue_minor), strict=True
        ):
            np.add.at(count, at, (deltas.sign * delta)[mine])
        row, arm, crossed, first = seen.told(known, keys, others)
        slots[slots < 0] = self.table.plan(keys[slots < 0])
        values = {
            "row": row,
            "arm": arm + 1,
            "crossed": crossed,
            "visits": np.maximum(counts[0], 0),  # what was forgotten cannot be taken away
            "orders": np.maximum(counts[1], 0),
            "revenue": counts[2],
            **packed(np.where(first == NEVER_MS, 0, first)),
        }
        return TableWrite(slots, keys, values)


@dataclass(frozen=True, slots=True)
class Sightings:
    """Visits that change, with their units.

    Attributes
    ----------
    experiments
        The experiment of each arm.
    keys, slots
        The visits.
    before, after
        Unit of each, 0 where it has none.
    visits_before, visits_after
        How they stand.
    """

    experiments: Int64s
    keys: Hashes
    slots: Slots
    before: Hashes
    after: Hashes
    visits_before: Visits
    visits_after: Visits

    @classmethod
    def of(
        cls,
        experiments: Int64s,
        keys: Hashes,
        slots: Slots,
        before: tuple[Visits, Bools],
        after: tuple[Visits, Bools],
    ) -> "Sightings":
        """Find the units of visits, of which those count that are said to."""
        one, other = (
            np.where(counts, unit_keys(experiments, keys, visits), np.uint64(0))
            for visits, counts in (before, after)
        )
        return cls(experiments, keys, slots, one, other, before[0], after[0])

    def told(
        self, known: Units, keys: Hashes, others: "Others"
    ) -> tuple[Rows, Int64s, Bools, Int64s]:
        """Return row, arm, crossed or not and first time of the units."""
        row, crossed = known.row.copy(), known.crossed.copy()
        least = np.where(known.arm < 0, NEVER_MS, known.arm)
        most, first = known.arm.copy(), known.first_ms.copy()
        left = self._left()
        at = np.searchsorted(keys, left)
        least[at], most[at], first[at], crossed[at] = NEVER_MS, NO_ARM, NEVER_MS, False
        units, visits = self._members(left, others)
        mine = units != 0
        at, visits = np.searchsorted(keys, units[mine]), visits.take(mine)
        row[at] = visits.row
        np.minimum.at(least, at, visits.arm)
        np.maximum.at(most, at, visits.arm)
        np.minimum.at(first, at, visits.time_ms)
        np.logical_or.at(crossed, at, visits.crossed)
        crossed |= (most >= 0) & (least < most)
        return row, np.where(least == NEVER_MS, NO_ARM, least), crossed, first

    def _left(self) -> Hashes:
        """Return the units that a visit leaves, or of which it no longer says what it said."""
        one, other = self.visits_before, self.visits_after
        gone = (self.before != self.after) | (one.time_ms < other.time_ms)
        gone |= (one.crossed & ~other.crossed) | ((one.arm != other.arm) & ~other.crossed)
        return np.unique(self.before[gone & (self.before != 0)])

    def _members(self, left: Hashes, others: "Others") -> tuple[Hashes, Visits]:
        """Return the visits that say of units what they are, and each one's unit."""
        if not len(left):
            return self.after, self.visits_after
        visitors = self.visits_before.visitor[np.isin(self.before, left)]
        keys, visits = others.of_visitors(np.unique(visitors[visitors != 0]), self.slots)
        units = unit_keys(self.experiments, keys, visits)
        units = np.where(np.isin(units, left), units, np.uint64(0))
        return np.concatenate([self.after, units]), self.visits_after.concatenate(visits)


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


def unit_keys(experiments: Int64s, keys: Hashes, visits: Visits) -> Hashes:
    """Return the unit of each visit: its visitor's in the experiment, else its own; 0: none."""
    if not len(visits.arm) or int(visits.arm.max()) < 0:
        return np.zeros(len(keys), np.uint64)
    experiment = experiments[visits.arm].astype(np.uint64)  # of arm -1: the last, and not taken
    who = np.where(visits.visitor == 0, keys, visits.visitor)
    units = (who + (experiment + np.uint64(1)) * _MIX) * _MIX
    mine = (visits.arm >= 0) & visits.exists
    return np.where(mine, np.maximum(units, 1), np.uint64(0))
