"""What tests of faults share, and the table when all are through."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.fleet import PARTITIONS, STORES, Fleet, point_fits
from tests.faults.nursery import Nursery
from tests.faults.table import rows, table
from tests.faults.workload import Workload
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import made_chain

TopicMaker = Callable[..., str]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if rows:
        terminalreporter.section("faults")
        for line in table():
            terminalreporter.write_line(line)


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
