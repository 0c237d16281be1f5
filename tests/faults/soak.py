"""T17: mixed faults for as long as one likes, and what they leave behind.

``python -m tests.faults.soak --minutes 30`` (``make soak MINUTES=30``): a fault every five seconds
or so, one of each kind in turn (none among them), on three workers behind a proxy; then the
verifier, the memory's slope, descriptors and threads, and the time from an event to its estimate
outside of faults.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from threading import Event, Thread

import numpy as np
from scipy.stats import theilslopes

from tests.faults.fleet import WORKERS, Fleet, point_fits, reconfigured, resident_bytes
from tests.faults.nursery import Nursery
from tests.faults.proxy import Fault, Proxy
from tests.faults.table import Row, add_row, table
from tests.faults.verify import committed, verified
from tests.faults.workload import Workload
from tests.support import topics
from tests.support.broker import RealBroker
from tests.support.chain import made_chain

PARTITIONS = 12
STORES = 1_000
FAULT_SECONDS = 5.0
SAMPLE_SECONDS = 5.0
WARM_UP_SHARE = 0.2
KINDS = ("none", "kill", "none", "stop", "none", "pause", "none", *Fault)
PAUSE_SECONDS = 8.0
"""Longer than the session."""
STEP_MS = 1_000
"""Between two visits. A day of event time passes in half a minute or so, and visits are remembered
for one to three: within the warm-up as many are forgotten as come, and the memory's slope is not
theirs."""
CALM_SECONDS = 5.0
"""What comes so long after a fault's end is outside of faults."""

Place = tuple[str, int]


@dataclass(slots=True)
class Sampled:
    """What was seen of a worker's process while it lived.

    Attributes
    ----------
    seconds, resident, descriptors, threads
        A column each, one row a look.
    """

    seconds: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def look(self, pid: int, now: float) -> None:
        """Look at the process."""
        process = Path(f"/proc/{pid}")
        self.seconds.append(now)
        self.resident.append(resident_bytes(pid))
        self.descriptors.append(sum(1 for _ in (process / "fd").iterdir()))
        self.threads.append(sum(1 for _ in (process / "task").iterdir()))


class Latencies:
    """How long it takes from an event until its transaction is committed, and so can be read.

    Twice a second the ends of all input partitions are noted; each is as old as it took until the
    group had committed it.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.seen: list[tuple[float, float]] = []
        self._fleet = fleet
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        waiting: list[tuple[float, Place, int]] = []
        noted = 0.0
        while not self._stop.wait(0.2):
            now = time.monotonic()
            at = committed(self._fleet.chain)
            for noted_at, place, end in waiting:
                if at[place][0] >= end:
                    self.seen.append((noted_at, now - noted_at))
            waiting = [each for each in waiting if at[each[1]][0] < each[2]]
            if now - noted >= 0.5:
                noted = now
                waiting += [
                    (now, place, end) for place, (offset, end) in at.items() if offset < end
                ]

    def end(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()


class Soak:
    """The faults in turn; the worker of the last slot is never ended, so that its memory tells.

    Attributes
    ----------
    injected
        How many faults of each kind.
    busy
        Spans of time in which a fault was at work.
    """

    def __init__(self, fleet: Fleet, proxy: Proxy, seed: int = 17) -> None:
        self.injected: Counter[str] = Counter()
        self.busy: list[tuple[float, float]] = []
        self.sampled = Sampled()
        self._fleet = fleet
        self._proxy = proxy
        self._source = random.Random(seed)

    def run(self, seconds: float) -> None:
        """Inject for so long."""
        kinds, until = cycle(KINDS), time.monotonic() + seconds
        looked_at = 0.0
        while (now := time.monotonic()) < until:
            began = now
            self._inject(next(kinds))
            while (now := time.monotonic()) < began + FAULT_SECONDS:
                if now - looked_at >= SAMPLE_SECONDS:
                    looked_at = now
                    self.sampled.look(self._fleet.workers[WORKERS - 1].pid, now)
                time.sleep(0.2)

    def _inject(self, kind: str) -> None:
        self.injected[kind] += 1
        began = time.monotonic()
        slot = self._source.randrange(WORKERS - 1)
        worker = self._fleet.workers[slot]
        match kind:
            case "none":
                return
            case "kill":
                worker.kill()
                self._fleet.start(slot)
            case "stop":
                worker.terminate(starting=True)
                self._fleet.start(slot)
            case "pause":
                worker = self._fleet.workers[self._source.randrange(WORKERS)]
                worker.send_signal(signal.SIGSTOP)
                time.sleep(PAUSE_SECONDS)
                worker.send_signal(signal.SIGCONT)
            case _:
                late = self._source.uniform(5, 15)
                self._proxy.arm(Fault(kind), late)
                self.busy.append((began, began + late + CALM_SECONDS))
        self.busy.append((began, time.monotonic() + CALM_SECONDS))

    def calm(self, at: float, took: float) -> bool:
        """Tell whether something that lasted from ``at`` on was outside of all faults."""
        return not any(begin <= at + took and at <= end for begin, end in self.busy)


def slope_mebibytes(sampled: Sampled) -> float:
    """Return the memory's slope an hour, by Theil and Sen, after the warm-up."""
    first = int(len(sampled.seconds) * WARM_UP_SHARE)
    found = theilslopes(sampled.resident[first:], sampled.seconds[first:])
    return float(found.slope) * 3600 / 2**20


def _range(values: Sequence[int]) -> str:
    kept = values[int(len(values) * WARM_UP_SHARE) :]
    return f"{min(kept)} to {max(kept)}"


@contextmanager
def fleet_of(broker: RealBroker, folder: Path) -> Iterator[Fleet]:
    """Make topics and workers that see the broker through its proxy."""
    numbers = count()

    def make(partitions: int = 1, **settings: str) -> str:
        name = f"soak.{next(numbers)}"
        topics.create(broker.bootstrap_servers, name, partitions, **settings)
        return name

    chain = made_chain(broker.bootstrap_servers, make, folder, PARTITIONS, segment_ms="60000")
    point_fits(chain)
    reconfigured(chain, "time", horizon_seconds=86_400)
    reconfigured(chain, "kafka", bootstrap_servers=f"127.0.0.1:{broker.proxy_port}")
    nursery = Nursery()
    fleet = Fleet(chain, nursery, Workload(STORES, PARTITIONS, STEP_MS), broker)
    try:
        yield fleet
    finally:
        fleet.end()
        nursery.close()


def soak(minutes: float, rate: float) -> list[str]:
    """Run it; return the violations."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        broker = running.enter_context(RealBroker())
        proxy = running.enter_context(Proxy(broker.proxy_port, broker.behind_proxy_port))
        fleet = running.enter_context(fleet_of(broker, folder))
        fleet.rate = rate
        fleet.begin()
        latencies, faults = Latencies(fleet), Soak(fleet, proxy)
        faults.run(minutes * 60)
        latencies.end()
        took = fleet.drain(600)
        fleet.quiet()
        fleet.leave()
        verdict = verified(fleet.chain, broker)
        calm = [took for at, took in latencies.seen if faults.calm(at, took)]
        injected = ", ".join(f"{n} {kind}" for kind, n in sorted(faults.injected.items()))
        add_row(Row.of("T17", f"{minutes:g} min: {injected}", verdict, f"{took:.1f}"))
        print(*table(), sep="\n")
        sampled = faults.sampled
        print(
            f"memory of the worker that was never ended: {slope_mebibytes(sampled):+.1f} MiB/h "
            f"(Theil-Sen, the first {WARM_UP_SHARE:.0%} left out), "
            f"{sampled.resident[-1] / 2**20:.0f} MiB at the end; "
            f"descriptors {_range(sampled.descriptors)}, threads {_range(sampled.threads)}"
        )
        median, p99 = np.quantile(calm, [0.5, 0.99]) if calm else (np.nan, np.nan)
        print(
            f"event to commit outside of faults: p50 {median:.2f} s, p99 {p99:.2f} s "
            f"({len(calm)} of {len(latencies.seen)} looks)"
        )
        return verdict.violations


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=5_000, help="visits a second")
    given = parser.parse_args()
    violations = soak(given.minutes, given.rate)
    for line in violations[:20]:
        print(f"violation: {line}")
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
