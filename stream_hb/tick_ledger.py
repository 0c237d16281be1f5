"""The ledger of ticks: what each group did in each hour or day, until the tick is closed.

A tick is closed when every source has been read beyond its end (the watermark): from then on what
it holds is read by the feeds once, and what comes for it later is counted and left out. So what a
feed is told does not depend on the order of events within the lateness, nor on repetitions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from stream_hb.contributions import Exchange, Happened, Share, contribution
from stream_hb.events.batch import Bools
from stream_hb.events.controls import Control, Controls
from stream_hb.events.ticks import TickClock, Zones
from stream_hb.statistics.columns import Rows, Statistic
from stream_hb.statistics.forgetting import Never
from stream_hb.statistics.tick_cells import ROW_BITS, Codes, TickCells, codes_of, rows_of

_PLAIN = Never()


@dataclass(frozen=True, slots=True)
class TickChange:
    """What a batch changes.

    Attributes
    ----------
    cells
        All cells afterwards.
    touched
        Those that the batch touched.
    closed
        Ticks before this one are closed then.
    late
        How many things it brought for ticks that are closed.
    controls
        What operators said in ticks that are open then.
    """

    cells: TickCells
    touched: Codes
    closed: int
    late: int
    controls: Controls = ()


class TickLedger:
    """The open ticks of a shard; changed only by :meth:`apply`.

    Parameters
    ----------
    kinds
        The plain statistic of each metric.
    clock
        Numbers the ticks.

    Attributes
    ----------
    cells
        The open cells.
    closed
        Ticks before this one are closed.
    late
        How many things came for a tick that was closed.
    controls
        What operators said in open ticks.
    """

    def __init__(self, kinds: Mapping[str, type[Statistic]], clock: TickClock) -> None:
        self.clock = clock
        self.cells = TickCells.empty(kinds)
        self.closed = 0
        self.late = 0
        self.controls: Controls = ()
        self._kinds = dict(kinds)

    def probe(
        self,
        rows: Rows,
        zones: Zones,
        exchanges: Sequence[Exchange],
        by_totals: Mapping[str, Bools],
        closing: int = 0,
        controls: Controls = (),
    ) -> TickChange:
        """Work out what exchanges change; changes nothing.

        Parameters
        ----------
        rows
            The shard's row of each group that the exchanges number.
        zones
            The time zone of each of these groups.
        exchanges
            Of single events, and of totals.
        by_totals
            Of each metric, which of these groups it reads totals of.
        closing
            Ticks before this one are closed first: the feeds have read them.
        controls
            All that operators said in ticks that are open then.
        """
        closed = max(self.closed, closing)
        first = closed << ROW_BITS
        dated = [self._dated(exchange, rows, zones) for exchange in exchanges]
        late = sum(_count(exchange, lambda codes: codes < first) for exchange in dated)
        dated = [exchange.part(lambda share: share.rows >= first) for exchange in dated]
        touched = np.unique(np.concatenate([exchange.rows for exchange in dated]))
        cells = self.cells.since(closed).with_cells(touched)
        at = np.searchsorted(cells.codes, touched)
        before = cells.take(at)
        totals = {name: rows[mine] for name, mine in by_totals.items()}
        after = {
            name: self._exchanged(name, kept, dated, touched, totals[name])
            for name, kept in before.statistics.items()
        }
        cells = cells.replaced(TickCells(touched, after))
        return TickChange(cells, touched, closed, late, controls)

    def _dated(self, exchange: Exchange, rows: Rows, zones: Zones) -> Exchange:
        def cell(share: Share) -> Codes:
            return codes_of(self.clock.numbers(zones[share.rows], share.times_ms), rows[share.rows])

        return exchange.at(cell)

    def _exchanged(
        self,
        metric: str,
        kept: Statistic,
        dated: Sequence[Exchange],
        touched: Codes,
        totals_rows: Rows,
    ) -> Statistic:
        """Return a metric's statistics in the touched cells, with what it reads of the two."""
        if len(totals_rows):
            dated = [
                exchange.part(_reads(totals_rows, totals=totals))
                for exchange, totals in zip(dated, (False, True), strict=True)
            ]
        else:
            dated = dated[:1]
        placed = [
            exchange.at(lambda share: np.searchsorted(touched, share.rows)) for exchange in dated
        ]

        def with_(into: Statistic, happened: Happened, *, remove: bool) -> Statistic:
            if not happened.is_something:
                return into
            part = contribution(metric, self._kinds[metric], happened, _PLAIN, 0, len(touched))
            return into.remove(part) if remove else into.merge(part)

        kept = reduce(lambda into, e: with_(into, e.taken, remove=True), placed, kept)
        return reduce(lambda into, e: with_(into, e.put, remove=False), placed, kept)

    def closed_until_ms(self, closing: int = 0) -> int:
        """Return when the last tick that is closed ended, those before ``closing`` too; 0: none."""
        closed = max(self.closed, closing)
        return self.clock.end_ms(closed - 1) if closed else 0

    def apply(self, change: TickChange) -> None:
        """Make a change the state."""
        self.cells, self.closed, self.controls = change.cells, change.closed, change.controls
        self.late += change.late

    def ticks(self) -> set[int]:
        """Return the open ticks in which something was done or said."""
        return {*self.cells.ticks(), *(control.tick for control in self.controls)}

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain values and arrays."""
        return {"cells": self.cells.snapshot(), "closed": self.closed, **self.told()}

    def told(self) -> dict[str, Any]:
        """Return what is not told by cells: what was late, and what operators said."""
        return {"late": self.late, "controls": plain_controls(self.controls)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the ledger of a :meth:`snapshot`."""
        self.cells = TickCells.restored(state["cells"], self._kinds)
        self.restore_told(state)

    def restore_told(self, told: Mapping[str, Any]) -> None:
        """Take what is not told by cells."""
        self.closed, self.late = told["closed"], told["late"]
        self.controls = tuple(Control(*plain) for plain in told.get("controls", ()))


def plain_controls(controls: Controls) -> list[list[Any]]:
    """Return controls as plain values."""
    return [list(control) for control in controls]


def _reads(totals_rows: Rows, *, totals: bool) -> Callable[[Share], Bools]:
    return lambda share: np.isin(rows_of(share.rows), totals_rows) == totals


def _count(exchange: Exchange, which: Callable[[Codes], Bools]) -> int:
    put = exchange.put
    shares = (put.visits, put.orders)
    return sum(int(which(share.rows).sum()) for share in shares)
