"""The broker dies, stays away, and is not there when workers start; the verifier finds nothing."""

import random
import time
from itertools import count

import pytest

from tests.faults.fleet import FULL, WORKERS, Fleet, resident_bytes, settled
from tests.faults.verify import committed
from tests.support.broker import RealBroker
from tests.support.deadline import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(1200)]

BOUNCE_RESUME_SECONDS_MAX = 60.0
OUTAGE_SECONDS = 70.0
OUTAGE_RESUME_SECONDS_MAX = 120.0
GROWTH_BYTES_MAX = 50 << 20


def resumed(fleet: Fleet) -> float:
    """Wait until the group commits anew; return how long that took."""

    def progress() -> int:
        return sum(offset for offset, _ in committed(fleet.chain).values())

    began, before = time.monotonic(), progress()
    wait_until(lambda: progress() > before, 150)
    return time.monotonic() - began


def test_t4_the_broker_is_killed(own_broker: RealBroker, fleet: Fleet) -> None:
    bounces, source = 5 if FULL else 1, random.Random(4)
    fleet.begin()
    slowest = 0.0
    for _ in range(bounces):
        time.sleep(source.uniform(1, 4 if FULL else 2))
        own_broker.kill()
        time.sleep(source.uniform(0.5, 3))
        own_broker.start()
        slowest = max(slowest, resumed(fleet))
    assert all(worker.poll() is None for worker in fleet.workers.values()), fleet.chain.said()
    settled(fleet, "T4", f"{bounces} broker kills, resumed within {slowest:.1f} s")
    if FULL:
        assert slowest <= BOUNCE_RESUME_SECONDS_MAX


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_t5_a_broker_that_is_away_for_long_costs_no_memory_and_no_worker(
    own_broker: RealBroker, fleet: Fleet
) -> None:
    fleet.begin()
    time.sleep(5)
    pids = [worker.pid for worker in fleet.workers.values()]
    before = [resident_bytes(pid) for pid in pids]
    own_broker.kill()
    growth = 0
    for _ in range(round(OUTAGE_SECONDS)):
        time.sleep(1)
        after = [resident_bytes(pid) for pid in pids]
        growth = max(growth, *(a - b for a, b in zip(after, before, strict=True)))
    own_broker.start()
    took = resumed(fleet)
    assert all(worker.poll() is None for worker in fleet.workers.values()), fleet.chain.said()
    told = f"{OUTAGE_SECONDS:.0f} s away, resumed in {took:.1f} s, RSS +{growth / 2**20:.0f} MiB"
    settled(fleet, "T5", told)
    assert took <= OUTAGE_RESUME_SECONDS_MAX
    assert growth <= GROWTH_BYTES_MAX


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_t5_a_broker_that_is_away_at_the_start_is_waited_for_by_who_starts_workers(
    own_broker: RealBroker, fleet: Fleet
) -> None:
    """A worker without a broker ends with exit code 3; a supervisor starts it again."""
    fleet.feed(3_000)
    own_broker.kill()
    for slot in range(WORKERS):
        fleet.start(slot)
    wait_until(lambda: all(w.poll() is not None for w in fleet.workers.values()), 60)
    assert {worker.poll() for worker in fleet.workers.values()} == {3}
    own_broker.start()
    began, starts = time.monotonic(), count()
    for slot in range(WORKERS):
        fleet.start(slot)
        next(starts)
    fleet.chain.wait_until_said("refit ")
    took = time.monotonic() - began
    fleet.begin_to_feed()
    settled(fleet, "T5", f"away at the start, resumed in {took:.1f} s")
    assert took <= OUTAGE_RESUME_SECONDS_MAX
