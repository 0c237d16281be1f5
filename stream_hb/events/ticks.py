"""Ticks: hours, or local days, that feeds look at one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.batch import Int64s
from stream_hb.events.calendar import DAY_MS, HOUR_MS, Calendar
from stream_hb.statistics.columns import Floats

Zones = NDArray[np.intp]
"""Number of a store's time zone among those of a clock."""

Every = Literal["hour", "day"]


@dataclass(frozen=True)
class TickClock:
    """Numbers the ticks: hours since 1970 in UTC, or the stores' local days.

    A local day of 23 or 25 hours is one tick with that exposure.

    Attributes
    ----------
    every
        ``hour`` or ``day``.
    zone_names
        IANA names of the stores' time zones; where a zone is told by its number, it is that here.

    Examples
    --------
    Eleven in the evening of a Saturday in UTC is Sunday in Berlin:

    >>> clock = TickClock("day", ("UTC", "Europe/Berlin"))
    >>> times_ms = np.array([1_729_983_600_000, 1_729_983_600_000])
    >>> clock.numbers(np.array([0, 1]), times_ms)
    array([20022, 20023])
    >>> clock.hours(20023, np.array([0, 1])), clock.weekdays(20023, np.array([0, 1]))
    (array([24., 25.]), array([6, 6]))
    """

    every: Every = "day"
    zone_names: Sequence[str] = ("UTC",)

    @cached_property
    def _calendars(self) -> list[Calendar]:
        return [Calendar(name) for name in self.zone_names]

    @property
    def _is_plain(self) -> bool:
        return self.every == "hour" or tuple(self.zone_names) == ("UTC",)

    def numbers(self, zones: Zones, times_ms: Int64s) -> Int64s:
        """Return the tick of each time in a store of a zone."""
        if self._is_plain:
            return times_ms // (HOUR_MS if self.every == "hour" else DAY_MS)
        numbers = np.empty(len(times_ms), np.int64)
        for zone in np.unique(zones).tolist():
            mine = zones == zone
            numbers[mine] = self._calendars[zone].days(times_ms[mine])
        return numbers

    def end_ms(self, tick: int) -> int:
        """Return when a tick is over in all zones."""
        if self._is_plain:
            return (tick + 1) * (HOUR_MS if self.every == "hour" else DAY_MS)
        return max(calendar.start_ms(tick + 1) for calendar in self._calendars)

    def over(self, tick: int, watermark_ms: int) -> bool:
        """Tell whether a tick is over when all sources have reached a time."""
        return self.end_ms(tick) <= watermark_ms

    def next_open(self, watermark_ms: int) -> int:
        """Return the first tick that is not over when all sources have reached a time.

        >>> TickClock("hour").next_open(3 * 3_600_000)
        3
        """
        first = watermark_ms // (HOUR_MS if self.every == "hour" else DAY_MS) - 1
        # Two days: a zone may be a day behind, and another one a day ahead.
        return next(tick for tick in range(first, first + 4) if not self.over(tick, watermark_ms))

    def hours(self, tick: int, zones: Zones) -> Floats:
        """Return how long a tick was in stores of some zones."""
        if self.every == "hour":
            return np.ones(len(zones))
        lengths = [calendar.day_hours(np.array([tick]))[0] for calendar in self._calendars]
        return np.array(lengths, np.float64)[zones]

    def weekdays(self, tick: int, zones: Zones) -> Int64s:
        """Return the local weekday of a tick; 0 is Monday."""
        if self.every == "day":
            return np.full(len(zones), (tick + 3) % 7)
        times_ms = np.array([tick * HOUR_MS])
        weekdays = [calendar.weekdays(times_ms)[0] for calendar in self._calendars]
        return np.array(weekdays, np.int64)[zones]
