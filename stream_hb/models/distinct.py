"""Groups with the same statistics have the same posterior: each different one is worked out once.

Of the stores that a pool has just met most have none to three visits and no order, so that
thousands share a few dozen statistics.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from stream_hb.statistics.columns import Floats, Rows

_FEWEST = 24
"""Rows from which on looking for likes is cheaper than working them all out."""


class Distinct(NamedTuple):
    """Rows that differ, and which of them every row is.

    rows
        The first row of each kind.
    which
        For every row the position of its like in ``rows``.
    """

    rows: Rows
    which: Rows


def once_each(work: Callable[..., Iterable[Floats]], *columns: Floats) -> list[Floats]:
    """Return what ``work`` makes of columns, rows that are alike worked out once.

    Parameters
    ----------
    work
        From columns to columns; it must make the same of a row whatever rows are beside it.
    columns
        Of one length, at least one.

    Examples
    --------
    >>> def squares(x):
    ...     print("worked out:", x)
    ...     return (x**2,)
    >>> (found,) = once_each(squares, np.tile([3.0, 1.0], 20))
    worked out: [1. 3.]
    >>> found[:5]
    array([9., 1., 9., 1., 9.])
    """
    found = distinct(*columns) if len(columns[0]) >= _FEWEST else None
    if found is None:
        return list(work(*columns))
    return [made[found.which] for made in work(*(column[found.rows] for column in columns))]


def distinct(*columns: Floats) -> Distinct | None:
    """Find the rows that differ in any bit; None where all do.

    Examples
    --------
    >>> successes, trials = np.array([0.0, 1.0, 0.0]), np.array([2.0, 2.0, 2.0])
    >>> distinct(successes, trials)
    Distinct(rows=array([0, 1]), which=array([0, 1, 0]))
    """
    found = _kinds(columns[0])
    for column in columns[1:]:
        if len(found.rows) == len(column):
            return None
        own = _kinds(column)
        found = _kinds(found.which * len(own.rows) + own.which)
    return None if len(found.rows) == len(columns[0]) else found


def _kinds(column: Floats | Rows) -> Distinct:
    # By bits: -0.0 is not 0.0 in a record, and a NaN is itself.
    _, rows, which = np.unique(column.view(np.int64), return_index=True, return_inverse=True)
    return Distinct(rows, which)
