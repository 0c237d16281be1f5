"""Events over an exposure: what a rate (orders per visit, per hour) needs."""

from dataclasses import dataclass
from typing import Self

from stream_hb.statistics.columns import Floats, Rows, Statistic, sum_by_row


@dataclass(frozen=True, slots=True)
class Exposure(Statistic):
    """Events and the exposure they were counted over, per group; events may exceed exposure.

    Attributes
    ----------
    events
        Number of events.
    exposure
        What the rate is per: visits, or hours.

    Examples
    --------
    >>> import numpy as np
    >>> a = Exposure.of(np.array([0, 0, 1]), np.array([2.0, 1.0, 0.0]), np.ones(3), size=2)
    >>> a.events, a.exposure
    (array([3., 0.]), array([2., 1.]))
    """

    events: Floats
    exposure: Floats

    @classmethod
    def of(cls, rows: Rows, events: Floats, exposure: Floats, size: int) -> Self:
        """Sum a batch: ``rows[i]`` had ``events[i]`` events in ``exposure[i]``."""
        return cls(sum_by_row(rows, events, size), sum_by_row(rows, exposure, size))

    def merge(self, other: Self) -> Self:
        """Add both columns."""
        return type(self)(self.events + other.events, self.exposure + other.exposure)

    def remove(self, other: Self) -> Self:
        """Subtract both columns."""
        return type(self)(self.events - other.events, self.exposure - other.exposure)
