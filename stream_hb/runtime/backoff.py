"""How long to wait before what failed is tried again."""

from collections.abc import Callable

RETRY_AFTER_SECONDS_MAX = 3_600.0
"""A server is not left alone for longer, whatever it asks for."""


class Backoff:
    """Pauses that double with every failure in a row, each less a random part of up to a half.

    Without chance all who were turned away together would come back together.

    Parameters
    ----------
    first_seconds, max_seconds
        The longest first pause; the longest of all.
    random
        Returns numbers in [0, 1).

    Examples
    --------
    >>> backoff = Backoff(1.0, 5.0, random=lambda: 0.0)
    >>> [backoff.failed() for _ in range(4)], backoff.failed(asked_seconds=30)
    ([1.0, 2.0, 4.0, 5.0], 30)
    >>> backoff.succeeded(), backoff.failed()
    (None, 1.0)
    """

    def __init__(
        self, first_seconds: float, max_seconds: float, random: Callable[[], float]
    ) -> None:
        self._first_seconds = first_seconds
        self._max_seconds = max_seconds
        self._random = random
        self.failures = 0

    def failed(self, asked_seconds: float = 0.0) -> float:
        """Take a failure; return the pause, which is as long as the server asks for."""
        doublings = min(self.failures, 60)  # 2.0**1024 is an error
        longest = min(self._first_seconds * 2.0**doublings, self._max_seconds)
        self.failures += 1
        asked_seconds = min(asked_seconds, RETRY_AFTER_SECONDS_MAX)
        return max(longest * (1 - self._random() / 2), asked_seconds)

    def succeeded(self) -> None:
        """Take a success."""
        self.failures = 0
