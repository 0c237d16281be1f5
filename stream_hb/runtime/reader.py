"""Reads the estimates topic: the newest record of every key."""

import sys
import time
from collections.abc import Mapping
from threading import Event
from typing import Any

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from stream_hb.errors import BrokerError, RecordError, TopicError
from stream_hb.feeds.newest import Newest
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.no_answer import Heard

ASK_SECONDS = 10.0
POLL_MESSAGES = 10_000


class EstimateReader:
    """A reader without a group, from the beginning of the topic.

    Parameters
    ----------
    bootstrap_servers, client
        How the broker is reached: addresses, and further settings of librdkafka.
    topic
        The estimates topic.
    """

    def __init__(self, bootstrap_servers: str, topic: str, client: Mapping[str, str]) -> None:
        self._newest = Newest[dict[str, Any]](keys_max=sys.maxsize)  # the topic is the limit
        self.records = 0
        self._heard = Heard()
        with accepted_settings():
            self._consumer = Consumer(
                {
                    **client,
                    "bootstrap.servers": bootstrap_servers,
                    "group.id": "stream-hb-reader",
                    "enable.auto.commit": False,
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "log_level": 0,
                    "error_cb": self._heard,
                }
            )
        self._assign(bootstrap_servers, topic)

    def _assign(self, bootstrap_servers: str, topic: str) -> None:
        try:
            found = self._consumer.list_topics(topic, timeout=ASK_SECONDS).topics[topic]
        except KafkaException as error:
            self._consumer.poll(0)  # lets the client say what it had met
            raise self._heard.error(bootstrap_servers, ASK_SECONDS) from error
        if found.error is not None:
            raise TopicError(_no_topic(topic, found.error))
        partitions = [TopicPartition(topic, p, OFFSET_BEGINNING) for p in found.partitions]
        self._partitions_count = len(partitions)
        self._ended: set[int | None] = set()
        self._topic = topic
        self._consumer.assign(partitions)

    @property
    def newest(self) -> dict[bytes, dict[str, Any]]:
        """The newest record of every key that is not deleted."""
        return dict(self._newest.items())

    def poll(self, timeout_seconds: float) -> int:
        """Take what has come; return the number of records."""
        messages = self._consumer.consume(POLL_MESSAGES, timeout_seconds)
        self._ended.update(m.partition() for m in messages if _is_end(m))
        taken = [message for message in messages if message.error() is None]
        for message in taken:
            key = message.key()
            if key is not None:
                self._take(key, message.value(), message.offset())
        self.records += len(taken)
        return len(taken)

    def _take(self, key: bytes, value: bytes | None, offset: int | None) -> None:
        if value is None:  # its store has retired
            self._newest.delete(key, offset)
            return
        try:
            record: dict[str, Any] = msgspec.json.decode(value)
            version = record["version"]["epoch"], record["version"]["seq"]
        except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError):
            at = f"topic {self._topic!r}, offset {offset}"
            raise RecordError(f"{at}: no record of stream_hb: is it the right topic?") from None
        self._newest.put(key, version, record, offset)

    def read_to_end(self, stop: Event | None = None) -> bool:
        """Take everything that the topic holds now; False where it was told to stop before.

        Raises
        ------
        BrokerError
            If the broker falls silent before the end.
        RecordError
            If a message is no record.
        """
        heard_at = time.monotonic()
        while len(self._ended) < self._partitions_count:
            ended_count = len(self._ended)
            if stop is not None and stop.is_set():
                return False
            if self.poll(0.2) or len(self._ended) > ended_count:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > ASK_SECONDS:
                raise BrokerError(f"the broker fell silent before the end of {self._topic!r}")
        return True

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _no_topic(topic: str, error: KafkaError) -> str:
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return f"missing topic: {topic!r}; stream-hb topics CONFIG --create makes it"
    return f"topic {topic!r}: {error.str()}"


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF
