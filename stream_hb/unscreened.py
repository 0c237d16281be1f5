"""The groups that an emission has still to look at."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Rows


class Looked(NamedTuple):
    """Groups of a shard that an emission has looked at.

    Attributes
    ----------
    shard, metric
        Whose they are.
    rows
        The groups.
    next_row
        Where the next emission goes on.
    over_at_ms
        The time at which all that waited had been looked at; None: not all has been.
    """

    shard: int
    metric: str
    rows: Rows
    next_row: int
    over_at_ms: int | None = None


class Unscreened:
    """The groups of a shard whose estimates may have changed since they were last looked at.

    A refit may change every estimate of a pool. To look at all of them at once would keep what has
    just come waiting, so an emission takes some, and goes round: a group waits for no more than one
    round, also where refits come faster than all can be looked at. Among shards and metrics the one
    whose last round ended first is next: so a part is of few pools, each of which costs a call.

    Parameters
    ----------
    metrics
        Those of which records are written.

    Examples
    --------
    >>> unscreened = Unscreened(["conversion"])
    >>> unscreened.mark(np.array([0, 2, 3]))
    >>> unscreened.some("conversion", 2)
    (array([0, 2]), 3)
    >>> unscreened.look(Looked(0, "conversion", np.array([0, 2]), next_row=3))
    >>> unscreened.mark(np.array([0]))
    >>> unscreened.some("conversion", 2)
    (array([0, 3]), 0)
    >>> unscreened.some("conversion", 1)
    (array([3]), 0)
    """

    def __init__(self, metrics: Iterable[str]) -> None:
        self._marks: dict[str, NDArray[np.bool_]] = {
            name: np.zeros(0, np.bool_) for name in metrics
        }
        self._next = dict.fromkeys(self._marks, 0)
        self._over_at_ms = dict.fromkeys(self._marks, 0)

    def __bool__(self) -> bool:
        return any(marks.any() for marks in self._marks.values())

    def count(self, metric: str) -> int:
        """Return the number of groups to be looked at."""
        return int(np.count_nonzero(self._marks[metric]))

    def mark(self, rows: Rows, metrics: Collection[str] | None = None) -> None:
        """Take groups whose estimates may have changed; of all metrics, where none is named."""
        size = int(rows.max(initial=-1)) + 1
        for name in self._marks if metrics is None else metrics:
            self._grow(name, size)
            self._marks[name][rows] = True

    def mark_all(self, size: int) -> None:
        """Take so many groups, all there are."""
        self.mark(np.arange(size))

    def _grow(self, name: str, size: int) -> None:
        marks = self._marks[name]
        if size > len(marks):
            grown = np.zeros(max(size, 2 * len(marks)), np.bool_)
            grown[: len(marks)] = marks
            self._marks[name] = grown

    def over_at_ms(self, metric: str) -> int:
        """Return when a metric's last round ended."""
        return self._over_at_ms[metric]

    def some(self, metric: str, most: int) -> tuple[Rows, int]:
        """Return at most so many groups, ascending, and where to go on: 0 where a round ends."""
        rows, start = np.flatnonzero(self._marks[metric]), self._next[metric]
        if len(rows) > most:
            ahead = rows[np.searchsorted(rows, start) :]
            rows = ahead if len(ahead) else rows
        if len(rows) <= most:
            return rows, 0
        return rows[:most], int(rows[most])

    def look(self, looked: Looked) -> None:
        """Take note of what was looked at."""
        marks = self._marks[looked.metric]
        marks[looked.rows[looked.rows < len(marks)]] = False
        self._next[looked.metric] = looked.next_row
        if looked.over_at_ms is not None:
            self._over_at_ms[looked.metric] = looked.over_at_ms
