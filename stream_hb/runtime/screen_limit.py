"""How many groups an emission looks at that nothing has come for: what has come waits meanwhile."""

ROWS_FIRST = 1_000
ROWS_MIN = 100
ROWS_MAX = 1_000_000
SECONDS_MAX = 0.05


class ScreenLimit:
    """Adapts the number of groups to the time that the last ones took.

    After a refit all estimates of its pools may have changed: with few data a look at 30,000 takes
    seconds, with many a tenth of one. A pass that took too long shrinks the limit in proportion, a
    quick one that used it up doubles it.

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
    >>> limit.took(rows=1_000, seconds=0.5)
    >>> limit.rows
    100
    >>> limit.took(rows=130, seconds=0.01)
    >>> limit.rows
    200
    """

    def __init__(self, rows_first: int = ROWS_FIRST, rows_max: int = ROWS_MAX) -> None:
        self.rows = rows_first
        self._rows_max = rows_max

    def took(self, rows: int, seconds: float) -> None:
        """Take how many groups were looked at, those that something came for too, and how long."""
        if seconds > SECONDS_MAX:
            self.rows = min(max(int(rows * SECONDS_MAX / seconds), ROWS_MIN), self._rows_max)
        elif rows >= self.rows and seconds < SECONDS_MAX / 2:
            self.rows = min(2 * self.rows, self._rows_max)
