"""What happened in each tick in each group: the cells that are not closed yet, as columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Rows, Statistic

Codes = NDArray[np.int64]
"""Cells as numbers: the tick, and the group's row in the last 32 bits."""

ROW_BITS = 32
_ROWS = (1 << ROW_BITS) - 1


def codes_of(ticks: NDArray[np.int64], rows: Rows) -> Codes:
    """Return cells as numbers, in the order of ticks, then rows.

    >>> codes_of(np.array([0, 2]), np.array([5, 7])).tolist()
    [5, 8589934599]
    """
    codes: Codes = (ticks << ROW_BITS) | rows
    return codes


def ticks_of(codes: Codes) -> NDArray[np.int64]:
    """Return the ticks of cells."""
    return codes >> ROW_BITS


def rows_of(codes: Codes) -> Rows:
    """Return the rows of cells."""
    return codes & _ROWS


@dataclass(frozen=True, slots=True)
class TickCells:
    """Cells, ascending; never changed in place.

    Attributes
    ----------
    codes
        Which cells there are.
    statistics
        What happened in them, by metric: the plain statistics, a row a cell.
    """

    codes: Codes
    statistics: Mapping[str, Statistic]

    @classmethod
    def empty(cls, kinds: Mapping[str, type[Statistic]]) -> Self:
        """Return no cells."""
        return cls(np.empty(0, np.int64), {name: kind.zeros(0) for name, kind in kinds.items()})

    def __len__(self) -> int:
        return len(self.codes)

    def with_cells(self, codes: Codes) -> Self:
        """Return these and the given cells; new ones are empty."""
        new = np.setdiff1d(codes, self.codes)
        if not len(new):
            return self
        every = np.concatenate([self.codes, new])
        order = np.argsort(every, kind="stable")
        statistics = {
            name: kept.concatenate(kept.zeros(len(new))).take(order)
            for name, kept in self.statistics.items()
        }
        return type(self)(every[order], statistics)

    def take(self, chosen: Any) -> Self:
        """Return some of the cells."""
        statistics = {name: kept.take(chosen) for name, kept in self.statistics.items()}
        return type(self)(self.codes[chosen], statistics)

    def replaced(self, changed: Self) -> Self:
        """Return all cells with some of them (all of which are here) as they are given."""
        at = np.searchsorted(self.codes, changed.codes)
        statistics = {}
        for name, kept in self.statistics.items():
            columns = [column.copy() for column in kept.columns().values()]
            for column, new in zip(
                columns, changed.statistics[name].columns().values(), strict=True
            ):
                column[at] = new
            statistics[name] = type(kept)(*columns)
        return type(self)(self.codes, statistics)

    def of_tick(self, tick: int) -> Self:
        """Return the cells of one tick."""
        start, end = np.searchsorted(self.codes, [tick << ROW_BITS, (tick + 1) << ROW_BITS])
        return self.take(slice(int(start), int(end)))

    def since(self, tick: int) -> Self:
        """Return the cells of a tick and all later ones."""
        return self.take(slice(int(np.searchsorted(self.codes, tick << ROW_BITS)), None))

    def ticks(self) -> list[int]:
        """Return the ticks that have cells, ascending."""
        found: list[int] = np.unique(ticks_of(self.codes)).tolist()
        return found

    def snapshot(self) -> list[Any]:
        """Return the cells as plain values and arrays."""
        return [self.codes, {name: kept.columns() for name, kept in self.statistics.items()}]

    @classmethod
    def restored(cls, state: Any, kinds: Mapping[str, type[Statistic]]) -> Self:
        """Undo :meth:`snapshot`; a metric that was not kept then has nothing."""
        codes, columns = state
        statistics = {
            name: kind(**columns[name]) if name in columns else kind.zeros(len(codes))
            for name, kind in kinds.items()
        }
        return cls(codes.astype(np.int64), statistics)
