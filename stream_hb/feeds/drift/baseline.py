"""What a store is held against: its own past relation to the chain.

Sums over its days, each day's weight halved every half-life. A day waits before it enters: days
that wait lie in panes, one a day, so that their number is bounded whatever a tick is.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.feeds.drift.columns import Bools, StoreColumns
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Baseline(StoreColumns):
    """Decayed sums of stores; what the columns mean is the family's matter.

    Attributes
    ----------
    observed
        Counts and rates: what was counted. Values: sum of precision times deviation from the chain.
    expected
        What it would have been in a store like the chain. Values: sum of precision.
    trials
        Counts: visits. Values: degrees of freedom of ``squares``.
    squares
        Values: squared deviations within ticks.
    ticks
        Ticks that are in it, not decayed.
    """

    observed: Floats
    expected: Floats
    trials: Floats
    squares: Floats
    ticks: Floats

    @classmethod
    def of_new(cls, stores: int) -> Self:
        """Return empty baselines."""
        observed, expected, trials, squares, ticks = (np.zeros(stores) for _ in range(5))
        return cls(observed, expected, trials, squares, ticks)

    def decayed(self, factor: Floats | float) -> Self:
        """Return the same with less weight on all that is in it."""
        return type(self)(
            self.observed * factor,
            self.expected * factor,
            self.trials * factor,
            self.squares * factor,
            self.ticks,
        )

    def merged(self, other: Self) -> Self:
        """Return the sums of both."""
        pairs = zip(self.columns(), other.columns(), strict=True)
        return type(self)(*(own + theirs for own, theirs in pairs))

    def only(self, kept: Bools) -> Self:
        """Return the kept stores' sums, zero for the rest."""
        return type(self)(*(column * kept for column in self.columns()))


@dataclass(frozen=True, slots=True)
class Pane:
    """A day that waits.

    Attributes
    ----------
    day
        Its number, in local days since 1970-01-01.
    sums
        Its contribution to the baselines of the stores there were.
    """

    day: int
    sums: Baseline


Pending = tuple[Pane, ...]
"""Days that wait, oldest first; no more than the lag and the day that is being filled."""


def due(pending: Pending, day: int, lag_days: int) -> tuple[Pending, Pending]:
    """Split what waits: what may enter on this day, and what waits on.

    >>> waiting = tuple(Pane(day, Baseline.of_new(0)) for day in (3, 4, 9))
    >>> [[pane.day for pane in part] for part in due(waiting, day=10, lag_days=6)]
    [[3, 4], [9]]
    """
    first = sum(pane.day <= day - lag_days for pane in pending)
    return pending[:first], pending[first:]


def entered(baseline: Baseline, panes: Pending) -> Baseline:
    """Return the baselines with panes entered."""
    for pane in panes:
        baseline = baseline.merged(pane.sums.grown(len(baseline)))
    return baseline


def deposited(pending: Pending, day: int, sums: Baseline) -> Pending:
    """Return what waits with one tick's contribution added to its day."""
    if pending and pending[-1].day == day:
        last = pending[-1].sums.grown(len(sums))
        return (*pending[:-1], Pane(day, last.merged(sums)))
    return (*pending, Pane(day, sums))


def withdrawn(pending: Pending, first_day: Floats) -> Pending:
    """Return what waits without each store's days from its ``first_day`` on.

    They lie after the estimated time of a change, and would teach the baseline that it was none.
    """
    return tuple(_kept(pane, first_day) for pane in pending)


def _kept(pane: Pane, first_day: Floats) -> Pane:
    kept = pane.day < first_day[: len(pane.sums)]
    return pane if kept.all() else Pane(pane.day, pane.sums.only(kept))
