"""How much is read at once: much while behind, and never so much that a transaction grows old."""

BYTES_MAX = 64 << 20
"""Most bytes of payloads in a batch: they are all in memory at once, twice."""

EVENTS_MIN = 100
SAMPLE = 64


class BatchLimit:
    """Adapts the number of events of a batch to what the last ones took.

    A live worker's batches are what came since the last one; the limit is for a worker that is
    behind. A batch that took longer than it may shrinks it in proportion, a quick one lets it grow
    to twice itself.

    Parameters
    ----------
    events_max
        Most events.
    seconds_max
        Most time from the poll to the commit: less than a third of the transaction's timeout, so
        that a broker or a disk that is slow for once does not end it.

    Examples
    --------
    >>> limit = BatchLimit(40_000, seconds_max=3.0)
    >>> limit.took(events=40_000, bytes_=10_000_000, seconds=6.0)
    >>> limit.events
    20000
    >>> limit.took(events=20_000, bytes_=5_000_000, seconds=1.0)
    >>> limit.events
    40000
    """

    def __init__(self, events_max: int, seconds_max: float) -> None:
        self.events = events_max
        self._events_max = events_max
        self._seconds_max = seconds_max

    def took(self, events: int, bytes_: int, seconds: float) -> None:
        """Take what a batch was and how long it took."""
        if not events:
            return
        if seconds > self._seconds_max:
            wanted = int(events * self._seconds_max / seconds)
        elif seconds < self._seconds_max / 2:
            wanted = 2 * self.events
        else:
            wanted = self.events
        fitting = BYTES_MAX * events // max(bytes_, 1)
        self.events = max(min(wanted, fitting, self._events_max), min(EVENTS_MIN, self._events_max))
