"""Local weekdays, hours and days: the only place where a store's time zone matters.

Events are in UTC. A local day has 23, 24 or 25 hours (or half an hour less or more, on Lord Howe
Island), and whoever counts by the day has to divide by what it had.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from stream_hb.events.batch import Int64s
from stream_hb.statistics.columns import Floats

QUARTER_MS = 900_000
"""Every zone changes its offset at a whole quarter of an hour."""

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_THURSDAY = 3  # 1970-01-01


class Calendar:
    """The calendar of a time zone.

    Parameters
    ----------
    zone
        IANA name, for example ``Europe/Berlin``; an unknown one is a ZoneInfoNotFoundError.

    Examples
    --------
    Half past one in Berlin comes twice when summer ends, and that Sunday has 25 hours:

    >>> berlin = Calendar("Europe/Berlin")
    >>> times_ms = np.array([1_729_985_400_000, 1_729_989_000_000])  # 23:30 and 00:30 UTC
    >>> berlin.hours(times_ms), berlin.hours(times_ms + HOUR_MS)
    (array([1, 2]), array([2, 2]))
    >>> berlin.weekdays(times_ms), berlin.day_hours(berlin.days(times_ms))
    (array([6, 6]), array([25., 25.]))
    """

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)

    def days(self, times_ms: Int64s) -> Int64s:
        """Return the local day of each time, counted from 1970-01-01."""
        return self._local_ms(times_ms) // DAY_MS

    def weekdays(self, times_ms: Int64s) -> Int64s:
        """Return the local weekday of each time; 0 is Monday."""
        return (self.days(times_ms) + _THURSDAY) % 7

    def hours(self, times_ms: Int64s) -> Int64s:
        """Return the local hour of the day of each time, 0 to 23."""
        return self._local_ms(times_ms) // HOUR_MS % 24

    def start_ms(self, day: int) -> int:
        """Return when a local day begins.

        >>> Calendar("Europe/Berlin").start_ms(20023)  # 22:00 UTC of the day before
        1729980000000
        """
        start = datetime(1970, 1, 1, tzinfo=self._zone) + timedelta(days=day)
        return round((start.astimezone(UTC) - _EPOCH) / timedelta(milliseconds=1))

    def day_hours(self, days: Int64s) -> Floats:
        """Return how many hours local days have: their exposure."""
        distinct, places = np.unique(days, return_inverse=True)
        hours = np.array([self._day_hours(day) for day in distinct.tolist()], np.float64)
        return hours[places]

    def _day_hours(self, day: int) -> float:
        return (self.start_ms(day + 1) - self.start_ms(day)) / HOUR_MS

    def _local_ms(self, times_ms: Int64s) -> Int64s:
        quarters, places = np.unique(times_ms // QUARTER_MS, return_inverse=True)
        offsets = [self._offset_ms(quarter * QUARTER_MS) for quarter in quarters.tolist()]
        local: Int64s = times_ms + np.array(offsets, np.int64)[places]
        return local

    def _offset_ms(self, time_ms: int) -> int:
        local = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(self._zone)
        offset = local.utcoffset() or timedelta(0)
        return round(offset / timedelta(milliseconds=1))
