"""Readers of a state log: how long a restore takes beside reading the same records."""

import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from stream_hb.engine import Engine
from stream_hb.runtime.client import Committed, InputClient, Watermarks
from stream_hb.runtime.client import TopicPartition as Partition
from stream_hb.runtime.exactly_once import RESTORE_SECONDS
from stream_hb.runtime.kafka_state import POLL_RECORDS, KafkaState
from stream_hb.runtime.log_identity import LogIdentity
from stream_hb.runtime.restores import Restores
from stream_hb.runtime.snapshot_files import SnapshotFiles
from stream_hb.runtime.worker import wall_clock_ms
from stream_hb.settings import EngineSettings
from tests.benchmarks.clients import Measure, Ready
from tests.benchmarks.job import Job, Result

GROUP = "bench"
"""The consumer group that the log says it is of."""


class _AnyInput:
    """An input that agrees with whatever the log says: no topic is needed to read a log."""

    def committed(self, _partitions: Iterable[Partition]) -> dict[Partition, Committed]:
        """Return that the group has forgotten its offsets."""
        return {}

    def watermarks(self, _partition: Partition) -> Watermarks:
        """Return bounds that everything lies in."""
        return Watermarks(0, 2**62)


def bare_log(job: Job, ready: Ready) -> Result:
    """Read every record of the log, committed ones only."""
    settings = {
        "bootstrap.servers": job.bootstrap,
        "group.id": job.run,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "fetch.queue.backoff.ms": 10,
    }
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(job.topic, p, 0) for p in range(job.partitions)])
    ready()
    left, records, size = job.partitions, 0, 0
    while left:
        for message in consumer.consume(POLL_RECORDS, RESTORE_SECONDS):
            if _is_end(message):
                left -= 1
            else:
                records += 1
                size += len(message.value() or b"")
    consumer.close()
    return {"records": records, "bytes": size}


def _is_end(message: Message) -> bool:
    error = message.error()
    assert error is None or error.code() == KafkaError._PARTITION_EOF, error
    return error is not None


def snapshot_files(folder: Path, topic: str) -> SnapshotFiles:
    """Return the snapshots of a log that only this benchmark knows."""
    return SnapshotFiles(folder, LogIdentity("bench", "bench", topic, GROUP), wall_clock_ms)


def restored_log(job: Job, ready: Ready) -> Result:
    """Restore all shards from their log."""
    return _restored(job, ready)


def restored_snapshot(job: Job, ready: Ready) -> Result:
    """Restore all shards from their snapshots and what the log has since: nothing."""
    return _restored(job, ready, snapshot_files(Path(job.folder), job.topic))


def _restored(job: Job, ready: Ready, files: SnapshotFiles | None = None) -> Result:
    """Restore all shards as a worker does at its start."""
    engine = Engine(EngineSettings(groups_max=job.count))
    restores = Restores(
        cast("InputClient", _AnyInput()),
        KafkaState(job.bootstrap, job.topic, {}),
        engine.settings,
        GROUP,
        time.monotonic,
        files=files,
    )
    restores.add(Partition("events", p) for p in range(job.partitions))
    ready()
    while restores.numbers:
        for opened in restores.step(RESTORE_SECONDS):
            assert opened.restored is not None, f"no state of shard {opened.number}"
            engine.adopt(opened.restored.shard)
    restores.close()
    assert files is None or restores.snapshots["used"] == job.partitions, restores.snapshots
    return {
        "groups": engine.groups_count,
        "ids": sum(len(shard.attribution.visits.table) for shard in engine.shards.values()),
        "state_bytes": sum(t.nbytes for s in engine.shards.values() for t in s.tables.values()),
        "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


LOG_MODES: dict[str, Measure] = {
    "bare-log": bare_log,
    "restored-log": restored_log,
    "restored-snapshot": restored_snapshot,
}
