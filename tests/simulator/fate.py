"""What befalls a worker at its calls, by a seed: kills, pauses, errors. Everything is counted."""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from random import Random
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from stream_hb.runtime.client import TransientError


class KilledError(BaseException):
    """The process is gone: nothing of it runs any more, no handler and no cleanup."""


class Surroundings(Protocol):
    """What a fate knows of the rest of the world, and does to it."""

    random: Random
    counts: Counter[str]
    is_kind: bool
    """Whether nothing happens any more."""

    def is_open(self) -> bool:
        """Tell whether the worker has a transaction open."""
        ...

    def is_down(self) -> bool:
        """Tell whether no broker answers."""
        ...

    def pause(self, ticks: int) -> bool:
        """Let everything else go on for a while, the worker being frozen in its call.

        False: not now, another one stands still already.
        """
        ...


class Fate:
    """Decides at every call of one worker.

    Parameters
    ----------
    around
        The rest of the world.
    """

    KILL, KILL_OPEN = 0.0042, 0.0165
    """In an open transaction it is likelier: there it may do harm."""
    PAUSE, ERROR = 0.0038, 0.07
    PAUSE_TICKS = 12
    TIMEOUT_TICKS = 2

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.random = around.random

    def happens(self, name: str, probability: float) -> bool:
        if self.around.is_kind or self.random.random() >= probability:
            return False
        self.around.counts[name] += 1
        return True

    def some(self, least: int, most: int) -> int:
        """Return how many come of what is there."""
        return most if self.around.is_kind else self.random.randint(least, most)

    def meets(self, point: str, client: str, *, errors: tuple[Exception, ...], asks: bool) -> None:
        """Before a call's effect: a kill, a pause, or an error of a call without effect."""
        if asks and self.around.is_down():
            self._times_out(point)
        if self.around.is_kind:
            return
        drawn, kill = self.random.random(), self._kill_probability
        if drawn < kill:
            self._kill(f"before {point}")
        elif drawn < kill + self.PAUSE:
            self.freezes("pause")
        elif errors and drawn < kill + self.PAUSE + self.ERROR:
            self.around.counts[f"error of {client}"] += 1
            raise _another(self.random.choice(errors))

    def survives(self, point: str, client: str, *, errors: tuple[Exception, ...]) -> None:
        """After it: a kill, or an error although it worked."""
        if self.around.is_kind:
            return
        drawn, kill = self.random.random(), self._kill_probability
        if drawn < kill:
            self._kill(f"after {point}")
        elif errors and drawn < kill + self.ERROR:
            self.around.counts[f"error of {client}, done"] += 1
            raise _another(self.random.choice(errors))

    @property
    def _kill_probability(self) -> float:
        return self.KILL_OPEN if self.around.is_open() else self.KILL

    def freezes(self, name: str) -> None:
        """Stand still for longer than a transaction may take; everything else goes on."""
        is_open = self.around.is_open()
        if self.around.pause(self.PAUSE_TICKS):
            self.around.counts[name] += 1
            self.around.counts[f"{name} in transaction"] += is_open

    def _times_out(self, point: str) -> None:
        self.around.counts["call without brokers"] += 1
        self.around.pause(self.TIMEOUT_TICKS)
        raise TransientError(f"{point}: no broker answers")

    def _kill(self, point: str) -> None:
        counts = self.around.counts
        counts["kill"] += 1
        counts["kill in transaction"] += self.around.is_open()
        counts[f"kill {point}"] += 1
        raise KilledError(point)


def _another(error: Exception) -> Exception:
    """Return an error like this one: the one itself would keep the frames of all its raisers."""
    return type(error)(*error.args)


class Client(Protocol):
    """Something whose calls have a fate."""

    name: str
    fate: Fate


P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=Client)
Method = Callable[Concatenate[C, P], R]


def fated(
    protocol: type[Any], *errors: Exception, done: tuple[Exception, ...] = (), asks: bool = True
) -> Callable[[Method[C, P, R]], Method[C, P, R]]:
    """Make a call of a client one that may fail, and be the worker's last.

    Parameters
    ----------
    protocol
        Whose call it is.
    errors, done
        What it may raise before its effect, and after it.
    asks
        Whether it waits for a broker's answer.
    """

    def decorated(method: Method[C, P, R]) -> Method[C, P, R]:
        point = f"{protocol.__name__}.{method.__name__}"

        @wraps(method)
        def faced(self: C, /, *args: P.args, **kwargs: P.kwargs) -> R:
            client = f"{self.name}.{method.__name__}"
            self.fate.meets(point, client, errors=errors, asks=asks)
            found = method(self, *args, **kwargs)
            self.fate.survives(point, client, errors=done)
            return found

        return faced

    return decorated
