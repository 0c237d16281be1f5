"""An alert's life: pending, firing, recovering, resolved; one open episode per fingerprint."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.drift.columns import Bools, Int64s, StoreColumns
from stream_hb.statistics.columns import Floats


class Status(IntEnum):
    """Where an episode stands."""

    INACTIVE = 0
    PENDING = 1
    FIRING = 2
    RECOVERING = 3


INACTIVE, PENDING, FIRING, RECOVERING = (int(status) for status in Status)
"""The same as plain integers: a member of an enumeration costs a microsecond to look up."""


@dataclass(frozen=True, slots=True)
class Episodes(StoreColumns):
    """The episodes of one alert, one place per store.

    Attributes
    ----------
    status
        A :class:`Status`.
    since
        Tick at which it came to this status.
    opened
        Tick at which the episode began.
    started_ms
        Event time at which the episode began; of the last one, where none is open.
    changed_at
        Tick of the change as estimated when the episode began: an estimate that wandered from
        record to record would look like news.
    told_ms
        Event time of the last record.
    seq
        Records written.
    """

    status: NDArray[np.int8]
    since: Int64s
    opened: Int64s
    started_ms: Int64s
    changed_at: Floats
    told_ms: Int64s
    seq: Int64s

    @classmethod
    def of_new(cls, stores: int) -> Self:
        """Return no episodes."""
        whole = (np.zeros(stores, np.int64) for _ in range(5))
        since, opened, started, told, seq = whole
        return cls(np.zeros(stores, np.int8), since, opened, started, np.zeros(stores), told, seq)

    @property
    def is_open(self) -> Bools:
        """Tell which have an open episode."""
        is_open: Bools = self.status != INACTIVE
        return is_open


class Rules(NamedTuple):
    """How long conditions have to hold.

    Attributes
    ----------
    for_ticks
        The condition, before a pending alert fires.
    keep_firing_ticks
        The all-clear, before a firing alert is resolved.
    renotify_ms
        After which an open alert is written again.
    """

    for_ticks: int
    keep_firing_ticks: int
    renotify_ms: int


@dataclass(frozen=True, slots=True)
class Signal:
    """What a tick says of one alert's stores.

    Attributes
    ----------
    on, off
        The alert's condition holds; the all-clear does. Neither: between the two thresholds.
    judged
        The store had something to judge by; the others stay as they are.
    held
        A new episode may not begin: it is the chain that shifts.
    ended
        What is open ends here: accepted by the operator, or the store has retired.
    changed_at
        Estimated tick of the change.
    """

    on: Bools
    off: Bools
    judged: Bools
    held: Bools
    ended: Bools
    changed_at: Floats


class Advanced(NamedTuple):
    """Episodes after a tick.

    Attributes
    ----------
    episodes
        As they stand.
    told
        Those of which a record is to be written.
    resolved
        Those that ended with this tick; all of them are told.
    """

    episodes: Episodes
    told: Bools
    resolved: Bools


def advanced(
    episodes: Episodes, signal: Signal, tick: int, ended_ms: int, rules: Rules
) -> Advanced:
    """Return the episodes after one tick.

    >>> yes, no = np.ones(1, bool), np.zeros(1, bool)
    >>> said = lambda on: Signal(yes & on, yes & (not on), yes, no, no, np.zeros(1))
    >>> rules = Rules(for_ticks=0, keep_firing_ticks=2, renotify_ms=10**9)
    >>> episodes = Episodes.of_new(1)
    >>> for tick, on in enumerate([True, False, False, False]):
    ...     episodes, told, resolved = advanced(episodes, said(on), tick, 1_000 * tick, rules)
    ...     print(Status(episodes.status[0]).name, told[0], resolved[0])
    FIRING True False
    RECOVERING True False
    RECOVERING False False
    INACTIVE True True
    """
    if not (signal.on.any() or episodes.is_open.any()):
        nothing = np.zeros(len(episodes), bool)
        return Advanced(episodes, nothing, nothing)
    status, held_ticks = episodes.status, tick - episodes.since
    on, off = signal.on & signal.judged, signal.off & signal.judged
    begins = (status == INACTIVE) & on & ~signal.held & ~signal.ended
    after = np.where(begins, PENDING, status)
    waited = (status == PENDING) & (held_ticks >= rules.for_ticks)
    fires = on & ((begins & (rules.for_ticks <= 0)) | waited)
    after = np.where(fires, FIRING, after)
    after = np.where((status == FIRING) & off, RECOVERING, after)
    relapses = (status == RECOVERING) & signal.judged & ~off
    after = np.where(relapses, FIRING, after)
    clear = (status == RECOVERING) & off & (held_ticks >= rules.keep_firing_ticks)
    lapses = (status == PENDING) & signal.judged & ~signal.on
    resolved = clear | lapses | (signal.ended & episodes.is_open)
    after = np.where(resolved, INACTIVE, after).astype(np.int8)
    moved = after != status
    due = (after != INACTIVE) & (ended_ms - episodes.told_ms >= rules.renotify_ms)
    told = moved | due
    new = Episodes(
        after,
        np.where(moved, tick, episodes.since),
        np.where(begins, tick, episodes.opened),
        np.where(begins, ended_ms, episodes.started_ms),
        np.where(begins, signal.changed_at, episodes.changed_at),
        np.where(told, ended_ms, episodes.told_ms),
        episodes.seq + told,
    )
    return Advanced(new, told, resolved)
