"""Workers are killed, asked to stop and stopped in their tracks; the verifier finds nothing wrong.

``make test-faults`` runs everything at full size, ``make test`` some in a short form.
"""

import os
import random
import re
import signal
import time

import pytest

from tests.faults.fleet import (
    FULL,
    STOP_SECONDS_MAX,
    WORKERS,
    Fleet,
    reconfigured,
    settled,
)
from tests.faults.groups import generation
from tests.support.broker import RealBroker
from tests.support.deadline import wait_until

MOVED = "shard restored"
"""A worker's words when it has taken a shard over."""

REFUSED = re.compile("could not |not a member of the group")
"""When a zombie is: by the broker, or by its own client, that knows it by then."""

pytestmark = [pytest.mark.broker, pytest.mark.timeout(1200)]


def refusals(fleet: Fleet) -> int:
    """Return how often a worker was refused something."""
    return len(REFUSED.findall(fleet.chain.said()))


def test_t1_workers_are_killed_again_and_again(fleet: Fleet) -> None:
    kills, source = 30 if FULL else 4, random.Random(1)
    if FULL:
        fleet.rate, fleet.visits_max = 20_000.0, 1_650_000  # 2 M events
    fleet.begin()
    for _ in range(kills):
        time.sleep(source.uniform(0.2, 3 if FULL else 1.5))
        slot = source.randrange(WORKERS)
        fleet.workers[slot].kill()
        fleet.start(slot)
    settled(fleet, "T1", f"{kills} kills")


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_t2_a_rolling_restart_moves_nothing_and_repeats_nothing(fleet: Fleet) -> None:
    rounds = 3
    # A restart is to be over before the session is, on a busy machine, too.
    reconfigured(fleet.chain, "kafka", client={"session.timeout.ms": 45_000})
    fleet.begin()
    fleet.steady()
    before = generation(fleet.chain)
    slowest = 0.0
    for _ in range(rounds):
        for slot in range(WORKERS):
            slowest = max(slowest, fleet.workers[slot].terminate())
            back = fleet.chain.said().count(MOVED) + 1
            fleet.start(slot)
            fleet.chain.wait_until_said(MOVED, back)
    assert generation(fleet.chain) == before
    verdict = settled(fleet, "T2", f"{rounds * WORKERS} SIGTERMs, slowest stop {slowest:.1f} s")
    assert slowest <= STOP_SECONDS_MAX
    assert fleet.events_worked() == verdict.events, "a batch was worked on twice"


@pytest.mark.skipif(not FULL, reason="a part of make test-faults")
def test_t2_workers_leave_in_time_although_the_broker_stands_still(
    own_broker: RealBroker, fleet: Fleet
) -> None:
    fleet.begin()
    fleet.steady()
    assert own_broker.pid is not None
    os.kill(own_broker.pid, signal.SIGSTOP)
    try:
        time.sleep(1)  # so that they are in the middle of waiting for it
        slowest = max(worker.terminate() for worker in fleet.workers.values())
    finally:
        os.kill(own_broker.pid, signal.SIGCONT)
    for slot in range(WORKERS):
        fleet.start(slot)
    settled(fleet, "T2", f"the broker stands still: slowest of {WORKERS} stops {slowest:.1f} s")
    assert slowest <= STOP_SECONDS_MAX


def test_t3_a_worker_that_was_paused_comes_back_as_a_zombie(fleet: Fleet) -> None:
    """It stands still in a transaction, for longer than its session, and then goes on with it."""
    cycles, source = 10 if FULL else 1, random.Random(3)
    fleet.begin(stop_in_transaction=[fleet.chain.state])
    for _ in range(cycles):
        fleet.steady()
        slot = source.randrange(WORKERS)
        worker = fleet.workers[slot]
        worker.send_signal(signal.SIGUSR1)
        wait_until(lambda stopped=worker: stopped.stands_still, 60)  # type: ignore[misc]
        refused = refusals(fleet)
        fleet.chain.wait_until_said(MOVED, fleet.chain.said().count(MOVED) + 1)
        worker.send_signal(signal.SIGCONT)
        wait_until(lambda before=refused: refusals(fleet) > before, 120)  # type: ignore[misc]
        if worker.poll() is not None:  # as a supervisor would
            fleet.start(slot, stop_in_transaction=[fleet.chain.state])
    verdict = settled(fleet, "T3", f"{cycles} pauses in a transaction, {cycles} zombies refused")
    if isinstance(fleet.broker, RealBroker):
        assert verdict.aborted, "a zombie had written nothing"
