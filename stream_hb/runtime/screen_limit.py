"""How many groups an emission looks at that nothing has come for: what has come waits meanwhile."""

ROWS_FIRST = 1_000
ROWS_MIN = 500
"""Of fewer, most of the time goes to calls for their pools: all would take ten times as long."""

ROWS_MAX = 1_000_000
ROWS_BEHIND = 100_000
"""A worker that is behind emits seldom and much at once, but no more than a transaction takes."""

SECONDS_MAX = 0.05


class ScreenLimit:
    """Adapts the number of groups to the time that the last ones took.

    After a refit all estimates of its pools may have changed: with few data a look at 30,000 takes
    seconds, with many a tenth of one. A pass that took too long takes off the limit what it was too
    long by, what something came for being looked at in any case; a quick one that used the limit up
    doubles it.

    Parameters
    ----------
    rows_first, rows_max
        The limit at first, and the highest.

    Attributes
    ----------
    rows
        The limit.

    Examples
    --------
    >>> limit = ScreenLimit()
    >>> limit.took(waiting=4_000, looked=6_000, seconds=0.1)
    >>> limit.rows
    1000
    >>> limit.took(waiting=1_000, looked=1_030, seconds=0.01)
    >>> limit.rows
    2000
    """

    def __init__(self, rows_first: int = ROWS_FIRST, rows_max: int = ROWS_MAX) -> None:
        self.rows = rows_first
        self._rows_max = rows_max

    def took(self, waiting: int, looked: int, seconds: float) -> None:
        """Take how many groups were looked at, those that only waited apart, and how long."""
        if seconds > SECONDS_MAX:
            too_many = int(looked * (1 - SECONDS_MAX / seconds))
            self.rows = min(max(waiting - too_many, ROWS_MIN), self._rows_max)
        elif waiting >= self.rows and seconds < SECONDS_MAX / 2:
            self.rows = min(2 * self.rows, self._rows_max)
