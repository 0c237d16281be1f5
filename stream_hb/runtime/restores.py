"""Shards on their way from the state log to work."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from stream_hb.errors import BrokerError, LostError, SnapshotError, StreamHBError
from stream_hb.runtime.agreement import Agreement, Told
from stream_hb.runtime.client import (
    GroupMovedError,
    InputClient,
    StateClient,
    TopicPartition,
    TransientError,
)
from stream_hb.runtime.opened import Opened
from stream_hb.runtime.origin import Origin, Origins
from stream_hb.runtime.snapshot_files import SnapshotFiles, UnusableSnapshotError
from stream_hb.runtime.warm_shards import WarmShard, WarmShards
from stream_hb.settings import EngineSettings
from stream_hb.statelog.restore import Restoring

PROGRESS_SECONDS_MAX = 45.0
"""Longer than an orphan transaction can hold the log back (20 s: its timeout, the broker's scan),
shorter than the group waits for a poll."""

BEGIN_SECONDS_MAX = 0.05
FINISH_SECONDS_MAX = 0.1
"""How long a step goes on beginning, and finishing, restores: meanwhile the shards that work stand
still. One of each is done whatever it takes."""

BEGIN_AGAIN_SECONDS = 1.0
"""When a shard that could not begin is tried again: a question may take all of its time, in which
the shards that work stand still."""

DOUBTS_MAX = 2
"""How often a log that does not fit the group's offsets is read again before that is an error."""

log = structlog.get_logger("stream_hb.restores")


@dataclass(slots=True)
class _Restore:
    """A shard that is being restored."""

    told: Told
    end: int
    restoring: Restoring | WarmShard
    began_at: float
    advanced_at: float
    position: int = 0
    from_snapshot: bool = False


class Restores:
    """Reads the log of assigned shards, a moment at a time, and checks what it says.

    Parameters
    ----------
    inputs, state
        The transport.
    settings
        The engine's.
    group
        The consumer group: a topic of states is of one.
    seconds
        A clock that only goes forward.
    accept_loss
        The operator's word: go on without what is lost.
    files
        Snapshots on the local disk, to begin with; None: there are none.
    origin
        Asks which topics the inputs are: a state that was counted from others is refused. None:
        the broker does not tell, and any is taken.
    warm
        Shards that were taken away, as they were in memory; None: there are none yet.

    Attributes
    ----------
    snapshots
        How many were used; and how many not, by reason.
    warm
        Those shards.
    """

    def __init__(
        self,
        inputs: InputClient,
        state: StateClient,
        settings: EngineSettings,
        group: str,
        seconds: Callable[[], float],
        *,
        accept_loss: bool = False,
        files: SnapshotFiles | None = None,
        origin: Callable[[], Origin | None] = lambda: None,
        warm: WarmShards | None = None,
    ) -> None:
        self.warm = WarmShards(seconds) if warm is None else warm
        self.snapshots: Counter[str] = Counter()
        self._files = files
        self._origins = Origins(origin, seconds)
        self._agreement = Agreement(group, accept_loss)
        self._inputs = inputs
        self._state = state
        self._settings = settings
        self._seconds = seconds
        self._waiting: dict[int, list[TopicPartition]] = {}
        self._running: dict[int, _Restore] = {}
        self._doubts: dict[int, int] = {}
        self._begin_at: dict[int, float] = {}

    @property
    def numbers(self) -> set[int]:
        """The shards that do not work yet."""
        return self._waiting.keys() | self._running.keys()

    def committed(self) -> dict[TopicPartition, int]:
        """Return the committed offsets of the shards that are being restored."""
        return {
            where: committed.offset
            for restore in list(self._running.values())
            for where, committed in restore.told.committed.items()
        }

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Take partitions that were assigned."""
        self._origins.may_have_changed()
        for partition in partitions:
            self._stop(partition.partition)
            self._waiting.setdefault(partition.partition, []).append(partition)

    def drop(self, number: int) -> None:
        """Forget a shard that was taken away."""
        self._waiting.pop(number, None)
        self._doubts.pop(number, None)
        self._begin_at.pop(number, None)
        self._stop(number)

    def _stop(self, number: int) -> None:
        if self._running.pop(number, None):
            self._state.close_partition(number)

    def close(self) -> None:
        """Leave."""
        self.warm.clear()
        self._state.close()

    def check_inputs(self) -> None:
        """Look at times whether the inputs are still the topics that are counted."""
        self._origins.now()

    def end(self, number: int) -> int:
        """Return where a shard's log ends, open transactions included."""
        return self._state.end(number)

    def step(self, timeout_seconds: float) -> list[Opened]:
        """Read for a moment; return the shards that are whole."""
        opened = self._begin()
        try:
            read = self._state.poll(timeout_seconds) if self._running else {}
        except TransientError as error:
            log.warning("cannot restore yet", detail=str(error))
            read = {}
        until = self._seconds() + FINISH_SECONDS_MAX
        for number, (records, position) in read.items():
            restore = self._running[number]
            if records or position > restore.position:
                restore.position, restore.advanced_at = position, self._seconds()
            may_finish = not opened or self._seconds() < until
            opened.extend(self._checked(number, restore, records, may_finish))
        self._check_progress()
        return opened

    def _begin(self) -> list[Opened]:
        """Start reading the logs of shards that wait; one that cannot begin holds up no other.

        Those that are whole at once are returned.
        """
        opened: list[Opened] = []
        until = self._seconds() + BEGIN_SECONDS_MAX
        for number, partitions in list(self._waiting.items()):
            if self._seconds() > until:
                break
            if self._seconds() < self._begin_at.get(number, 0.0):
                continue
            try:
                begun = self._begun(number, partitions)
            except (TransientError, GroupMovedError) as error:
                log.warning("cannot restore yet", shard=number, detail=str(error))
                self._begin_at[number] = self._seconds() + BEGIN_AGAIN_SECONDS
                break
            self._begin_at.pop(number, None)
            if isinstance(begun.restoring, WarmShard):
                opened.extend(self._taken_back(number, begun))
                continue
            del self._waiting[number]
            self._running[number] = begun
            if begun.from_snapshot:
                break  # to read one takes a moment: the others wait for the next step
        return opened

    def _taken_back(self, number: int, begun: _Restore) -> Iterator[Opened]:
        """Yield a shard that was kept, if it and the group agree; if not, the log decides."""
        try:
            whole = self._whole(number, begun)
            why = "a loss is accepted" if whole.is_lost else None
        except (LostError, SnapshotError) as error:
            why = str(error)
        if why is not None:
            self.warm.refuse(number, why)
            return
        del self._waiting[number]
        yield replace(whole, log_end=begun.position, is_warm=True)

    def _begun(self, number: int, partitions: list[TopicPartition]) -> _Restore:
        # In this order: the committed offsets first, and only then the end of the log. What is
        # committed between the two is then in what is read, and the check below finds it.
        committed = self._inputs.committed(partitions)
        marks = {partition: self._inputs.watermarks(partition) for partition in partitions}
        told = Told(partitions, committed, marks, self._origins.now())
        end, now = self._state.end(number), self._seconds()
        warm = self.warm.fitting(number, end)
        if warm is not None:
            return _Restore(told, end, warm, now, now, position=end)
        restoring, offset = self._restoring(number, end)
        self._state.open(number, offset)
        return _Restore(
            told,
            end,
            restoring,
            began_at=now,
            advanced_at=now,
            position=offset or 0,
            from_snapshot=offset is not None,
        )

    def _restoring(self, number: int, end: int) -> tuple[Restoring, int | None]:
        """Return what a restore begins with, and where the log is to be read from."""
        try:
            if self._files is not None and number not in self._doubts:
                kept = self._files.read(number, self._state.low(number), end)
                if kept is not None:
                    restoring = Restoring(number, self._settings)
                    restoring.resume(kept.values)
                    self.snapshots["used"] += 1
                    log.info("begins with a snapshot", shard=number, offset=kept.offset, end=end)
                    return restoring, kept.offset
        except UnusableSnapshotError as error:
            self._unusable(number, error.reason, error)
        except SnapshotError as error:
            self._unusable(number, "foreign", error)
        return Restoring(number, self._settings), None

    def _unusable(self, number: int, reason: str, error: Exception) -> None:
        self.snapshots[reason] += 1
        path = self._files.path(number) if self._files else None
        log.warning(
            "a snapshot is not used: the whole log is read",
            shard=number,
            path=str(path),
            reason=reason,
            detail=str(error),
        )

    def _checked(
        self,
        number: int,
        restore: _Restore,
        records: list[tuple[bytes, bytes | None]],
        may_finish: bool,
    ) -> Iterator[Opened]:
        """Yield the shard if it is whole and log and group agree; if not, look again.

        A worker that stood still while another one took over reads a log that goes on, against an
        offset that it asked for long ago. At its next poll it learns that the shard is lost. And a
        log that contradicts a snapshot is read without it.
        """
        try:
            if isinstance(restore.restoring, Restoring):
                for key, value in records:
                    restore.restoring.take(key, value)
            if restore.position >= restore.end and may_finish:
                self._stop(number)
                yield replace(self._whole(number, restore), log_end=restore.position)
                self._doubts.pop(number, None)
        except (LostError, SnapshotError) as error:
            if restore.from_snapshot:
                self._unusable(number, "contradicted", error)
            elif isinstance(error, SnapshotError):
                raise
            self._stop(number)
            self._doubts[number] = self._doubts.get(number, 0) + 1
            if self._doubts[number] > DOUBTS_MAX:
                raise
            log.warning("the log is read again", shard=number, detail=str(error))
            self._waiting[number] = restore.told.partitions

    def _check_progress(self) -> None:
        for number, restore in self._running.items():
            if self._seconds() - restore.advanced_at > PROGRESS_SECONDS_MAX:
                raise self._standstill(number, restore)

    def _standstill(self, number: int, restore: _Restore) -> StreamHBError:
        """Return why a log does not come to its end: it has become shorter, or something hangs."""
        try:
            end = self._state.end(number)
        except TransientError:
            now = "unknown, the broker does not answer"
        else:
            if end < restore.end:
                return _truncated(number, end, restore.end)
            now = str(end)
        return BrokerError(
            f"the state of shard {number} cannot be read: it stands at {restore.position} "
            f"of {restore.end} for {PROGRESS_SECONDS_MAX:g} s; its end is now {now} (a transaction "
            "hangs, which `kafka-transactions.sh find-hanging` names)"
        )

    def _whole(self, number: int, restore: _Restore) -> Opened:
        told, restored = restore.told, restore.restoring.finish()
        agreed = self._agreement.on(number, restored, told, bool(self._doubts.get(number)))
        what = "shard restored" if restored else "shard begins"
        log.info(what, shard=number, records=restore.restoring.records)
        took = self._seconds() - restore.began_at
        return Opened(
            number, restored, agreed.offsets, told.ends, took, told.origin, agreed.is_lost
        )


def _truncated(number: int, end: int, end_before: int) -> LostError:
    return LostError(
        f"the state of shard {number} has lost {end}..{end_before - 1} while it was read: its log "
        f"ended at {end_before} and ends at {end} now (a broker's loss, or the topic was made "
        "anew); --accept-loss goes on from what is left"
    )
