"""Visits of a visitor in a store within an hour: too many are a bot's."""

from dataclasses import dataclass

import numpy as np

from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.events.distinct import distinct
from stream_hb.events.id_table import IdTable, TableWrite
from stream_hb.events.packed_time import COLUMNS, packed
from stream_hb.events.visit_memory import Visits

HOUR_MS = 3_600_000
_MIX = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class HourChange:
    """What becomes of the hours that visits enter or leave.

    Attributes
    ----------
    keys
        The hours, ascending.
    before, after
        Number of visits in each.
    write
        What to write.
    """

    keys: Hashes
    before: Int64s
    after: Int64s
    write: TableWrite


class VisitorHours:
    """The hours of a shard's visitors.

    Parameters
    ----------
    visits_per_hour
        More are a bot's.
    """

    def __init__(self, visits_per_hour: int) -> None:
        self.table = IdTable({"number": np.uint32, **COLUMNS})
        self._most = visits_per_hour
        self._fullest = 0
        nothing, keys = np.empty(0, np.int64), np.empty(0, np.uint64)
        self._nothing = HourChange(keys, nothing, nothing, TableWrite(nothing, keys, {}))

    def probe(self, before: Visits, after: Visits) -> HourChange:
        """Return how the hours change when visits do; nothing is changed."""
        out, into = hour_keys(before), hour_keys(after)
        moved = out != into
        if not moved.any():
            return self._nothing
        left, entered = moved & (out != 0), moved & (into != 0)
        both = np.concatenate([out[left], into[entered]])
        keys, place = distinct(both)
        signs = np.ones(len(both), np.int64)
        signs[: np.count_nonzero(left)] = -1
        slots = self.table.find(keys)
        known = self.table.read(slots, "number").astype(np.int64)
        number = known.copy()
        np.add.at(number, place, signs)
        times = np.zeros(len(keys), np.int64)
        times[place] = np.concatenate([before.time_ms[left], after.time_ms[entered]])
        slots[slots < 0] = self.table.plan(keys[slots < 0])
        write = TableWrite(slots, keys, {"number": number, **packed(times)})
        return HourChange(keys, known, number, write)

    def applied(self, change: TableWrite) -> None:
        """Take note of the fullest hour: as long as none is too full nobody has to be asked."""
        numbers = change.values.get("number")
        if numbers is not None:
            self._fullest = max(self._fullest, int(numbers.max(initial=0)))

    def restored(self) -> None:
        """Find the fullest hour of a restored table."""
        self._fullest = int(self.table.column("number").max(initial=0))

    def crossing(self, change: HourChange) -> Hashes:
        """Return the hours that become, or are no longer, too full."""
        keys: Hashes = change.keys[(change.before > self._most) != (change.after > self._most)]
        return keys

    def too_full(self, visits: Visits, change: HourChange | None) -> Bools:
        """Tell which visits are of hours with too many, once a change is applied."""
        fullest = 0 if change is None else int(change.after.max(initial=0))
        if max(fullest, self._fullest) <= self._most:
            return np.zeros(len(visits.row), np.bool_)
        hours = hour_keys(visits)
        if not hours.any():
            return np.zeros(len(hours), np.bool_)
        number = self.table.read(self.table.find(hours), "number").astype(np.int64)
        if change is not None and len(change.keys):
            at = np.minimum(np.searchsorted(change.keys, hours), len(change.keys) - 1)
            number = np.where(change.keys[at] == hours, change.after[at], number)
        full: Bools = (number > self._most) & (hours != 0)
        return full


def hour_keys(visits: Visits) -> Hashes:
    """Return the key of each visit's visitor and hour, 0 where it is nobody's or never was."""
    if not visits.visitor.any():
        return np.zeros(len(visits.row), np.uint64)
    hours = (visits.time_ms // HOUR_MS).astype(np.uint64)
    keys = (visits.visitor + hours * _MIX) * _MIX
    return np.where((visits.visitor != 0) & visits.exists, np.maximum(keys, 1), np.uint64(0))
