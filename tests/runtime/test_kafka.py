"""The transport: its settings without a broker, everything else on a real one."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient

from stream_hb.errors import ConfigError
from stream_hb.events.batch import RawBatch
from stream_hb.runtime.client import (
    ClientError,
    Committed,
    DeliveryError,
    GroupMovedError,
    InputClient,
    OutputClient,
    Polled,
    TopicPartition,
    TransientError,
    Trouble,
    TroubleKind,
    Watermarks,
)
from stream_hb.runtime.embedded import EmbeddedBroker
from stream_hb.runtime.kafka import (
    KafkaInput,
    KafkaOutput,
    consumer_settings,
    producer_settings,
)
from stream_hb.runtime.reader import EstimateReader
from stream_hb.runtime.topic_admin import inspect_topics
from tests.support.broker import NamedBroker, RealBroker
from tests.support.deadline import at_most
from tests.support.topics import produce, read_all

Broker = RealBroker | NamedBroker
TopicMaker = Callable[..., str]
SECONDS_MAX = 30


class Member:
    """A worker's input in a test: starts what it gets, or goes on with it, and collects."""

    def __init__(self, inputs: InputClient, start_at: int = 0, starts: bool = True) -> None:
        self.inputs = inputs
        self.owned: set[TopicPartition] = set()
        self.batches: list[RawBatch] = []
        self.troubles: list[Trouble] = []
        self._next: dict[TopicPartition, int] = {}
        self._start_at = start_at
        self._starts = starts

    def poll(self, seconds: float = 0.05) -> Polled:
        polled = self.inputs.poll(10_000, seconds)
        self.owned = (self.owned - set(polled.revoked)) | set(polled.assigned)
        if polled.assigned and self._starts:
            self.inputs.start({p: self._next.get(p, self._start_at) for p in polled.assigned})
        self.batches += polled.batches
        for batch in polled.batches:
            self._next[TopicPartition(batch.topic, batch.partition)] = batch.next_offset
        self.troubles += polled.troubles
        return polled

    def poll_until(self, done: Callable[[], bool]) -> None:
        wait_until(done, self.poll)

    @property
    def count(self) -> int:
        return sum(len(batch.payloads) for batch in self.batches)

    def seen(self, topic: str, partition: int) -> list[tuple[int, bytes | None]]:
        return [
            (batch.offset_of(index), payload)
            for batch in self.batches
            if (batch.topic, batch.partition) == (topic, partition)
            for index, payload in enumerate(batch.payloads)
        ]

    def met(self, kind: TroubleKind) -> bool:
        return any(trouble.kind is kind for trouble in self.troubles)


def wait_until(done: Callable[[], bool], *steps: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not done():
        assert time.monotonic() < deadline, f"did not come to pass within {SECONDS_MAX} s"
        for step in steps:
            step()


class Joining:
    """Makes members of the groups of one test, and lets them leave at its end."""

    def __init__(self, broker: Broker, leaving: ExitStack) -> None:
        self._broker = broker
        self._leaving = leaving

    def __call__(
        self,
        *topics: str,
        group: str | None = None,
        instance: str | None = None,
        start_at: int = 0,
        starts: bool = True,
        **overrides: object,
    ) -> Member:
        settings = consumer_settings(
            self._broker.bootstrap_servers,
            group or f"group-of-{topics[0]}",
            topics,
            instance,
            {
                "heartbeat.interval.ms": 200,  # how soon a member learns that another came
                **{name.replace("_", "."): value for name, value in overrides.items()},
            },
        )
        inputs = KafkaInput(topics, settings)
        self._leaving.callback(inputs.close)
        return Member(inputs, start_at, starts)


@pytest.fixture
def join(broker: Broker) -> Iterable[Joining]:
    with ExitStack() as leaving:
        yield Joining(broker, leaving)


@pytest.fixture
def output(broker: Broker) -> Iterable[KafkaOutput]:
    output = KafkaOutput(producer_settings(broker.bootstrap_servers))
    yield output
    output.close()


# Without a broker


def test_one_topic_is_assigned_cooperatively_and_several_by_range() -> None:
    def assignor(*topics: str) -> object:
        return consumer_settings("h:1", "g", topics)["partition.assignment.strategy"]

    assert assignor("events") == "cooperative-sticky"
    assert assignor("visits", "purchases") == "range"


def test_the_users_settings_come_last() -> None:
    settings = consumer_settings("h:1", "g", ["a"], "slot-1", {"session.timeout.ms": "6000"})
    assert settings["session.timeout.ms"] == "6000"
    assert settings["group.instance.id"] == "slot-1"
    assert producer_settings("h:1", {"linger.ms": "0"})["linger.ms"] == "0"


def test_without_a_broker_there_is_a_trouble_and_no_line_on_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    inputs = KafkaInput(["a"], consumer_settings("127.0.0.1:1", "g", ["a"]))
    member = Member(inputs)
    member.poll_until(lambda: member.met(TroubleKind.BROKERS_DOWN))
    member.poll(1)
    inputs.close()
    assert [trouble.kind for trouble in member.troubles] == [TroubleKind.BROKERS_DOWN]
    assert "Connection refused" in member.troubles[0].detail
    assert capfd.readouterr().err == ""


def test_the_kafka_clients_are_what_the_protocol_asks_for() -> None:
    def use(_inputs: InputClient, _outputs: OutputClient) -> None:
        """Let mypy compare the signatures."""

    inputs = KafkaInput(["a"], consumer_settings("127.0.0.1:1", "g", ["a"]))
    outputs = KafkaOutput(producer_settings("127.0.0.1:1"))
    use(inputs, outputs)
    inputs.close()
    outputs.close()


def test_a_broker_may_be_away_for_as_long_as_it_likes() -> None:
    """Not 300 s, librdkafka's default, after which it gives records up."""
    assert producer_settings("h:1")["message.timeout.ms"] == 0


def test_a_report_of_success_is_no_lost_record() -> None:
    with EmbeddedBroker() as embedded:
        settings = {"delivery.report.only.error": False}
        output = KafkaOutput(producer_settings(embedded.bootstrap_servers, settings))
        output.produce("t", 0, None, b"1")
        assert output.flush(SECONDS_MAX) == 0
        output.close()


def test_a_setting_that_the_client_refuses_is_an_error_of_the_configuration() -> None:
    """Some are refused by one kind of client only, so that every kind is asked."""
    consumer = consumer_settings("h:1", "g", ["a"], None, {"session.timeout.ms": "0"})
    for make in (
        lambda: KafkaInput(["a"], consumer),
        lambda: KafkaOutput(producer_settings("h:1", {"acks": "some"})),
        lambda: inspect_topics("h:1", [], {"nonsense": "1"}),
        lambda: EstimateReader("h:1", "estimates", {"nonsense": "1"}),
    ):
        with pytest.raises(ConfigError, match=r"kafka\.client: "):
            make()


# On a real broker


@pytest.mark.broker
def test_every_payload_comes_once_in_order_with_its_offset(
    broker: Broker, topics: TopicMaker, join: Joining
) -> None:
    visits, purchases = topics(partitions=2), topics(partitions=2)
    sent = {
        (topic, partition): [b"%s %d %d" % (topic.encode(), partition, i) for i in range(5_000)]
        for topic in (visits, purchases)
        for partition in (0, 1)
    }
    for (topic, partition), payloads in sent.items():
        produce(broker.bootstrap_servers, topic, payloads, partition)
    member = join(visits, purchases)
    member.poll_until(lambda: member.count >= 20_000)
    for (topic, partition), payloads in sent.items():
        assert member.seen(topic, partition) == list(enumerate(payloads))
        last = [b for b in member.batches if (b.topic, b.partition) == (topic, partition)][-1]
        assert last.next_offset == 5_000
    assert member.troubles == []


@pytest.mark.broker
def test_assigned_partitions_are_silent_until_started_and_can_be_moved(
    broker: Broker, topics: TopicMaker, join: Joining
) -> None:
    topic = topics()
    produce(broker.bootstrap_servers, topic, [b"%d" % i for i in range(10)])
    member = join(topic, starts=False)
    member.poll_until(lambda: bool(member.owned))
    member.poll(0.5)
    assert member.batches == []
    (partition,) = member.owned
    member.inputs.start({partition: 7})
    member.poll_until(lambda: member.count >= 3)
    assert [offset for offset, _ in member.seen(topic, 0)] == [7, 8, 9]
    member.batches.clear()
    member.inputs.start({partition: 2})
    member.poll_until(lambda: member.count >= 8)
    assert [offset for offset, _ in member.seen(topic, 0)] == list(range(2, 10))


@pytest.mark.broker
def test_of_a_paused_partition_nothing_comes_until_it_is_started(
    broker: Broker, topics: TopicMaker, join: Joining
) -> None:
    topic = topics()
    produce(broker.bootstrap_servers, topic, [b"0", b"1"])
    member = join(topic)
    member.poll_until(lambda: member.count >= 2)
    member.inputs.pause(member.owned)
    produce(broker.bootstrap_servers, topic, [b"2"])
    member.poll(0.5)
    assert member.count == 2
    member.inputs.start(dict.fromkeys(member.owned, 2))
    member.poll_until(lambda: member.count >= 3)
    assert [payload for _, payload in member.seen(topic, 0)] == [b"0", b"1", b"2"]


@pytest.mark.broker
def test_a_commit_keeps_its_metadata_for_the_next_member(topics: TopicMaker, join: Joining) -> None:
    topic = topics(partitions=2)
    first = join(topic)
    first.poll_until(lambda: len(first.owned) == 2)
    assert first.inputs.committed(first.owned) == {}
    done = {TopicPartition(topic, 0): Committed(0, "epoch=3")}
    first.inputs.commit(done)
    second = join(topic)
    assert second.inputs.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)]) == done


@pytest.mark.broker
def test_watermarks_are_the_ends_for_a_reader_of_committed_messages(
    broker: Broker, topics: TopicMaker, join: Joining
) -> None:
    topic = topics()
    member = join(topic)
    assert member.inputs.watermarks(TopicPartition(topic, 0)) == Watermarks(0, 0)
    produce(broker.bootstrap_servers, topic, [b"a", b"b"])
    assert member.inputs.watermarks(TopicPartition(topic, 0)) == Watermarks(0, 2)


@pytest.mark.broker
def test_aborted_messages_do_not_come_and_leave_a_gap_in_the_offsets(
    broker: Broker, topics: TopicMaker, join: Joining
) -> None:
    topic = topics()
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap_servers, "transactional.id": topic, "log_level": 0}
    )
    producer.init_transactions(SECONDS_MAX)
    for payload, end in (
        (b"kept 0", producer.commit_transaction),
        (b"aborted 2", producer.abort_transaction),
        (b"kept 4", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(topic, payload, partition=0)
        producer.flush()
        end()
    member = join(topic)
    member.poll_until(lambda: member.count >= 2)
    assert member.seen(topic, 0) == [(0, b"kept 0"), (4, b"kept 4")]


@pytest.mark.broker
def test_a_second_member_gets_the_same_partition_numbers_of_both_topics(
    broker: Broker, topics: TopicMaker, join: Joining
) -> None:
    visits, purchases = topics(partitions=4), topics(partitions=4)
    first = join(visits, purchases)
    first.poll_until(lambda: len(first.owned) == 8)
    second = join(visits, purchases)
    wait_until(lambda: len(first.owned) == len(second.owned) == 4, first.poll, second.poll)
    for member in (first, second):
        numbers = {
            topic: {p.partition for p in member.owned if p.topic == topic}
            for topic in (visits, purchases)
        }
        assert numbers[visits] == numbers[purchases]
    assert not first.owned & second.owned


@pytest.mark.broker
def test_with_one_topic_a_second_member_takes_only_what_it_needs(
    topics: TopicMaker, join: Joining
) -> None:
    topic = topics(partitions=4)
    first = join(topic)
    first.poll_until(lambda: len(first.owned) == 4)
    second = join(topic)
    revoked: list[TopicPartition] = []
    wait_until(
        lambda: len(first.owned) == len(second.owned) == 2,
        lambda: revoked.extend(first.poll().revoked),
        second.poll,
    )
    assert set(revoked) == second.owned


@pytest.mark.broker
def test_a_commit_of_a_member_that_the_group_has_left_behind_is_refused(
    topics: TopicMaker, join: Joining
) -> None:
    topic = topics()
    first = join(topic, session_timeout_ms=6_000, max_poll_interval_ms=6_000)
    first.poll_until(lambda: bool(first.owned))
    (partition,) = first.owned
    time.sleep(6.5)  # the shortest silence that a broker lets a member set
    with pytest.raises(GroupMovedError):
        first.inputs.commit({partition: Committed(0)})
    assert first.poll().revoked == [partition]
    assert first.met(TroubleKind.MEMBERSHIP_LOST)
    first.poll_until(lambda: bool(first.owned))  # and joins again


@pytest.mark.broker
def test_a_second_holder_of_a_slot_ends_the_first(topics: TopicMaker, join: Joining) -> None:
    topic = topics()
    first = join(topic, instance="slot-0")
    first.poll_until(lambda: bool(first.owned))
    second = join(topic, instance="slot-0")
    wait_until(lambda: first.met(TroubleKind.FENCED), first.poll, second.poll)


@pytest.mark.broker
def test_an_offset_that_is_not_kept_any_more_is_a_trouble_and_never_skipped(
    broker: Broker, topics: TopicMaker, join: Joining
) -> None:
    topic = topics()
    produce(broker.bootstrap_servers, topic, [b"%d" % i for i in range(10)])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    for deleted in admin.delete_records([KafkaTopicPartition(topic, 0, 6)]).values():
        deleted.result(SECONDS_MAX)
    member = join(topic, start_at=2)
    member.poll_until(lambda: member.met(TroubleKind.OFFSET_LOST))
    assert member.troubles[-1].where == TopicPartition(topic, 0)
    assert member.count == 0


@pytest.mark.broker
def test_a_topic_that_does_not_exist_is_a_trouble(broker: Broker, join: Joining) -> None:
    member = join("no-such-topic")
    member.poll_until(lambda: member.met(TroubleKind.TOPIC_GONE))


@pytest.mark.broker
def test_records_arrive_with_key_value_and_partition(
    broker: Broker, topics: TopicMaker, output: KafkaOutput
) -> None:
    topic = topics(partitions=2)
    output.produce(topic, 1, b"key", b"value")
    output.produce(topic, 1, b"key", None)
    assert output.flush(SECONDS_MAX) == 0
    assert [(r.partition, r.key, r.value) for r in read_all(broker.bootstrap_servers, topic)] == [
        (1, b"key", b"value"),
        (1, b"key", None),
    ]


@pytest.mark.broker
def test_without_a_partition_the_key_decides(
    broker: Broker, topics: TopicMaker, output: KafkaOutput
) -> None:
    topic = topics(partitions=4)
    for _ in range(3):
        for key in (b"a", b"b", b"c", b"d", b"e"):
            output.produce(topic, None, key, b"")
    assert output.flush(SECONDS_MAX) == 0
    records = read_all(broker.bootstrap_servers, topic)
    assert len({(record.key, record.partition) for record in records}) == 5


@pytest.mark.broker
def test_a_record_that_the_client_cannot_take_is_an_error_of_ours(
    topics: TopicMaker, output: KafkaOutput
) -> None:
    with pytest.raises(ClientError, match="write to topic"):
        output.produce(topics(), 0, None, b"x" * 2_000_000)


@pytest.mark.broker
def test_a_record_that_the_broker_does_not_take_is_an_error_at_the_flush(
    topics: TopicMaker, output: KafkaOutput
) -> None:
    topic = topics()
    output.produce(topic, 7, None, b"there is no partition 7")
    with pytest.raises(DeliveryError, match=rf"1 records were not delivered: topic {topic}"):
        output.flush(SECONDS_MAX)
    assert output.flush(SECONDS_MAX) == 0


@pytest.mark.broker
def test_a_full_queue_waits_for_the_broker(broker: Broker, topics: TopicMaker) -> None:
    topic = topics()
    settings = {"queue.buffering.max.messages": 10}
    output = KafkaOutput(producer_settings(broker.bootstrap_servers, settings))
    for number in range(200):
        output.produce(topic, 0, None, b"%d" % number)
    assert output.flush(SECONDS_MAX) == 0
    output.close()
    records = read_all(broker.bootstrap_servers, topic)
    assert [record.value for record in records] == [b"%d" % number for number in range(200)]


@pytest.mark.broker
def test_a_killed_broker_that_comes_back_is_gone_on_with_and_clients_can_leave_meanwhile(
    own_broker: RealBroker, topics: TopicMaker, join: Joining, output: KafkaOutput
) -> None:
    topic = topics()
    partition = TopicPartition(topic, 0)
    produce(own_broker.bootstrap_servers, topic, [b"%d" % i for i in range(100)])
    settings = consumer_settings(own_broker.bootstrap_servers, f"leaving-{topic}", [topic])
    leaving = Member(KafkaInput([topic], settings))
    leaving_output = KafkaOutput(producer_settings(own_broker.bootstrap_servers))
    member = join(topic)
    wait_until(lambda: member.count == leaving.count == 100, member.poll, leaving.poll)
    own_broker.kill()
    try:
        output.produce(topic, 0, None, b"100")
        assert output.flush(0.5) == 1
        member.poll_until(lambda: member.met(TroubleKind.BROKERS_DOWN))
        with at_most(3), pytest.raises(TransientError):
            member.inputs.commit({partition: Committed(100)})
        leaving_output.produce(topic, 0, None, b"never delivered")
        with at_most(3):
            leaving.inputs.close()
            leaving_output.close()
    finally:
        own_broker.start()
    assert output.flush(SECONDS_MAX) == 0
    member.poll_until(lambda: member.count >= 101)
    assert member.seen(topic, 0) == [(i, b"%d" % i) for i in range(101)]
    done = {partition: Committed(101, "epoch=1")}
    wait_until(lambda: commits(member.inputs, done), member.poll)
    assert member.inputs.committed([partition]) == done


def commits(inputs: InputClient, offsets: dict[TopicPartition, Committed]) -> bool:
    try:
        inputs.commit(offsets)
    except (TransientError, GroupMovedError):
        return False
    return True
