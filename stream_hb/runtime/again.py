"""A call that did not come through is made again."""

from collections.abc import Callable
from threading import Event

import structlog

from stream_hb.runtime.client import ClientError, TransientError

TRIES = 12
"""How often a call that timed out is made again: each waits for some seconds."""

log = structlog.get_logger("stream_hb.worker")


class Again:
    """Makes a call again that did not come through, with the same arguments; not for ever.

    Parameters
    ----------
    stop
        Told to end, it is not made again.

    Attributes
    ----------
    happened
        Whether a call was made again, so that its first copy may still be under way.
    """

    def __init__(self, stop: Event) -> None:
        self.happened = False
        self._stop = stop

    def __call__(self, call: Callable[[], None]) -> None:
        """Make a call until it comes through.

        Raises
        ------
        ClientError
            It never did: what became of it is not known.
        """
        for _ in range(TRIES):
            try:
                return call()
            except TransientError as error:
                self.happened = True
                last = error
                log.warning("once more", detail=str(error))
            if self._stop.is_set():
                break
        raise ClientError(f"in vain: {last}")
