"""Topics for the benchmarks, full ones and such as fill while they are read."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from stream_hb.events.partitioner import murmur2_partition
from stream_hb.runtime.assembly import needs_of
from tests.benchmarks.clients import config_of
from tests.benchmarks.job import Job
from tests.support import topics

PARTITIONS = 8
TICK_SECONDS = 0.005

Events = Sequence[tuple[int, bytes]]
"""(store number, payload) of each."""


def store_name(store: int) -> bytes:
    """Return the id of a store, which is its events' key as well."""
    return b"store-%05d" % store


def partitions_of(stores: int) -> list[int]:
    """Return where each store's events belong."""
    return [murmur2_partition(store_name(store), PARTITIONS) for store in range(stores)]


def fill(bootstrap: str, topic: str, stores: int, events: Iterable[tuple[int, bytes]]) -> None:
    """Write events, each store's to its partition."""
    producer = _producer(bootstrap, linger_ms=50)
    where = partitions_of(stores)
    for store, payload in events:
        while True:
            try:
                producer.produce(topic, payload, store_name(store), where[store])
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def feed(bootstrap: str, topic: str, stores: int, events: Events, rate: float) -> None:
    """Write events at an even rate, until all are written."""
    producer = _producer(bootstrap, linger_ms=0)
    where = partitions_of(stores)
    started, done = time.perf_counter(), 0
    while done < len(events):
        due = min(int((time.perf_counter() - started) * rate), len(events))
        for store, payload in events[done:due]:
            producer.produce(topic, payload, store_name(store), where[store])
        done = due
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    producer.flush()


def _producer(bootstrap: str, linger_ms: int) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": linger_ms,
            "compression.type": "lz4",
            "enable.idempotence": True,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )


@contextmanager
def made_topics(job: Job, *, with_input: bool = False) -> Iterator[None]:
    """Make the topics of a run, and delete them after it; times in them are the broker's."""
    appended = {"message.timestamp.type": "LogAppendTime"}
    needs = [need for need in needs_of(config_of(job)) if with_input or need.name != job.topic]
    for need in needs:
        partitions = 1 if need.name.endswith("-hyper") else job.partitions
        settings = {**need.settings, **appended}
        topics.create(job.bootstrap, need.name, partitions, **settings)
    try:
        yield
    finally:
        admin = AdminClient({"bootstrap.servers": job.bootstrap, "log_level": 0})
        for deleted in admin.delete_topics([need.name for need in needs]).values():
            deleted.result(20)
