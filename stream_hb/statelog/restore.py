"""A shard from its log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_hb.errors import SnapshotError
from stream_hb.events.id_table import PAGE_SLOTS, TableWrite
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard
from stream_hb.statelog import group_rows
from stream_hb.statelog.group_rows import GroupRows
from stream_hb.statelog.records import (
    ARMS,
    ARMS_OF_PAGE,
    GROUPS,
    DeltaId,
    PageId,
    PaperId,
    decoded,
    numbers_of_pages,
    paper_records,
    parsed_key,
)
from stream_hb.statelog.shard_log import LogState, ShardLog
from stream_hb.statelog.tick_pages import TICKS, TickRows, closed_before, open_pages
from stream_hb.timing import Source


@dataclass(frozen=True, slots=True)
class Restored:
    """A shard and its log, to go on from.

    Attributes
    ----------
    shard, log
        As after the last committed transaction.
    marker
        What that one said.
    papers
        What feeds remembered, by their names.
    """

    shard: Shard
    log: ShardLog
    marker: Mapping[str, Any]
    papers: Mapping[str, bytes]

    @property
    def offsets(self) -> dict[Source, int]:
        """The next offset of every source."""
        return {source: at.next_offset for source, at in self.shard.positions.items()}


class Restoring:
    """Takes the records of a shard's log in their order, whatever compaction has left of them.

    Parameters
    ----------
    number
        The shard.
    settings
        The engine's settings: metrics and how they forget must be those that the log was written
        with.
    """

    def __init__(self, number: int, settings: EngineSettings) -> None:
        self.records = 0
        self._shard = Shard(number, 0, settings)
        self._tables = self._shard.tables
        self._groups = GroupRows()
        self._page_rows = group_rows.page_rows(self._shard)
        self._arms: dict[int, Any] = {}
        self._ticks = TickRows()
        self._papers: dict[PaperId, bytes] = {}
        self._marker: dict[str, Any] | None = None
        self._deltas: dict[DeltaId, None] = {}
        self._dirty: dict[PageId, int] = {}
        self._first_seq = 0
        self._epoch: int | None = None
        self._group_hashes = np.empty(0, np.uint64)

    def resume(self, values: Mapping[str, Any]) -> None:
        """Begin with a snapshot (:mod:`stream_hb.statelog.snapshot`), not with the log's start."""
        marker = self._marker = values["marker"]
        self._check_metrics(marker)
        self._first_seq, self._epoch = marker["seq"] + 1, marker["epoch"]
        for name, columns in values["tables"].items():
            self._table(name).restore_whole(columns)
        self._groups.name(0, values["keys"])
        self._groups.put(np.arange(len(values["keys"])), values["columns"])
        self._group_hashes = values["group_hashes"]
        self._arms = dict(enumerate(values["arms"]))
        if values["ticks"]:
            self._ticks.put(*values["ticks"])
        self._ticks.pages.update(values["tick_pages"])
        for feed, told in values["papers"].items():
            for record in paper_records(feed, told, 0):
                self.take(*record)
        self._deltas = {DeltaId(*delta): None for delta in values["deltas"]}
        self._dirty = {PageId(table, page): seq for table, page, seq in values["dirty"]}

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take one record.

        Raises
        ------
        SnapshotError
            It is not one of a state log, or of a newer version.
        """
        self.records += 1
        what = parsed_key(key)
        if isinstance(what, PageId):
            self._take_page(what, decoded(value) if value is not None else None)
        elif isinstance(what, DeltaId):
            self._take_delta(what, value)
        elif isinstance(what, PaperId):
            self._papers |= {what: value or b""}
        elif value is not None:
            self._take_marker(decoded(value))

    def _take_marker(self, marker: dict[str, Any]) -> None:
        if self._epoch not in (None, marker["epoch"]):
            raise SnapshotError(
                f"epoch {marker['epoch']} began after a snapshot of epoch {self._epoch}: the log "
                "had lost something, so they may not be of one history"
            )
        self._marker = marker

    def _take_page(self, page: PageId, body: Any) -> None:
        self._dirty.pop(page, None)
        if page.table == TICKS:
            self._ticks.pages.discard(page.number)
            if body is not None:
                self._ticks.put(*body)
        elif page.table == ARMS:
            self._arms |= dict(enumerate(body, page.number * ARMS_OF_PAGE))
        elif page.table != GROUPS:
            self._table(page.table).restore_page(
                page.number, body or {"key": np.empty(0, np.uint64)}
            )
        elif body is not None:
            first, keys, columns = body
            self._groups.name(first, keys)
            self._groups.put(np.arange(first, first + len(keys)), columns)

    def _take_delta(self, delta: DeltaId, value: bytes | None) -> None:
        if value is None:
            self._deltas.pop(delta, None)
            return
        if delta.seq < self._first_seq:
            raise SnapshotError(
                f"a change of transaction {delta.seq} follows a snapshot that was taken after "
                f"transaction {self._first_seq - 1}: they are not of one history"
            )
        self._deltas[delta] = None
        for name, *rest in decoded(value):
            match name:
                case "put":
                    self._put(delta.seq, *rest)
                case "clear":
                    slots = rest[1].astype(np.int64)
                    self._table(rest[0]).clear(slots)
                    self._touch(delta.seq, rest[0], slots, PAGE_SLOTS)
                case "ticks":
                    for number in self._ticks.put(*rest):
                        self._dirty.setdefault(PageId(TICKS, number), delta.seq)
                case "rows":
                    rows = rest[0].astype(np.intp)
                    self._groups.put(rows, rest[1])
                    self._touch(delta.seq, GROUPS, rows, self._page_rows)
                case "groups":
                    self._groups.name(*rest)
                    rows = np.arange(rest[0], rest[0] + len(rest[1]))
                    self._touch(delta.seq, GROUPS, rows, self._page_rows)
                case "unemitted":
                    self._groups.forget_emitted()
                    self._touch(delta.seq, GROUPS, np.arange(rest[0]), self._page_rows)
                case "arms":
                    numbers = np.arange(rest[0], rest[0] + len(rest[1]))
                    self._arms |= dict(zip(numbers.tolist(), rest[1], strict=True))
                    self._touch(delta.seq, ARMS, numbers, ARMS_OF_PAGE)
                case _:
                    raise SnapshotError(f"a change that this program does not know: {name!r}")

    def _put(self, seq: int, table: str, slots: Any, keys: Any, values: Any) -> None:
        places = slots.astype(np.int64)
        self._table(table).put(TableWrite(places, keys, values))
        self._touch(seq, table, places, PAGE_SLOTS)

    def _table(self, name: str) -> Any:
        if name not in self._tables:
            raise SnapshotError(f"a table that this program does not know: {name!r}")
        return self._tables[name]

    def _touch(self, seq: int, table: str, places: Any, size: int) -> None:
        for number in numbers_of_pages(places, size):
            self._dirty.setdefault(PageId(table, number), seq)

    def _check_metrics(self, marker: Mapping[str, Any]) -> None:
        kept = sorted(marker["marks"])
        if kept != sorted(self._shard.table.metrics):
            raise SnapshotError(f"the state log is of other metrics: {', '.join(kept)}")
        self._shard.table.check_forgets(marker.get("forgets"))

    def finish(self) -> Restored | None:
        """Return the shard; None where the log has no marker, so that nothing was committed."""
        if self._marker is None:
            return None
        shard, marker = self._shard, self._marker
        self._check_metrics(marker)
        self._fill(shard, marker)
        state = self._log_state(shard, marker)
        log = ShardLog(shard, state, self._page_rows)
        return Restored(shard, log, marker, self._told(state.papers))

    def _fill(self, shard: Shard, marker: Mapping[str, Any]) -> None:
        shard.epoch = marker["epoch"]
        shard.attribution.restored(marker["tallies"], marker["forgotten_day"])
        groups = self._groups.state(shard.table, marker["marks"])
        shard.restore_groups(
            {
                **groups,
                "emitted": {name: self._groups.emitted(name) for name in shard.emitted},
                "hash_key": marker["hash_key"],
                "unscreened": True,
                "awaited": marker["awaited"],
                "arms": [self._arms[number] for number in range(len(self._arms))],
                "arms_left_out": marker["arms_left_out"],
                "positions": marker["positions"],
                "group_hashes": self._group_hashes,
            }
        )
        if "cleared" in marker:  # a snapshot's: it was taken when that was forgotten
            shard.cleared = marker["cleared"]
        else:
            shard.forget(marker["forget_before_ms"])
        self._ticks.restore(shard, marker.get("ticks"))

    def _log_state(self, shard: Shard, marker: Mapping[str, Any]) -> LogState:
        """Return how far the log has got."""
        # What nobody has looked at for a while is still to be deleted.
        known = shard.ledger is not None and marker.get("ticks") is not None
        open_ = open_pages(self._ticks.pages, closed_before(shard, None) if known else 0)
        dirty = {p: s for p, s in self._dirty.items() if p.table != TICKS or p.number in open_}
        return LogState(
            marker["seq"],
            tuple(sorted(self._deltas)),
            dict(sorted(dirty.items(), key=lambda item: item[1])),  # the oldest first
            len(self._groups),
            len(self._arms),
            marker["credit_bytes"],
            marker["forget_before_ms"],
            open_,
            marker.get("papers", {}),
        )

    def _told(self, sizes: Mapping[str, int]) -> dict[str, bytes]:
        """Return what each feed remembered, of the records that the marker speaks of."""
        wanted = [PaperId(feed, chunk) for feed, size in sizes.items() for chunk in range(size)]
        missing = [paper for paper in wanted if paper not in self._papers]
        if missing:
            raise SnapshotError(
                f"of what the feed {missing[0].feed!r} remembers {len(missing)} records are gone"
            )
        return {
            feed: b"".join(self._papers[paper] for paper in wanted if paper.feed == feed)
            for feed in sizes
        }
