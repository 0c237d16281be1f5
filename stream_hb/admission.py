"""From store keys to rows: which group an event belongs to, and whether it may make a new one."""

from collections.abc import Sequence

import numpy as np

from stream_hb.events.batch import EventColumns, Int64s, RawBatch, Reject
from stream_hb.settings import EngineSettings
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.table import GroupTable, NewGroups, Spelling

REFUSED = -1


class RowsByCode:
    """The table's rows by the decoder's store codes: one gather in place of a look-up an event.

    A memory of what the table's index says, not a state of its own: it may be forgotten.

    Parameters
    ----------
    table
        The shard's groups.
    """

    def __init__(self, table: GroupTable) -> None:
        self._table = table
        self._known: Sequence[Spelling] = ()
        self._rows = np.empty(0, dtype=np.intp)

    def of(self, codes: Int64s, known: Sequence[Spelling]) -> Rows:
        """Return the row of every code, ``REFUSED`` where the table has none."""
        self._make_room(known)
        rows = self._rows[codes]
        missing = rows < 0
        if missing.any():
            for code in np.unique(codes[missing]).tolist():
                self._rows[code] = self._table.index.get(known[code], REFUSED)
            rows = self._rows[codes]
        return rows

    def _make_room(self, known: Sequence[Spelling]) -> None:
        if known is not self._known:
            self._known, self._rows = known, np.empty(0, dtype=np.intp)
        if len(known) > len(self._rows):
            more = max(2 * len(self._rows), len(known)) - len(self._rows)
            self._rows = np.concatenate([self._rows, np.full(more, REFUSED)])


class Admission:
    """Gives every event of one candidate its row; changes nothing of the table.

    Parameters
    ----------
    table, rows, settings
        The shard's groups, their rows by code, and the engine's settings.
    partition
        The shard's number, which a store may have to hash to.
    groups_left
        How many new groups may still be made.
    """

    def __init__(
        self,
        table: GroupTable,
        rows: RowsByCode,
        settings: EngineSettings,
        partition: int,
        groups_left: int,
    ) -> None:
        self.new = NewGroups()
        self._table = table
        self._rows = rows
        self._settings = settings
        self._partition = partition
        self._groups_left = groups_left

    @property
    def size(self) -> int:
        """Number of groups, the new ones among them."""
        return len(self._table) + len(self.new.keys)

    def rows(self, raw: RawBatch, events: EventColumns) -> tuple[Rows, list[Reject]]:
        """Return the row of every event, ``REFUSED`` for those that are rejected, and these."""
        rows = self._rows.of(events.store_codes, events.known_stores)
        missing = (rows < 0).nonzero()[0]
        if not len(missing):
            return rows, []
        codes, first, which = np.unique(
            events.store_codes[missing], return_index=True, return_inverse=True
        )
        found = np.full(len(codes), REFUSED)
        refusals: dict[int, tuple[str, str]] = {}
        for place in np.argsort(first).tolist():  # rows are given in the order of arrival
            spelling = events.known_stores[codes[place]]
            refusal = self._admit(spelling)
            if refusal:
                refusals[place] = refusal
            else:
                found[place] = self.new.spellings[spelling]
        rows[missing] = found[which]
        rejects = [
            _rejected(raw, at, *refusals[place])
            for at, place in zip(events.indexes[missing].tolist(), which.tolist(), strict=True)
            if place in refusals
        ]
        return rows, rejects

    def _admit(self, spelling: Spelling) -> tuple[str, str] | None:
        """Give a spelling that the table does not know a row, or say why it gets none."""
        if spelling in self.new.spellings:
            return None
        chain, store = spelling
        key = (self._settings.default_chain if chain is None else chain, store)
        row = self._table.index.get(key, self.new.spellings.get(key))
        if row is None:
            refusal = self._refusal(store)
            if refusal:
                return refusal
            row = len(self._table) + len(self.new.keys)
            self.new.keys.append(key)
        self.new.spellings[key] = self.new.spellings[spelling] = row
        return None

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
