"""When something of a group last could not be counted, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.events.batch import Int64s
from stream_hb.field_names import field_names
from stream_hb.statistics.columns import Rows

Marked = Mapping[str, Mapping[int, int]]
"""By kind of incident: when, by row."""


@dataclass(frozen=True, slots=True)
class Incidents:
    """The clock of the source when it last happened, by row; 0: never.

    Attributes
    ----------
    late_ms
        An event came too late.
    currency_ms
        An order or refund was in another currency than the group's.

    Examples
    --------
    >>> incidents = Incidents.zeros(1).marked({"late_ms": {2: 1_730_000_000_000}}, size=3)
    >>> incidents.late_ms > 0, incidents.take(np.array([0, 9])).late_ms
    (array([False, False,  True]), array([0, 0]))
    """

    late_ms: Int64s
    currency_ms: Int64s

    @classmethod
    def zeros(cls, size: int) -> Self:
        """Return those of so many groups to which nothing happened."""
        return cls(*(np.zeros(size, np.int64) for _ in field_names(cls)))

    def take(self, rows: Rows) -> Self:
        """Return copies of the given rows; to rows beyond these nothing has happened."""
        taken = self.zeros(len(rows))
        known = rows < len(self.late_ms)
        for name, column in taken.columns().items():
            column[known] = getattr(self, name)[rows[known]]
        return taken

    def marked(self, more: Marked, size: int) -> Self:
        """Return those of so many groups, with what has happened since."""
        if size == len(self.late_ms) and not any(more.values()):
            return self
        made = self.take(np.arange(size))
        for name, times in more.items():
            made.columns()[name][list(times)] = list(times.values())
        return made

    def columns(self) -> dict[str, Int64s]:
        """Return the columns by name."""
        return {name: getattr(self, name) for name in field_names(type(self))}
