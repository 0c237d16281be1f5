"""The topic of alerts as the sender reads it: all of it, and how far it was sent."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from stream_hb.errors import BrokerError, TopicError
from stream_hb.runtime.alert_posts import State
from stream_hb.runtime.alert_sender import Heard
from stream_hb.runtime.client import TransientError
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.no_answer import Heard as Errors

ASK_SECONDS = 10.0
AGAIN_SECONDS = 0.5
COORDINATOR_SECONDS = 30.0

log = structlog.get_logger("stream_hb.alerts")


class AlertTopic:
    """See :class:`stream_hb.runtime.alert_sender.AlertSource`.

    The topic is compacted, so it is short; it is read from its beginning at every start, since what
    is open must be told again whoever told it first. The consumer is no member of its group: it
    takes all partitions, and one sender at a time may use the group.

    Parameters
    ----------
    bootstrap_servers, client
        How the broker is reached.
    topic
        The topic.
    group_id
        Whose offsets say how far it was sent.
    """

    def __init__(
        self, bootstrap_servers: str, topic: str, group_id: str, client: Mapping[str, str]
    ) -> None:
        self._errors = Errors()
        self._topic = topic
        settings: dict[str, Any] = {
            **client,
            "bootstrap.servers": bootstrap_servers,
            "group.id": group_id,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 0,
            "error_cb": self._errors,
        }
        with accepted_settings():
            self._consumer = Consumer(settings)
        self._partitions = self._assigned(bootstrap_servers)
        self._ended: set[int] = set()

    def _assigned(self, bootstrap_servers: str) -> list[int]:
        try:
            found = self._consumer.list_topics(self._topic, timeout=ASK_SECONDS)
        except KafkaException as error:
            self._consumer.poll(0)  # lets the client say what it had met
            raise self._errors.error(bootstrap_servers, ASK_SECONDS) from error
        metadata = found.topics[self._topic]
        if metadata.error is not None:
            raise TopicError(f"topic {self._topic!r}: {metadata.error.str()}")
        partitions = sorted(metadata.partitions)
        self._consumer.assign(
            [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in partitions]
        )
        return partitions

    def committed(self) -> dict[int, int]:
        """Return how far alerts were sent, by partition.

        An offset behind the topic's end is one of an earlier topic of that name: nothing of this
        one was sent.

        Raises
        ------
        BrokerError
            No broker tells within a while: its group's coordinator may be moving.
        """
        until = time.monotonic() + COORDINATOR_SECONDS
        while True:
            try:
                return self._asked()
            except KafkaException as error:
                why = error.args[0].str()
                if time.monotonic() > until:
                    raise BrokerError(f"how far alerts were sent is not known: {why}") from error
                log.warning("asks again how far alerts were sent", detail=why)
                time.sleep(AGAIN_SECONDS)

    def _asked(self) -> dict[int, int]:
        asked = [TopicPartition(self._topic, number) for number in self._partitions]
        found = self._consumer.committed(asked, timeout=ASK_SECONDS)
        return {at.partition: self._kept(at) for at in found if at.offset >= 0}

    def _kept(self, at: TopicPartition) -> int:
        _, end = self._consumer.get_watermark_offsets(at, timeout=ASK_SECONDS)
        if at.offset <= end:
            return at.offset
        log.warning("the topic is another one: all of it is sent", offset=at.offset, end=end)
        return 0

    def poll(self, states_max: int, timeout_seconds: float) -> Heard:
        """Return what comes next; a first message is waited for."""
        until = time.monotonic() + timeout_seconds
        messages = self._consumer.consume(states_max, timeout_seconds)
        while not messages and time.monotonic() < until:
            messages = self._consumer.consume(states_max, until - time.monotonic())
        for message in messages:
            number = message.partition()
            if number is not None and _is_end(message):
                self._ended.add(number)
        states = [state for message in messages if (state := _state(message)) is not None]
        return Heard(states, len(self._ended) == len(self._partitions))

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Note how far alerts were sent."""
        at = [TopicPartition(self._topic, number, offset) for number, offset in offsets.items()]
        try:
            noted = self._consumer.commit(offsets=at, asynchronous=False)
        except KafkaException as error:
            raise TransientError(error.args[0].str()) from error
        refused = [each.error for each in noted or [] if each.error is not None]
        if refused:
            raise TransientError(str(refused[0]))

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _state(message: Message) -> State | None:
    """Return what a message says; None: nothing that can be sent."""
    key, value = message.key(), message.value()
    partition, offset = message.partition(), message.offset()
    if message.error() is not None or key is None or partition is None or offset is None:
        return None
    if value is None:
        return State(partition, offset, key, b"", None)
    try:
        record = msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        log.warning("not an alert", partition=partition, offset=offset, detail=str(error))
        return None
    return State(partition, offset, key, value, record)
