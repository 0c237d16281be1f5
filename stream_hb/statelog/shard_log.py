"""What a transaction writes of a shard: pages in turn, its own changes, the marker."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from stream_hb.emitter import MemoryUpdate
from stream_hb.events.id_table import PAGE_SLOTS, TableWrite
from stream_hb.shard import Shard, ShardCandidate
from stream_hb.statelog import group_rows
from stream_hb.statelog.records import (
    ARMS,
    ARMS_OF_PAGE,
    GROUPS,
    MARKER_KEY,
    RECORD_BYTES,
    UNEMITTED,
    DeltaId,
    LogRecord,
    Op,
    PageId,
    clear_ops,
    delta_key,
    encoded,
    named_ops,
    numbers_of_pages,
    packed_ops,
    page_key,
    paper_records,
    plain_arms,
    put_ops,
    row_ops,
)
from stream_hb.statelog.tick_pages import (
    TICKS,
    closed_before,
    marker_part,
    open_pages,
    page_body,
    page_numbers,
    tick_ops,
)
from stream_hb.timing import plain_positions


@dataclass(frozen=True, slots=True)
class LogState:
    """How far a log has got.

    Attributes
    ----------
    seq
        Of the last transaction.
    deltas
        Records of deltas that are not deleted, oldest first.
    dirty
        Of every page that stands in deltas alone: the oldest of them. Oldest first.
    groups, arms
        How many groups and sets of arms the log has named.
    credit_bytes
        What pages may cost, beyond what they have cost.
    forget_before_ms
        What is older was forgotten after the last transaction.
    tick_pages
        Pages of open ticks that the log has.
    papers
        In how many records each feed's memory stands.
    is_renewed
        A new epoch has begun: the next transaction says that what was emitted is forgotten.
    """

    seq: int = 0
    deltas: tuple[DeltaId, ...] = ()
    dirty: Mapping[PageId, int] = field(default_factory=dict)
    groups: int = 0
    arms: int = 0
    credit_bytes: int = 0
    forget_before_ms: int = 0
    tick_pages: frozenset[int] = frozenset()
    papers: Mapping[str, int] = field(default_factory=dict)
    is_renewed: bool = False


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What a transaction writes, and how far the log has got when it is committed."""

    records: list[LogRecord]
    state: LogState


@dataclass(frozen=True, slots=True)
class _Turn:
    """The pages of a transaction; the rest as in :class:`LogState` after it."""

    pages: Mapping[PageId, bytes | None]
    dirty: Mapping[PageId, int]
    credit_bytes: int
    tick_pages: frozenset[int]

    def oldest(self, seq: int) -> int:
        """Return the oldest transaction whose deltas are still needed; else the one after this."""
        return next(iter(self.dirty.values()), seq + 1)


class ShardLog:
    """The log of one shard.

    Parameters
    ----------
    shard
        The shard.
    state
        How far its log has got.
    page_rows
        How many groups a page has, where that is known.
    """

    def __init__(
        self, shard: Shard, state: LogState | None = None, page_rows: int | None = None
    ) -> None:
        self.state = state or LogState()
        self._shard = shard
        self._page_rows = page_rows or group_rows.page_rows(shard)

    def plan(
        self,
        candidate: ShardCandidate | None,
        updates: Sequence[MemoryUpdate],
        header: Mapping[str, Any],
        papers: Mapping[str, bytes] = MappingProxyType({}),
    ) -> LogPlan:
        """Return what to write if a candidate and an emission are to become the state.

        ``header`` is what the marker says besides: who writes, under which hyperparameters.
        ``papers`` is what feeds remember then, of those that have changed.
        """
        seq = self.state.seq + 1
        ops = list(self._ops(candidate, updates))
        values = list(packed_ops(ops))
        mine = [DeltaId(seq, chunk) for chunk in range(len(values))]
        turn = self._turn(seq, ops, sum(map(len, values)), candidate)
        deltas = (*self.state.deltas, *mine)
        gone = bisect_left(deltas, DeltaId(turn.oldest(seq), 0))
        state = LogState(
            seq,
            deltas[gone:],
            turn.dirty,
            self._groups_count(candidate),
            len(self._shard.arms.known),
            turn.credit_bytes,
            candidate.forget_before_ms if candidate else self.state.forget_before_ms,
            turn.tick_pages,
            {**self.state.papers, **{feed: _records_of(told) for feed, told in papers.items()}},
        )
        records = [
            *(LogRecord(page_key(page), value) for page, value in turn.pages.items()),
            *(LogRecord(delta_key(d), v) for d, v in zip(mine, values, strict=True)),
            *(LogRecord(delta_key(d), None) for d in self.state.deltas[:gone]),
            *self._paper_records(papers),
            LogRecord(MARKER_KEY, encoded({**header, **self._marker(state, candidate)})),
        ]
        return LogPlan(records, state)

    def _turn(
        self, seq: int, ops: list[Op], ops_bytes: int, candidate: ShardCandidate | None
    ) -> _Turn:
        """Return the pages whose turn it is, and which stand in deltas alone afterwards."""
        pages, credit = self._pages(self.state.credit_bytes + ops_bytes)
        touched = self._touched(ops)
        known = self.state.tick_pages | {p.number for p in touched if p.table == TICKS}
        open_ = open_pages(known, closed_before(self._shard, candidate))
        over = [PageId(TICKS, number) for number in sorted(known - open_)]
        pages |= dict.fromkeys(over)
        dirty = {page: since for page, since in self.state.dirty.items() if page not in pages}
        for page in touched:
            if page not in over:
                dirty.setdefault(page, seq)
        return _Turn(pages, dirty, credit, open_)

    def _paper_records(self, papers: Mapping[str, bytes]) -> Iterator[LogRecord]:
        for feed, told in papers.items():
            yield from paper_records(feed, told, self.state.papers.get(feed, 0))

    def renew(self, epoch: int) -> None:
        """Let a shard begin a new epoch; until a transaction says so, the log is of the old one."""
        self._shard.begin_epoch(epoch)
        self.state = replace(self.state, is_renewed=True)

    def of(self, shard: Shard) -> "ShardLog":
        """Return this log as that of a shard which is the same, but another object."""
        return ShardLog(shard, self.state, self._page_rows)

    def settle(self, plan: LogPlan) -> None:
        """Take note that a plan was committed."""
        self.state = plan.state

    def marker(self) -> dict[str, Any]:
        """Return what the marker would say now, after the last transaction."""
        return self._marker(self.state, None)

    @classmethod
    def begun(cls, shard: Shard, forget_before_ms: int, papers: Mapping[str, bytes]) -> Self:
        """Return the log of a shard that is written whole, by :meth:`whole`, in one transaction."""
        ticks = page_numbers(shard.ledger.cells.codes) if shard.ledger else []
        state = LogState(
            1,
            groups=len(shard.table),
            arms=len(shard.arms),
            forget_before_ms=forget_before_ms,
            tick_pages=frozenset(ticks),
            papers={feed: _records_of(told) for feed, told in papers.items()},
        )
        return cls(shard, state)

    def whole(self, header: Mapping[str, Any], papers: Mapping[str, bytes]) -> Iterator[LogRecord]:
        """Yield a log of which nothing was written yet: every page, and the marker."""
        for page in self._every_page():
            value = self._page(page)
            if value is not None:
                yield LogRecord(page_key(page), value)
        for feed, told in papers.items():
            yield from paper_records(feed, told, 0)
        yield LogRecord(MARKER_KEY, encoded({**header, **self.marker()}))

    def _every_page(self) -> Iterator[PageId]:
        sizes = {name: len(table.column("key")) for name, table in self._shard.tables.items()}
        pages = {name: -(-size // PAGE_SLOTS) for name, size in sizes.items()}
        pages[GROUPS] = -(-len(self._shard.table) // self._page_rows)
        pages[ARMS] = -(-len(self._shard.arms) // ARMS_OF_PAGE)
        for table, count in pages.items():
            yield from (PageId(table, number) for number in range(count))
        yield from (PageId(TICKS, number) for number in sorted(self.state.tick_pages))

    def _groups_count(self, candidate: ShardCandidate | None) -> int:
        new = len(candidate.change.new_groups.keys) if candidate else 0
        return len(self._shard.table) + new

    def _ops(
        self, candidate: ShardCandidate | None, updates: Sequence[MemoryUpdate]
    ) -> Iterator[Op]:
        """Yield the changes: what was forgotten after the last transaction comes first."""
        if self.state.is_renewed:
            yield [UNEMITTED, self.state.groups]
        for name, slots in self._shard.cleared.items():
            yield from clear_ops(name, slots)
        yield from self._named(candidate)
        if candidate:
            yield from self._counted(candidate)
        for update in updates:
            yield from row_ops(
                "rows", update.rows, {"emitted": {update.metric: update.emitted.snapshot()}}
            )

    def _named(self, candidate: ShardCandidate | None) -> Iterator[Op]:
        """Yield groups and arms that the log does not know yet, those without events too."""
        keys = self._shard.table.keys[self.state.groups :]
        keys = keys + (candidate.change.new_groups.keys if candidate else [])
        yield from named_ops("groups", self.state.groups, [list(key) for key in keys])
        arms = self._shard.arms.known[self.state.arms :]
        yield from named_ops("arms", self.state.arms, plain_arms(arms))

    def _counted(self, candidate: ShardCandidate) -> Iterator[Op]:
        tables = self._shard.tables
        for name, write in (
            *candidate.attribution.writes.items(),
            ("totals", candidate.totals.write),
        ):
            if len(write.slots):
                # As they are kept: what is worked out in eight bytes has room in four, or in one.
                values = tables[name].typed(write.values)
                yield from put_ops(name, TableWrite(write.slots, write.keys, values))
        yield from tick_ops(candidate)
        rows = candidate.change.rows
        yield from row_ops("rows", rows, group_rows.changed(self._shard, candidate))
        rows = candidate.purse.changed(self._shard.purse)
        if len(rows):
            yield from row_ops("rows", rows, candidate.purse.take(rows).columns())
        for name, times_ms in candidate.incidents.items():
            rows = np.array(list(times_ms), np.intp)
            yield from row_ops("rows", rows, {name: np.array(list(times_ms.values()), np.int64)})

    def _touched(self, ops: Iterable[Op]) -> list[PageId]:
        found: dict[PageId, None] = {}
        for op in ops:
            if op[0] in ("put", "clear"):
                found |= dict.fromkeys(_page_ids(op[1], op[2], PAGE_SLOTS))
            elif op[0] == TICKS:
                found |= dict.fromkeys(PageId(TICKS, page) for page in page_numbers(op[1]))
            elif op[0] == "rows":
                found |= dict.fromkeys(_page_ids(GROUPS, op[1], self._page_rows))
            elif op[0] == UNEMITTED:
                found |= dict.fromkeys(_page_ids(GROUPS, np.arange(op[1]), self._page_rows))
            elif op[0] == "groups":
                rows = np.arange(op[1], op[1] + len(op[2]))
                found |= dict.fromkeys(_page_ids(GROUPS, rows, self._page_rows))
            elif op[0] == "arms":
                numbers = np.arange(op[1], op[1] + len(op[2]))
                found |= dict.fromkeys(_page_ids(ARMS, numbers, ARMS_OF_PAGE))
        return list(found)

    def _pages(self, credit: int) -> tuple[dict[PageId, bytes | None], int]:
        """Return the pages whose turn it is, and what is left to spend."""
        pages: dict[PageId, bytes | None] = {}
        for page in self.state.dirty:
            if credit <= 0:
                break
            pages[page] = self._page(page)
            credit -= len(pages[page] or b"")
        return pages, credit

    def _page(self, page: PageId) -> bytes | None:
        if page.table == ARMS:
            first = page.number * ARMS_OF_PAGE
            return encoded(plain_arms(self._shard.arms.known[first : first + ARMS_OF_PAGE]))
        if page.table == TICKS:
            body = page_body(self._shard, page)
            return encoded(body) if body else None
        if page.table != GROUPS:
            columns = self._shard.tables[page.table].page(page.number)
            return encoded(columns) if columns["key"].any() else None
        first = page.number * self._page_rows
        keys = self._shard.table.keys[first : first + self._page_rows]
        rows = np.arange(first, first + len(keys))
        return encoded([first, keys, group_rows.read(self._shard, rows)])

    def _marker(self, state: LogState, candidate: ShardCandidate | None) -> dict[str, Any]:
        shard = self._shard
        changes = candidate.attribution.tallies if candidate else {}
        marks = candidate.change.marks if candidate else {}
        awaited = candidate.awaited if candidate else shard.awaited
        return {
            "seq": state.seq,
            "epoch": shard.epoch,
            "hash_key": shard.hash_key,
            "positions": plain_positions(candidate.positions if candidate else shard.positions),
            "forgotten_day": shard.attribution.forgotten_day,
            "forget_before_ms": state.forget_before_ms,
            "tallies": {n: k + changes.get(n, 0) for n, k in shard.attribution.tallies.items()},
            "marks": {**shard.table.marks, **marks},
            "forgets": shard.table.forgets(),
            "awaited": {name: exchange.snapshot() for name, exchange in awaited.items()},
            "arms_left_out": shard.arms.left_out,
            "credit_bytes": state.credit_bytes,
            "ticks": marker_part(shard, candidate),
            "papers": dict(state.papers),
        }


def _records_of(told: bytes) -> int:
    return -(-len(told) // RECORD_BYTES)


def _page_ids(table: str, places: Any, size: int) -> list[PageId]:
    return [PageId(table, number) for number in numbers_of_pages(places, size)]
