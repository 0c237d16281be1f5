"""From store keys to rows: which group an event belongs to, and whether it may make a new one."""

import numpy as np

from stream_hb.events.batch import Purchases, RawBatch, Reject, Visits
from stream_hb.settings import EngineSettings
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.table import GroupTable, NewGroups, Spelling

REFUSED = -1


class Admission:
    """Gives every event of one candidate its row; changes nothing of the table.

    Parameters
    ----------
    table, settings
        The shard's groups and the engine's settings.
    partition
        The shard's number, which a store may have to hash to.
    groups_left
        How many new groups may still be made.
    """

    def __init__(
        self, table: GroupTable, settings: EngineSettings, partition: int, groups_left: int
    ) -> None:
        self.new = NewGroups()
        self._table = table
        self._settings = settings
        self._partition = partition
        self._groups_left = groups_left

    def rows(self, raw: RawBatch, events: Visits | Purchases) -> tuple[Rows, list[Reject]]:
        """Return the row of every event, ``REFUSED`` for those that are rejected, and these."""
        keys = events.store_keys
        found = list(map(self._table.index.get, keys))
        rejects: list[Reject] = []
        if None in found:
            for at, row in enumerate(found):
                if row is None:
                    place = (raw, int(events.indexes[at]))
                    found[at] = self._admit(keys[at], place, rejects)
        return np.array(found, dtype=np.intp), rejects

    def _admit(self, spelling: Spelling, place: tuple[RawBatch, int], rejects: list[Reject]) -> int:
        row = self.new.spellings.get(spelling)
        if row is not None:
            return row
        chain, store = spelling
        key = (self._settings.default_chain if chain is None else chain, store)
        row = self._table.index.get(key, self.new.spellings.get(key))
        if row is None:
            refusal = self._refusal(store)
            if refusal:
                rejects.append(_rejected(*place, *refusal))
                return REFUSED
            row = len(self._table) + len(self.new.keys)
            self.new.keys.append(key)
        self.new.spellings[key] = self.new.spellings[spelling] = row
        return row

    def _refusal(self, store: str) -> tuple[str, str] | None:
        belongs = self._settings.belongs
        if belongs is not None and not belongs(store, self._partition):
            return "wrong_partition", f"store {store!r} hashes to another partition"
        if len(self.new.keys) >= self._groups_left:
            return "too_many_groups", f"limits.groups is {self._settings.groups_max}"
        return None


def _rejected(raw: RawBatch, index: int, reason: str, detail: str) -> Reject:
    where = (raw.topic, raw.partition, raw.offset_of(index))
    return Reject(*where, reason, detail, raw.payloads[index])
