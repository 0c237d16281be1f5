"""Topics of a test: made, filled and read to their end."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

ANSWER_SECONDS_MAX = 20


class Record(NamedTuple):
    """A message as it was read back."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def create(bootstrap_servers: str, topic: str, partitions: int = 1, **settings: str) -> None:
    """Make a topic and wait for it; a setting's underscores stand for dots."""
    new = NewTopic(
        topic, partitions, 1, config={key.replace("_", "."): v for key, v in settings.items()}
    )
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for made in admin.create_topics([new], operation_timeout=ANSWER_SECONDS_MAX).values():
        made.result(ANSWER_SECONDS_MAX)


def produce(
    bootstrap_servers: str,
    topic: str,
    payloads: Iterable[bytes | None],
    partition: int = 0,
    key: bytes | None = None,
) -> None:
    """Append payloads to one partition, in their order."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": 20_000_000,
        }
    )
    for payload in payloads:
        while True:
            try:
                producer.produce(topic, value=payload, key=key, partition=partition)
                break
            except BufferError:
                producer.poll(0.1)
    left = producer.flush(ANSWER_SECONDS_MAX)
    assert left == 0, f"{left} messages to {topic} were not taken within {ANSWER_SECONDS_MAX} s"


def read_all(
    bootstrap_servers: str, topic: str, seconds_max: float = ANSWER_SECONDS_MAX
) -> list[Record]:
    """Read a topic's committed messages to its present end, in order within each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "tests",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 10,
        }
    )
    metadata = consumer.list_topics(topic, timeout=ANSWER_SECONDS_MAX).topics[topic]
    assert metadata.error is None, f"{topic}: {metadata.error}"
    consumer.assign([TopicPartition(topic, partition, 0) for partition in metadata.partitions])
    records: list[Record] = []
    open_partitions = set(metadata.partitions)
    deadline = time.monotonic() + seconds_max
    while open_partitions:
        assert time.monotonic() < deadline, f"{topic}: no end within {seconds_max} s"
        for message in consumer.consume(10_000, 0.05):
            error = message.error()
            if error is None:
                records.append(_record(message))
            else:  # the end of a partition, or an error that would otherwise end in a hang
                assert error.name() == "_PARTITION_EOF", error
                open_partitions.discard(message.partition())
    consumer.close()
    return records


def _record(message: Message) -> Record:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return Record(partition, offset, message.key(), message.value())
