"""Two workers of a group against one, on the same topic: how much more they do on this machine."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from tests.benchmarks.feed import PARTITIONS, fill, made_topics
from tests.benchmarks.job import Client, Job, NotMeasuredError, Result
from tests.benchmarks.table import print_table
from tests.benchmarks.workload import payloads
from tests.support import topics
from tests.support.broker import NamedBroker, RealBroker

SHARE = 0.9
"""Of the events: the last ones are of one partition or another, and not shared evenly."""

SECONDS_MAX = 300.0


def workers(broker: RealBroker | NamedBroker, stores: int, count: int) -> None:
    """Print the table."""
    bootstrap, topic = broker.bootstrap_servers, f"events-{uuid4().hex[:8]}"
    topics.create(bootstrap, topic, PARTITIONS)
    fill(bootstrap, topic, stores, payloads(count, stores))
    rows: list[list[str]] = []
    alone = 0.0
    for number in (1, 2):
        rate, cpu, broker_cpu = _together(broker, topic, count, number)
        alone = alone or rate
        share = "" if broker_cpu is None else f"{broker_cpu:.0%}"
        name = f"{number} worker{'s' * (number > 1)}"
        rows.append([name, f"{rate:,.0f}", f"{rate / alone:.2f}", f"{cpu:.0%}", share])
    print_table(
        f"Workers: {count:,} events, {stores:,} stores, {os.cpu_count()} cores",
        ("", "events/s", "ratio", "workers' CPU", "broker's CPU"),
        rows,
    )


def _together(
    broker: RealBroker | NamedBroker, topic: str, count: int, number: int
) -> tuple[float, float, float | None]:
    """Return events a second from when all have their partitions on, and the shares of a core."""
    run = f"run-{uuid4().hex[:8]}"
    jobs = [
        Job("member", broker.bootstrap_servers, topic, PARTITIONS, count, run, slot=slot)
        for slot in range(number)
    ]
    with ExitStack() as running:
        running.enter_context(made_topics(jobs[0]))
        clients = [running.enter_context(Client(job)) for job in jobs]
        for client in clients:
            client.wait_until_ready()
            client.follow()
        start = _reached(clients, _is_shared)
        began, broker_cpu = time.monotonic(), broker_cpu_seconds(broker)
        end = _reached(clients, lambda said: sum(s["events"] for s in said) >= SHARE * count)
        seconds, broker_after = time.monotonic() - began, broker_cpu_seconds(broker)
    events, cpu = (
        sum(each[name] for each in end) - sum(each[name] for each in start)
        for name in ("events", "cpu")
    )
    its = None
    if broker_cpu is not None and broker_after is not None:
        its = (broker_after - broker_cpu) / seconds
    return events / seconds, cpu / seconds, its


def _is_shared(said: Sequence[Result]) -> bool:
    return sorted(each["shards"] for each in said) == [PARTITIONS // len(said)] * len(said)


def _reached(
    clients: Sequence[Client], goal: Callable[[Sequence[Result]], bool]
) -> Sequence[Result]:
    """Return what the workers say once they have got so far."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        said = [client.newest for client in clients if client.newest]
        if len(said) == len(clients) and goal(said):
            return said
        time.sleep(0.02)
    raise NotMeasuredError(f"workers: not there after {SECONDS_MAX:.0f} s: {said}")


def broker_cpu_seconds(broker: RealBroker | NamedBroker) -> float | None:
    """Return what a broker started here has used; None where that cannot be known."""
    stat = Path(f"/proc/{broker.pid}/stat") if isinstance(broker, RealBroker) else None
    if stat is None or not stat.exists():
        return None
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
