"""Deadlines that a user is promised, not speeds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds_max: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds = time.monotonic() - begun
    assert seconds < seconds_max, f"took {seconds:.1f} s, may take {seconds_max} s"


def wait_until(done: Callable[[], bool], seconds_max: float, pause_seconds: float = 0.3) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + seconds_max
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds_max} s"
        time.sleep(pause_seconds)
