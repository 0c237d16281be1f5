"""One closed tick of a chain and metric: what came in, and what of it can be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

import numpy as np

from stream_hb.errors import FitError
from stream_hb.feeds.drift.columns import Bools
from stream_hb.statistics.columns import Floats, Rows

NO_ROWS: Rows = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True)
class Tick:
    """A closed local hour or day of the stores of one chain, for one metric.

    Attributes
    ----------
    index
        Local days (or hours) since 1970-01-01; the same for all stores, whatever their zones.
    ended_ms
        Event time at which it was closed, epoch milliseconds UTC.
    rows
        The stores' rows. A store without a row had nothing.
    size
        Counts: visits. Rates: exposure, in visits or hours. Values: orders.
    value
        Counts and rates: what was counted. Values: mean of the logarithms.
    m2
        Values: sum of squared deviations from that mean; None for counts and rates.
    hours
        What the tick had: 24, or 23 or 25 where a zone changes its offset.
    accepted
        Rows whose present level the operator accepts with this tick.
    reasons
        What the operator says of them, by row.
    retired
        Rows of stores that are closed for good.
    offsets
        Where the input was read to, for the record.
    """

    index: int
    ended_ms: int
    rows: Rows
    size: Floats
    value: Floats
    m2: Floats | None = None
    hours: Floats | float = 24.0
    accepted: Rows = field(default_factory=lambda: NO_ROWS)
    reasons: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    retired: Rows = field(default_factory=lambda: NO_ROWS)
    offsets: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        columns: Sequence[Floats | Rows] = (self.rows, self.size, self.value)
        lengths = [len(column) for column in columns]
        if len(set(lengths)) > 1 or len(np.unique(self.rows)) != len(self.rows):
            raise FitError(
                f"a tick needs one row a store and equally long columns, got {lengths} "
                f"(rows, size, value), {len(np.unique(self.rows))} of the rows distinct"
            )


class Kind(IntEnum):
    """What a metric's ticks hold."""

    COUNTS = 0
    RATES = 1
    VALUES = 2


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A tick's columns laid out over all stores; zero where a store has nothing.

    Attributes
    ----------
    size, value, m2, hours
        As in the tick.
    seen
        The store has something that can be used.
    refused
        Its row had something that cannot: not finite, negative, or more counted than there was.
    """

    size: Floats
    value: Floats
    m2: Floats
    hours: Floats
    seen: Bools
    refused: Bools


def cleaned(tick: Tick, kind: Kind, stores: int) -> Cleaned:
    """Lay a tick out over all stores and leave out what would poison the sums.

    One NaN in a running statistic silences it for ever, so nothing enters unchecked.

    >>> columns = np.array([10.0, np.nan]), np.array([1.0, 1.0])
    >>> clean = cleaned(Tick(0, 0, np.array([0, 2]), *columns), Kind.COUNTS, stores=3)
    >>> clean.seen, clean.refused
    (array([ True, False, False]), array([False, False,  True]))
    """
    m2 = np.zeros(len(tick.rows)) if tick.m2 is None else tick.m2
    hours = np.broadcast_to(np.asarray(tick.hours, np.float64), len(tick.rows))
    usable = _usable(tick, kind, m2) & np.isfinite(hours) & (hours > 0)
    seen, refused = np.zeros(stores, bool), np.zeros(stores, bool)
    seen[tick.rows] = usable & (tick.size > 0)
    refused[tick.rows] = ~usable
    size, value, squares = (
        _laid(tick.rows, column, usable, stores) for column in (tick.size, tick.value, m2)
    )
    usual = float(np.median(hours)) if len(hours) else 24.0
    spread = np.full(stores, usual)
    spread[tick.rows] = np.where(usable, hours, usual)
    return Cleaned(size, value, squares, spread, seen, refused)


def _usable(tick: Tick, kind: Kind, m2: Floats) -> Bools:
    finite = np.isfinite(tick.size) & np.isfinite(tick.value) & np.isfinite(m2)
    usable: Bools = finite & (tick.size >= 0) & (m2 >= 0)
    if kind is not Kind.VALUES:
        usable &= tick.value >= 0
    if kind is Kind.COUNTS:
        usable &= tick.value <= tick.size
    return usable


def _laid(rows: Rows, column: Floats, usable: Bools, stores: int) -> Floats:
    out = np.zeros(stores)
    out[rows[usable]] = column[usable]
    return out
