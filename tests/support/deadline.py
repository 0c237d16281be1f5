"""Deadlines that a user is promised, not speeds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds_max: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds = time.monotonic() - begun
    assert seconds < seconds_max, f"took {seconds:.1f} s, may take {seconds_max} s"
