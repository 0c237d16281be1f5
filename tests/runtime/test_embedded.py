"""Smoke tests of the broker inside the process, through the transport that the demo uses."""

import time
from collections.abc import Iterable

import pytest

from stream_hb.runtime.client import Committed, TopicPartition
from stream_hb.runtime.embedded import PARTITIONS, EmbeddedBroker
from stream_hb.runtime.kafka import KafkaInput, KafkaOutput, consumer_settings, producer_settings


@pytest.fixture
def embedded() -> Iterable[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


def test_what_is_written_is_read_back_in_order_and_a_commit_keeps_its_metadata(
    embedded: EmbeddedBroker,
) -> None:
    embedded.make_topics(["events"])
    output = KafkaOutput(producer_settings(embedded.bootstrap_servers))
    for number in range(100):
        output.produce("events", number % PARTITIONS, None, b"%d" % number)
    assert output.flush(10) == 0
    output.close()
    payloads: dict[int, list[bytes | None]] = {number: [] for number in range(PARTITIONS)}
    inputs = KafkaInput(["events"], consumer_settings(embedded.bootstrap_servers, "g", ["events"]))
    deadline = time.monotonic() + 20
    while sum(map(len, payloads.values())) < 100:
        assert time.monotonic() < deadline
        polled = inputs.poll(1_000, 0.05)
        inputs.start(dict.fromkeys(polled.assigned, 0))
        for batch in polled.batches:
            payloads[batch.partition] += batch.payloads
    done = {TopicPartition("events", 2): Committed(17, "epoch=3")}
    inputs.commit(done)
    assert inputs.committed([TopicPartition("events", 1), TopicPartition("events", 2)]) == done
    inputs.close()
    assert payloads == {
        partition: [b"%d" % number for number in range(partition, 100, PARTITIONS)]
        for partition in range(PARTITIONS)
    }


def test_a_closed_broker_makes_no_topics() -> None:
    with EmbeddedBroker() as broker:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        broker.make_topics(["events"])
