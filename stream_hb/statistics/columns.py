"""A statistic: one NumPy array per number that is kept, one row per group."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.field_names import field_names

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class Statistic:
    """Base of every sufficient statistic; subclasses are frozen dataclasses of float64 columns.

    A statistic is a commutative monoid with an exact removal: ``zeros`` is its identity, ``merge``
    is associative and commutative, and ``a.merge(b).remove(b)`` is ``a``. That is what makes the
    answer independent of order, batches and shards.
    """

    __slots__ = ()

    @classmethod
    def zeros(cls, size: int) -> Self:
        """Return the identity for ``size`` groups."""
        return cls(*(np.zeros(size) for _ in field_names(cls)))

    def columns(self) -> dict[str, Floats]:
        """Return the arrays by name, without copying them."""
        return {name: getattr(self, name) for name in field_names(type(self))}

    def take(self, rows: Any) -> Self:
        """Return the given rows (an index array, a mask or a slice), copied if NumPy copies."""
        kind = type(self)
        return kind(*[getattr(self, name)[rows] for name in field_names(kind)])

    def concatenate(self, other: Self) -> Self:
        """Return the groups of both, this one's first (groups are not merged)."""
        pairs = zip(self.columns().values(), other.columns().values(), strict=True)
        return type(self)(*(np.concatenate(pair) for pair in pairs))

    def merge(self, other: Self) -> Self:
        """Return the statistic of the union of both samples, row by row."""
        raise NotImplementedError

    def remove(self, other: Self) -> Self:
        """Return the statistic without the observations of ``other``, row by row."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(next(iter(self.columns().values())))


def sum_by_row(rows: Rows, values: Floats | None, size: int) -> Floats:
    """Sum ``values`` (or count, if None) per row; rows lie in ``[0, size)``.

    >>> sum_by_row(np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]), 3)
    array([1., 0., 5.])
    """
    return np.bincount(rows, weights=values, minlength=size).astype(np.float64, copy=False)
