"""What an operator does with the state, on a real broker: snapshots, growth, migration."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runtime.test_run import STOP_SECONDS_MAX, complete, shop
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import PARTITIONS, Chain, made_chain, terminate
from tests.support.records import assert_without_gaps

pytestmark = pytest.mark.broker

TopicMaker = Callable[..., str]


@pytest.fixture
def chain(broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path) -> Chain:
    return made_chain(broker.bootstrap_servers, topics, tmp_path)


@pytest.fixture
def workers(chain: Chain) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
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
    chain: Chain, workers: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    reconfigured(chain, "snapshots", path="kept")
    chain.feed(shop(0, 500))
    worker = workers()
    chain.settled(complete(500))
    assert terminate(worker) < STOP_SECONDS_MAX
    assert len(list((tmp_path / "kept").glob("*.snapshot"))) == PARTITIONS
    assert not list((tmp_path / "kept").glob("*.partial"))
    damaged = next((tmp_path / "kept").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-7])
    chain.feed(shop(500, 500))
    following = workers()
    records = chain.settled(complete(1000))
    assert terminate(following) < STOP_SECONDS_MAX
    assert_without_gaps(records)
    assert chain.said().count("begins with a snapshot") == PARTITIONS - 1
    assert "reason=corrupt" in chain.said()
