"""Workers that end at every call of a client, and inside a transaction that then is an orphan."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.conftest import TopicMaker
from tests.faults.fleet import FULL, Fleet, judged, point_fits, reconfigured, settled
from tests.faults.hooks import CRASHED
from tests.faults.nursery import Nursery
from tests.faults.table import Row, add_row
from tests.faults.workload import Workload
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import PARTITIONS, made_chain

pytestmark = [pytest.mark.broker, pytest.mark.timeout(1200)]

STORES = 40
CRASH_SECONDS_MAX = 90.0
LOST = 5


class Call(NamedTuple):
    """A call of a client, and up to which of them the seeds reach."""

    place: str
    name: str
    when: str
    most: int


CALLS = [
    Call("transactions", "renew", "after", 1),
    Call("transactions", "begin", "before", 4),
    Call("transactions", "begin", "after", 4),
    Call("transactions", "produce", "after", 150),
    Call("transactions", "send_offsets", "before", 4),
    Call("transactions", "send_offsets", "after", 4),
    Call("transactions", "commit", "before", 4),
    Call("transactions", "commit", "after", 4),
    Call("inputs", "poll", "after", 40),
    Call("inputs", "start", "before", 4),
    Call("inputs", "membership", "after", 4),
    Call("state", "poll", "after", 3),
]


@pytest.fixture
def small(
    broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path, nursery: Nursery
) -> Iterator[Fleet]:
    """A fleet of few stores, whose sessions end soon."""
    chain = made_chain(broker.bootstrap_servers, topics, tmp_path, segment_ms="2000")
    point_fits(chain)
    client = {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
    reconfigured(chain, "kafka", client={**client, "transaction.timeout.ms": 6000})
    made = Fleet(chain, nursery, Workload(STORES, PARTITIONS), broker)
    yield made
    made.end()


def crashed(fleet: Fleet, slot: int) -> None:
    """Wait until a worker has come to where it crashes; events come as long as it takes."""
    deadline = time.monotonic() + CRASH_SECONDS_MAX
    while (code := fleet.workers[slot].poll()) is None:
        assert time.monotonic() < deadline, f"no crash; said:\n{fleet.chain.said()[-3000:]}"
        fleet.feed(20)
        time.sleep(0.1)
    assert code == CRASHED, f"exit code {code}; said:\n{fleet.chain.said()[-3000:]}"


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.when}-{call.place}.{call.name}")
def test_t7_a_worker_that_ends_at_any_call_is_followed_by_one_that_goes_on(
    call: Call, small: Fleet
) -> None:
    seeds = 20
    small.feed(300)
    for seed in range(seeds):
        count = random.Random(seed).randint(1, call.most)
        small.start(0, crash=[call.place, call.name, call.when, count])
        crashed(small, 0)
    small.start(0)
    small.begin_to_feed()
    settled(small, "T7", f"{seeds} crashes {call.when} {call.place}.{call.name}")


def orphan(fleet: Fleet, slot: int, source: random.Random) -> None:
    """Let a worker crash in a transaction: the broker has records of its state, not its end."""
    fleet.feed(100)
    fleet.start(slot, crash_in_transaction=[fleet.chain.state, source.randint(1, 6)])
    crashed(fleet, slot)


def test_t8_a_state_that_moves_twice_past_an_orphaned_transaction_is_whole(
    own_broker: RealBroker, small: Fleet
) -> None:
    repeats, source = 20 if FULL else 1, random.Random(8)
    for number in range(repeats):
        first, second, third = (2 * number + step for step in range(3))
        orphan(small, first, source)
        small.start(second, crash=["transactions", "commit", "after", 1])
        crashed(small, second)
        small.start(third)
        small.feed(100)
        small.drain_fed()
        if number < repeats - 1:
            small.quiet()
            small.leave()
    small.quiet()
    small.leave()
    judged(small, "T8", f"{repeats} double hand-overs past an orphan")


def test_t8_a_worker_that_restores_only_to_the_stable_end_is_found_out(
    own_broker: RealBroker, small: Fleet
) -> None:
    """Else the test above could not fail: the second owner's commit lies behind the orphan."""
    tries = 20
    client = {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
    # Long enough for the third owner to come while the orphan is still open.
    reconfigured(small.chain, "kafka", client={**client, "transaction.timeout.ms": 25000})
    source = random.Random(88)
    for number in range(tries):
        orphan(small, 2 * number, source)
        second = 2 * number + 1
        mutant: dict[str, Any] = {"restore_to_the_stable_end": []}
        small.start(second, **mutant, crash=["transactions", "commit", "after", 1])
        crashed(small, second)
        small.start(second, **mutant)
        deadline = time.monotonic() + 12
        while small.workers[second].poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if small.workers[second].poll() is not None:
            break
        small.workers[second].kill()
    assert small.workers[second].poll() == LOST, small.chain.said()[-3000:]
    add_row(Row("T8", f"mutant, refused at hand-over {number + 1}", "", "", "", "", "found", ""))
