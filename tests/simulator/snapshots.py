"""Snapshots on a disk that all workers share and that outlives them, but not as slow as one."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from stream_hb.runtime.checkpoints import Checkpoints
from stream_hb.runtime.log_identity import LogIdentity
from stream_hb.runtime.snapshot_files import Kept, SnapshotFiles, UnusableSnapshotError
from stream_hb.statelog.snapshot import unpacked

EVERY_SECONDS = 15.0


class Disk(SnapshotFiles):
    """What was written stays; a file is replaced as a whole.

    Parameters
    ----------
    counts
        What happened, by name.
    """

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__(Path("disk"), LogIdentity("cluster", "topic", "state", "g"), lambda: 0)
        self._counts = counts
        self._kept: dict[int, tuple[int, bytes]] = {}

    def write(self, number: int, offset: int, body: bytes) -> None:
        """Put a snapshot in the place of the last one."""
        self._counts["snapshot written"] += 1
        self._kept[number] = offset, body

    def read(self, number: int, low: int, end: int) -> Kept | None:
        """Return a shard's snapshot; None: there is none."""
        if number not in self._kept:
            return None
        offset, body = self._kept[number]
        if not low <= offset <= end:
            raise UnusableSnapshotError("not_in_log", f"{offset} is not in {low}..{end}")
        self._counts["snapshot read"] += 1
        return Kept(offset, unpacked(body))


class SimCheckpoints(Checkpoints):
    """Writes at once: a thread would end when it likes.

    Parameters
    ----------
    disk
        Where to.
    seconds
        A clock that only goes forward.
    """

    def __init__(self, disk: Disk, seconds: Callable[[], float]) -> None:
        super().__init__(disk, EVERY_SECONDS, Counter(), seconds)

    def write(self, number: int, offset: int, seq: int, body: bytes) -> None:
        """Write a snapshot; ``seq`` is the log's last transaction in it."""
        self._taken[number] = self._seconds(), seq
        self._write(number, offset, body)
