"""Which numbers of a run 1, 2, 3, ... have come, in any order, and which are missing between."""

from bisect import bisect_right

HOLES_MAX = 64
"""Holes of one run that are remembered; the oldest beyond them is given up."""


class Run:
    """The numbers between the first and the last that came.

    What lies before the first is not missing: a reader of a compacted topic begins anywhere.

    Parameters
    ----------
    number
        The one that came first.

    Attributes
    ----------
    given_up
        Missing numbers that would not be recognised any more.

    Examples
    --------
    >>> run = Run(7)
    >>> run.add(10), run.missed
    (None, 2)
    >>> run.add(8), run.missed
    (None, 1)
    """

    __slots__ = ("_first", "_holes", "_last", "given_up")

    def __init__(self, number: int) -> None:
        self._first = self._last = number
        self._holes: tuple[tuple[int, int], ...] = ()
        self.given_up = 0

    @property
    def missed(self) -> int:
        """How many numbers are missing."""
        return self.given_up + sum(last - first + 1 for first, last in self._holes)

    def add(self, number: int) -> None:
        """Take a number, again or for the first time."""
        if number > self._last:
            self._holes += _between(self._last, number)
            self._last = number
        elif number < self._first and not self.given_up:
            self._holes = _between(number, self._first) + self._holes
            self._first = number
        else:
            self._fill(number)
        if len(self._holes) > HOLES_MAX:
            self._give_up()

    def _fill(self, number: int) -> None:
        at = bisect_right(self._holes, number, key=lambda hole: hole[0]) - 1
        if at < 0 or self._holes[at][1] < number:
            return
        first, last = self._holes[at]
        left = _between(first - 1, number) + _between(number, last + 1)
        self._holes = self._holes[:at] + left + self._holes[at + 1 :]

    def _give_up(self) -> None:
        (first, last), *kept = self._holes
        self._holes = tuple(kept)
        self.given_up += last - first + 1


def _between(one: int, other: int) -> tuple[tuple[int, int], ...]:
    """Return the hole between two numbers, if there is one."""
    return ((one + 1, other - 1),) if other - one > 1 else ()
