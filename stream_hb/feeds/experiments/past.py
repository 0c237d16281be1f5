"""What stores did before an experiment began: the covariate that takes their level out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Past:
    """Sums of a metric over the ticks that were over before the start; a row a store.

    Attributes
    ----------
    stores
        Ids by row.
    size, total
        What there was to count by (visits, orders with a value), and the sum of the metric over it.

    Examples
    --------
    >>> past = Past.nothing().after(["a", "b"], np.array([10.0, 0.0]), np.array([2.0, 0.0]))
    >>> past = past.after(["a"], np.array([10.0]), np.array([4.0]))
    >>> past.rates(["b", "a", "new"])
    array([nan, 0.3, nan])
    """

    stores: tuple[str, ...]
    size: Floats
    total: Floats

    @classmethod
    def nothing(cls) -> Self:
        """Return that nothing was seen."""
        return cls((), np.zeros(0), np.zeros(0))

    def after(self, stores: Sequence[str], size: Floats, total: Floats) -> "Past":
        """Return it with what stores did in one tick more."""
        known = (*self.stores, *sorted(set(stores) - set(self.stores)))
        row_of = {store: row for row, store in enumerate(known)}
        rows = np.array([row_of[store] for store in stores], np.intp)
        columns = []
        for before, more in ((self.size, size), (self.total, total)):
            column = np.append(before, np.zeros(len(known) - len(before)))
            column[rows] += more
            columns.append(column)
        return Past(known, *columns)

    def rates(self, stores: Sequence[str]) -> Floats:
        """Return each store's rate of before, NaN where it is not known."""
        row_of = {store: row for row, store in enumerate(self.stores)}
        rows = np.array([row_of.get(store, -1) for store in stores], np.intp)
        size, total = (np.append(column, 0.0)[rows] for column in (self.size, self.total))
        rates: Floats = np.full(len(rows), np.nan)
        np.divide(total, size, out=rates, where=size > 0)
        return rates

    def snapshot(self) -> list[Any]:
        """Return it as plain values and arrays."""
        return [list(self.stores), self.size, self.total]

    @classmethod
    def restored(cls, told: Sequence[Any]) -> Self:
        """Undo :meth:`snapshot`."""
        stores, size, total = told
        return cls(tuple(stores), size, total)
