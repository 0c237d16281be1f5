"""How long something took, as a histogram that costs nothing to keep."""

from bisect import bisect_left

BOUNDS_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Durations:
    """Counts by upper bound, and the sum.

    Attributes
    ----------
    counts
        How many were at most each of ``BOUNDS_SECONDS`` (and above the one before); then the rest.
    sum_seconds
        Of all.

    Examples
    --------
    >>> took = Durations()
    >>> took.add(0.03)
    >>> took.counts.index(1), took.sum_seconds
    (3, 0.03)
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Take one."""
        self.counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds
