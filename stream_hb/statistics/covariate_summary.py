"""A pool of means with covariates as a histogram: regressions that do not grow with the groups.

A regression with the weights 1/(v + τ²) reads the groups only through sums of products of the
columns (1, x_1, ..., x_p, z) with functions of v. So it is enough to keep, over the precision, one
measure for each product of two of them: {1, x_a, z, x_a x_b, x_a z, z²}.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.histogram import Histogram
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

Means = Measured | Moments


@dataclass(frozen=True, slots=True)
class CovariateSummary:
    """Means with covariates by their precision: 1/v where v is known, n where σ²/n is fitted.

    Merging is addition. Groups without data are left out.

    Attributes
    ----------
    origin
        What the covariates and the means are kept about, shape (p + 1,), the mean's last: constants
        of the pool, the same in all summaries that merge. Near the columns' averages no digits are
        lost; the answer does not depend on them otherwise.
    histogram
        Over the precision, one measure for each product of two of (1, x - origin, z - origin), the
        upper triangle row by row.
    totals
        Σ ln p, Σ 1/p, and of observations Σ max(n, 1) and Σ m2; shape (4,).
    names
        The covariates' names, or empty.

    Examples
    --------
    >>> stores = Measured(np.array([3.0, 4.0, 6.0]), np.array([1.0, 2.0, 1.0]))
    >>> size = np.array([[1.0], [2.0], [3.0]])
    >>> summary = CovariateSummary.empty(np.array([2.0, 4.0])).add(stores, size)
    >>> summary.products.shape  # 1, x, z, x², xz, z²: of columns (1, x, z)
    (3, 3)
    >>> summary.exchange((stores, size), (stores.take([0]), size[:1])).groups_count
    1
    """

    origin: Floats
    histogram: Histogram
    totals: Floats
    names: tuple[str, ...] = ()

    @classmethod
    def empty(cls, origin: Floats, names: tuple[str, ...] = ()) -> Self:
        """Return the summary of no groups."""
        columns = len(origin) + 1
        return cls(origin, Histogram.empty(columns * (columns + 1) // 2), np.zeros(4), names)

    def add(self, groups: Means, covariates: Floats) -> Self:
        """Return the summary with further groups."""
        return self.exchange((groups.take(slice(0)), covariates[:0]), (groups, covariates))

    def exchange(self, old: tuple[Means, Floats], new: tuple[Means, Floats]) -> Self:
        """Take out groups with their covariates as they were, and put them in as they are."""
        (old_p, old_columns, old_totals), (new_p, new_columns, new_totals) = (
            self._columns(*described) for described in (old, new)
        )
        histogram = self.histogram.exchange(old_p, new_p, old_columns, new_columns)
        return replace(self, histogram=histogram, totals=self.totals - old_totals + new_totals)

    def merge(self, other: Self) -> Self:
        """Return the summary of the groups of both."""
        if not np.array_equal(self.origin, other.origin) or self.names != other.names:
            raise FitError("summaries merge about one origin, of the same covariates")
        histogram = self.histogram.merge(other.histogram)
        return replace(self, histogram=histogram, totals=self.totals + other.totals)

    @property
    def groups_count(self) -> int:
        """Number of groups with data."""
        return round(float(self.histogram.totals()[0]))

    @property
    def products(self) -> Floats:
        """Sums over the groups of products of two of (1, x, z), a symmetric matrix."""
        totals = self.histogram.totals()[:, np.newaxis]
        matrix: Floats = _symmetric(totals, len(self.origin) + 1)[0]
        return matrix

    def nodes(self) -> tuple[Floats, Floats]:
        """Return nodes of the precision (n,) and the products of the columns at each (n, c, c)."""
        precision, weights = self.histogram.weighing()
        return precision, _symmetric(weights, len(self.origin) + 1)

    def _columns(self, groups: Means, covariates: Floats) -> tuple[Floats, list[Floats], Floats]:
        precision = 1 / groups.variance if isinstance(groups, Measured) else groups.weight
        known = precision > 0
        p = precision[known]
        away = np.column_stack([covariates, groups.mean])[known] - self.origin
        columns = np.column_stack([np.ones(len(p)), away])
        rows, others = np.triu_indices(columns.shape[1])
        products = list((columns[:, rows] * columns[:, others]).T)[1:]
        observed = isinstance(groups, Moments)
        squares = groups.m2[known].sum() if isinstance(groups, Moments) else 0.0
        observations = np.maximum(p, 1.0).sum() if observed else 0.0
        totals = [np.log(p).sum(), (1 / p).sum(), observations, squares]
        return p, products, np.array(totals)


def _symmetric(triangle: Floats, size: int) -> Floats:
    """Return matrices (n, size, size) of their upper triangles (size(size + 1)/2, n)."""
    out = np.empty((triangle.shape[1], size, size))
    rows, columns = np.triu_indices(size)
    out[:, rows, columns] = out[:, columns, rows] = triangle.T
    return out
