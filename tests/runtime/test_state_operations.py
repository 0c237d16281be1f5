"""What an operator does with the state, on a real broker: snapshots, growth, migration."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.faults.verify import committed, verified
from tests.runtime.test_run import STOP_SECONDS_MAX, complete, shop
from tests.support import topics as kafka
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import PARTITIONS, Chain, made_chain, run, terminate
from tests.support.deadline import wait_until
from tests.support.records import assert_without_gaps

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

TopicMaker = Callable[..., str]


@pytest.fixture
def chain(broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path) -> Chain:
    return made_chain(broker.bootstrap_servers, topics, tmp_path)


@pytest.fixture
def workers() -> Iterator[Callable[[Chain], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(chain: Chain) -> subprocess.Popen[bytes]:
        started.append(chain.start())
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.wait()


def reconfigured(chain: Chain, section: str, **values: Any) -> None:
    content = yaml.safe_load(chain.config.read_text())
    content.setdefault(section, {}).update(values)
    chain.config.write_text(yaml.safe_dump(content))


def test_a_worker_that_ends_leaves_snapshots_and_the_next_one_begins_with_them(
    chain: Chain, workers: Callable[[Chain], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    reconfigured(chain, "snapshots", path="kept")
    chain.feed(shop(0, 500))
    worker = workers(chain)
    chain.settled(complete(500))
    assert terminate(worker) < STOP_SECONDS_MAX
    assert len(list((tmp_path / "kept").glob("*.snapshot"))) == PARTITIONS
    assert not list((tmp_path / "kept").glob("*.partial"))
    damaged = next((tmp_path / "kept").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-7])
    chain.feed(shop(500, 500))
    following = workers(chain)
    records = chain.settled(complete(1000))
    assert terminate(following) < STOP_SECONDS_MAX
    assert_without_gaps(records)
    assert chain.said().count("begins with a snapshot") == PARTITIONS - 1
    assert "reason=corrupt" in chain.said()


def grow(chain: Chain, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": chain.bootstrap_servers, "log_level": 0})
    more = [NewPartitions(topic, partitions) for topic in (chain.visits, chain.purchases)]
    for made in admin.create_partitions(more, operation_timeout=20).values():
        made.result(20)


def moved_on(chain: Chain, partitions: int, topics: TopicMaker) -> Chain:
    """Return the chain with new topics for its state, and so many partitions."""
    state, summaries = (topics(partitions=partitions, cleanup_policy="compact") for _ in range(2))
    new = replace(chain, state=state, summaries=summaries, partitions=partitions)
    new.configure()
    reconfigured(new, "topics", partitioner="murmur2")
    return new


def drained(chain: Chain) -> bool:
    return all(offset == end for offset, end in committed(chain).values())


def test_a_chain_whose_partitions_grew_is_refused_until_it_is_migrated(
    chain: Chain,
    workers: Callable[[Chain], subprocess.Popen[bytes]],
    topics: TopicMaker,
) -> None:
    reconfigured(chain, "topics", partitioner="murmur2")
    chain.feed(shop(0, 600))
    first = workers(chain)
    wait_until(lambda: drained(chain) and not verified(chain).violations, 60)
    moved_at = {source: offset for source, (offset, _) in committed(chain).items()}
    grow(chain, PARTITIONS + 2)
    assert first.wait(60) == 4  # it notices by itself
    assert f"has {PARTITIONS + 2} partitions now, and had {PARTITIONS}" in chain.said()
    refused = run("run", str(chain.config))
    assert refused.returncode == 4
    assert f"topic {chain.state!r} of the state has {PARTITIONS} partitions" in refused.stderr
    assert f"the input {chain.visits!r} has {PARTITIONS + 2}" in refused.stderr
    assert "stream-hb migrate" in refused.stderr

    grown = moved_on(chain, PARTITIONS + 2, topics)
    astray = shop(600, 40)
    chain.feed(astray)  # placed by the old number, after the last worker had ended
    command = ("migrate", str(grown.config), "--from", chain.state)
    refused = run(*command)
    assert refused.returncode == 1
    assert "now that there are 6" in refused.stderr
    assert not kafka.read_all(grown.bootstrap_servers, grown.state)
    grown.feed(astray)  # as the refusal says
    done = run(*command, "--accept-unread")
    assert done.returncode == 0, done.stderr
    assert "in another partition than before" in done.stdout
    assert "nothing is done" in run(*command).stdout

    grown.feed(shop(640, 200))
    workers(grown)
    wait_until(lambda: drained(grown) and not verified(grown, moved_at=moved_at).violations, 90)
    assert {record["version"]["epoch"] for record in grown.records()} == {1, 2}


def test_a_worker_that_is_restoring_says_so_and_ends_within_five_seconds(
    chain: Chain, workers: Callable[[Chain], subprocess.Popen[bytes]]
) -> None:
    """Somebody's open transaction holds the log back: the restore waits for its end."""
    reconfigured(chain, "http", port=0)
    orphan = Producer(
        {
            "bootstrap.servers": chain.bootstrap_servers,
            "transactional.id": f"{chain.group_id}-orphan",
            "transaction.timeout.ms": 60_000,
        }
    )
    orphan.init_transactions(20)
    orphan.begin_transaction()
    for number in range(PARTITIONS):
        orphan.produce(chain.state, b"never seen", b"x", number)
    assert orphan.flush(20) == 0
    chain.feed(shop(0, 50))
    worker = workers(chain)
    chain.wait_until_said("listening")
    at = re.search(r"http://127\.0\.0\.1:\d+", chain.said())
    assert at
    wait_until(lambda: readiness(at[0])[1].startswith(f"{PARTITIONS} shards"), 60)
    assert readiness(at[0])[0] == 503
    assert terminate(worker) < STOP_SECONDS_MAX
    orphan.abort_transaction(20)


def readiness(address: str) -> tuple[int, str]:
    try:
        with urlopen(f"{address}/ready", timeout=10) as answer:
            return answer.status, json.load(answer)["detail"]
    except HTTPError as refused:
        return refused.code, json.load(refused)["detail"]
