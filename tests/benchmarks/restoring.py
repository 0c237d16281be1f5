"""The restore of a large state, against reading the same log and doing nothing with it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
from confluent_kafka import Producer

from stream_hb.emitter import MemoryUpdate
from stream_hb.engine import Engine
from stream_hb.events.batch import RawBatch
from stream_hb.feeds.emission import Emitted
from stream_hb.runtime.kafka_state import KafkaState
from stream_hb.runtime.kafka_transactions import transaction_settings
from stream_hb.runtime.quiet import quiet_collector
from stream_hb.runtime.topics import state_needs
from stream_hb.runtime.worker import wall_clock_ms
from stream_hb.settings import EngineSettings
from stream_hb.statelog.shard_log import LogPlan, ShardLog
from stream_hb.statelog.snapshot import snapshot
from tests.benchmarks.feed import PARTITIONS
from tests.benchmarks.job import Job, Result, measured
from tests.benchmarks.log_clients import GROUP, snapshot_files
from tests.benchmarks.table import print_table
from tests.benchmarks.workload import STARTED_MS
from tests.support import topics

BATCH = 40_000
MODES = ("bare-log", "restored-log", "restored-snapshot")

_EVENT = (
    b'{"schema_version":1,"event_type":"visit","event_id":"e%011d","event_time_ms":%d,'
    b'"store_id":"store-%07d","visit_id":"v%011d"}'
)


def restoring(bootstrap: str, groups: int, ids: int, rounds: int) -> None:
    """Print the table of one size of state."""
    topic = f"log-{uuid4().hex[:8]}"
    settings = next(iter(state_needs(topic, "", ""))).settings
    topics.create(bootstrap, topic, PARTITIONS, **settings)
    taken: dict[str, list[Result]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory(prefix="stream_hb_snapshots_") as folder:
        with quiet_collector():
            write_log(bootstrap, topic, Path(folder), groups, ids)
        for _ in range(rounds):
            for mode, runs in taken.items():
                job = Job(mode, bootstrap, topic, PARTITIONS, groups, GROUP, folder=folder)
                runs.append(measured(job))
    log = taken["bare-log"][0]
    print_table(
        f"Restore: {groups:,} groups, {ids:,} remembered visits, {PARTITIONS} shards; a log of "
        f"{log['records']:,} records, {log['bytes'] / 1e6:,.0f} MB",
        ("", "wall s", "CPU s", "wall, ratio", "CPU, ratio", "peak MB"),
        [_row(mode, runs, taken["bare-log"]) for mode, runs in taken.items()],
    )


def _row(mode: str, runs: list[Result], anchor: list[Result]) -> list[str]:
    wall, cpu = (np.median([run[name] for run in runs]) for name in ("wall", "cpu"))
    of_wall, of_cpu = (np.median([run[name] for run in anchor]) for name in ("wall", "cpu"))
    peak = f"{runs[0]['peak_kb'] / 1024:,.0f}" if "peak_kb" in runs[0] else ""
    ratios = [f"{wall / of_wall:.2f}", f"{cpu / of_cpu:.2f}"]
    return [mode, f"{wall:.2f}", f"{cpu:.2f}", *ratios, peak]


def write_log(bootstrap: str, topic: str, folder: Path, groups: int, ids: int) -> None:
    """Write the log of shards that have had so many visits, and their snapshots, as a worker."""
    producer = Producer(transaction_settings(bootstrap, topic))
    producer.init_transactions(10)
    state, files = KafkaState(bootstrap, topic, {}), snapshot_files(folder, topic)
    for number in range(PARTITIONS):
        shard = _Writer(number, groups // PARTITIONS)
        for plan in shard.plans(ids // PARTITIONS):
            producer.begin_transaction()
            for record in plan.records:
                producer.produce(topic, record.value, record.key, number)
            producer.commit_transaction()
        files.write(number, state.end(number), shard.snapshot())
    state.close()


class _Writer:
    """One shard's worker, without its input."""

    def __init__(self, number: int, groups: int) -> None:
        self._number = number
        self._groups = groups
        self._engine = Engine(EngineSettings(groups_max=groups))
        self._engine.open_shard(number, epoch=1)
        self._shard = self._engine.shards[number]
        self._log = ShardLog(self._shard)
        self._header = {"group": GROUP, "writer": f"{GROUP}-0", "refits": 0}

    def plans(self, ids: int) -> Iterator[LogPlan]:
        """Yield what the transactions write, each when the one before it is the state."""
        for start in range(0, ids, BATCH):
            size = min(BATCH, ids - start)
            texts = _visits(start, size, self._groups)
            batch = RawBatch("events", self._number, texts, int, start + size)
            candidate = self._engine.ingest({self._number: [batch]}, wall_clock_ms())
            plan = self._log.plan(candidate.shards[self._number], [], self._header)
            yield plan
            self._log.settle(plan)
            self._engine.apply(candidate)
        plan = self._log.plan(None, list(self._emitted()), self._header)
        yield plan
        self._log.settle(plan)

    def _emitted(self) -> Iterator[MemoryUpdate]:
        """Yield the memory of one record of every key."""
        rng, size = np.random.default_rng(4), len(self._shard.table)
        for metric in self._engine.settings.emitted_metrics:
            mean, sd = rng.random((2, size))
            at_ms, alive = np.full(size, STARTED_MS), np.zeros(size, np.bool_)
            emitted = Emitted(np.ones(size, np.int64), mean, sd, at_ms, alive)
            yield MemoryUpdate(self._number, metric, np.arange(size), emitted)

    def snapshot(self) -> bytes:
        """Return the shard after its last transaction."""
        return snapshot(self._shard, self._log, self._header)


def _visits(start: int, size: int, groups: int) -> list[bytes | None]:
    """Return visits of all stores in turn, of a week in all."""
    return [_EVENT % (n, STARTED_MS + n // 100, n % groups, n) for n in range(start, start + size)]
