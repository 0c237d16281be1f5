"""What a batch takes out of the groups' counts and puts into them, one row a thing."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.batch import Bools, Int64s
from stream_hb.statistics.columns import Rows

Signs = NDArray[np.int8]

_TIME_BITS = 2**42
"""More than any time; beyond two million groups some rows stand between each other."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Things as they stand: those that count have a group, a time and a value.

    Attributes
    ----------
    counts
        Whether the thing counts.
    row, time_ms
        Its group, and when it was.
    value
        Its value in minor units; 0 where things have none.
    """

    counts: Bools
    row: Rows
    time_ms: Int64s
    value: Int64s


@dataclass(frozen=True, slots=True)
class Signed:
    """Things taken out (-1) and put in (+1).

    Attributes
    ----------
    rows, times_ms
        Group and time of each.
    signs
        -1 or +1.
    values
        Value of each, minor units; 0 where things have none.
    """

    rows: Rows
    times_ms: Int64s
    signs: Signs
    values: Int64s

    @classmethod
    def between(cls, before: Counted, after: Counted) -> Self:
        """Return what leads from one state to the other; what has not changed does not move.

        The moves stand by group and time, so that sums hardly depend on the keys of hashes.
        """
        same = (
            (before.counts == after.counts)
            & (before.row == after.row)
            & (before.time_ms == after.time_ms)
            & (before.value == after.value)
        )
        out, into = before.counts & ~same, after.counts & ~same
        left = before.row[out]
        rows = np.concatenate([left, after.row[into]])
        times = np.concatenate([before.time_ms[out], after.time_ms[into]])
        values = np.concatenate([before.value[out], after.value[into]])
        signs = np.ones(len(rows), np.int8)
        signs[: len(left)] = -1
        order = np.argsort(rows * _TIME_BITS + times)  # one key sorts faster than two
        return cls(rows[order], times[order], signs[order], values[order])


@dataclass(frozen=True, slots=True)
class Moves:
    """The difference that a batch makes.

    Attributes
    ----------
    visits
        Visits, at their attribution time.
    conversions
        Visits with a live order, at their attribution time.
    orders
        Live orders at their own time, with their value.
    """

    visits: Signed
    conversions: Signed
    orders: Signed

    @property
    def all(self) -> tuple[Signed, Signed, Signed]:
        """Everything that moves."""
        return self.visits, self.conversions, self.orders
