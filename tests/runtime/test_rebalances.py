"""Shards that come back in a rebalance of two topics, which takes all of them: a real broker."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_hb.runtime.client import TopicPartition
from stream_hb.runtime.kafka_state import KafkaState
from stream_hb.runtime.kafka_transactions import KafkaTransactions, transaction_settings
from tests.faults.fleet import FULL
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import PARTITIONS, Chain, made_chain, terminate
from tests.support.logs import visit
from tests.support.records import Record, assert_without_gaps, newest
from tests.support.topics import read_all

pytestmark = pytest.mark.broker

SECONDS_MAX = 20.0
START_MS = 1_760_000_000_000
STORES = 40
TAKEN, REFUSED = "shard taken back", "a shard in memory does not fit"

TopicMaker = Callable[..., str]


def writer(broker: RealBroker | NamedBroker, name: str) -> KafkaTransactions:
    made = KafkaTransactions(transaction_settings(broker.bootstrap_servers, name))
    made.renew()
    return made


def write(transactions: KafkaTransactions, topic: str, partitions: int, records: int) -> None:
    """Begin a transaction: so many records to each partition, the last of each tracked."""
    transactions.begin()
    for number in range(records):
        for partition in range(partitions):
            last = number == records - 1
            transactions.produce(topic, partition, b"%d" % number, b"value", tracked=last)


def ends_within(state: KafkaState, partition: int, end: int | None) -> bool:
    """Tell whether a partition comes to end there: a marker arrives a moment after the commit."""
    deadline = time.monotonic() + SECONDS_MAX
    while state.end(partition) != end:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def state(broker: RealBroker | NamedBroker, topics: TopicMaker) -> Iterator[KafkaState]:
    made = KafkaState(broker.bootstrap_servers, topics(partitions=3), {})
    yield made
    made.close()


def test_a_partition_ends_where_the_producer_says_after_every_transaction(
    broker: RealBroker | NamedBroker, state: KafkaState
) -> None:
    """One marker a partition, whatever was written, and none where nothing was."""
    topic = state._topic
    mine = writer(broker, f"{topic}.mine")
    for records in (1, 3, 500):
        write(mine, topic, 2, records)
        mine.commit()
        for partition in range(2):
            tracked = mine.tracked_end(TopicPartition(topic, partition))
            assert ends_within(state, partition, tracked)
    assert mine.tracked_end(TopicPartition(topic, 0)) == 1 + 3 + 500 + 3
    assert mine.tracked_end(TopicPartition(topic, 2)) is None
    assert state.end(2) == 0
    mine.close()


def test_what_anybody_else_began_moves_a_partitions_end(
    broker: RealBroker | NamedBroker, state: KafkaState
) -> None:
    topic = state._topic
    mine, other = writer(broker, f"{topic}.mine"), writer(broker, f"{topic}.other")
    write(mine, topic, 1, 3)
    mine.commit()
    tracked = mine.tracked_end(TopicPartition(topic, 0))
    assert tracked is not None
    assert ends_within(state, 0, tracked)
    write(other, topic, 1, 1)
    other._mine.flush(SECONDS_MAX)
    assert state.end(0) == tracked + 1  # it is open
    other.abort()
    assert ends_within(state, 0, tracked + 2)
    assert mine.tracked_end(TopicPartition(topic, 0)) == tracked
    for each in (mine, other):
        each.close()


def test_what_was_aborted_is_not_where_a_producer_says_that_a_partition_ends(
    broker: RealBroker | NamedBroker, state: KafkaState
) -> None:
    topic = state._topic
    mine = writer(broker, f"{topic}.mine")
    write(mine, topic, 1, 2)
    mine.commit()
    write(mine, topic, 1, 2)
    mine._mine.flush(SECONDS_MAX)
    mine.abort()
    assert mine.tracked_end(TopicPartition(topic, 0)) == 3
    assert ends_within(state, 0, 6)
    write(mine, topic, 1, 2)
    mine.commit()
    assert mine.tracked_end(TopicPartition(topic, 0)) == 9
    assert ends_within(state, 0, 9)
    mine.close()


@pytest.fixture
def chain(broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path) -> Chain:
    return made_chain(broker.bootstrap_servers, topics, tmp_path)


@pytest.fixture
def start(chain: Chain) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        started.append(chain.start(len(started)))
        return started[-1]

    yield begin
    for worker in started:
        worker.send_signal(signal.SIGCONT)
        worker.kill()
        worker.wait()


def visits(first: int, count: int) -> list[bytes]:
    """Visits to every store in turn."""
    return [
        visit(f"s{number % STORES}", f"v{number}", START_MS + number * 1000, "north")
        for number in range(first, first + count)
    ]


def counted(chain: Chain, wanted: int) -> list[Record]:
    """Wait until the newest estimates have so many visits; return all that were written."""

    def done(records: list[Record]) -> bool:
        rates = (r for r in newest(records).values() if r["metric"] == "conversion")
        return sum(int(r["n_eff"]) for r in rates) == wanted

    return chain.settled(done)


def test_shards_that_stay_in_a_rebalance_are_taken_back_without_their_logs(
    chain: Chain, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    first = start()
    chain.feed(visits(0, 400))
    counted(chain, 400)
    second = start()
    half = PARTITIONS // 2
    chain.wait_until_said(TAKEN, half)
    chain.wait_until_said("shard restored", PARTITIONS)  # as many are the second's, from the log
    chain.feed(visits(400, 200))
    counted(chain, 600)
    assert chain.said().count(TAKEN) == half
    terminate(second)
    chain.wait_until_said(TAKEN, PARTITIONS)  # a static member's session has to end first
    chain.feed(visits(600, 200))
    records = counted(chain, 800)
    assert_without_gaps(records)
    assert {record["version"]["epoch"] for record in records} == {1}
    assert chain.said().count(TAKEN) == PARTITIONS
    assert REFUSED not in chain.said()
    terminate(first)
    assert "Traceback" not in chain.said()


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_a_worker_that_stood_still_reads_the_logs_that_others_have_written_to(
    chain: Chain, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    first, second = start(), start()
    chain.feed(visits(0, 400))
    counted(chain, 400)
    known = len(read_all(chain.bootstrap_servers, chain.state))
    first.send_signal(signal.SIGSTOP)
    chain.feed(visits(400, 200))
    counted(chain, 600)  # the second has all partitions, and written to each
    assert len(read_all(chain.bootstrap_servers, chain.state)) > known
    first.send_signal(signal.SIGCONT)
    chain.wait_until_said(REFUSED, PARTITIONS // 2)
    chain.feed(visits(600, 200))
    records = counted(chain, 800)
    assert_without_gaps(records)
    assert {record["version"]["epoch"] for record in records} == {1}
    for worker in (first, second):
        terminate(worker)
    assert "Traceback" not in chain.said()
