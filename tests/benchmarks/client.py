"""One measurement in a process of its own: ``python -m tests.benchmarks.client JOB``.

Prints ``ready`` when it reads, and at the end the seconds that it took, as JSON.
"""

import json
import logging
import sys
import time

import structlog

from stream_hb.runtime.quiet import quiet_collector
from tests.benchmarks.clients import MODES
from tests.benchmarks.job import Job, Result
from tests.benchmarks.log_clients import LOG_MODES


class _Watch:
    """Measures from its making on, or from when a live client is ready."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._start()

    def _start(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def ready(self) -> None:
        """Tell that events may come."""
        if self._live:
            self._start()
        print("ready", flush=True)

    def read(self) -> Result:
        """Return the seconds since the start."""
        return {
            "cpu": time.process_time() - self._cpu,
            "wall": time.perf_counter() - self._wall,
        }


def main() -> None:
    """Measure one mode."""
    job = Job(**json.loads(sys.argv[1]))
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # what is said to stdout counts
    )
    with quiet_collector():
        watch = _Watch(live=job.live)
        more = {**MODES, **LOG_MODES}[job.mode](job, watch.ready)
        print(json.dumps({**more, **watch.read()}))


if __name__ == "__main__":
    main()
