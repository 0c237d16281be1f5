"""Workers come and go, in work and while states are restored: nothing is wrong, little stands."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream_hb.statelog.records import MARKER_KEY, decoded
from tests.faults.conftest import TopicMaker
from tests.faults.fleet import FULL, Fleet, point_fits, reconfigured, settled
from tests.faults.nursery import Nursery
from tests.faults.workload import Workload
from tests.support.broker import RealBroker
from tests.support.chain import Chain, made_chain

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not FULL, reason="a part of make test-faults"),
]

SIZES = [1, 3, 2, 4]
CHANGES = 20
CHANGE_SECONDS = 5.0
REVOKE_SECONDS_MAX = 0.05
PAUSE_SECONDS_MAX = 1.0
ROOM = 3.0
"""What a pause may take on a machine that others use, as a multiple of what it may take."""
STORES = 400

Moves = dict[int, list[float]]
"""When a partition was given to some worker or taken from it, epoch milliseconds."""


def made_fleet(chain: Chain, nursery: Nursery, broker: RealBroker) -> Fleet:
    point_fits(chain)
    client = {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
    reconfigured(chain, "kafka", client=client)
    return Fleet(chain, nursery, Workload(STORES, chain.partitions), broker)


@pytest.fixture
def several(
    own_broker: RealBroker, topics: TopicMaker, tmp_path: Path, nursery: Nursery
) -> Iterator[Fleet]:
    """Two input topics: assigned by range, and all partitions are revoked at every change."""
    made = made_fleet(
        made_chain(own_broker.bootstrap_servers, topics, tmp_path, 12), nursery, own_broker
    )
    yield made
    made.end()


@pytest.fixture
def mixed(
    own_broker: RealBroker, topics: TopicMaker, tmp_path: Path, nursery: Nursery
) -> Iterator[Fleet]:
    """One input topic for all events: assigned cooperatively."""
    chain = made_chain(own_broker.bootstrap_servers, topics, tmp_path, 12, one_input=True)
    made = made_fleet(chain, nursery, own_broker)
    yield made
    made.end()


def churned(fleet: Fleet, times: Path, moves: Path) -> None:
    """Let workers come and go, by SIGTERM: 1, 3, 2, 4, 1, ..."""
    hooks: dict[str, Any] = {"timed_revokes": [str(times)], "told_moves": [str(moves)]}
    fleet.start(0, **hooks)
    fleet.begin_to_feed()
    fleet.chain.wait_until_said("refit ")
    for change in range(1, CHANGES + 1):
        size = SIZES[change % len(SIZES)]
        for slot in range(max(SIZES)):
            worker = fleet.workers.get(slot)
            runs = worker is not None and worker.poll() is None
            if slot < size and not runs:
                fleet.start(slot, **hooks)
            elif slot >= size and runs and worker:
                worker.terminate(starting=True)
        time.sleep(CHANGE_SECONDS)


def revoke_seconds(times: Path) -> float:
    took = [json.loads(line)[0] for line in times.read_text().splitlines()]
    return float(np.quantile(took, 0.99))


def test_t10_rebalances_of_several_topics_lose_nothing(several: Fleet, tmp_path: Path) -> None:
    times = tmp_path / "revokes"
    churned(several, times, tmp_path / "moves")
    p99 = revoke_seconds(times)
    told = f"{CHANGES} changes, range; revoked within {p99 * 1e3:.1f} ms (p99)"
    settled(several, "T10", told)
    assert p99 <= REVOKE_SECONDS_MAX


def test_t10_a_partition_that_does_not_move_hardly_pauses(mixed: Fleet, tmp_path: Path) -> None:
    times, told_moves = tmp_path / "revokes", tmp_path / "moves"
    churned(mixed, times, told_moves)
    p99 = revoke_seconds(times)
    mixed.drain()
    pauses = unmoved_pauses(mixed.chain, moves(told_moves))
    usual = float(np.quantile(pauses, 0.99))
    told = (
        f"{CHANGES} changes, cooperative; revoked within {p99 * 1e3:.1f} ms (p99), unmoved "
        f"partitions paused {pauses[-1]:.2f} s at most, {usual:.2f} s p99"
    )
    settled(mixed, "T10", told)
    assert p99 <= REVOKE_SECONDS_MAX
    assert pauses[-1] <= ROOM * PAUSE_SECONDS_MAX


def moves(path: Path) -> Moves:
    """Return when each partition moved."""
    found: Moves = defaultdict(list)
    for line in path.read_text().splitlines():
        at_ms, numbers = json.loads(line)
        for number in numbers:
            found[number].append(at_ms)
    return found


def unmoved_pauses(chain: Chain, moved: Moves) -> list[float]:
    """Return, ascending, the seconds between two transactions of a shard that did not move.

    Between two of one writer nobody else wrote, but the shard may have been another worker's that
    came to nothing before it was taken away again: that is why moves are told by the workers.
    """
    marks: dict[int, list[tuple[int, str]]] = defaultdict(list)
    consumer = Consumer(
        {
            "bootstrap.servers": chain.bootstrap_servers,
            "group.id": "marks",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(chain.state, n, 0) for n in range(chain.partitions)])
    left = set(range(chain.partitions))
    while left:
        for message in consumer.consume(10_000, 0.1):
            if message.error():
                left.discard(message.partition() or 0)
            elif message.key() == MARKER_KEY:
                writer = decoded(message.value() or b"")["writer"]
                marks[message.partition() or 0].append((message.timestamp()[1], writer))
    consumer.close()
    return sorted(
        (later[0] - earlier[0]) / 1000
        for number, some in marks.items()
        for earlier, later in pairwise(some)
        if earlier[1] == later[1]
        and not any(earlier[0] <= at_ms <= later[0] for at_ms in moved[number])
    )
