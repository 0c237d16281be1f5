"""A process that is told to end: at its next step, or in the middle of what it waits for."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import structlog

LEAVE_SECONDS = 4.5
"""With what it takes to end a process, below the five seconds that a worker has promised."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger("stream_hb.run")


@contextmanager
def stopped_by_signals(stop: Event, seconds: float = LEAVE_SECONDS) -> Iterator[None]:
    """Let SIGTERM and SIGINT set ``stop``; ``seconds`` later the process ends, whatever it does.

    A client may wait for a broker that does not answer in calls that nothing interrupts, several
    in turn. To leave in the middle of them loses nothing: what is open is aborted, as after a
    kill, and what was not committed is done again. So the exit code is that of any other end.

    For the main thread. A signal's handler runs between two of its own instructions, so not during
    such a call: the thread that waits is told by the interpreter at once, through a pipe.
    """
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    handlers = {number: signal.signal(number, lambda *_: stop.set()) for number in SIGNALS}
    before = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    waiting = Thread(target=_leave, args=(told, stop, seconds), daemon=True)
    waiting.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(tells)  # the thread reads an end, unless it counts the seconds already


def _leave(told: int, stop: Event, seconds: float) -> None:
    numbers = set(SIGNALS)
    while number := os.read(told, 1):
        if number[0] in numbers:  # other signals are written there, too
            break
    os.close(told)
    if not number:
        return
    stop.set()
    Event().wait(seconds)
    log.warning("left in the middle: something did not end in time", seconds=seconds)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
