"""Faults on a real broker: kills, pauses, a broker that dies; the verifier finds no violation.

``make test-faults`` runs them at their full size, ``make test`` a short form.
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.faults.table import add_row
from tests.faults.verify import committed, verified
from tests.runtime.test_run import shop
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import Chain, made_chain

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

FULL = bool(os.environ.get("STREAM_HB_FAULTS_FULL"))
WORKERS = 3
EVENTS_A_TURN = 600  # every .2 s
DRAIN_SECONDS_MAX = 60.0
TopicMaker = Callable[..., str]


class Fleet:
    """Workers, each with a slot of its own, and a feeder."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.fed = 0
        self._stop = threading.Event()
        self._feeder = threading.Thread(target=self._feed)

    def start(self, slot: int) -> None:
        self.workers[slot] = self.chain.start(slot)

    def kill(self, slot: int) -> None:
        self.workers[slot].kill()
        self.workers[slot].wait()

    def begin(self) -> None:
        for slot in range(WORKERS):
            self.start(slot)
        self._feeder.start()

    def _feed(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.chain.bootstrap_servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        while not self._stop.wait(0.2):
            for payload in shop(self.fed, EVENTS_A_TURN):
                topic, partition = self.chain.place(payload)
                producer.produce(topic, payload, partition=partition)
            self.fed += EVENTS_A_TURN
            producer.poll(0)
        assert producer.flush(60) == 0

    def drain(self) -> float:
        """Stop feeding; return how long it takes until everything is committed."""
        self._stop.set()
        self._feeder.join()
        began = time.monotonic()
        while any(offset != end for offset, end in committed(self.chain).values()):
            took = time.monotonic() - began
            assert took < DRAIN_SECONDS_MAX, f"not drained; said:\n{self.chain.said()[-6000:]}"
            time.sleep(0.2)
        return time.monotonic() - began

    def end(self) -> None:
        self._stop.set()
        if self._feeder.is_alive():
            self._feeder.join()
        for worker in self.workers.values():
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()


@pytest.fixture
def fleet(broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path) -> Iterator[Fleet]:
    chain = made_chain(broker.bootstrap_servers, topics, tmp_path, segment_ms="2000")
    made = Fleet(chain)
    yield made
    made.end()


def settled(fleet: Fleet, faults: str) -> None:
    """Drain and verify; print the table's row."""
    took = fleet.drain()
    deadline = time.monotonic() + 20
    while (verdict := verified(fleet.chain)).violations and time.monotonic() < deadline:
        time.sleep(1)  # the last emission may be under way
    add_row(faults, verdict, f"{took:.1f} s")
    assert not verdict.violations, verdict.violations[:10]
    said = fleet.chain.said()
    assert "Traceback" not in said
    assert "internal error" not in said, said[-3000:]


def test_t1_workers_are_killed_again_and_again(fleet: Fleet) -> None:
    kills, source = 30 if FULL else 5, random.Random(1)
    fleet.begin()
    fleet.chain.wait_until_said("refit ")
    for _ in range(kills):
        time.sleep(source.uniform(0.2, 3))
        slot = source.randrange(WORKERS)
        fleet.kill(slot)
        fleet.start(slot)
    settled(fleet, f"T1 {kills} kills")


def test_t3_a_worker_that_was_paused_comes_back_as_a_zombie(fleet: Fleet) -> None:
    cycles, source = 10 if FULL else 1, random.Random(3)
    fleet.begin()
    fleet.chain.wait_until_said("refit ")
    for _ in range(cycles):
        slot = source.randrange(WORKERS)
        fleet.workers[slot].send_signal(signal.SIGSTOP)
        time.sleep(9)  # longer than the session, so that its partitions move
        fleet.workers[slot].send_signal(signal.SIGCONT)
        time.sleep(3)
        if fleet.workers[slot].poll() is not None:  # as a supervisor would
            fleet.start(slot)
    settled(fleet, f"T3 {cycles} pauses")


def test_t4_the_broker_is_killed(own_broker: RealBroker, fleet: Fleet) -> None:
    bounces, source = 5 if FULL else 1, random.Random(4)
    fleet.begin()
    fleet.chain.wait_until_said("refit ")
    for _ in range(bounces):
        time.sleep(source.uniform(1, 4))
        own_broker.kill()
        time.sleep(source.uniform(0.5, 3))
        own_broker.start()
        time.sleep(5)
    assert all(worker.poll() is None for worker in fleet.workers.values()), fleet.chain.said()
    settled(fleet, f"T4 {bounces} broker kills")
