"""What units of experiments did before a time of their own: a function of the set of events.

How far the reading has got when a tick is closed depends on how the input came in batches. So what
is told of a unit leaves out what happened from the end of its window on: visits, orders, refunds.
Corrections have no history: of an order the revision counts that is known then.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from stream_hb.events.arm_sets import ArmSets
from stream_hb.events.attribution import Attribution
from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.events.id_table import IdTable, Slots
from stream_hb.events.packed_time import DAY_MS
from stream_hb.events.units import VisitUnits
from stream_hb.events.visit_memory import Visits

CROSSED, UNDECLARED = -2, -1
"""In place of an arm's number: seen in several, in one that the experiment does not have."""

_UNSEEN = np.iinfo(np.int64).max

Codes = Callable[[Int64s], Int64s]
"""Returns the number of the arm of each set of arms: of one experiment's."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Units of one experiment, a row each, their keys ascending.

    Attributes
    ----------
    key
        The unit.
    early_ms, until_ms
        Ends of what is told of it: of its arm when it was new, and of everything else.
    """

    key: Hashes
    early_ms: Int64s
    until_ms: Int64s


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What units did, a row each.

    Attributes
    ----------
    early_arm, arm
        Number of the arm, :data:`CROSSED` or :data:`UNDECLARED`: by the first time, by the second.
    visits, orders, revenue_minor
        Its visits, their live orders and the value of these.
    """

    early_arm: Int64s
    arm: Int64s
    visits: Int64s
    orders: Int64s
    revenue_minor: Int64s

    def take(self, rows: Any) -> Self:
        """Return some of the rows."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class SeenVisits:
    """Visits of experiments about some time.

    Attributes
    ----------
    keys, visits
        The visits.
    units
        Their units.
    """

    keys: Hashes
    visits: Visits
    units: VisitUnits

    @classmethod
    def between(
        cls, attribution: Attribution, sets: ArmSets, from_ms: int, until_ms: int
    ) -> "SeenVisits":
        """Return those that are remembered: one pass over all visits."""
        table = attribution.visits.table
        day = table.column("day")
        some = (day >= from_ms // DAY_MS) & (day <= until_ms // DAY_MS)
        slots = np.flatnonzero(some & (table.column("key") != 0))
        slots = slots[table.read(slots, "arms") > 0]
        visits, keys = attribution.visits.read(slots), table.column("key")[slots]
        return cls(keys, visits, VisitUnits.of(sets, keys, visits, attribution.counts(visits)))

    def part(self, chosen: Bools) -> "SeenVisits":
        """Return them with some of their units."""
        return SeenVisits(self.keys, self.visits, self.units.take(chosen))


def outcomes(attribution: Attribution, seen: SeenVisits, asked: Asked, codes: Codes) -> Outcomes:
    """Return what units of an experiment did.

    Parameters
    ----------
    attribution
        The memory of events.
    seen
        Visits, those of the units among them.
    asked
        The units.
    codes
        Numbers the arms.
    """
    place, mine = _placed(asked.key, seen.units.unit)
    units, place = seen.units.take(mine), place[mine]
    times_ms = seen.visits.time_ms[units.visit]
    arms = codes(units.arms)
    inside = times_ms < asked.until_ms[place]
    early = times_ms < asked.early_ms[place]
    size = len(asked.key)
    orders, revenue = _bought(attribution, seen.keys[units.visit[inside]], place[inside], asked)
    return Outcomes(
        _one_arm(arms[early], place[early], size),
        _one_arm(arms[inside], place[inside], size),
        np.bincount(place[inside], minlength=size),
        orders,
        revenue,
    )


def _placed(keys: Hashes, found: Hashes) -> tuple[Int64s, Bools]:
    """Return where among ascending keys some stand, and which of them do."""
    if not len(keys):
        return np.zeros(len(found), np.int64), np.zeros(len(found), np.bool_)
    place = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
    return place, keys[place] == found


def _one_arm(arms: Int64s, place: Int64s, size: int) -> Int64s:
    """Return the one arm that all visits of a unit were in."""
    least, most = np.full(size, _UNSEEN), np.full(size, CROSSED)
    np.minimum.at(least, place, arms)
    np.maximum.at(most, place, arms)
    return np.where(least == most, least, CROSSED)


def _bought(
    attribution: Attribution, visit_keys: Hashes, place: Int64s, asked: Asked
) -> tuple[Int64s, Int64s]:
    """Return how many live orders units had, and their value."""
    memory, size = attribution.orders, len(asked.key)
    number, revenue = np.zeros(size, np.int64), np.zeros(size, np.int64)
    by_key = np.argsort(visit_keys)
    slots = _slots_until(memory.table, int(asked.until_ms.max(initial=0)))
    at, mine = _placed(visit_keys[by_key], memory.table.read(slots, "visit_key"))
    if not mine.any():
        return number, revenue
    slots, unit = slots[mine], place[by_key[at[mine]]]
    order = np.argsort(memory.table.column("key")[slots])
    slots, unit = slots[order], unit[order]
    orders = memory.known_before(slots, asked.until_ms[unit], attribution.refunds)
    counts = orders.counts & (orders.time_ms < asked.until_ms[unit])
    np.add.at(number, unit[counts], 1)
    np.add.at(revenue, unit[counts], orders.value[counts])
    return number, revenue


def _slots_until(table: IdTable, until_ms: int) -> Slots:
    """Return what a table holds of before a time, and of the rest of its day."""
    some = (table.column("key") != 0) & (table.column("day") <= until_ms // DAY_MS)
    return np.flatnonzero(some)
