"""What the broker wrote down of a consumer group: its generation."""

import struct

from confluent_kafka import Consumer, TopicPartition

from tests.support.chain import Chain

TOPIC = "__consumer_offsets"
GROUP_METADATA = 2  # version of the keys of GroupMetadataKey


def generation(chain: Chain) -> int:
    """Return the generation of a chain's group, from the newest record of the group's own log."""
    consumer = Consumer(
        {
            "bootstrap.servers": chain.bootstrap_servers,
            "group.id": "generation",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        numbers = consumer.list_topics(TOPIC, timeout=20).topics[TOPIC].partitions
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in numbers])
        found, left = 0, set(numbers)
        while left:
            for message in consumer.consume(1000, 0.1):
                if message.error():
                    left.discard(message.partition())
                elif _is_of(message.key() or b"", chain.group_id) and message.value():
                    found = _generation(message.value() or b"")
        return found
    finally:
        consumer.close()


def _is_of(key: bytes, group: str) -> bool:
    return key[:2] == struct.pack(">h", GROUP_METADATA) and key[4:] == group.encode()


def _generation(value: bytes) -> int:
    """Read GroupMetadataValue: version, protocol type (a string), generation."""
    (length,) = struct.unpack_from(">h", value, 2)
    return int(struct.unpack_from(">i", value, 4 + max(length, 0))[0])
