"""From single units to the arms' statistics: which of them are mature, and what they add up to."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.experiments.arm_statistics import (
    VARIABLES,
    ArmStatistics,
    UnitMoments,
    ValueMoments,
)
from stream_hb.statistics.columns import Floats, Rows, sum_by_row
from stream_hb.statistics.moments import Moments

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """Units of one experiment, a row each, each in one arm (crossovers are left out before).

    Attributes
    ----------
    store, arm
        Indices.
    visits, orders, revenue_minor
        What the unit did; revenue in minor units of currency.
    first_ms
        Event time at which it was first seen.
    pre
        Its covariate of before the experiment; None: none is known.
    """

    store: Rows
    arm: Rows
    visits: Floats
    orders: Floats
    revenue_minor: Floats
    first_ms: Int64s
    pre: Floats | None = None

    def take(self, rows: Any) -> Self:
        """Return some of the rows."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        taken: dict[str, Any] = {n: None if c is None else c[rows] for n, c in columns.items()}
        return type(self)(**taken)


def mature(first_ms: Int64s, since_ms: int, at_ms: int, window_ms: int) -> NDArray[np.bool_]:
    """Tell which units may be analysed at an event time: those whose attribution window is over.

    A unit seen an hour ago has had no time to buy: let in, its arm would look worse for having
    grown, and the effect's error would be no martingale. A unit of an epoch before is left out too.

    >>> mature(np.array([0, 10, 20]), since_ms=5, at_ms=100, window_ms=85)
    array([False,  True, False])
    """
    out: NDArray[np.bool_] = (first_ms >= since_ms) & (first_ms + window_ms <= at_ms)
    return out


def statistics_of_units(
    units: UnitColumns, stores: int, arms: int, cap_minor: int | None = None
) -> ArmStatistics:
    """Add up mature units.

    Parameters
    ----------
    units
        Mature units only (:func:`mature`).
    stores, arms
        How many there are.
    cap_minor
        Revenue of a unit above this counts as this, declared before the start.

    Examples
    --------
    >>> one = np.ones(3)
    >>> rows = np.zeros(3, dtype=np.intp)
    >>> units = UnitColumns(rows, rows, one, np.array([0, 1, 2.0]), 900 * one, np.zeros(3, int))
    >>> found = statistics_of_units(units, 1, 1)
    >>> found.units, found.conversions, found.orders
    (array([[3.]]), array([[2.]]), array([[3.]]))
    """
    row, size = units.store * arms + units.arm, stores * arms
    revenue, over = units.revenue_minor, None
    if cap_minor is not None:
        over, revenue = revenue > cap_minor, np.minimum(revenue, cap_minor)
    values = _values(row, units.orders, revenue, size)
    converted = (units.orders > 0).astype(np.float64)
    pre = np.zeros(len(row)) if units.pre is None else units.pre
    columns = np.stack([units.visits, converted, units.orders, revenue, pre])
    table = stores, arms
    n, visits, buyers, orders = (
        sum_by_row(row, column, size).reshape(table)
        for column in (None, units.visits, converted, units.orders)
    )
    return ArmStatistics(
        n,
        visits,
        buyers,
        orders,
        values=ValueMoments(*(part.reshape(table) for part in values.columns().values())),
        joint=_joint(row, columns, table, units.pre is not None),
        capped=None if over is None else sum_by_row(row[over], None, size).reshape(table),
    )


def _values(row: Rows, orders: Floats, revenue: Floats, size: int) -> Moments:
    """Return the moments of ln of each buying unit's mean order; values of 0 have no logarithm."""
    paid = (revenue > 0) & (orders > 0)
    return Moments.of(row[paid], np.log(revenue[paid] / orders[paid]), size)


def _joint(row: Rows, columns: Floats, table: tuple[int, int], has_pre: bool) -> UnitMoments:
    size, count = table[0] * table[1], len(VARIABLES)
    units = np.maximum(sum_by_row(row, None, size), 1.0)
    mean = np.stack([sum_by_row(row, column, size) / units for column in columns], axis=-1)
    away = columns - mean[row].T
    comoment = np.zeros((size, count, count))
    for i in range(count):
        for j in range(i, count):
            comoment[:, i, j] = sum_by_row(row, away[i] * away[j], size)
            comoment[:, j, i] = comoment[:, i, j]
    shape = (*table, count)
    return UnitMoments(mean.reshape(shape), comoment.reshape(*shape, count), has_pre)
