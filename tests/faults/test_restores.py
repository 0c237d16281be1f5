"""Large states: how long a restore takes, what memory, and what a rebalance in its middle does."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import TopicMaker
from tests.faults.fleet import FULL, Fleet, point_fits, reconfigured, resident_bytes
from tests.faults.grown import grow
from tests.faults.nursery import Nursery
from tests.faults.table import Row, add_row
from tests.faults.workload import Workload
from tests.support.broker import RealBroker
from tests.support.chain import made_chain
from tests.support.deadline import wait_until

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not FULL, reason="a part of make test-faults"),
]

PARTITIONS = 12
GROUPS = 1_000_000
GROUPS_OF_REBALANCES = 200_000
REBALANCES = 10
RESTORE_SECONDS_MAX = 10.0
CORES = 2
ROOM = 3.0
"""What may be taken on a machine that others use, as a multiple of what it may take."""
SESSION_SECONDS = 3.0


@pytest.fixture
def fleet(
    own_broker: RealBroker, topics: TopicMaker, tmp_path: Path, nursery: Nursery
) -> Iterator[Fleet]:
    chain = made_chain(own_broker.bootstrap_servers, topics, tmp_path, PARTITIONS)
    point_fits(chain)
    client = {"session.timeout.ms": 1000 * SESSION_SECONDS, "heartbeat.interval.ms": 500}
    reconfigured(chain, "kafka", client={name: int(value) for name, value in client.items()})
    # A million first estimates are not what is timed here.
    reconfigured(chain, "refit", every_seconds=3600)
    made = Fleet(chain, nursery, Workload(40, PARTITIONS), own_broker)
    yield made
    made.end()


def restored(fleet: Fleet) -> int:
    return fleet.chain.said().count("shard restored")


def cpu_seconds(pid: int) -> float:
    """Return the time that a process has worked."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_t12_a_million_stores_are_restored_from_the_log(fleet: Fleet) -> None:
    size = grow(fleet.chain, GROUPS)
    began = time.monotonic()
    worker = fleet.start(0)
    wait_until(lambda: restored(fleet) >= PARTITIONS, 300, pause_seconds=0.1)
    took, worked = time.monotonic() - began, cpu_seconds(worker.pid)
    peak = resident_bytes(worker.pid, "VmHWM")
    known = GROUPS // PARTITIONS * PARTITIONS
    fleet.chain.wait_until_said(f"groups={known} ")
    told = (
        f"restore of {GROUPS:,} stores, {size / 2**20:.0f} MiB: {worked:.1f} s of CPU, "
        f"RSS {peak / 2**20:.0f} MiB at most"
    )
    add_row(Row("T12", told, "", "", "", "", "", f"{took:.1f}"))
    assert worked <= CORES * RESTORE_SECONDS_MAX, "of CPU: other programs take none of that"


def test_t11_a_rebalance_during_a_restore_leaves_no_partition_behind(fleet: Fleet) -> None:
    grow(fleet.chain, GROUPS_OF_REBALANCES)
    alone = _taken(fleet, None)
    taken = [_taken(fleet, alone * (number + 1) / (REBALANCES + 1)) for number in range(REBALANCES)]
    told = f"{REBALANCES} rebalances in a restore; alone {alone:.1f} s, slowest {max(taken):.1f} s"
    add_row(Row("T11", told, "", "", "", "", "0", f"{max(taken):.1f}"))
    assert max(taken) <= 2 * alone * ROOM


def _taken(fleet: Fleet, joins_after: float | None) -> float:
    """Return how long it takes from a worker's start until every partition was worked on."""
    fleet.feed(500)
    began = time.monotonic()
    fleet.start(0)
    if joins_after is not None:
        time.sleep(joins_after)
        fleet.start(1)
    fleet.drain_fed()
    took = time.monotonic() - began
    for worker in fleet.workers.values():
        worker.kill()
    time.sleep(SESSION_SECONDS + 1)  # until the group has forgotten the second
    return took
