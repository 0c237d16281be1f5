"""Shards on their way from the state log to work."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import structlog

from stream_hb.errors import BrokerError, LostError, SnapshotError, StreamHBError
from stream_hb.runtime.client import (
    Committed,
    GroupMovedError,
    InputClient,
    StateClient,
    TopicPartition,
    TransientError,
    Watermarks,
)
from stream_hb.runtime.opened import Opened
from stream_hb.runtime.origin import Origin
from stream_hb.runtime.snapshot_files import SnapshotFiles, UnusableSnapshotError
from stream_hb.runtime.warm_shards import WarmShard, WarmShards
from stream_hb.settings import EngineSettings
from stream_hb.statelog.restore import Restored, Restoring

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

_NOTE = "seq="

log = structlog.get_logger("stream_hb.restores")


def noted(seq: int) -> str:
    """Return what is committed beside a shard's offsets: which of its log's transactions it was.

    The offsets alone do not tell of transactions that only wrote estimates: a log that has lost
    these would fit, and their versions would be given again.
    """
    return f"{_NOTE}{seq}"


@dataclass(slots=True)
class _Restore:
    """A shard that is being restored."""

    partitions: list[TopicPartition]
    committed: Mapping[TopicPartition, Committed]
    marks: Mapping[TopicPartition, Watermarks]
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
        Which topics the inputs are: a state that was counted from others is refused. None: the
        broker does not tell, and any is taken.
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
        origin: Origin | None = None,
        warm: WarmShards | None = None,
    ) -> None:
        self.warm = WarmShards(seconds) if warm is None else warm
        self.snapshots: Counter[str] = Counter()
        self._files = files
        self._origin = origin
        self._inputs = inputs
        self._state = state
        self._settings = settings
        self._group = group
        self._seconds = seconds
        self._accept_loss = accept_loss
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
            for where, committed in restore.committed.items()
        }

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Take partitions that were assigned."""
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
        end, now = self._state.end(number), self._seconds()
        warm = self.warm.fitting(number, end)
        if warm is not None:
            return _Restore(partitions, committed, marks, end, warm, now, now, position=end)
        restoring, offset = self._restoring(number, end)
        self._state.open(number, offset)
        return _Restore(
            partitions,
            committed,
            marks,
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
            self._waiting[number] = restore.partitions

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
        restored = restore.restoring.finish()
        if restored is None:
            return self._new(number, restore)
        self._check_group(number, restored)
        marker = {TopicPartition(*source): at for source, at in restored.offsets.items()}
        others = self._others(restored)
        is_lost = bool(others)
        for partition in restore.partitions:
            if partition.topic in others:
                marker[partition] = _next_of(partition, restore)
                continue
            if _is_added(partition, marker, restore):
                marker[partition] = restore.marks[partition].low
            if partition not in marker:
                raise SnapshotError(
                    f"the state of shard {number} is of other topics: {_spelt(marker)}, "
                    f"not {partition.topic}"
                )
            reached = Committed(marker[partition], noted(restored.marker["seq"]))
            is_lost |= not self._agree(partition, reached, restore)
        offsets = {
            partition: self._still_kept(partition, marker[partition], restore.marks[partition])
            for partition in restore.partitions
        }
        log.info("shard restored", shard=number, records=restore.restoring.records)
        return Opened(number, restored, offsets, _ends(restore), self._took(restore), is_lost)

    def _took(self, restore: _Restore) -> float:
        return self._seconds() - restore.began_at

    def _check_group(self, number: int, restored: Restored) -> None:
        other = restored.marker["group"]
        if other != self._group:
            raise SnapshotError(
                f"the topic of the state holds that of group {other!r} (shard {number}), not of "
                f"{self._group!r}: every group needs topics of its own (topics.state, "
                "topics.summaries, topics.hyper)"
            )

    def _others(self, restored: Restored) -> set[str]:
        """Return the topics that are not those which the state was counted from.

        Of such a topic the state's offset means nothing, and the operator's word takes the group's:
        Kafka deletes what a group has committed when it deletes the topic, so what is there was
        committed for this one (by an operator, or by what copied the cluster). Where there is
        nothing, or what the topic does not have, it is read from its beginning. Whether the state
        is as new as its estimates nothing can prove then: it counts as a loss of what was emitted.
        """
        others = self._origin.others(restored.marker.get("origin")) if self._origin else {}
        differs = "; ".join(f"input topic {topic!r}: {what}" for topic, what in others.items())
        if others and not self._accept_loss:
            raise LostError(
                f"{differs}. It was made anew, or this is not the state's cluster: what the state "
                "says was read is of other events. Check kafka.bootstrap_servers and topics.state; "
                "with --accept-loss the worker keeps the state, reads such a topic from where the "
                "group has committed, else from its beginning, and begins a new epoch"
            )
        if others:
            log.warning("the state was counted from other topics", detail=differs)
        return set(others)

    def _agree(self, partition: TopicPartition, marker: Committed, restore: _Restore) -> bool:
        """Tell whether the state and the group have come equally far: one transaction moved both.

        False: they have not, and the operator accepts it, at the second look: a worker that stood
        still sees the same, and nothing is lost then. Whether the log has lost its end, or the
        group's offsets theirs, nobody can tell.
        """
        committed = restore.committed.get(partition)
        if committed is None:
            log.warning("the group has forgotten its offsets: the state's are taken", at=marker)
            return True
        history = _two_histories(marker, committed)
        if history is None:
            return True
        if not self._accept_loss or not self._doubts.get(partition.partition):
            raise LostError(
                f"{_name(partition)}: {history}: they are not of one history. With --accept-loss "
                "the worker goes on from the state, under a new epoch, and writes every estimate "
                "again"
            )
        log.warning("the state or the offsets are lost", partition=_name(partition), detail=history)
        return False

    def _still_kept(self, partition: TopicPartition, offset: int, mark: Watermarks) -> int:
        if mark.low <= offset <= mark.high:
            return offset
        lost = f"{offset}..{mark.low - 1}" if offset < mark.low else f"everything from {mark.high}"
        if not self._accept_loss:
            raise LostError(
                f"{_name(partition)}: events {lost} are gone before they were read (the topic now "
                f"has {mark.low}..{mark.high}); --accept-loss goes on without them"
            )
        log.warning("events are lost", partition=_name(partition), offsets=lost)
        return mark.low if offset < mark.low else mark.high

    def _new(self, number: int, restore: _Restore) -> Opened:
        """A shard without a state: the group must not have been further than the beginning."""
        is_lost = False
        for partition, committed in restore.committed.items():
            written = committed.metadata.startswith(_NOTE) and committed.metadata != noted(0)
            is_lost |= written or committed.offset > restore.marks[partition].low
            if is_lost and not self._accept_loss:
                raise LostError(
                    f"{_name(partition)}: the group has committed {committed.offset}, but the "
                    "topic of the state has nothing of this shard; --accept-loss reads the input "
                    "from its beginning"
                )
            self._still_kept(partition, committed.offset, restore.marks[partition])
        log.info("shard begins", shard=number)
        offsets = {partition: mark.low for partition, mark in restore.marks.items()}
        return Opened(number, None, offsets, _ends(restore), self._took(restore), is_lost)


def _truncated(number: int, end: int, end_before: int) -> LostError:
    return LostError(
        f"the state of shard {number} has lost {end}..{end_before - 1} while it was read: its log "
        f"ended at {end_before} and ends at {end} now (a broker's loss, or the topic was made "
        "anew); --accept-loss goes on from what is left"
    )


def _two_histories(marker: Committed, committed: Committed) -> str | None:
    """Return how a log and the group contradict each other; None: they do not."""
    if committed.offset != marker.offset:
        moved = "has committed" if committed.offset > marker.offset else "was set back to"
        return (
            f"the state was written up to {marker.offset}, but the group {moved} {committed.offset}"
        )
    if committed.metadata.startswith(_NOTE) and committed.metadata != marker.metadata:
        return (
            f"the log ends with {marker.metadata} of its transactions, but the group has committed "
            f"with {committed.metadata}"
        )
    return None


def _is_added(
    partition: TopicPartition, marker: Mapping[TopicPartition, int], restore: _Restore
) -> bool:
    """Tell whether a topic is read for the first time, beside all that were read before."""
    known = marker.keys() <= set(restore.partitions)
    return known and partition not in marker and partition not in restore.committed


def _next_of(partition: TopicPartition, restore: _Restore) -> int:
    """Return where a topic goes on of which the state knows nothing."""
    committed, mark = restore.committed.get(partition), restore.marks[partition]
    offset = mark.low if committed is None else committed.offset
    if not mark.low <= offset <= mark.high:
        offset = mark.low
    log.warning("reads a topic that the state does not know", at=_name(partition), offset=offset)
    return offset


def _ends(restore: _Restore) -> dict[TopicPartition, int]:
    return {partition: mark.high for partition, mark in restore.marks.items()}


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}-{partition.partition}"


def _spelt(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(partition.topic for partition in partitions)
