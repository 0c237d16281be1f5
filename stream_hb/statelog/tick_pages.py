"""The open ticks of a shard in its log: a page holds the cells of some rows in one tick."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from stream_hb.shard import Shard, ShardCandidate
from stream_hb.statelog.records import Op, PageId
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.tick_cells import ROW_BITS, Codes, TickCells, rows_of, ticks_of
from stream_hb.tick_ledger import plain_controls

TICKS = "ticks"

PAGE_ROWS_BITS = 12
"""A page has at most 4,096 cells: some 300 kB."""

PAGE_BITS = 10
"""Pages of a tick: rows beyond four million share the last one's number with others."""

_NOTHING_IS_OPEN = 2**31


def page_numbers(codes: Codes) -> list[int]:
    """Return the numbers of the pages that some cells stand in.

    >>> page_numbers(np.array([3 << 32, (3 << 32) + 5000, (4 << 32) + 1]))
    [3072, 3073, 4096]
    """
    pages = np.minimum(rows_of(codes) >> PAGE_ROWS_BITS, (1 << PAGE_BITS) - 1)
    found: list[int] = np.unique((ticks_of(codes) << PAGE_BITS) | pages).tolist()
    return found


def tick_of(page: int) -> int:
    """Return the tick that a page is of."""
    return page >> PAGE_BITS


def closed_before(shard: Shard, candidate: ShardCandidate | None) -> int:
    """Return the first tick that is open once a candidate is applied."""
    if shard.ledger is None:
        return _NOTHING_IS_OPEN
    if candidate is None or candidate.ticks is None:
        return shard.ledger.closed
    return candidate.ticks.closed


def tick_ops(candidate: ShardCandidate) -> Iterator[Op]:
    """Yield what a candidate writes of the cells that it touches."""
    if candidate.ticks is None or not len(candidate.ticks.touched):
        return
    cells = candidate.ticks.cells
    touched = cells.take(np.searchsorted(cells.codes, candidate.ticks.touched))
    for start in range(0, len(touched), 1 << PAGE_ROWS_BITS):
        part = touched.take(slice(start, start + (1 << PAGE_ROWS_BITS)))
        yield [TICKS, part.codes, _columns_of(part.statistics)]


def page_body(shard: Shard, page: PageId) -> Any:
    """Return the cells of a page as the shard stands; None where it has none."""
    if shard.ledger is None:
        return None
    tick, part = tick_of(page.number), page.number & ((1 << PAGE_BITS) - 1)
    first = (tick << ROW_BITS) | (part << PAGE_ROWS_BITS)
    last = part == (1 << PAGE_BITS) - 1
    end = ((tick + 1) << ROW_BITS) if last else first + (1 << PAGE_ROWS_BITS)
    codes = shard.ledger.cells.codes
    start, stop = np.searchsorted(codes, [first, end]).tolist()
    cells = shard.ledger.cells.take(slice(start, stop))
    return [cells.codes, _columns_of(cells.statistics)] if len(cells) else None


def marker_part(shard: Shard, candidate: ShardCandidate | None) -> dict[str, Any] | None:
    """Return what the marker says of the ticks; None: no feed looks at any."""
    if shard.ledger is None:
        return None
    told = {"closed": closed_before(shard, candidate), **shard.ledger.told()}
    if candidate and candidate.ticks:
        told["late"] += candidate.ticks.late
        told["controls"] = plain_controls(candidate.ticks.controls)
    return told


def _columns_of(statistics: Mapping[str, Statistic]) -> dict[str, Any]:
    return {name: kept.columns() for name, kept in statistics.items()}


class TickRows:
    """Cells as a log tells of them: the last word of each counts."""

    def __init__(self) -> None:
        self.pages: set[int] = set()
        self._parts: list[tuple[Codes, Mapping[str, Any]]] = []

    def put(self, codes: Codes, columns: Mapping[str, Any]) -> list[int]:
        """Take what a page or a delta writes; return the pages that it is of."""
        numbers = page_numbers(codes)
        self.pages.update(numbers)
        self._parts.append((codes, columns))
        return numbers

    def restore(self, shard: Shard, told: Mapping[str, Any] | None) -> None:
        """Give the shard the cells that are open by its marker's word."""
        if shard.ledger is None or told is None:
            return
        shard.ledger.restore_told(told)
        cells = list(self._cells(shard.ledger.cells))
        if cells:
            whole = cells[0]
            for part in cells[1:]:
                whole = whole.with_cells(part.codes).replaced(part)
            shard.ledger.cells = whole.since(shard.ledger.closed)

    def _cells(self, like: TickCells) -> Iterator[TickCells]:
        kinds = {name: type(kept) for name, kept in like.statistics.items()}
        for codes, columns in self._parts:
            yield TickCells.restored((codes, columns), kinds)


def open_pages(pages: Iterable[int], closed: int) -> frozenset[int]:
    """Return those of some pages that are of ticks which are not closed."""
    return frozenset(page for page in pages if tick_of(page) >= closed)
