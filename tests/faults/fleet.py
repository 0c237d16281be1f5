"""Workers, each with a slot of its own, and a feeder; and how a run of them is judged."""

import math
import os
import re
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml
from confluent_kafka import KafkaException, Producer

from tests.faults.nursery import Child, Nursery
from tests.faults.table import Row, add_row
from tests.faults.verify import Verdict, committed, ends, verified
from tests.faults.workload import Fed, Workload
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import Chain

FULL = bool(os.environ.get("STREAM_HB_FAULTS_FULL"))
WORKERS = 3
STORES = 5_000 if FULL else 40
PARTITIONS = 12 if FULL else 4
RATE = 3_000.0 if FULL else 1_000.0
TICK_SECONDS = 0.2
DRAIN_SECONDS_MAX = 180.0
QUIET_SECONDS = 2.0
LAG_MAX = 50_000
LOOK_SECONDS = 1.0
STOP_SECONDS_MAX = 5.0


def reconfigured(chain: Chain, section: str, **values: Any) -> None:
    """Change values of a chain's configuration."""
    content = yaml.safe_load(chain.config.read_text())
    content.setdefault(section, {}).update(values)
    chain.config.write_text(yaml.safe_dump(content))


def point_fits(chain: Chain) -> None:
    """Let a record say all that its posterior follows from: integrated fits are many numbers.

    With many stores not every change is written: that would be all that the machine has time for.
    """
    methods = {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
    reconfigured(chain, "metrics", **{name: {"method": m} for name, m in methods.items()})
    if chain.partitions > 4:
        reconfigured(chain, "emission", changed_sd=0.1, changed_width=0.05)
        reconfigured(chain, "refit", every_seconds=5, min_change=0.01)


class Fleet:
    """See the module.

    Parameters
    ----------
    chain
        Its topics and configuration.
    nursery
        What starts workers.
    workload
        What is fed.
    broker
        Where all this is.

    Attributes
    ----------
    fed
        The number of the next visit.
    rate
        Visits a second at most; no more are fed while the workers have not kept up.
    visits_max
        The feeder ends itself after so many visits; None: when the fleet drains.
    """

    def __init__(
        self,
        chain: Chain,
        nursery: Nursery,
        workload: Workload,
        broker: RealBroker | NamedBroker,
    ) -> None:
        self.chain = chain
        self.broker = broker
        self.workers: dict[int, Child] = {}
        self.fed = 0
        self.rate = RATE
        self.visits_max: int | None = None
        self.environment: dict[str, str] = {}
        self._nursery = nursery
        self.workload = workload
        self._stop = Event()
        self._feeder = Thread(target=self._feed)

    def start(
        self, slot: int, environment: Mapping[str, str] | None = None, *options: str, **hooks: Any
    ) -> Child:
        """Start the worker of a slot."""
        arguments = ["run", str(self.chain.config), "--slot", str(slot), *options]
        more = {**self.environment, **(environment or {})}
        child = self._nursery.start(arguments, self.chain.log, more, **hooks)
        self.workers[slot] = child
        return child

    def begin(self, slots: int = WORKERS, **hooks: Any) -> None:
        """Start the workers and the feeder; return when they work."""
        for slot in range(slots):
            self.start(slot, **hooks)
        self.begin_to_feed()
        self.chain.wait_until_said("refit ")

    def steady(self) -> None:
        """Wait until shards neither come nor go."""
        known, since, deadline = -1, time.monotonic(), time.monotonic() + 120
        while time.monotonic() - since < QUIET_SECONDS:
            assert time.monotonic() < deadline, f"never steady: {self.chain.said()[-3000:]}"
            found = len(re.findall("shard (?:given up|restored|begins)", self.chain.said()))
            if found != known:
                known, since = found, time.monotonic()
            time.sleep(0.2)

    def begin_to_feed(self) -> None:
        """Start the feeder alone."""
        self._feeder.start()

    def feed(self, visits: int) -> None:
        """Feed so many visits now, and wait until the broker has them."""
        self.produce(self.workload.events(self.fed, visits))
        self.fed += visits

    def produce(self, events: Iterable[Fed]) -> None:
        """Write events now, and wait until the broker has them."""
        producer = self._producer()
        self._write(producer, events)
        assert producer.flush(120) == 0

    def _producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.chain.bootstrap_servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "reconnect.backoff.max.ms": 500,
                "message.timeout.ms": 0,  # a broker may be away for long
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1_000_000,
                "log_level": 0,
            }
        )

    def _write(self, producer: Producer, events: Iterable[Fed]) -> None:
        names = self.chain.visits, self.chain.purchases
        for is_visit, partition, payload in events:
            producer.produce(names[0 if is_visit else 1], payload, partition=partition)
        producer.poll(0)

    def _feed(self) -> None:
        producer, looked_at, room = self._producer(), -math.inf, 0
        while not self._stop.wait(TICK_SECONDS):
            if self.fed == self.visits_max:
                break
            if (now := time.monotonic()) - looked_at >= LOOK_SECONDS:
                looked_at, room = now, LAG_MAX - self._lag()
            left = math.inf if self.visits_max is None else self.visits_max - self.fed
            visits = int(max(min(self.rate * TICK_SECONDS, room, left), 0))
            room -= visits
            self._write(producer, self.workload.events(self.fed, visits))
            self.fed += visits
        assert producer.flush(120) == 0

    def _lag(self) -> int:
        """Return how many events wait; the feeder stops for a slow machine, and for a dead one."""
        try:
            return sum(end - offset for offset, end in committed(self.chain).values())
        except KafkaException:  # the broker is away: what is fed now waits in the producer
            return 0

    def drain(self, seconds_max: float = DRAIN_SECONDS_MAX) -> float:
        """Stop feeding; return how long it takes until everything is committed."""
        if self.visits_max is None:
            self._stop.set()
        if self._feeder.is_alive():
            self._feeder.join()
        return self.drain_fed(seconds_max)

    def drain_fed(self, seconds_max: float = DRAIN_SECONDS_MAX) -> float:
        """Return how long it takes until everything that was fed is committed."""
        began = time.monotonic()
        while any(offset != end for offset, end in committed(self.chain).values()):
            took = time.monotonic() - began
            assert took < seconds_max, f"not drained; said:\n{self.chain.said()[-6000:]}"
            time.sleep(0.2)
        return time.monotonic() - began

    def quiet(self) -> None:
        """Wait until no records are written any more: the last refit and what follows come late.

        Who refits goes on telling the others its clocks.
        """
        deadline, known, since = time.monotonic() + 60, self._ends(), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            time.sleep(0.3)
            if (found := self._ends()) != known:
                known, since = found, time.monotonic()
            assert time.monotonic() < deadline, f"never quiet: {self.chain.said()[-3000:]}"

    def _ends(self) -> dict[tuple[str, int], int]:
        wanted = self.chain.estimates, self.chain.state
        return {place: end for place, end in ends(self.chain).items() if place[0] in wanted}

    def leave(self) -> float:
        """Let all workers leave; return what the slowest took."""
        living = [worker for worker in self.workers.values() if worker.poll() is None]
        return max((worker.terminate(starting=True) for worker in living), default=0.0)

    def events_worked(self) -> int:
        """Return how many events the workers that left have worked on, repetitions included."""
        return sum(map(int, re.findall(r"left .*\bevents=(\d+)", self.chain.said())))

    def end(self) -> None:
        """End everything, whatever became of it."""
        self._stop.set()
        for worker in self.workers.values():
            worker.send_signal(signal.SIGCONT)
            worker.kill()
        if self._feeder.is_alive():
            self._feeder.join()


def settled(
    fleet: Fleet, name: str, faults: str, drain_seconds_max: float = DRAIN_SECONDS_MAX
) -> Verdict:
    """Drain, let the workers leave, verify; add the table's row."""
    took = fleet.drain(drain_seconds_max)
    fleet.quiet()
    fleet.leave()
    return judged(fleet, name, faults, f"{took:.1f}")


def judged(fleet: Fleet, name: str, faults: str, recovery: str = "") -> Verdict:
    """Verify what the workers have left behind; add the table's row."""
    verdict = verified(fleet.chain, fleet.broker)
    add_row(Row.of(name, faults, verdict, recovery))
    assert not verdict.violations, verdict.violations[:10]
    said = fleet.chain.said()
    assert "Traceback" not in said, said[-3000:]
    assert "internal error" not in said, said[-3000:]
    assert verdict.recomputed, "no record was recomputed"
    return verdict


def resident_bytes(pid: int, which: str = "VmRSS") -> int:
    """Return a process's resident memory; ``VmHWM``: what it was at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024
