"""When a shard's snapshot is written, and that the worker does not wait for the disk."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Thread

import structlog

from stream_hb.runtime.snapshot_files import SnapshotFiles
from stream_hb.statelog.shard_log import ShardLog

LEAVE_SECONDS_MAX = 3.0
"""A worker that is told to end is gone within five seconds; what it did not get to write then is
read from the log."""

log = structlog.get_logger("stream_hb.checkpoints")


class Checkpoints:
    """Writes one shard's snapshot after the other, each in a thread of its own.

    Parameters
    ----------
    files
        Where to.
    every_seconds
        Time between two snapshots of a shard; None: only at the end.
    tally
        Counts how many were written, and how many could not be.
    seconds
        A clock that only goes forward.
    """

    def __init__(
        self,
        files: SnapshotFiles,
        every_seconds: float | None,
        tally: Counter[str],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tally = tally
        self._files = files
        self._every_seconds = every_seconds
        self._seconds = seconds
        self._taken: dict[int, tuple[float, int]] = {}
        self._writing: Thread | None = None

    def due(self, logs: Mapping[int, ShardLog]) -> int | None:
        """Return the shard whose turn it is; None: no one's, or one is being written."""
        if self._every_seconds is None or (self._writing and self._writing.is_alive()):
            return None
        now = self._seconds()
        for number in logs:
            if number not in self._taken:
                self._taken[number] = now, 0  # it comes from the log, or from a snapshot
        self._taken = {n: taken for n, taken in self._taken.items() if n in logs}
        waiting = [n for n, (at, _) in self._taken.items() if now - at >= self._every_seconds]
        return min(waiting, key=lambda n: self._taken[n][0], default=None)

    def unwritten(self, logs: Mapping[int, ShardLog]) -> list[int]:
        """Return the shards that have a state which no snapshot of this worker's holds."""
        seqs = {number: each.state.seq for number, each in logs.items()}
        return [n for n, seq in seqs.items() if seq > self._taken.get(n, (0.0, 0))[1]]

    def postponed(self, number: int) -> None:
        """Take note that a snapshot could not be taken: its turn comes again."""
        self._taken[number] = self._seconds(), self._taken.get(number, (0.0, 0))[1]

    def write(self, number: int, offset: int, seq: int, body: bytes) -> None:
        """Write a snapshot beside the worker; ``seq`` is the log's last transaction in it."""
        self.wait()
        self._taken[number] = self._seconds(), seq
        # Not a daemon: it would be cut off in the middle. A write of some megabytes ends by itself.
        self._writing = Thread(target=self._write, args=(number, offset, body))
        self._writing.start()

    def _write(self, number: int, offset: int, body: bytes) -> None:
        try:
            self._files.write(number, offset, body)
            self._tally["written"] += 1
            log.info("snapshot written", shard=number, offset=offset, bytes=len(body))
        except OSError as error:
            self._tally["failed"] += 1
            log.warning("cannot write a snapshot", shard=number, detail=str(error))

    def wait(self) -> None:
        """Wait until what is being written is there."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None
