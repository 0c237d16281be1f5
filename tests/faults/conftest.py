"""What tests of faults share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.fleet import PARTITIONS, STORES, Fleet, point_fits
from tests.faults.nursery import Nursery
from tests.faults.workload import Workload
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import made_chain

TopicMaker = Callable[..., str]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What starts workers without importing everything anew."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
def fleet(
    broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path, nursery: Nursery
) -> Iterator[Fleet]:
    """Three workers to be, and the topics that they serve; compaction of the state never rests."""
    chain = made_chain(broker.bootstrap_servers, topics, tmp_path, PARTITIONS, segment_ms="2000")
    point_fits(chain)
    made = Fleet(chain, nursery, Workload(STORES, PARTITIONS), broker)
    yield made
    made.end()
