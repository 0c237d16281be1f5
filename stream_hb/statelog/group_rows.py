"""What a shard keeps of its groups, as columns by row: read for the log, collected from it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.emission import Emitted
from stream_hb.field_names import field_names
from stream_hb.incidents import Incidents
from stream_hb.money import OrderTallies
from stream_hb.shard import Shard, ShardCandidate
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.table import GroupKey, GroupTable

PAGE_BYTES = 200_000
TALLIES = field_names(OrderTallies)
INCIDENTS = field_names(Incidents)
LATER = ("base_currency", "currency_since_ms")
"""Columns since version 2. The size of a page is as without them: a page's number must go on to
mean the same groups, or a new page would replace one of others in the log."""


def page_rows(shard: Shard) -> int:
    """Return how many groups a page has: a power of two, so that a page is some 200 kB."""
    one = read(shard, np.zeros(1, np.intp))
    size = sum(column.nbytes for (name, *_), column in _flat(one) if name not in LATER) + 64
    return int(max(16, 2 ** int(np.log2(max(PAGE_BYTES / size, 1)))))


def read(shard: Shard, rows: Rows) -> dict[str, Any]:
    """Return everything of some groups as the shard stands."""
    table = shard.table
    statistics = {name: table.read(name, rows).columns() for name in table.metrics}
    return {
        **_counted(table.read_event_time_ms(rows), statistics, table.marks),
        **shard.incidents.take(rows).columns(),
        **shard.purse.take(rows).columns(),
        "orders": shard.orders.take(rows).columns(),
        "emitted": {name: e.take(rows).snapshot() for name, e in shard.emitted.items()},
    }


def changed(shard: Shard, candidate: ShardCandidate) -> dict[str, Any]:
    """Return what a candidate writes of the groups that it touches."""
    change = candidate.change
    statistics = {name: kept.columns() for name, kept in change.statistics.items()}
    marks = {**shard.table.marks, **change.marks}
    return {
        **_counted(change.event_time_ms, statistics, marks),
        "currency": candidate.purse.texts(change.rows),
        "orders": shard.order_tallies_after(
            change.rows, candidate.attribution.moves.orders
        ).columns(),
    }


def _counted(
    times_ms: NDArray[np.int64],
    statistics: Mapping[str, Mapping[str, NDArray[Any]]],
    marks: Mapping[str, int],
) -> dict[str, Any]:
    return {
        "event_time_ms": times_ms,
        "statistics": {name: dict(columns) for name, columns in statistics.items()},
        "marks": {name: np.full(len(times_ms), marks[name]) for name in statistics},
    }


class GroupRows:
    """Groups as a log tells of them."""

    def __init__(self) -> None:
        self._keys: dict[int, GroupKey] = {}
        self._columns: dict[tuple[str, ...], NDArray[Any]] = {}

    def name(self, first: int, keys: list[list[str]]) -> None:
        """Take the groups of some rows; compaction lets later ones come before earlier ones."""
        self._keys |= {row: (chain, store) for row, (chain, store) in enumerate(keys, first)}

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, rows: Rows, columns: Mapping[str, Any]) -> None:
        """Take what a page or a delta writes."""
        size = int(rows.max(initial=-1)) + 1
        for path, values in _flat(columns):
            self._grown(path, values, size)[rows] = values

    def forget_emitted(self) -> None:
        """Let nothing be emitted of any group so far."""
        for (name, *_), column in self._columns.items():
            if name == "emitted":
                column[:] = 0

    def _grown(self, path: tuple[str, ...], like: NDArray[Any], size: int) -> NDArray[Any]:
        column = self._columns.get(path)
        if column is None:
            column = np.zeros((0, *like.shape[1:]), like.dtype)
        if size > len(column):
            more = np.zeros((max(size, 2 * len(column)) - len(column), *like.shape[1:]), like.dtype)
            column = np.concatenate([column, more])
        self._columns[path] = column
        return column

    def state(self, table: GroupTable, marks: Mapping[str, int]) -> dict[str, Any]:
        """Return the groups' part of a shard's snapshot; ``table`` knows how metrics forget."""
        statistics = {name: self._advanced(name, table, mark) for name, mark in marks.items()}
        return {
            "table": {
                "keys": [self._keys[row] for row in range(len(self))],
                "event_time_ms": self._whole(("event_time_ms",), np.zeros(1, np.int64)),
                "statistics": statistics,
                "marks": dict(marks),
            },
            "currencies": {
                "currency": self._whole(("currency",), np.zeros(1, "U3")),
                "base_currency": self._whole(("base_currency",), np.zeros(1, "U3")),
                "currency_since_ms": self._whole(("currency_since_ms",), np.zeros(1, np.int64)),
            },
            "incidents": {n: self._whole((n,), np.zeros(1, np.int64)) for n in INCIDENTS},
            "orders": [self._whole(("orders", n), np.zeros(1, np.int64)) for n in TALLIES],
        }

    def emitted(self, metric: str) -> dict[str, NDArray[Any]]:
        """Return what was emitted of a metric."""
        nothing = Emitted.zeros(1).snapshot()
        return {n: self._whole(("emitted", metric, n), zero) for n, zero in nothing.items()}

    def _whole(self, path: tuple[str, ...], zero: NDArray[Any]) -> NDArray[Any]:
        return self._grown(path, zero, len(self))[: len(self)].copy()

    def _advanced(self, metric: str, table: GroupTable, mark: int) -> dict[str, NDArray[Any]]:
        """Return a metric's statistic at its mark: each row was written at one of its own."""
        empty = table.read(metric, np.zeros(1, np.intp) + len(table))
        kept = type(empty)(
            *(self._whole(("statistics", metric, n), c) for n, c in empty.columns().items())
        )
        marks = self._whole(("marks", metric), np.zeros(1, np.int64))
        for old in np.unique(marks[marks < mark]).tolist():
            rows = np.flatnonzero(marks == old)
            moved = table.rules[metric].advanced(kept.take(rows), old, mark)
            for name, column in moved.columns().items():
                kept.columns()[name][rows] = column
        return kept.columns()


def _flat(columns: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], NDArray[Any]]]:
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            yield (name,), column
        else:
            yield from (((name, *path), values) for path, values in _flat(column))
