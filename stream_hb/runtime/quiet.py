"""Keep Python's garbage collector off the hot path."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

COLLECT_SECONDS = 10.0


@contextmanager
def quiet_collector() -> Iterator[Callable[[], None]]:
    """Switch the collector off; the yielded function collects when called, now and then.

    A decoded batch is tens of thousands of short-lived objects without cycles: collecting among
    them costs a fifth of the whole and finds nothing. What little else makes cycles (errors, logs)
    is collected when the caller is idle.
    """
    collected_at = time.monotonic()

    def collect() -> None:
        nonlocal collected_at
        if time.monotonic() - collected_at >= COLLECT_SECONDS:
            gc.collect()
            collected_at = time.monotonic()

    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield collect
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
