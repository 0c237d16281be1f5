"""Shards of one partitioning as those of another: every group moves with all that is known of it.

Statistics, memories and clocks are what they were, under other numbers. Of the records only the
epoch is another: a key's next record is the first of a new one, since its memory has moved. What
is remembered without a group (a refund whose order is forgotten, a visitor's hour whose visits
are) goes to every shard: its key is scoped to its group, so nobody else can ask for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_hb.contributions import Exchange
from stream_hb.errors import SnapshotError
from stream_hb.events.arm_sets import MOST_SETS, ArmSet
from stream_hb.events.batch import Hashes, Int64s
from stream_hb.events.clock import SourceClock
from stream_hb.events.controls import Control
from stream_hb.events.visitor_hours import hour_keys
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard
from stream_hb.statelog import group_rows
from stream_hb.statelog.group_rows import GroupRows
from stream_hb.statelog.records import LogRecord
from stream_hb.statelog.restore import Restored
from stream_hb.statelog.shard_log import ShardLog
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.tick_cells import TickCells, codes_of, rows_of, ticks_of
from stream_hb.tick_ledger import plain_controls
from stream_hb.timing import Position, Source, plain_positions

ARM_COLUMNS = ("own_arms", "arms", "arm")
"""Columns that number sets of arms, one more than the number; 0 is the empty set."""

NOWHERE = -1
"""The row of what is remembered without a group."""

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Target:
    """What the new shards are to be.

    Attributes
    ----------
    count
        How many there are.
    home
        Returns the shard of a store.
    settings
        The engine's, for so many partitions.
    offsets
        Where each source goes on.
    """

    count: int
    home: Callable[[str], int]
    settings: EngineSettings
    offsets: Mapping[Source, int]


@dataclass(frozen=True, slots=True)
class Log:
    """A new shard, and its log."""

    shard: Shard
    records: Iterator[LogRecord]


@dataclass(frozen=True, slots=True)
class _Part:
    """What moves from an old shard to a new one.

    Attributes
    ----------
    old
        The old shard.
    rows
        Its rows that move, ascending.
    place
        By old row, the new one; ``NOWHERE`` where the group moves elsewhere.
    """

    old: Restored
    rows: Rows
    place: Rows


def ids_key(old: Iterable[Restored]) -> bytes:
    """Return the one key under which shards have hashed ids.

    Raises
    ------
    SnapshotError
        They have several: the ids themselves are not kept, so equal ones cannot be told any more.
    """
    old = list(old)
    found: dict[bytes, list[int]] = {}
    for each in old:
        if any(len(table) for table in each.shard.tables.values()):
            found.setdefault(each.shard.hash_key, []).append(each.shard.number)
    if len(found) > 1:
        shards = " and ".join(", ".join(map(str, numbers)) for numbers in found.values())
        raise SnapshotError(
            f"shards {shards} remember ids under different keys, since different workers of an "
            "earlier version began them: they cannot be put into one table. Rebuild the state from "
            "the input under a new kafka.group_id"
        )
    return next(iter(found), old[0].shard.hash_key)


def rekeyed(old: Sequence[Restored], target: Target, header: Mapping[str, Any]) -> Iterator[Log]:
    """Yield the new shards' logs; ``header`` is what their markers say besides."""
    key = ids_key(old)
    epoch = 1 + max(each.shard.epoch for each in old)
    homes = [
        np.array([target.home(store) for _, store in each.shard.table.keys], np.int64)
        for each in old
    ]
    for number in range(target.count):
        parts = list(_parts(old, homes, number))
        shard = Shard(number, epoch, target.settings, key)
        forget_before_ms = _filled(shard, parts, old, target)
        papers = next((each.papers for each in old if each.shard.number == number), {})
        log = ShardLog.begun(shard, forget_before_ms, papers)
        yield Log(shard, log.whole(header, papers))


def _parts(old: Sequence[Restored], homes: Sequence[Int64s], number: int) -> Iterator[_Part]:
    first = 0
    for each, home in zip(old, homes, strict=True):
        rows = np.flatnonzero(home == number)
        place = np.full(len(home), NOWHERE)
        place[rows] = np.arange(first, first + len(rows))
        first += len(rows)
        yield _Part(each, rows, place)


def _filled(shard: Shard, parts: Sequence[_Part], old: Sequence[Restored], target: Target) -> int:
    """Put everything into a new shard; return until when its ids are forgotten."""
    mine = [part for part in parts if len(part.rows)]
    arms = _arm_numbers(shard.number, mine)
    for name, table in shard.tables.items():
        table.restore_whole(_merged([_moved(name, part, arms) for part in parts], table.whole()))
    before = next((each.shard for each in old if each.shard.number == shard.number), None)
    tallies = before.attribution.tallies if before else shard.attribution.tallies
    days = [part.old.shard.attribution.forgotten_day for part in mine]
    shard.attribution.restored(tallies, max(days, default=0))
    groups = GroupRows()
    for part in mine:
        keys = part.old.shard.table.keys
        first = len(groups)
        groups.name(first, [list(keys[row]) for row in part.rows.tolist()])
        groups.put(part.place[part.rows], group_rows.read(part.old.shard, part.rows))
    emitted = {name: groups.emitted(name) for name in shard.emitted}
    shard.restore_groups(
        {
            **groups.state(shard.table, _marks(shard, mine)),
            "emitted": {name: _of_new_epoch(columns) for name, columns in emitted.items()},
            "hash_key": shard.hash_key,
            "unscreened": True,
            "awaited": {name: e.snapshot() for name, e in _awaited(mine).items()},
            "arms": list(arms),
            "arms_left_out": before.arms.left_out if before else 0,
            "positions": plain_positions(_positions(shard.number, mine, target)),
            "ledger": _ledger(shard, parts, before, target.home),
        }
    )
    return max((part.old.log.state.forget_before_ms for part in mine), default=0)


def _of_new_epoch(emitted: Columns) -> Columns:
    return {**emitted, "seq": np.zeros_like(emitted["seq"])}


def _marks(shard: Shard, parts: Iterable[_Part]) -> dict[str, int]:
    """Return how far each metric has got: as far as the first of the old shards."""
    marks = dict(shard.table.marks)
    for part in parts:
        for name, mark in part.old.shard.table.marks.items():
            marks[name] = max(marks[name], mark)
    return marks


def _arm_numbers(number: int, parts: Iterable[_Part]) -> dict[ArmSet, int]:
    """Return the sets of arms that what moves refers to, with their new numbers."""
    numbers: dict[ArmSet, int] = {}
    for part in parts:
        known = part.old.shard.arms.known
        for code in _used(part):
            numbers.setdefault(known[code - 1], len(numbers))
    if len(numbers) > MOST_SETS:
        raise SnapshotError(
            f"shard {number} would have {len(numbers)} combinations of arms, at most {MOST_SETS} "
            "are kept"
        )
    return numbers


def _used(part: _Part) -> list[int]:
    used: set[int] = set()
    for name, table in part.old.shard.tables.items():
        columns = table.whole()
        moves = _new_rows(name, part) >= 0
        for column in ARM_COLUMNS:
            if column in columns:
                used.update(np.unique(columns[column][moves]).tolist())
    return sorted(used - {0})


def _moved(name: str, part: _Part, arms: Mapping[ArmSet, int]) -> Columns:
    """Return what moves of a table of ids, under its new rows and sets of arms."""
    columns = part.old.shard.tables[name].whole()
    rows = _new_rows(name, part)
    ours = (columns["key"] != 0) & ((rows >= 0) | _groupless(name, part))
    moved = {column: values[ours] for column, values in columns.items()}
    if "row" in moved:
        moved["row"] = rows[ours].astype(moved["row"].dtype)
    known = part.old.shard.arms.known
    codes = np.array([0, *(arms.get(each, NOWHERE) + 1 for each in known)])
    for column in ARM_COLUMNS:
        if column in moved:
            moved[column] = codes[moved[column]].astype(moved[column].dtype)
    return moved


def _new_rows(name: str, part: _Part) -> Rows:
    """Return the new row of every slot of a table, ``NOWHERE`` where it does not move here."""
    rows = _old_rows(name, part.old.shard)
    if not len(part.place):
        return np.full(len(rows), NOWHERE)
    return np.where(rows >= 0, part.place[rows], NOWHERE)


def _groupless(name: str, part: _Part) -> NDArray[np.bool_]:
    groupless: NDArray[np.bool_] = _old_rows(name, part.old.shard) == NOWHERE
    return groupless


def _old_rows(name: str, shard: Shard) -> Rows:
    """Return the group of every slot of a table, ``NOWHERE`` where nobody knows it."""
    table = shard.tables[name]
    if name == "refunds":
        orders = shard.attribution.orders.table
        return _rows_at(orders.find(table.column("order_key")), orders.column("row"))
    if name == "hours":
        return _of_hours(shard, table.column("key"))
    return table.column("row").astype(np.intp)


def _rows_at(slots: Int64s, rows: NDArray[Any]) -> Rows:
    if not len(rows):
        return np.full(len(slots), NOWHERE)
    return np.where(slots >= 0, rows[slots].astype(np.intp), NOWHERE)


def _of_hours(shard: Shard, keys: Hashes) -> Rows:
    memory = shard.attribution.visits
    slots = np.flatnonzero(memory.table.column("key"))
    visits = memory.read(slots)
    hours, first = np.unique(hour_keys(visits), return_index=True)
    if not len(hours):
        return np.full(len(keys), NOWHERE)
    at = np.minimum(np.searchsorted(hours, keys), len(hours) - 1)
    return np.where(hours[at] == keys, visits.row[first[at]], NOWHERE)


def _merged(parts: Sequence[Columns], empty: Columns) -> Columns:
    """Return one table's columns; of a key that stands in several, one."""
    kinds = {name: column.dtype for some in (empty, *parts) for name, column in some.items()}
    keys, first = np.unique(np.concatenate([part["key"] for part in parts]), return_index=True)
    merged: Columns = {"key": keys}
    for name, kind in kinds.items():
        filled = [part.get(name, np.zeros(len(part["key"]), kind)) for part in parts]
        merged[name] = np.concatenate(filled)[first]
    return merged


def _awaited(parts: Iterable[_Part]) -> dict[str, Exchange]:
    """Return what counts later, of the groups that move."""
    found: dict[str, list[Exchange]] = {}
    for part in parts:
        for name, waited in part.old.shard.awaited.items():
            mine = waited.part(lambda share, at=part.place: at[share.rows] >= 0)  # type: ignore[misc]
            if len(mine.rows):
                found.setdefault(name, []).append(mine.placed(part.place))
    return {name: reduce(Exchange.joined, some) for name, some in found.items()}


def _positions(number: int, parts: Iterable[_Part], target: Target) -> dict[Source, Position]:
    """Return where the sources go on: their clocks are those of all that has moved here."""
    clocks: dict[str, SourceClock] = {}
    for part in parts:
        for (topic, _), position in part.old.shard.positions.items():
            clocks[topic] = joined(clocks.get(topic, SourceClock()), position.clock)
    return {
        (topic, partition): Position(offset, clocks.get(topic, SourceClock()))
        for (topic, partition), offset in target.offsets.items()
        if partition == number
    }


def joined(one: SourceClock, other: SourceClock) -> SourceClock:
    """Return the clock of two sources that are one from now on: that of the later one.

    An earlier one would take events as timely whose ids are forgotten already.

    >>> joined(SourceClock(5, 0, 1), SourceClock(7, 9, 2))
    SourceClock(newest_ms=7, ahead_ms=9, seen_at_ms=2)
    """
    later = max(one, other, key=lambda clock: (clock.time_ms, clock.ahead_ms))
    return replace(later, seen_at_ms=max(one.seen_at_ms, other.seen_at_ms))


def _ledger(
    shard: Shard, parts: Iterable[_Part], before: Shard | None, home: Callable[[str], int]
) -> dict[str, Any] | None:
    """Return the open ticks of the groups that move; what was closed anywhere stays so."""
    if shard.ledger is None:
        return None
    cells, closed = shard.ledger.cells, []
    said: set[Control] = set()
    for part in parts:
        theirs = part.old.shard.ledger
        if theirs is not None:
            closed.append(theirs.closed)
            said |= {control for control in theirs.controls if home(control.store) == shard.number}
            place = part.place[rows_of(theirs.cells.codes)]
            here = theirs.cells.take(place >= 0)
            codes = codes_of(ticks_of(here.codes), place[place >= 0])
            order = np.argsort(codes)
            here = TickCells(codes, here.statistics).take(order)
            cells = cells.with_cells(here.codes).replaced(here)
    late = before.ledger.late if before and before.ledger else 0
    told = {"late": late, "controls": plain_controls(tuple(sorted(said)))}
    return {"cells": cells.snapshot(), "closed": max(closed, default=0), **told}
