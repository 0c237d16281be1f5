"""Whether the state of a shard and what its group has committed are of one history."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from stream_hb.errors import LostError, SnapshotError
from stream_hb.runtime.client import Committed, TopicPartition, Watermarks
from stream_hb.runtime.origin import Origin, differing
from stream_hb.statelog.restore import Restored

_NOTE = "seq="

log = structlog.get_logger("stream_hb.restores")


def noted(seq: int) -> str:
    """Return what is committed beside a shard's offsets: which of its log's transactions it was.

    The offsets alone do not tell of transactions that only wrote estimates: a log that has lost
    these would fit, and their versions would be given again.
    """
    return f"{_NOTE}{seq}"


@dataclass(frozen=True, slots=True)
class Told:
    """What the group and the broker said of a shard's inputs before its log was read.

    Attributes
    ----------
    partitions
        The shard's partitions, one of every input topic.
    committed
        How far the group has come, where it has committed anything.
    marks
        Where the partitions begin and end.
    origin
        Which topics they are; None: the broker does not tell, and any state is taken.
    """

    partitions: list[TopicPartition]
    committed: Mapping[TopicPartition, Committed]
    marks: Mapping[TopicPartition, Watermarks]
    origin: Origin | None

    @property
    def ends(self) -> dict[TopicPartition, int]:
        """Where the partitions end."""
        return {partition: mark.high for partition, mark in self.marks.items()}


@dataclass(frozen=True, slots=True)
class Agreed:
    """From where a shard goes on.

    Attributes
    ----------
    offsets
        Of its partitions.
    is_lost
        The operator has accepted a loss; see :class:`stream_hb.runtime.opened.Opened`.
    """

    offsets: Mapping[TopicPartition, int]
    is_lost: bool


class Agreement:
    """Compares a state with what was told; what does not fit is refused, unless it is accepted.

    Parameters
    ----------
    group
        The consumer group: a topic of states is of one.
    accept_loss
        The operator's word: go on without what is lost.
    """

    def __init__(self, group: str, accept_loss: bool) -> None:
        self._group = group
        self._accept_loss = accept_loss

    def on(self, number: int, restored: Restored | None, told: Told, is_second: bool) -> Agreed:
        """Return from where a shard goes on with a state; None: its log has none.

        ``is_second``: the state was found not to fit before, and both sides were asked again.

        Raises
        ------
        LostError
            Something is lost: events, the state's end, the group's offsets.
        SnapshotError
            The state is another group's, or of other topics.
        """
        if restored is None:
            return self._on_nothing(told)
        self._check_group(number, restored)
        marker = {TopicPartition(*source): at for source, at in restored.offsets.items()}
        others = self._others(restored, told.origin)
        is_lost = bool(others)
        for partition in told.partitions:
            if partition.topic in others:
                marker[partition] = _next_of(partition, told)
                continue
            if _is_added(partition, marker, told):
                marker[partition] = told.marks[partition].low
            if partition not in marker:
                raise SnapshotError(
                    f"the state of shard {number} is of other topics: {_spelt(marker)}, "
                    f"not {partition.topic}"
                )
            reached = Committed(marker[partition], noted(restored.marker["seq"]))
            is_lost |= not self._fits(partition, reached, told, is_second)
        return Agreed({p: self._still_kept(p, marker[p], told) for p in told.partitions}, is_lost)

    def _on_nothing(self, told: Told) -> Agreed:
        """A shard without a state: the group must not have been further than the beginning."""
        is_lost = False
        for partition, committed in told.committed.items():
            written = committed.metadata.startswith(_NOTE) and committed.metadata != noted(0)
            is_lost |= written or committed.offset > told.marks[partition].low
            if is_lost and not self._accept_loss:
                raise LostError(
                    f"{_name(partition)}: the group has committed {committed.offset}, but the "
                    "topic of the state has nothing of this shard; --accept-loss reads the input "
                    "from its beginning"
                )
            self._still_kept(partition, committed.offset, told)
        return Agreed({partition: mark.low for partition, mark in told.marks.items()}, is_lost)

    def _check_group(self, number: int, restored: Restored) -> None:
        other = restored.marker["group"]
        if other != self._group:
            raise SnapshotError(
                f"the topic of the state holds that of group {other!r} (shard {number}), not of "
                f"{self._group!r}: every group needs topics of its own (topics.state, "
                "topics.summaries, topics.hyper)"
            )

    def _others(self, restored: Restored, origin: Origin | None) -> set[str]:
        """Return the topics that are not those which the state was counted from.

        Of such a topic the state's offset means nothing, and the operator's word takes the group's:
        Kafka deletes what a group has committed when it deletes the topic, so what is there was
        committed for this one (by an operator, or by what copied the cluster). Where there is
        nothing, or what the topic does not have, it is read from its beginning. Whether the state
        is as new as its estimates nothing can prove then: it counts as a loss of what was emitted.
        """
        others = origin.others(restored.marker.get("origin")) if origin else {}
        if others and not self._accept_loss:
            raise LostError(differing(others))
        if others:
            log.warning("the state was counted from other topics", differs=others)
        return set(others)

    def _fits(
        self, partition: TopicPartition, marker: Committed, told: Told, is_second: bool
    ) -> bool:
        """Tell whether the state and the group have come equally far: one transaction moved both.

        False: they have not, and the operator accepts it, at the second look: a worker that stood
        still sees the same, and nothing is lost then. Whether the log has lost its end, or the
        group's offsets theirs, nobody can tell.
        """
        committed = told.committed.get(partition)
        if committed is None:
            log.warning("the group has forgotten its offsets: the state's are taken", at=marker)
            return True
        history = _two_histories(marker, committed)
        if history is None:
            return True
        if not self._accept_loss or not is_second:
            raise LostError(
                f"{_name(partition)}: {history}: they are not of one history. With --accept-loss "
                "the worker goes on from the state, under a new epoch, and writes every estimate "
                "again"
            )
        log.warning("the state or the offsets are lost", partition=_name(partition), detail=history)
        return False

    def _still_kept(self, partition: TopicPartition, offset: int, told: Told) -> int:
        mark = told.marks[partition]
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


def _is_added(partition: TopicPartition, marker: Mapping[TopicPartition, int], told: Told) -> bool:
    """Tell whether a topic is read for the first time, beside all that were read before."""
    known = marker.keys() <= set(told.partitions)
    return known and partition not in marker and partition not in told.committed


def _next_of(partition: TopicPartition, told: Told) -> int:
    """Return where a topic goes on of which the state knows nothing."""
    committed, mark = told.committed.get(partition), told.marks[partition]
    offset = mark.low if committed is None else committed.offset
    if not mark.low <= offset <= mark.high:
        offset = mark.low
    log.warning("reads a topic that the state does not know", at=_name(partition), offset=offset)
    return offset


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}-{partition.partition}"


def _spelt(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(partition.topic for partition in partitions)
