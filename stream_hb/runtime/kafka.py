"""The worker's transport over Apache Kafka, by confluent-kafka (librdkafka)."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, Message

from stream_hb.runtime.client import (
    Committed,
    DeliveryError,
    GroupMovedError,
    Polled,
    TopicPartition,
    TransientError,
    Trouble,
    TroubleKind,
    Watermarks,
)
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.kafka_batches import partition_of, to_batches
from stream_hb.runtime.kafka_errors import translated, translation, trouble
from stream_hb.runtime.librdkafka_log import QuietLog

ANSWER_SECONDS_MAX = 3.0
COMMITTED_SECONDS_MAX = 0.5
"""Short: while a transaction is open, offsets that it adds are not told, and the client asks for as
long as it may; meanwhile the partitions that work stand still. The question is asked again."""

PROBE_SECONDS_MAX = 1.0
SEEK_PAUSE_SECONDS = 0.02
FENCED_MAX = 3
FENCED_SECONDS = 60.0
"""A member that was fenced more often within this time has a rival."""

_SHARED_SETTINGS = {
    "client.id": "stream-hb",
    # 10 s by default: a broker that is back would be noticed that late.
    "reconnect.backoff.max.ms": 1_000,
    "log.connection.close": False,
}

_CONSUMER_SETTINGS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    # An offset that is kept no longer is events lost: a person decides, not a default.
    "auto.offset.reset": "error",
    # 45 s and 300 s by default: a dead worker's partitions would lie idle that long.
    "session.timeout.ms": 15_000,
    "heartbeat.interval.ms": 3_000,
    "max.poll.interval.ms": 60_000,
    # 300 s by default: so long events of new partitions would lie unread, and those of stores that
    # have moved there would be looked for where they no longer come.
    "topic.metadata.refresh.interval.ms": 5_000,
    # 1000 ms by default, which makes catching up 3.5 times slower.
    "fetch.queue.backoff.ms": 10,
    # 500 ms by default: so long the first events of a partition that has just been started would
    # wait, behind a fetch of those that have nothing to give.
    "fetch.wait.max.ms": 100,
    "enable.partition.eof": True,
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 65_536,
}

_PRODUCER_SETTINGS = {
    # Retries neither repeat nor reorder records, and a record is acknowledged by all replicas.
    "enable.idempotence": True,
    # 300 s by default, after which records are given up: a broker may be away for longer. With
    # transactions it is to be their timeout instead.
    "message.timeout.ms": 0,
    "linger.ms": 5,
    "compression.type": "lz4",
    "queue.buffering.max.messages": 1_000_000,
    # The Java clients' rule, so that everybody finds a key in the same partition.
    "partitioner": "murmur2_random",
    "delivery.report.only.error": True,
}

_UNREACHABLE = {KafkaError._TRANSPORT, KafkaError._RESOLVE}


def consumer_settings(
    bootstrap_servers: str,
    group_id: str,
    topics: Sequence[str],
    instance_id: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return librdkafka's settings for a worker's input; the user's own come last.

    Several topics are assigned by range, which gives partition p of each to the same member;
    cooperative-sticky moves fewer partitions but would tear them apart, so it serves one topic.

    >>> settings = consumer_settings("localhost:9092", "g", ["visits", "purchases"])
    >>> settings["partition.assignment.strategy"], settings["auto.offset.reset"]
    ('range', 'error')
    """
    return {
        **_SHARED_SETTINGS,
        **_CONSUMER_SETTINGS,
        "bootstrap.servers": bootstrap_servers,
        "group.id": group_id,
        "partition.assignment.strategy": "range" if len(topics) > 1 else "cooperative-sticky",
        **({} if instance_id is None else {"group.instance.id": instance_id}),
        **(overrides or {}),
    }


def producer_settings(
    bootstrap_servers: str, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return librdkafka's settings for a worker's output; the user's own come last."""
    return {
        **_SHARED_SETTINGS,
        **_PRODUCER_SETTINGS,
        "bootstrap.servers": bootstrap_servers,
        **(overrides or {}),
    }


class KafkaInput:
    """A member of a consumer group: :class:`stream_hb.runtime.client.InputClient` over Kafka.

    Parameters
    ----------
    topics
        What to subscribe to.
    settings
        As from :func:`consumer_settings`.
    partitions_count
        How many partitions each topic has to have; None: that is not looked at.
    """

    def __init__(
        self,
        topics: Sequence[str],
        settings: Mapping[str, Any],
        partitions_count: int | None = None,
    ) -> None:
        self._partitions_count = partitions_count
        self._to_be_counted = False
        self._codes = {topic: code for code, topic in enumerate(topics)}
        self._incremental = settings["partition.assignment.strategy"] == "cooperative-sticky"
        self._owned: set[TopicPartition] = set()
        self._assigned: list[TopicPartition] = []
        self._revoked: list[TopicPartition] = []
        self._troubles: list[Trouble] = []
        self._ended: list[TopicPartition] = []
        self._brokers_down = False
        self._unreachable = "all brokers are down"
        self._settings = dict(settings)
        self._fenced_at: deque[float] = deque(maxlen=FENCED_MAX)
        self._asker: ck.Consumer | None = None
        self._consumer = self._joined()

    def _joined(self) -> ck.Consumer:
        """Make a member of the group."""
        with accepted_settings():
            made = ck.Consumer({**self._settings, "error_cb": self._on_error}, logger=QuietLog())
        made.subscribe(
            list(self._codes),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        return made

    def poll(self, messages_max: int, timeout_seconds: float) -> Polled:
        """Return what came: at once when there are so many messages, else after the timeout."""
        messages = self._consume(messages_max, timeout_seconds)
        if any(map(Message.error, messages)):
            messages = self._without_errors(messages)
        if self._to_be_counted and self._partitions_count is not None:
            self._count_partitions(self._partitions_count)
        if any(each.kind is TroubleKind.FENCED for each in self._troubles):
            self._join_again()
            messages = []
        if messages:
            self._brokers_down = False
        # A partition that was revoked during this poll may have been assigned again, from where
        # it is to be started anew: what came before is not to be used either way.
        usable = self._owned.difference(self._revoked, self._assigned)
        batches = [
            batch
            for batch in to_batches(messages, self._codes)
            if (batch.topic, batch.partition) in usable
        ]
        ended = [partition for partition in self._ended if partition in usable]
        polled = Polled(batches, self._assigned, self._revoked, self._troubles, ended)
        self._assigned, self._revoked, self._troubles, self._ended = [], [], [], []
        return polled

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        """Return what the group has committed; a partition without a commit is not in it."""
        with translated("read the committed offsets"):
            answers = self._consumer.committed(_to_kafka(partitions), COMMITTED_SECONDS_MAX)
            _raise_first_error(answers)
        return {
            TopicPartition(answer.topic, answer.partition): Committed(
                answer.offset, answer.metadata or ""
            )
            for answer in answers
            if answer.offset >= 0
        }

    def commit(self, offsets: Mapping[TopicPartition, Committed]) -> None:
        """Commit and wait until the broker has it."""
        wanted = [
            ck.TopicPartition(*partition, committed.offset, committed.metadata)
            for partition, committed in offsets.items()
        ]
        with translated("commit offsets"):
            self._wait_for_a_broker()
            _raise_first_error(self._consumer.commit(offsets=wanted, asynchronous=False))

    def membership(self) -> Any:
        """Return who this member is in the group now: what fences a transaction's offsets."""
        # The broker takes offsets without a member's id from anybody, a zombie included.
        if not self._consumer.memberid():
            raise GroupMovedError("not a member of the group for now")
        return self._consumer.consumer_group_metadata()

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        """Ask the broker where a partition begins and ends."""
        where = ck.TopicPartition(*partition)
        with translated(f"read where partition {partition} begins and ends"):
            return Watermarks(*self._asking().get_watermark_offsets(where, ANSWER_SECONDS_MAX))

    def _asking(self) -> ck.Consumer:
        """Return a client that only asks, and is no member of the group.

        A broker answers the requests of a connection in turn: behind the member's fetch, which
        waits for events, every answer took up to half a second, in which nothing else was done.
        """
        if self._asker is None:
            member = ("group.instance.id", "partition.assignment.strategy")
            settings = {name: v for name, v in self._settings.items() if name not in member}
            with accepted_settings():
                self._asker = ck.Consumer(settings, logger=QuietLog())
        return self._asker

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Let assigned partitions come, each from an offset on; also moves one that runs."""
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        with translated("start reading"):
            for partition, offset in offsets.items():
                self._seek(ck.TopicPartition(*partition, offset), deadline)
            self._consumer.resume(_to_kafka(offsets))

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Let no messages of these partitions come until they are started."""
        with translated("pause"):
            self._consumer.pause(_to_kafka(partitions))

    def close(self) -> None:
        """Leave the group; nothing is committed."""
        with translated("leave the group"):
            self._consumer.close()
        if self._asker is not None:
            self._asker.close()

    def _join_again(self) -> None:
        """Replace a member that was fenced, unless that happens again and again.

        A coordinator that comes back from a crash may know an older member of this instance, and
        fence the living one: no one else is there. Two holders of one instance fence each other
        again and again.
        """
        now = time.monotonic()
        again = len(self._fenced_at) == FENCED_MAX and now - self._fenced_at[0] < FENCED_SECONDS
        if again:
            return
        self._fenced_at.append(now)
        troubles = [t for t in self._troubles if t.kind is not TroubleKind.FENCED]
        gone = sorted(self._owned)
        self._consumer.close()
        self._on_revoke(self._consumer, [ck.TopicPartition(*each) for each in gone])
        detail = "the group fenced this member: it joins again"
        self._troubles = [*troubles, Trouble(TroubleKind.MEMBERSHIP_LOST, detail)]
        self._consumer = self._joined()

    def _consume(self, messages_max: int, timeout_seconds: float) -> list[Message]:
        try:
            return self._consumer.consume(messages_max, timeout_seconds)
        except KafkaException as exception:  # the client raises only what is fatal to it
            self._troubles.append(trouble(exception.args[0]))
            return []

    def _without_errors(self, messages: list[Message]) -> list[Message]:
        for message in messages:
            if (error := message.error()) is not None:
                where = partition_of(message) if message.topic() else None
                if where is not None and error.code() == KafkaError._PARTITION_EOF:
                    self._ended.append(where)
                else:
                    self._troubles.append(trouble(error, where))
        return [message for message in messages if message.error() is None]

    def _count_partitions(self, wanted: int) -> None:
        """See whether the topics still have their partitions: new ones make the group rebalance."""
        try:
            for topic in self._codes:
                answer = self._consumer.list_topics(topic, timeout=PROBE_SECONDS_MAX)
                found = len(answer.topics[topic].partitions)
                if found and found != wanted:
                    self._troubles.append(
                        Trouble(TroubleKind.PARTITIONS_CHANGED, _changed(topic, found, wanted))
                    )
            self._to_be_counted = False
        except KafkaException:
            return  # it is asked again at the next poll

    def _wait_for_a_broker(self) -> None:
        # A commit takes no timeout: without a broker it lasts as long as a session may (15 s).
        if self._brokers_down:
            self._consumer.list_topics(timeout=PROBE_SECONDS_MAX)
            self._brokers_down = False

    def _seek(self, target: ck.TopicPartition, deadline: float) -> None:
        # An assignment takes effect in the client's own thread, a moment after it was given.
        while True:
            try:
                return self._consumer.seek(target)
            except KafkaException as exception:
                code = exception.args[0].code()
                if code not in (KafkaError._STATE, KafkaError._PREV_IN_PROGRESS):
                    raise
                if time.monotonic() > deadline:
                    raise
            time.sleep(SEEK_PAUSE_SECONDS)

    # The callbacks run inside consume(). They must never raise, see the module of the protocol.

    def _on_assign(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        with self._noted():
            assign = consumer.incremental_assign if self._incremental else consumer.assign
            assign(_from_the_beginning(partitions))
            consumer.pause(partitions)
        self._to_be_counted = True
        assigned = _from_kafka(partitions)
        self._owned.update(assigned)
        self._assigned.extend(assigned)

    def _on_revoke(self, _consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        revoked = _from_kafka(partitions)
        self._owned.difference_update(revoked)
        self._assigned = [partition for partition in self._assigned if partition in self._owned]
        self._revoked.extend(revoked)

    def _on_lost(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._on_revoke(consumer, partitions)
        detail = "the group took this member's partitions away: it was silent for too long"
        self._troubles.append(Trouble(TroubleKind.MEMBERSHIP_LOST, detail))

    def _on_error(self, error: KafkaError) -> None:
        # While the brokers are down these come twenty times a second: once is enough.
        if error.code() in _UNREACHABLE:
            self._unreachable = error.str()
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._troubles.append(trouble(error))
        elif not self._brokers_down:
            self._brokers_down = True
            self._troubles.append(Trouble(TroubleKind.BROKERS_DOWN, self._unreachable))

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as exception:
            self._troubles.append(trouble(exception.args[0]))


class KafkaOutput:
    """Where records go: :class:`stream_hb.runtime.client.OutputClient` over Kafka.

    Parameters
    ----------
    settings
        As from :func:`producer_settings`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._lost_count = 0
        self._lost_why = ""
        with accepted_settings():
            self._producer = ck.Producer(
                {**settings, "on_delivery": self._on_lost_record}, logger=QuietLog()
            )

    def produce(
        self, topic: str, partition: int | None, key: bytes | None, value: bytes | None
    ) -> None:
        """Hand a record over; while the client's queue is full it waits, but not for ever."""
        number = -1 if partition is None else partition
        try:
            self._producer.produce(topic, value, key, number)
        except BufferError:
            self._make_room()
            self.produce(topic, partition, key, value)
        except KafkaException as exception:
            raise translation(exception, f"write to topic {topic}") from exception

    def _make_room(self) -> None:
        """Wait until the client's queue takes a record again."""
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        waiting = len(self._producer)
        while len(self._producer) >= waiting:
            if time.monotonic() > deadline:
                raise TransientError(f"{waiting} records wait for a broker that does not take them")
            self._producer.poll(0.05)

    def flush(self, timeout_seconds: float) -> int:
        """Wait until the brokers have every record; return how many they have not yet."""
        with translated("write"):
            left = self._producer.flush(timeout_seconds)
        if self._lost_count:
            lost, self._lost_count = self._lost_count, 0
            raise DeliveryError(f"{lost} records were not delivered: {self._lost_why}")
        return left

    def close(self) -> None:
        """Forget what was not delivered."""
        self._producer.purge()
        self._producer.flush(1)

    def _on_lost_record(self, error: KafkaError | None, message: Message) -> None:
        # Successes come, too, if the user's settings ask for their reports.
        if error is not None:
            self._lost_count += 1
            self._lost_why = f"topic {message.topic()}: {error}"


def _changed(topic: str, found: int, wanted: int) -> str:
    return (
        f"input topic {topic!r} has {found} partitions now, and had {wanted} when this worker "
        "began: stores' events come elsewhere than their state is. Let stream-hb migrate move it"
    )


def _to_kafka(partitions: Iterable[TopicPartition]) -> list[ck.TopicPartition]:
    return [ck.TopicPartition(*partition) for partition in partitions]


def _from_kafka(partitions: Iterable[ck.TopicPartition]) -> list[TopicPartition]:
    return [TopicPartition(each.topic, each.partition) for each in partitions]


def _from_the_beginning(partitions: Iterable[ck.TopicPartition]) -> list[ck.TopicPartition]:
    return [ck.TopicPartition(p.topic, p.partition, ck.OFFSET_BEGINNING) for p in partitions]


def _raise_first_error(partitions: Iterable[ck.TopicPartition]) -> None:
    for partition in partitions:
        if partition.error is not None:
            raise KafkaException(partition.error)
