"""Event times in six bytes: the day and the millisecond of the day."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.batch import Int64s

DAY_MS = 86_400_000

COLUMNS = {"day": np.uint16, "ms": np.uint32}
"""The two columns that a time takes; days are counted from 1970, to the year 2149."""


def packed(times_ms: Int64s) -> dict[str, NDArray[Any]]:
    """Return the columns of some times.

    >>> {name: int(column[0]) for name, column in packed(np.array([86_400_001])).items()}
    {'day': 1, 'ms': 1}
    """
    days = times_ms // DAY_MS
    return {"day": days, "ms": times_ms - days * DAY_MS}  # a remainder costs a division of its own


def unpacked(day: NDArray[Any], ms: NDArray[Any]) -> Int64s:
    """Return the times of two columns."""
    times: Int64s = day.astype(np.int64) * DAY_MS + ms
    return times
