"""Weekdays, hours and days of a time zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from stream_hb.events.calendar import Calendar

EPOCH = date(1970, 1, 1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]


def day(text: str) -> np.ndarray:
    return np.array([(date.fromisoformat(text) - EPOCH).days])


@pytest.mark.parametrize("zone", ZONES)
def test_every_quarter_of_a_year_is_where_the_zone_says(zone: str) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=97 * step) for step in range(5_500)]
    local = [time.astimezone(ZoneInfo(zone)) for time in times]
    times_ms = np.array([round(time.timestamp() * 1000) for time in times])
    calendar = Calendar(zone)
    assert calendar.hours(times_ms).tolist() == [time.hour for time in local]
    assert calendar.weekdays(times_ms).tolist() == [time.weekday() for time in local]
    assert calendar.days(times_ms).tolist() == [(time.date() - EPOCH).days for time in local]


@pytest.mark.parametrize(
    ("zone", "local_day", "hours"),
    [
        ("Europe/Berlin", "2024-03-31", 23),
        ("Europe/Berlin", "2024-10-27", 25),
        ("Europe/Berlin", "2024-10-28", 24),
        ("Australia/Lord_Howe", "2024-04-07", 24.5),
        ("UTC", "2024-03-31", 24),
    ],
)
def test_a_day_has_the_hours_that_it_had(zone: str, local_day: str, hours: float) -> None:
    assert Calendar(zone).day_hours(day(local_day)).tolist() == [hours]


def test_the_hours_of_a_year_are_those_of_its_days() -> None:
    days = day("2024-01-01") + np.arange(366)
    assert Calendar("Europe/Berlin").day_hours(days).sum() == 366 * 24
