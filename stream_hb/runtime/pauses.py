"""Pauses between transactions that fail one after the other."""

from threading import Event

from stream_hb.runtime.backoff import Backoff

FAILURES_WITHOUT_PAUSE = 4
PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 2.0


class Pauses:
    """Waits after some failures in turn, aborted or in doubt alike, ever longer.

    What fails every time (no right to write, say) would be tried as fast as it fails.
    """

    def __init__(self) -> None:
        self._failed_in_turn = 0
        # Without chance: a slot is one worker's, so nobody comes back together with it.
        self._backoff = Backoff(PAUSE_SECONDS, PAUSE_SECONDS_MAX, random=lambda: 0.0)

    def failed(self, stop: Event) -> None:
        """Wait where that is due; not longer than until the worker is told to stop."""
        self._failed_in_turn += 1
        if self._failed_in_turn > FAILURES_WITHOUT_PAUSE:
            stop.wait(self._backoff.failed())

    def succeeded(self) -> None:
        """Begin anew."""
        self._failed_in_turn = 0
        self._backoff.succeeded()
