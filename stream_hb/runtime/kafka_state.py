"""The state log over Kafka: :class:`stream_hb.runtime.client.StateClient`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

import confluent_kafka as ck
import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from stream_hb.runtime.client import ClientError, LogRead, TransientError
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.librdkafka_log import QuietLog

ANSWER_SECONDS = 2.0
"""Short, since a worker that is told to end may be in the middle of such a question."""

POLL_RECORDS = 1_000

log = structlog.get_logger("stream_hb.worker")


class KafkaState:
    """Reads the partitions of the state's topic.

    Parameters
    ----------
    bootstrap_servers, client
        How the broker is reached: addresses, and further settings of librdkafka.
    topic
        The state's topic.
    """

    def __init__(self, bootstrap_servers: str, topic: str, client: Mapping[str, Any]) -> None:
        self._topic = topic
        common = {
            **client,
            "bootstrap.servers": bootstrap_servers,
            "group.id": "stream-hb-state",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 10,
            "fetch.wait.max.ms": 100,  # a partition that is opened waits for the fetch under way
            "reconnect.backoff.max.ms": 1_000,
        }
        with accepted_settings():
            self._reader = ck.Consumer(
                {**common, "isolation.level": "read_committed"}, logger=QuietLog()
            )
            # To a reader of committed records an open transaction hides what lies behind it: a
            # restore up to there would miss what is committed while it reads.
            self._ends = ck.Consumer(
                {**common, "isolation.level": "read_uncommitted"}, logger=QuietLog()
            )
        self._open: set[int] = set()
        self._positions: dict[int, int] = {}

    def end(self, partition: int) -> int:
        """Return the end of a partition, open transactions included."""
        return self._watermarks(partition)[1]

    def low(self, partition: int) -> int:
        """Return the first offset that a partition still keeps."""
        return self._watermarks(partition)[0]

    def _watermarks(self, partition: int) -> tuple[int, int]:
        with _translated(f"read where the state of shard {partition} begins and ends"):
            where = ck.TopicPartition(self._topic, partition)
            low, high = self._ends.get_watermark_offsets(where, ANSWER_SECONDS)
            return int(low), int(high)

    def open(self, partition: int, offset: int | None = None) -> None:
        """Let a partition come from an offset; None: from its beginning."""
        with _translated("read the state"):
            start = ck.OFFSET_BEGINNING if offset is None else offset
            where = ck.TopicPartition(self._topic, partition, start)
            self._reader.incremental_assign([where])
        self._open.add(partition)

    def poll(self, timeout_seconds: float) -> dict[int, LogRead]:
        """Return what came of the open partitions, each with how far it was read.

        A passing error of a partition comes among the records of others, in one array, and the
        client goes on by itself: to raise it would lose those records, and they never come again.
        """
        with _translated("read the state"):
            messages = self._reader.consume(POLL_RECORDS, timeout_seconds)
        records: dict[int, list[tuple[bytes, bytes | None]]] = defaultdict(list)
        for message in messages:
            number, offset = message.partition(), message.offset()
            kind = _kind(message)
            if kind is _Kind.TROUBLE or number not in self._open:
                continue
            assert offset is not None
            if kind is _Kind.END:
                # A log ends with the marker of a transaction, which no record tells of: the end
                # that the client reached does.
                self._positions[number] = offset
            else:
                self._positions[number] = offset + 1
                records[number].append((message.key() or b"", message.value()))
        return {n: LogRead(records[n], at) for n, at in self._positions.items() if n in self._open}

    def close_partition(self, partition: int) -> None:
        """Let no more of a partition come."""
        if partition in self._open:
            self._open.discard(partition)
            self._positions.pop(partition, None)
            with _translated("end reading the state"):
                self._reader.incremental_unassign([ck.TopicPartition(self._topic, partition)])

    def close(self) -> None:
        """Leave."""
        self._reader.close()
        self._ends.close()


class _Kind(Enum):
    RECORD = auto()
    END = auto()
    TROUBLE = auto()


def _kind(message: Message) -> _Kind:
    """Tell what a message is; raises what does not pass by itself, which ends the worker."""
    error = message.error()
    if error is None:
        return _Kind.RECORD
    if error.code() == KafkaError._PARTITION_EOF:
        return _Kind.END
    found = _translation(KafkaException(error), "read the state")
    # A log that no longer has the next offset stands still: who restores asks where it ends then.
    if not isinstance(found, TransientError) and error.code() != KafkaError._AUTO_OFFSET_RESET:
        raise found
    log.warning("the state's reader goes on", detail=str(found))
    return _Kind.TROUBLE


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as exception:
        raise _translation(exception, doing) from exception


def _translation(exception: KafkaException, doing: str) -> ClientError:
    error: KafkaError = exception.args[0]
    passing = error.retriable() or error.code() in (
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._DESTROY,  # of the connection that was asked, not of the client
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        # The topics were checked at the start: a broker that has just come back does not know yet.
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    )
    return (TransientError if passing else ClientError)(f"could not {doing}: {error.str()}")
