"""What the worker asks of a transport: Kafka's client here, a simulator's in the tests of faults.

Nothing calls back. A poll returns what came: messages, and every change of the assignment and
every trouble as values, because an exception inside a callback of the Kafka client destroys the
whole poll's messages while the client's position has already moved past them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from stream_hb.errors import StreamHBError
from stream_hb.events.batch import RawBatch


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Committed(NamedTuple):
    """What the group has committed for a partition: the next offset, and a note of the worker's."""

    offset: int
    metadata: str = ""


class Watermarks(NamedTuple):
    """The first offset that a partition still keeps, and the one its next message will get.

    ``high`` is the end for a reader of committed messages: an open transaction holds it back.
    """

    low: int
    high: int


class TroubleKind(StrEnum):
    """What a trouble asks of the worker; see :class:`Trouble`."""

    BROKERS_DOWN = "brokers_down"
    """No broker answers for now; the client keeps trying: wait."""

    MEMBERSHIP_LOST = "membership_lost"
    """The group went on without this member; its partitions came as revoked: join again."""

    OFFSET_LOST = "offset_lost"
    """The offset asked for is no longer kept: going on would lose events silently."""

    TOPIC_GONE = "topic_gone"
    """A topic or partition does not exist any more."""

    PARTITIONS_CHANGED = "partitions_changed"
    """A topic has another number of partitions: stores' events come elsewhere than before."""

    REFUSED = "refused"
    """The broker does not allow it: credentials or access rights."""

    FENCED = "fenced"
    """Another worker took this slot: end."""

    FATAL = "fatal"
    """The client can never be used again: end."""

    OTHER = "other"
    """Something passing, to be logged."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong between two polls.

    Attributes
    ----------
    kind
        What it asks of the worker.
    detail
        The client's own words.
    where
        The partition it happened to, None where it concerns the whole client.
    """

    kind: TroubleKind
    detail: str
    where: TopicPartition | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """What came in one poll, to be taken in this order: revoked, assigned, batches, troubles.

    Attributes
    ----------
    batches
        One for each partition that messages came from, all of partitions still owned.
    assigned
        Partitions that are this worker's from now on. They are silent until they are started.
    revoked
        Partitions that are this worker's no longer, whose state is to be dropped.
    troubles
        What went wrong, oldest first.
    ended
        Partitions of which nothing is left to read after these batches, for now.
    """

    batches: list[RawBatch]
    assigned: list[TopicPartition]
    revoked: list[TopicPartition]
    troubles: list[Trouble]
    ended: list[TopicPartition] = field(default_factory=list)


class ClientError(StreamHBError):
    """A call to the broker failed, and calling again would not help.

    Attributes
    ----------
    cause
        The client's name of the error, for a counter; empty where there is none.
    """

    cause = ""


class TransientError(ClientError):
    """A call failed because the broker did not answer in time; the same call may succeed later."""


class GroupMovedError(ClientError):
    """The group went on without this worker; the next polls tell which partitions it lost."""


class DeliveryError(ClientError):
    """Records were given up, so what they said is not in the output topics."""


class TransactionAbortedError(ClientError):
    """The transaction cannot be committed any more; it is to be aborted, and nothing is lost."""


class FencedError(ClientError):
    """Another process took this worker's slot: nothing that this one does would count."""


class RefusedError(ClientError):
    """The broker does not allow it, and will not: a person has to give the rights."""

    exit_code = 3


class TooLargeError(ClientError):
    """A record is larger than may be written, and would be so again: a person raises the limit."""


class InputClient(Protocol):
    """A member of a consumer group, subscribed from its making on.

    Partition p of every input topic comes to the same member, if the topics have as many
    partitions each. Except for ``poll`` every method may raise a :class:`ClientError`.
    """

    def poll(self, messages_max: int, timeout_seconds: float) -> Polled:
        """Return what came, after at most the timeout."""
        ...

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        """Return what the group has committed; a partition without a commit is not in it."""
        ...

    def commit(self, offsets: Mapping[TopicPartition, Committed]) -> None:
        """Commit and wait until the broker has it."""
        ...

    def membership(self) -> Any:
        """Return who this member is in the group now: what fences a transaction's offsets.

        Raises
        ------
        GroupMovedError
            It is none for now: nothing would fence them.
        """
        ...

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        """Ask the broker where a partition begins and ends."""
        ...

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Let assigned partitions come, each from an offset on; also moves one that runs."""
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Let no messages of these partitions come until they are started."""
        ...

    def close(self) -> None:
        """Leave the group; nothing is committed."""
        ...


class OutputClient(Protocol):
    """Where records go."""

    def produce(
        self, topic: str, partition: int | None, key: bytes | None, value: bytes | None
    ) -> None:
        """Hand a record over; without a partition its key decides.

        Raises
        ------
        TransientError
            While too many records wait: it was not taken, and may be handed over again.
        """
        ...

    def flush(self, timeout_seconds: float) -> int:
        """Wait until the brokers have every record; return how many they have not yet.

        Raises
        ------
        DeliveryError
            If records were given up since the last flush.
        """
        ...

    def close(self) -> None:
        """Forget what was not delivered."""
        ...


class TransactionClient(Protocol):
    """Writes records and commits offsets, all of a transaction or nothing of it.

    Of the last record of a partition that is ``tracked`` it tells where the partition then ended.

    A call that raises :class:`TransientError` is to be made again with the same arguments;
    :class:`TransactionAbortedError` asks for :meth:`abort`; :class:`FencedError`,
    :class:`RefusedError` and :class:`TooLargeError` end the worker; after any other
    :class:`ClientError` nobody knows what became of the transaction, and only :meth:`renew` helps.
    """

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        *,
        tracked: bool = False,
    ) -> None:
        """Hand a record over; without a partition its key decides."""
        ...

    def send_offsets(self, offsets: Mapping[TopicPartition, Committed], membership: Any) -> None:
        """Add offsets that the group commits with the transaction."""
        ...

    def commit(self) -> None:
        """Commit: every record is written, and the broker has everything."""
        ...

    def abort(self) -> None:
        """Make the transaction's records and offsets nothing."""
        ...

    def tracked_end(self, where: TopicPartition) -> int | None:
        """Return where a partition ended after the newest committed transaction that tracked it.

        For a reader of uncommitted messages, if nobody else wrote there. None: it is not known.
        """
        ...

    def renew(self) -> None:
        """Begin anew as the same slot: what was left open is aborted before this returns."""
        ...

    def close(self) -> None:
        """Leave; what is open is aborted by the next owner of the slot, or by its timeout."""
        ...


class LogRead(NamedTuple):
    """What was read of a partition of the state log.

    Attributes
    ----------
    records
        Key and value of committed records, in order.
    position
        The next offset, behind markers and what was aborted.
    """

    records: list[tuple[bytes, bytes | None]]
    position: int


class StateClient(Protocol):
    """Reads the state log, without any group. Every method may raise a :class:`ClientError`."""

    def end(self, partition: int) -> int:
        """Return the end of a partition, open transactions included."""
        ...

    def low(self, partition: int) -> int:
        """Return the first offset that a partition still keeps."""
        ...

    def open(self, partition: int, offset: int | None = None) -> None:
        """Let a partition come from an offset; None: from its beginning."""
        ...

    def poll(self, timeout_seconds: float) -> dict[int, LogRead]:
        """Return what came of the open partitions, each with how far it was read."""
        ...

    def close_partition(self, partition: int) -> None:
        """Let no more of a partition come."""
        ...

    def close(self) -> None:
        """Leave."""
        ...
