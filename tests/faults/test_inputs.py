"""Aborts, poison, lost events and wrong topics on a real broker."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import yaml
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from stream_hb.config import load_config
from stream_hb.engine import Engine
from stream_hb.runtime.assembly import checked_partitions, run_settings, worker
from stream_hb.runtime.client import TransactionAbortedError
from tests.faults.table import add_row
from tests.faults.verify import committed, verified
from tests.runtime.test_run import shop
from tests.support import topics as kafka
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import PARTITIONS, Chain, made_chain, run, terminate
from tests.support.deadline import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

FULL = bool(os.environ.get("STREAM_HB_FAULTS_FULL"))
DRAIN_SECONDS_MAX = 180.0
TopicMaker = Callable[..., str]


@pytest.fixture
def chain(broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path) -> Chain:
    return made_chain(broker.bootstrap_servers, topics, tmp_path)


def reconfigured(chain: Chain, section: str, **values: Any) -> None:
    content = yaml.safe_load(chain.config.read_text())
    content.setdefault(section, {}).update(values)
    chain.config.write_text(yaml.safe_dump(content))


def drained(chain: Chain) -> None:
    def done() -> bool:
        return all(offset == end for offset, end in committed(chain).values())

    wait_until(done, DRAIN_SECONDS_MAX)


class Aborting:
    """One commit of every three and some records fail; the broker sees real aborts.

    Which of the three is drawn, not whether: with every commit drawn apart, a short run had five
    aborts in thirty once in twenty-five runs.
    """

    def __init__(self, transactions: Any, source: random.Random) -> None:
        self._transactions = transactions
        self._source = source
        self._fates: list[bool] = []
        self.commits = self.aborts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transactions, name)

    def _fail(self) -> None:
        self.aborts += 1
        raise TransactionAbortedError("so it is wanted")

    def produce(self, *record: Any) -> None:
        if self._source.random() < 0.0002:
            self._fail()
        self._transactions.produce(*record)

    def commit(self) -> None:
        if not self._fates:
            self._fates = self._source.sample([True, False, False], 3)
        if self._fates.pop():
            self._fail()
        self._transactions.commit()
        self.commits += 1


def test_t6_a_third_of_the_transactions_is_aborted(chain: Chain) -> None:
    events = 100_000 if FULL else 15_000
    reconfigured(chain, "limits", batch_events=750)
    chain.feed(shop(0, events))
    config = load_config(chain.config, {})
    partitions = checked_partitions(config)
    working = worker(config, Engine(run_settings(config, partitions)), 0, partitions)
    delivery: Any = working._delivery
    aborting = Aborting(delivery._transactions, random.Random(6))
    delivery._transactions = aborting
    stop = Event()
    thread = Thread(target=working.run, args=(stop,))
    thread.start()
    try:
        drained(chain)
        wait_until(lambda: not verified(chain).violations, 30)
    finally:
        stop.set()
        thread.join()
    verdict = verified(chain)
    add_row(f"T6 {aborting.aborts} aborts, {aborting.commits} commits", verdict)
    assert not verdict.violations, verdict.violations[:5]
    assert aborting.aborts >= (aborting.aborts + aborting.commits) // 3 > 3


def test_t13_poison_is_rejected_once_each_with_its_place(chain: Chain) -> None:
    events, source = 100_000 if FULL else 15_000, random.Random(13)
    log = shop(0, events)
    poison: dict[bytes, str] = {}
    for number in range(len(log) // 100):
        poison[b"poison %d" % number] = "not_json"
    for number in range(len(log) // 1000):
        poison[
            b'{"schema_version": 1, "event_type": "visit", "event_id": "event-%04d"}' % number
        ] = "missing_field"
    poison[b"x" * 900_000] = "not_json"  # near to what the broker takes at most
    for payload in poison:
        log.insert(source.randrange(len(log)), payload)
    by_place: dict[tuple[str, int], list[bytes | None]] = {}
    expected = set()
    for payload in log:
        anywhere = (chain.visits, source.randrange(PARTITIONS))
        place = anywhere if payload in poison else chain.place(payload)
        some = by_place.setdefault(place, [])
        if payload in poison:
            expected.add((*place, len(some), poison[payload]))
        some.append(payload)
    for (topic, partition), payloads in by_place.items():
        kafka.produce(chain.bootstrap_servers, topic, payloads, partition)
    working = chain.start()
    try:
        drained(chain)
        wait_until(lambda: len(chain.rejected()) >= len(expected), 30)
    finally:
        terminate(working)
    rejected = chain.rejected()
    found = [(r["topic"], r["partition"], r["offset"], r["reason"]) for r in rejected]
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_t14_events_that_are_gone_are_named_and_refused(chain: Chain) -> None:
    chain.feed(shop(0, 1_000))
    working = chain.start()
    drained(chain)
    terminate(working)
    chain.feed(shop(1_000, 1_000))
    place, (offset, end) = next(
        (place, ends) for place, ends in committed(chain).items() if ends[1] > ends[0] + 10
    )
    admin = AdminClient({"bootstrap.servers": chain.bootstrap_servers, "log_level": 0})
    gone = TopicPartition(*place, offset + 5)
    for answer in admin.delete_records([gone]).values():
        answer.result(20)
    refused = run("run", str(chain.config))
    assert refused.returncode == 5
    said = f"{place[0]}-{place[1]}: events {offset}..{offset + 4} are gone before they were read"
    assert said in refused.stderr
    assert committed(chain)[place] == (offset, end)
    accepting = chain.start(0, "--accept-loss")
    drained(chain)
    terminate(accepting)


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
    topic: str, partitions: int, policy: str, said: str, chain: Chain, topics: TopicMaker
) -> None:
    chain.feed(shop(0, 100))
    wrong: Any = topics(partitions=partitions, cleanup_policy=policy)
    reconfigured(chain, "topics", **{topic: [chain.visits, wrong] if topic == "inputs" else wrong})
    refused = run("run", str(chain.config))
    assert refused.returncode == 4
    assert said in refused.stderr
    written = (chain.estimates, chain.state, chain.summaries, chain.hyper, chain.rejects)
    assert not any(kafka.read_all(chain.bootstrap_servers, name) for name in written)
    assert {offset for offset, _ in committed(chain).values()} == {0}
