"""What a worker's pass takes, by its steps: no broker, one process, CPU time.

A pass is what :meth:`stream_hb.runtime.worker.Worker.step` does with what a poll brought: ingest,
emit, plan the state's log, apply. The engine has known its stores for a while; a refit of all pools
comes after every few passes, so emissions also look at what it changed.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np

from stream_hb.emitter import Emission, MemoryUpdate
from stream_hb.engine import Candidate, Engine
from stream_hb.events.batch import RawBatch
from stream_hb.events.partitioner import murmur2_partition
from stream_hb.runtime.quiet import quiet_collector
from stream_hb.runtime.screen_limit import ROWS_FIRST
from stream_hb.settings import EngineSettings
from stream_hb.statelog.shard_log import LogPlan, ShardLog
from tests.benchmarks.feed import PARTITIONS
from tests.benchmarks.table import print_table
from tests.benchmarks.workload import payloads

WARM_UP = 400_000
REFIT_EVERY = 10
STEPS = ("ingest", "refit", "emit", "plan", "apply")
HEADER = {"group": "bench", "writer": "bench-0", "refits": 0}


def passes(sizes: dict[int, int], stores: int, spread: float) -> None:
    """Print what a pass of so many events takes, after so many of them, for each size."""
    rows = []
    with quiet_collector():
        for size, count in sizes.items():
            worker = _Worker(stores, WARM_UP + size * count, spread)
            worker.step(WARM_UP)
            worker.took.clear()
            for number in range(count):
                worker.step(size, refits=number % REFIT_EVERY == 0)
            took = [1000 * worker.took[step] / count for step in STEPS]
            rows.append([f"{size:,}", *(f"{each:.2f}" for each in [*took, sum(took)])])
            rows[-1].append(f"{1000 * sum(took) / size:.1f}")
    title = f"Passes: CPU ms by step, {PARTITIONS} shards, {stores:,} stores (spread {spread:g})"
    note = f", a refit of all pools every {REFIT_EVERY} passes"
    print_table(title + note, ("events", *STEPS, "a pass", "us/event"), rows)


class _Worker:
    """The engine, and the logs of its shards, as delivery exactly once drives them."""

    def __init__(self, stores: int, count: int, spread: float) -> None:
        self.took: dict[str, float] = defaultdict(float)
        self._events = payloads(count, stores, spread=spread)
        self._shard_of = [murmur2_partition(b"store-%05d" % s, PARTITIONS) for s in range(stores)]
        self._ends = np.zeros(PARTITIONS, np.int64)
        self._now_ms = 10_000_000
        self._engine = Engine(EngineSettings())
        for number in range(PARTITIONS):
            self._engine.open_shard(number, epoch=1)
        self._logs = {number: ShardLog(shard) for number, shard in self._engine.shards.items()}

    def step(self, size: int, *, refits: bool = True) -> None:
        """Make one pass of so many events."""
        batches = dict(self._polled(size))
        self._now_ms += 100
        with self._timed("ingest"):
            candidate = self._engine.ingest(batches, self._now_ms)
        if refits:
            with self._timed("refit"):
                self._refit()
        with self._timed("emit"):
            emission = self._engine.emit(self._now_ms, candidate, rows_max=ROWS_FIRST)
        with self._timed("plan"):
            plans = self._planned(candidate, emission)
        with self._timed("apply"):
            self._engine.apply(candidate)
            self._engine.apply(emission)
        for number, plan in plans.items():
            self._logs[number].settle(plan)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.took[step] += time.process_time() - began

    def _polled(self, size: int) -> Iterator[tuple[int, list[RawBatch]]]:
        texts: dict[int, list[bytes]] = defaultdict(list)
        for store, payload in islice(self._events, size):
            texts[self._shard_of[store]].append(payload)
        for number, some in texts.items():
            first = int(self._ends[number])
            self._ends[number] += len(some)
            yield number, [RawBatch("events", number, some, first.__add__, first + len(some))]

    def _refit(self) -> None:
        made = self._engine.refit(self._now_ms, force=True, every_pool=True)
        if made is not None:
            self._engine.apply(made)

    def _planned(self, candidate: Candidate, emission: Emission) -> dict[int, LogPlan]:
        updates: dict[int, list[MemoryUpdate]] = defaultdict(list)
        for update in emission.updates:
            updates[update.shard].append(update)
        return {
            number: self._logs[number].plan(candidate.shards.get(number), updates[number], HEADER)
            for number in candidate.shards.keys() | updates.keys()
        }
