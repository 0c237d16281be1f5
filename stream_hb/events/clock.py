"""Event time: the clocks of the sources, the watermark, and who comes too late or too early."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.events.batch import Bools, Int64s

EARLIEST_MS = 946_684_800_000
"""2000-01-01, the earliest time that an event or a record may carry."""

LATEST_MS = 4_102_444_800_000
"""2100-01-01, the latest one."""

DAY_MS = 86_400_000

FUTURE_MS = 300_000
"""How far clocks may go wrong before an event is taken for one from the future."""

IDLE_MS = 60_000
"""A source without events for so long holds the watermark no longer."""


@dataclass(frozen=True, slots=True)
class TimeRules:
    """How event time is judged.

    Attributes
    ----------
    lateness_ms
        How far the watermark stays behind the newest event of a source.
    horizon_ms
        How far behind the watermark an event still counts, and an id is remembered.
    by_wall_clock
        Whether the driver's clock is the time of day, so that nothing can be later; if not, an
        event is measured against its own ``ingest_time_ms``, else against ``as_of_ms``.
    as_of_ms
        When the log was taken; None: nobody knows, and no event is from the future.
    """

    lateness_ms: int = 600_000
    horizon_ms: int = 7 * DAY_MS
    by_wall_clock: bool = False
    as_of_ms: int | None = None

    def from_future(self, time_ms: Int64s, ingest_ms: Int64s, now_ms: int) -> Bools:
        """Tell which events are later than the time at which they are known.

        >>> rules = TimeRules(as_of_ms=1_000_000)
        >>> rules.from_future(np.array([1_300_000, 1_300_001]), np.zeros(2, np.int64), now_ms=0)
        array([False,  True])
        """
        if self.by_wall_clock:
            return time_ms > now_ms + FUTURE_MS
        unless_told_ms = self.as_of_ms or LATEST_MS
        if not ingest_ms.any():
            return time_ms > unless_told_ms + FUTURE_MS
        return time_ms > np.where(ingest_ms > 0, ingest_ms, unless_told_ms) + FUTURE_MS


@dataclass(frozen=True, slots=True)
class SourceClock:
    """How far a source's events reach: the second newest time, and the newest where it is near.

    A device with a wrong clock can send one event from the year 2099, after which everything would
    be too late. So a time that leaves all others of the source more than the horizon behind counts
    from the second event on that says so; a log with a gap is followed by such a second one. The
    clock is a function of the set of times: the newest time unless it is more than the horizon
    ahead of the next, else that.

    Attributes
    ----------
    newest_ms
        The time that counts; 0 before there is one.
    ahead_ms
        A time that waits for a second event to agree; 0: none does.
    seen_at_ms
        The driver's clock when the source's last event came.

    Examples
    --------
    >>> clock, _ = SourceClock().observed(np.array([1_000, 2_000, 9_000_000]), 50_000, now_ms=0)
    >>> clock.time_ms
    2000
    >>> clock.observed(np.array([9_000_001]), 50_000, now_ms=0)[0].time_ms
    9000001
    """

    newest_ms: int = 0
    ahead_ms: int = 0
    seen_at_ms: int = 0

    @property
    def time_ms(self) -> int:
        """The clock; 0 before the first event."""
        return self.newest_ms or self.ahead_ms

    @property
    def plain(self) -> tuple[int, int, int]:
        """Its fields in their order."""
        return self.newest_ms, self.ahead_ms, self.seen_at_ms

    def observed(self, times_ms: Int64s, horizon_ms: int, now_ms: int) -> tuple[Self, Int64s]:
        """Take times in the order of arrival (0: none there); return the clock after each, too."""
        newest = int(times_ms.max(initial=0))
        if not newest:
            return self, np.full(len(times_ms), self.time_ms)
        if not self.time_ms:
            # The first batch has nothing to be far from but itself.
            earliest = int(times_ms[times_ms > 0].min())
            bound = newest if earliest < newest <= earliest + horizon_ms else 0
        else:
            bound = self.newest_ms + horizon_ms
        if newest > bound or (self.ahead_ms and self.ahead_ms <= newest + horizon_ms):
            return self._one_by_one(times_ms, horizon_ms, now_ms)
        running = np.maximum(np.maximum.accumulate(times_ms), self.newest_ms)
        return type(self)(int(running[-1]), self.ahead_ms, now_ms), running

    def _one_by_one(self, times_ms: Int64s, horizon_ms: int, now_ms: int) -> tuple[Self, Int64s]:
        newest, ahead = self.newest_ms, self.ahead_ms
        running = np.empty(len(times_ms), np.int64)
        for place, time in enumerate(times_ms.tolist()):
            newest, ahead = _after(newest, ahead, time, horizon_ms)
            running[place] = newest or ahead
        return type(self)(newest, ahead, now_ms), running

    def after(self, time_ms: int, horizon_ms: int, now_ms: int) -> Self:
        """Return the clock after one more time."""
        newest, ahead = _after(self.newest_ms, self.ahead_ms, time_ms, horizon_ms)
        return type(self)(newest, ahead, now_ms)


def _after(newest: int, ahead: int, time: int, horizon_ms: int) -> tuple[int, int]:
    if time <= newest:
        return newest, ahead
    second, first = sorted({newest, ahead, time})[-2:]
    return (second, first) if first - second > horizon_ms else (first, 0)


def watermark_ms(clocks: Iterable[SourceClock], lateness_ms: int, now_ms: int) -> int:
    """Return the time up to which every source that is not idle was read, less the lateness.

    Sources without any event are left out; if all are idle none is.

    >>> busy, idle = SourceClock(5_000_000, 0, 100_000), SourceClock(1_000_000, 0, 10_000)
    >>> watermark_ms([busy, idle], 600_000, now_ms=60_000)
    400000
    >>> watermark_ms([busy, idle], 600_000, now_ms=100_000)
    4400000
    """
    seen = [clock for clock in clocks if clock.time_ms]
    busy = [clock for clock in seen if now_ms - clock.seen_at_ms <= IDLE_MS]
    return min((clock.time_ms for clock in busy or seen), default=0) - lateness_ms
