"""What tests share: a real broker, and topics of their own on it; who runs beside whom."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.faults import table
from tests.support import topics as support
from tests.support.broker import NamedBroker, NoBrokerError, RealBroker, find_broker

ROOT = Path(__file__).parents[1]

# No test is timed: a law that is slow on a busy machine still holds.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("untimed")


class FileByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Lets a file's tests run in one process, and all that need the broker in one.

    Two brokers and two storms of kills beside each other would only wait for each other. (Marks
    would say so in fewer words, but pytest-xdist 3.8 does not read them with pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "broker" if _has_broker_tests(file) else file


@cache
def _has_broker_tests(file: str) -> bool:
    return "mark.broker" in (ROOT / file).read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileByFile:
    """Say which tests run in one process."""
    return FileByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what needs the broker: it takes longest."""
    items.sort(key=lambda item: not _needs_broker(item))


def _needs_broker(item: pytest.Item) -> bool:
    return item.get_closest_marker("broker") is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give the rows of the faults' table to the process that prints it."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["faults"] = [list(astuple(row)) for row in table.rows]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the rows of a process that is through."""
    told = getattr(node, "workeroutput", {}).get("faults", [])
    table.rows.extend(table.Row(*row) for row in told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of faults."""
    if table.rows:
        terminalreporter.section("faults")
        for line in table.table():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def broker() -> Iterator[RealBroker | NamedBroker]:
    """One real Kafka broker for the whole session; its absence is a failure in CI."""
    with ExitStack() as running:
        try:
            found = find_broker(running)
        except NoBrokerError as reason:
            if os.environ.get("CI"):
                pytest.fail(str(reason), pytrace=False)
            pytest.skip(str(reason))
        yield found


@pytest.fixture
def own_broker(broker: RealBroker | NamedBroker) -> RealBroker:
    """Return a broker that the test may stop and kill; the test leaves it running."""
    if isinstance(broker, NamedBroker):
        pytest.skip("the broker that STREAM_HB_TEST_BOOTSTRAP names is not ours to stop")
    return broker


@pytest.fixture(scope="session")
def _topic_numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def topics(
    broker: RealBroker | NamedBroker, request: pytest.FixtureRequest, _topic_numbers: Iterator[int]
) -> Callable[..., str]:
    """Return a maker of topics: ``topics(partitions=4, cleanup_policy="compact")`` is a name.

    A topic's name holds the process id, because a named broker keeps topics of earlier sessions.
    """

    def make(partitions: int = 1, **settings: str) -> str:
        name = f"{request.node.name[:80]}.{os.getpid()}.{next(_topic_numbers)}"
        name = "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
        support.create(broker.bootstrap_servers, name, partitions, **settings)
        return name

    return make
