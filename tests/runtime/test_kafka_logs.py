"""The topics that a slot writes, on a real broker."""

from collections.abc import Iterator

import pytest

from stream_hb.runtime.client import TopicPartition, TransientError
from stream_hb.runtime.kafka_logs import KafkaLogs
from stream_hb.runtime.kafka_transactions import KafkaTransactions, transaction_settings
from tests.faults.conftest import TopicMaker
from tests.support.broker import NamedBroker, RealBroker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

Slots = tuple[str, KafkaTransactions, KafkaTransactions]


@pytest.fixture
def slots(broker: RealBroker | NamedBroker, topics: TopicMaker) -> Iterator[Slots]:
    """A topic that two slots write."""
    topic, servers = topics(3), broker.bootstrap_servers
    made = [
        KafkaTransactions(transaction_settings(servers, f"{topic}-{n}"), [topic]) for n in range(2)
    ]
    yield topic, made[0], made[1]
    for each in made:
        each.close()


def leave_open(topic: str, slot: KafkaTransactions) -> None:
    slot.renew()
    slot.begin()
    slot.produce(topic, 1, b"key", b"value")
    slot._flush()


def test_a_partition_with_an_open_transaction_is_told_until_it_ends(slots: Slots) -> None:
    topic, writing, looking = slots
    leave_open(topic, writing)
    logs = KafkaLogs(looking._settings, [topic])
    assert logs.ends() == {TopicPartition(topic, n): int(n == 1) for n in range(3)}
    assert logs.unended(logs.ends()) == [TopicPartition(topic, 1)]
    writing.commit()
    assert logs.unended(logs.ends()) == []


def test_a_slot_is_not_taken_beside_a_transaction_that_stays_open(slots: Slots) -> None:
    topic, writing, coming = slots
    leave_open(topic, writing)
    with pytest.raises(TransientError, match=f"open in {topic}-1; .*find-hanging"):
        coming.renew()
    writing.commit()
    coming.renew()


def test_a_topic_that_the_broker_does_not_know_is_waited_for(
    broker: RealBroker | NamedBroker,
) -> None:
    settings = transaction_settings(broker.bootstrap_servers, "slot")
    with pytest.raises(TransientError, match="does not know topic nowhere"):
        KafkaLogs(settings, ["nowhere"]).ends()
    with pytest.raises(TransientError, match="nowhere"):
        KafkaTransactions(settings, ["nowhere"]).renew()
