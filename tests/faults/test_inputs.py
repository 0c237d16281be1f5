"""Aborts, poison, lost events and wrong topics on a real broker."""

import random
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_hb.statelog.records import MARKER_KEY, decoded, encoded
from tests.faults.fleet import FULL, Fleet, judged, point_fits, reconfigured
from tests.faults.nursery import Nursery
from tests.faults.table import Row, add_row
from tests.faults.verify import committed, committed_notes, rejects
from tests.faults.workload import Workload
from tests.support import topics as kafka
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import PARTITIONS, Chain, made_chain
from tests.support.deadline import wait_until
from tests.support.records import name_of

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

STORES = 40
EVENTS = 100_000 if FULL else 8_000
BATCH_EVENTS = 750
TopicMaker = Callable[..., str]


@pytest.fixture
def small(
    broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path, nursery: Nursery
) -> Iterator[Fleet]:
    """A fleet of few stores and small batches."""
    chain = made_chain(broker.bootstrap_servers, topics, tmp_path)
    point_fits(chain)
    reconfigured(chain, "limits", batch_events=BATCH_EVENTS)
    made = Fleet(chain, nursery, Workload(STORES, PARTITIONS), broker)
    yield made
    made.end()


class Follower:
    """Reads the committed estimates while they are written, as a pricing feed would."""

    def __init__(self, chain: Chain) -> None:
        self.seen: list[tuple[int, int, bytes | None]] = []
        self._chain = chain
        self._stop = Event()
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._chain.bootstrap_servers,
                "group.id": "follower",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 10,
                "log_level": 0,
            }
        )
        topic = self._chain.estimates
        consumer.assign([TopicPartition(topic, n, 0) for n in range(self._chain.partitions)])
        idle = 0
        while idle < 20:
            messages = consumer.consume(10_000, 0.1)
            idle = idle + 1 if self._stop.is_set() and not messages else 0
            self.seen += [(m.partition() or 0, m.offset() or 0, m.value()) for m in messages]
        consumer.close()

    def end(self) -> list[tuple[int, int, bytes | None]]:
        """Return what it read, in each partition in the order in which it came."""
        self._stop.set()
        self._thread.join()
        return sorted(self.seen, key=lambda seen: seen[0])


def test_t6_a_third_of_the_transactions_is_aborted(own_broker: RealBroker, small: Fleet) -> None:
    chain = small.chain
    reconfigured(chain, "emission", everything_touched=True)  # so that every abort hides some
    follower = Follower(chain)
    small.feed(100)
    small.start(0, aborts=[6])
    chain.wait_until_said("refit ")  # nothing is emitted before a worker has caught up
    small.feed(round(EVENTS / 1.13))
    small.drain_fed()
    small.quiet()
    followed = follower.end()
    small.leave()
    aborts = chain.said().count("abort wanted")
    verdict = judged(small, "T6", f"{aborts} aborts")
    assert verdict.aborted > 0
    read = kafka.read_all(chain.bootstrap_servers, chain.estimates)
    assert followed == sorted(((r.partition, r.offset, r.value) for r in read), key=lambda r: r[0])
    assert aborts >= EVENTS / BATCH_EVENTS / 4, "too few were aborted"


def test_t13_poison_is_rejected_once_each_with_its_place(small: Fleet) -> None:
    """A third of the transactions is aborted besides: what they reject must not be seen."""
    chain, source = small.chain, random.Random(13)
    workload = Workload(STORES, PARTITIONS)
    names = chain.visits, chain.purchases
    log = [
        (names[0 if fed.is_visit else 1], fed.partition, fed.payload)
        for fed in workload.events(0, round(EVENTS / 1.13))
    ]
    poison = _poison(len(log))
    for payload in poison:
        place = names[0], source.randrange(PARTITIONS), payload
        log.insert(source.randrange(len(log)), place)
    by_place: dict[tuple[str, int], list[bytes | None]] = {}
    expected = set()
    for topic, partition, payload in log:
        some = by_place.setdefault((topic, partition), [])
        if payload in poison:
            expected.add((topic, partition, len(some), poison[payload]))
        some.append(payload)
    for (topic, partition), payloads in by_place.items():
        kafka.produce(chain.bootstrap_servers, topic, payloads, partition)
    small.start(0, aborts=[13])
    small.drain_fed()
    small.quiet()
    small.leave()
    found = [(r["topic"], r["partition"], r["offset"], r["reason"]) for r in rejects(chain)]
    verdict = judged(small, "T13", f"{len(expected)} poisonous events")
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert verdict.events == len(log)


def _poison(events: int) -> dict[bytes, str]:
    """Return 1 % that is no JSON, .1 % that is no event, and one as large as the broker takes."""
    found = {b"poison %d" % number: "not_json" for number in range(events // 100)}
    invalid = b'{"schema_version": 1, "event_type": "visit", "event_id": "event-%04d"}'
    found |= {invalid % number: "missing_field" for number in range(events // 1000)}
    return {**found, b"x" * 900_000: "not_json"}


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_t14_events_that_are_gone_are_named_and_refused(small: Fleet) -> None:
    chain = small.chain
    small.feed(1_000)
    small.start(0)
    small.drain_fed()
    small.leave()
    small.feed(1_000)
    place, (offset, end) = next(
        (place, ends) for place, ends in committed(chain).items() if ends[1] > ends[0] + 10
    )
    admin = AdminClient({"bootstrap.servers": chain.bootstrap_servers, "log_level": 0})
    gone = TopicPartition(*place, offset + 5)
    for answer in admin.delete_records([gone]).values():
        answer.result(20)
    assert small.start(0).wait(60) == 5
    said = f"{place[0]}-{place[1]}: events {offset}..{offset + 4} are gone before they were read"
    assert said in chain.said()
    assert committed(chain)[place] == (offset, end)
    small.start(0, {}, "--accept-loss")
    small.drain_fed()
    small.leave()
    told = "5 events deleted before they were read: named and refused, exit code 5"
    add_row(Row("T14", told, "", "2,000", "", "", "0", ""))


WRONG_TOPICS = [
    ("state", PARTITIONS + 1, "compact", "of the state has"),
    ("hyper", 2, "compact", "it needs 1"),
    ("state", PARTITIONS, "delete", "cleanup.policy=delete"),
    ("summaries", PARTITIONS - 1, "compact", "of the summaries has"),
    ("estimates", PARTITIONS, "delete", "is not compacted"),
    ("inputs", PARTITIONS + 1, "delete", "input topics need equally many partitions"),
]


@pytest.mark.parametrize(
    ("topic", "partitions", "policy", "said"), WRONG_TOPICS if FULL else WRONG_TOPICS[:2]
)
def test_t15_wrong_topics_are_refused_before_anything_is_written(
    topic: str, partitions: int, policy: str, said: str, small: Fleet, topics: TopicMaker
) -> None:
    chain = small.chain
    small.feed(100)
    wrong: Any = topics(partitions=partitions, cleanup_policy=policy)
    reconfigured(chain, "topics", **{topic: [chain.visits, wrong] if topic == "inputs" else wrong})
    assert small.start(0).wait(60) == 4
    assert said in chain.said()
    written = (chain.estimates, chain.state, chain.summaries, chain.hyper, chain.rejects)
    assert not any(kafka.read_all(chain.bootstrap_servers, name) for name in written)
    assert {offset for offset, _ in committed(chain).values()} == {0}
    add_row(Row("T15", f"{topic}: {said}", "0", "100", "0", "0", "0", ""))


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_t14_a_state_log_that_lost_its_end_is_refused_and_then_told_again(
    small: Fleet, topics: TopicMaker
) -> None:
    chain = small.chain
    _some_transactions(small, rounds=4)
    rows = kafka.read_all(chain.bootstrap_servers, chain.state)
    cut = {n: _marker_rows(rows, n)[-3] for n in range(PARTITIONS)}
    short = topics(partitions=PARTITIONS, cleanup_policy="compact")
    _copy(chain, short, [row for row in rows if row.offset <= cut[row.partition].offset])
    small.chain = _of_state(chain, short)
    assert all(note.startswith("seq=") for note in committed_notes(chain).values())
    assert small.start(0).wait(60) == 5
    assert "are not of one history" in small.chain.said()
    small.start(0, {}, "--accept-loss")
    stores = {name_of(record) for record in chain.records()}
    wait_until(lambda: _told_under(chain, 2) == stores, 60)
    small.drain_fed()
    small.quiet()
    small.leave()
    judged(small, "T14", "the state's log without its end: refused, exit code 5; told again")


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
@pytest.mark.parametrize("which", ["topic", "cluster"])
def test_t15_a_state_that_was_counted_from_other_topics_is_refused(
    which: str, small: Fleet, topics: TopicMaker
) -> None:
    chain = small.chain
    _some_transactions(small)
    if which == "topic":
        _make_anew(chain, chain.visits)
        said = rf"input topic '{chain.visits}': its id is \S+, that of the topic which the state"
    else:
        rows = kafka.read_all(chain.bootstrap_servers, chain.state)
        mirrored = topics(partitions=PARTITIONS, cleanup_policy="compact")
        _copy(chain, mirrored, [_of_cluster(row, "elsewhere") for row in rows])
        chain = small.chain = _of_state(chain, mirrored)
        said = r"this cluster is \S+, the state was counted on cluster elsewhere"
    written = len(chain.records())
    before = committed(chain)
    assert small.start(0).wait(60) == 5
    assert re.search(said, chain.said()), chain.said()[-3000:]
    assert len(chain.records()) == written
    assert committed(chain) == before
    small.start(0, {}, "--accept-loss")
    wait_until(lambda: bool(_told_under(chain, 2)), 60)
    small.feed(100)
    small.drain_fed()
    small.leave()
    add_row(Row("T15", f"another {which} of the same name", "0", "100", "0", "0", "0", ""))


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_t15_a_topic_that_is_made_anew_under_a_running_worker_is_refused(small: Fleet) -> None:
    """Kafka deletes what the group has committed with the topic, and the new one is longer: what
    it has at the old offsets would be read on, as if the events before it had been counted."""
    chain = small.chain
    worker = small.start(0)
    small.feed(500)
    small.drain_fed()
    small.quiet()
    worker.send_signal(signal.SIGSTOP)
    _make_anew(chain, chain.visits)
    small.feed(2_000)
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(120) == 5
    said = rf"input topic '{chain.visits}': its id is \S+, that of the topic which the state"
    assert re.search(said, chain.said()), chain.said()[-3000:]
    add_row(Row("T15", "a topic made anew under its worker", "0", "2,500", "0", "0", "0", ""))


def _some_transactions(small: Fleet, rounds: int = 1) -> None:
    small.start(0)
    for _ in range(rounds):
        small.feed(500)
        small.drain_fed()
        small.quiet()
    small.leave()


def _marker_rows(rows: list[kafka.Record], number: int) -> list[kafka.Record]:
    return [row for row in rows if row.partition == number and row.key == MARKER_KEY]


def _copy(chain: Chain, topic: str, rows: list[kafka.Record]) -> None:
    """Write records of a state's log to a topic, as a mirror does."""
    producer = Producer({"bootstrap.servers": chain.bootstrap_servers, "linger.ms": 5})
    for row in rows:
        producer.produce(topic, row.value, row.key, partition=row.partition)
    assert producer.flush(30) == 0


def _of_cluster(row: kafka.Record, cluster: str) -> kafka.Record:
    if row.key != MARKER_KEY:
        return row
    marker = decoded(row.value or b"")
    return row._replace(
        value=encoded({**marker, "origin": {**marker["origin"], "cluster": cluster}})
    )


def _of_state(chain: Chain, state: str) -> Chain:
    reconfigured(chain, "topics", state=state)
    return replace(chain, state=state)


def _make_anew(chain: Chain, topic: str) -> None:
    """Delete a topic and make it again, under its old name."""
    admin = AdminClient({"bootstrap.servers": chain.bootstrap_servers, "log_level": 0})
    for answer in admin.delete_topics([topic], operation_timeout=20).values():
        answer.result(20)
    wait_until(lambda: topic not in admin.list_topics(timeout=5).topics, 30)
    kafka.create(chain.bootstrap_servers, topic, PARTITIONS)


def _told_under(chain: Chain, epoch: int) -> set[tuple[str, str, str]]:
    return {name_of(r) for r in chain.records() if r["version"]["epoch"] == epoch}
