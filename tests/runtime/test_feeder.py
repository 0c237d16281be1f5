import json
from threading import Event

from stream_hb.events.partitioner import consistent_partition, murmur2_partition
from stream_hb.runtime.feeder import Feeder
from stream_hb.runtime.sample import SampleEvent, events, impressions
from tests.support.fake_client import FakeBroker, FakeOutput


class Partitions(FakeOutput):
    """Remembers the partition of every record."""

    def __init__(self, broker: FakeBroker) -> None:
        super().__init__(broker)
        self.partitions: list[int | None] = []

    def produce(
        self, topic: str, partition: int | None, key: bytes | None, value: bytes | None
    ) -> None:
        self.partitions.append(partition)
        super().produce(topic, partition, key, value)


def sample() -> list[SampleEvent]:
    return list(events(impressions()[:2_000]))


def fed(topics: tuple[str, ...], stop: Event | None = None) -> tuple[FakeBroker, Partitions]:
    broker = FakeBroker()
    outputs = Partitions(broker)
    Feeder(outputs, topics, 4).feed(sample(), 1e9, stop or Event())
    return broker, outputs


def test_every_event_is_delivered_under_its_store_in_its_partition() -> None:
    broker, outputs = fed(("events",))
    assert [written.value for written in broker.written] == [event.payload for event in sample()]
    for written, partition in zip(broker.written, outputs.partitions, strict=True):
        assert written.key is not None
        assert written.key.decode() == json.loads(written.value or b"")["store_id"]
        assert partition == murmur2_partition(written.key, 4)
    assert set(outputs.partitions) == {0, 1, 2, 3}


def test_events_go_where_the_workers_look_for_their_stores() -> None:
    """Wrong before: always by murmur2, so that with ``consistent`` three of four were rejected."""
    outputs = Partitions(FakeBroker())
    feeder = Feeder(outputs, ("events",), 4, consistent_partition)
    feeder.feed(sample(), 1e9, Event())
    stores = [event.store_id.encode() for event in sample()]
    assert outputs.partitions == [consistent_partition(store, 4) for store in stores]


def test_visits_and_purchases_go_to_topics_of_their_own() -> None:
    broker, _ = fed(("visits", "purchases"))
    kinds = {(w.topic, json.loads(w.value or b"")["event_type"]) for w in broker.written}
    assert kinds == {("visits", "visit"), ("purchases", "purchase")}


def test_told_to_stop_it_feeds_no_more() -> None:
    stop = Event()
    stop.set()
    broker, _ = fed(("events",), stop)
    assert broker.written == []


def test_it_waits_until_everything_is_delivered() -> None:
    broker = FakeBroker()
    outputs = FakeOutput(broker)
    outputs.flushes.extend([7, 3, 0])
    feeder = Feeder(outputs, ("events",), 4)
    feeder.feed(sample(), 1e9, Event())
    assert not outputs.flushes
    assert len(broker.written) == feeder.fed == len(sample())
