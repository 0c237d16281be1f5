"""What befalls a worker at its calls, by a seed: kills, pauses, errors. Everything is counted."""

from collections import Counter
from collections.abc import Callable
from random import Random


class KilledError(BaseException):
    """The process is gone: nothing of it runs any more, no handler and no cleanup."""


class Fate:
    """Decides at every call of one worker.

    Parameters
    ----------
    random
        The seed's.
    counts
        Of what happened, by name.
    is_open
        Tells whether the worker has a transaction open.
    pause
        Lets everything else go on for a while, the worker being frozen in its call.
    """

    KILL, ERROR, PAUSE = 0.002, 0.01, 0.0006

    def __init__(
        self,
        random: Random,
        counts: Counter[str],
        is_open: Callable[[], bool],
        pause: Callable[[], None],
    ) -> None:
        self.random = random
        self.is_kind = False
        self._counts = counts
        self._is_open = is_open
        self._pause = pause

    def happens(self, name: str, probability: float) -> bool:
        if self.is_kind or self.random.random() >= probability:
            return False
        self._counts[name] += 1
        return True

    def meets(self, call: str, *errors: Exception) -> None:
        """Before a call's effect: a kill, a pause, or an error of a call without effect."""
        self._maybe_kill(call)
        if self.happens("pause", self.PAUSE):
            self._counts["pause in transaction"] += self._is_open()
            self._pause()
        self._maybe_fail(call, errors)

    def survives(self, call: str, *errors: Exception) -> None:
        """After it: a kill, or an error although it worked."""
        self._maybe_kill(call)
        self._maybe_fail(f"{call}, done", errors)

    def _maybe_kill(self, call: str) -> None:
        if self.happens("kill", self.KILL):
            self._counts["kill in transaction"] += self._is_open()
            raise KilledError(call)

    def _maybe_fail(self, call: str, errors: tuple[Exception, ...]) -> None:
        if errors and self.happens(f"error of {call}", self.ERROR):
            raise self.random.choice(errors)
