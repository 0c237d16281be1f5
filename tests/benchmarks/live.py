"""Clients of a topic that fills at an even rate: their CPU time, and how late their records are.

Latency is from append to append, by the broker's clock: from an event's append to its topic to the
append of the first record that takes it into account. An event of which no record was due (the
emission rule) has none.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from tests.benchmarks.catching_up import modes_here
from tests.benchmarks.feed import PARTITIONS, Events, feed, made_topics
from tests.benchmarks.job import Client, Job, NotMeasuredError, Result
from tests.benchmarks.table import RATES, print_table, rate_rows
from tests.benchmarks.workload import payloads

RATED = (
    "bare",
    "echo",
    "exactly-once",
    "everything",
    "at-least-once",
    "quix-exactly-once",
    "quix-at-least-once",
)
TIMED = ("echo", "exactly-once", "everything", "at-least-once")
WARM_UP_SECONDS = 8.0
"""Until the first refit there are no records, and then one of every store at once."""

METRIC = b"conversion"


class Latency(NamedTuple):
    """Milliseconds from append to append."""

    p50: float
    p99: float
    events: int


def live(bootstrap: str, stores: int, rate: int, seconds: float, spread: float = 0.0) -> None:
    """Print the tables of one rate."""
    count = int(rate * (WARM_UP_SECONDS + seconds))
    events = list(payloads(count, stores, spread=spread))
    taken: dict[str, list[Result]] = {}
    latencies: dict[str, Latency] = {}
    for mode in modes_here(RATED if rate >= 10_000 else TIMED):
        name = f"run-{uuid4().hex[:8]}"
        job = Job(mode, bootstrap, f"{name}-events", PARTITIONS, count, name, live=True)
        with made_topics(job, with_input=True):
            taken[mode] = [_fed(job, stores, events, rate)]
            if mode in TIMED:
                latencies[mode] = latency(job)
    what = f"{rate:,} events/s for {seconds:.0f} s, {stores:,} stores (spread {spread:g})"
    print_table(f"Live: {what}", RATES, rate_rows(taken, count))
    print_table(f"Latency: {what}", HEADER, _rows(latencies))


def _fed(job: Job, stores: int, events: Events, rate: float) -> Result:
    with Client(job) as client:
        client.wait_until_ready()
        feed(job.bootstrap, job.topic, stores, events, rate)
        return client.result()


HEADER = ("", "p50 ms", "p99 ms", "p50 / echo's", "p99 / echo's", "events")


def _rows(latencies: dict[str, Latency]) -> list[list[str]]:
    echo = latencies["echo"]
    return [
        [
            mode,
            f"{each.p50:.0f}",
            f"{each.p99:.0f}",
            f"{each.p50 / echo.p50:.2f}",
            f"{each.p99 / echo.p99:.2f}",
            f"{each.events:,}",
        ]
        for mode, each in latencies.items()
    ]


def latency(job: Job) -> Latency:
    """Read a run's topics and compare their times."""
    events = _by_partition(job, job.topic)
    records = _by_partition(job, f"{job.run}-estimates")
    start_ms = min(_appended_ms(some[0]) for some in events.values()) + 1000 * WARM_UP_SECONDS
    pairs = _echoed if job.mode == "echo" else _covered
    took = [
        record_ms - event_ms
        for number, some in events.items()
        for event_ms, record_ms in pairs(number, some, records)
        if event_ms >= start_ms
    ]
    if not took:
        raise NotMeasuredError(f"{job.mode}: no record of an event after {WARM_UP_SECONDS:.0f} s")
    p50, p99 = np.percentile(took, (50, 99))
    return Latency(float(p50), float(p99), len(took))


def _by_partition(job: Job, topic: str) -> dict[int, list[Message]]:
    """Read a topic's committed messages up to its present end."""
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": f"{job.run}-latency",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(job.partitions)])
    found: dict[int, list[Message]] = defaultdict(list)
    left = job.partitions
    while left:
        for message in consumer.consume(10_000, 0.05):
            if message.error() is not None:  # the end of a partition
                left -= 1
            else:
                found[message.partition() or 0].append(message)
    consumer.close()
    return found


def _appended_ms(message: Message) -> int:
    return int(message.timestamp()[1])


Pairs = Iterator[tuple[int, int]]
"""Times of an event's append and of its record's."""


def _echoed(number: int, events: list[Message], records: dict[int, list[Message]]) -> Pairs:
    """Yield the times of what was echoed: one record an event, in the same order."""
    for event, record in zip(events, records[number], strict=True):
        yield _appended_ms(event), _appended_ms(record)


def _covered(number: int, events: list[Message], records: dict[int, list[Message]]) -> Pairs:
    """Yield the times of events and of the first record of their store that covers them.

    Records of one shard say up to which offset they go. What the record before it of the same
    shard, whatever its store, had covered already was not thought worth a record then.
    """
    mine: dict[int, dict[bytes, int]] = defaultdict(dict)
    for record in (each for some in records.values() for each in some):
        _, store, _, metric = (record.key() or b"").split(b"|")
        upto = _upto(record).get(number) if metric == METRIC else None
        if upto is not None:
            mine[upto].setdefault(store, _appended_ms(record))
    ends = sorted(mine)
    for event in events:
        at = np.searchsorted(ends, event.offset() or 0, side="right")
        appended = mine[ends[at]].get(event.key() or b"") if at < len(ends) else None
        if appended is not None:
            yield _appended_ms(event), appended


def _upto(record: Message) -> dict[int, int]:
    """Return the offsets that a record goes up to, by partition."""
    offsets = json.loads(record.value() or b"{}")["offsets"]
    return {int(source.rpartition("-")[2]): offset for source, offset in offsets.items()}
