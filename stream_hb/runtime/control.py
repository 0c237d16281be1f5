"""An operator's word on its way to the workers."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stream_hb.config import Config
from stream_hb.errors import BrokerError, UsageError
from stream_hb.events.batch import RawBatch
from stream_hb.events.decode import Decoder
from stream_hb.events.partitioner import PARTITIONERS, murmur2_partition
from stream_hb.runtime.assembly import output_client
from stream_hb.runtime.topic_admin import inspect_topics
from stream_hb.runtime.topics import TopicNeed, TopicUse, check_topics

FLUSH_SECONDS = 10.0


def accept_event(
    chain: str, store: str, time_ms: int, control_id: str, more: Mapping[str, str | None]
) -> bytes:
    """Return an ``accept`` event; ``more`` are its optional fields, left out where None.

    Raises
    ------
    UsageError
        No worker would take it.
    """
    event: dict[str, Any] = {
        "schema_version": 1,
        "event_type": "accept",
        "event_id": f"operator-{control_id}"[:64],
        "event_time_ms": time_ms,
        "chain_id": chain,
        "store_id": store,
        "control_id": control_id,
    }
    event |= {name: value for name, value in more.items() if value is not None}
    payload = msgspec.json.encode(event)
    rejects = Decoder().decode(RawBatch("", 0, [payload], lambda at: at, 1)).rejects
    if rejects:
        raise UsageError(f"{rejects[0].reason}: {rejects[0].detail}")
    return payload


def say(config: Config, store: str, payload: bytes) -> None:
    """Write a control event to its topic, and wait until the broker has it.

    Raises
    ------
    BrokerError
        It was not taken in time; nobody knows whether it still arrives.
    TopicError
        The topic is missing.
    """
    kafka, topic = config.kafka, config.topics.control
    need = TopicNeed(topic, TopicUse.INPUT)
    states = inspect_topics(kafka.bootstrap_servers, [need], kafka.revealed_client())
    check_topics(states)
    partition_of = PARTITIONERS[config.topics.partitioner] or murmur2_partition
    key = store.encode()
    client = output_client(config)
    try:
        client.produce(topic, partition_of(key, states[0].partitions), key, payload)
        if client.flush(FLUSH_SECONDS):
            raise BrokerError(f"no broker has taken the event for topic {topic!r} within 10 s")
    finally:
        client.close()
