"""One measurement in a process of its own: prints the seconds that it took, as JSON.

``python -m tests.benchmarks.client MODE BOOTSTRAP TOPIC PARTITIONS COUNT``
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Message, TopicPartition

from stream_hb.engine import Engine
from stream_hb.events.decode import Decoder
from stream_hb.runtime.at_least_once import AtLeastOnce
from stream_hb.runtime.client import Watermarks
from stream_hb.runtime.delivery import Route
from stream_hb.runtime.kafka import (
    KafkaInput,
    KafkaOutput,
    consumer_settings,
    producer_settings,
)
from stream_hb.runtime.kafka_batches import to_batches
from stream_hb.runtime.quiet import quiet_collector
from stream_hb.runtime.worker import Worker
from stream_hb.settings import EmissionRule, EngineSettings

BATCH = 40_000

Measure = Callable[[str, str, int, int], dict[str, float]]


def polls(bootstrap: str, topic: str, partitions: int, count: int) -> Iterator[list[Message]]:
    """Yield the messages of all partitions until there were ``count``."""
    settings = consumer_settings(bootstrap, f"bench-{uuid4()}", [topic])
    consumer = Consumer({**settings, "enable.partition.eof": False})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    seen = 0
    while seen < count:
        messages = consumer.consume(BATCH, 0.05)
        seen += len(messages)
        yield messages
    consumer.close()


def bare(bootstrap: str, topic: str, partitions: int, count: int) -> dict[str, float]:
    """Consume, and read every value."""
    for messages in polls(bootstrap, topic, partitions, count):
        list(map(Message.value, messages))
    return {}


def decode(bootstrap: str, topic: str, partitions: int, count: int) -> dict[str, float]:
    """Consume, and take the events apart into columns."""
    decoder = Decoder()
    for messages in polls(bootstrap, topic, partitions, count):
        for batch in to_batches(messages, {topic: 0}):
            decoder.decode(batch)
    return {}


def worker(bootstrap: str, topic: str, partitions: int, count: int) -> dict[str, float]:
    """Run the whole worker with the emission rule on."""
    return _worker(bootstrap, topic, count, EmissionRule())


def every_batch(bootstrap: str, topic: str, partitions: int, count: int) -> dict[str, float]:
    """Run the whole worker with the rule on, asking it with every batch although it is behind."""
    return _worker(bootstrap, topic, count, EmissionRule(), behind_emit_ms=0)


def everything(bootstrap: str, topic: str, partitions: int, count: int) -> dict[str, float]:
    """Run the whole worker, emitting every group that a batch touched."""
    return _worker(bootstrap, topic, count, EmissionRule(everything_touched=True))


class _Live(KafkaInput):
    """The input of a worker that had caught up and then fell behind: it emits from the start."""

    def watermarks(self, partition: Any) -> Watermarks:
        low, _ = super().watermarks(partition)
        return Watermarks(low, low)


def _worker(
    bootstrap: str, topic: str, count: int, rule: EmissionRule, behind_emit_ms: int = 5_000
) -> dict[str, float]:
    settings = consumer_settings(bootstrap, f"bench-{uuid4()}", [topic])
    engine, inputs = Engine(EngineSettings(emission=rule)), _Live([topic], settings)
    route = Route("bench-estimates", "bench-rejects", BATCH, behind_emit_ms)
    delivery = AtLeastOnce(engine, inputs, KafkaOutput(producer_settings(bootstrap)), route)
    running = Worker(engine, inputs, delivery, route)
    stop = Event()
    shards = running.engine.shards
    while running.status.events < count or any(s.unscreened for s in shards.values()):
        running.step(stop)
    return {"records": running.status.records, "refits": running.engine.refits}


MODES: dict[str, Measure] = {
    "bare": bare,
    "decode": decode,
    "worker": worker,
    "every-batch": every_batch,
    "everything": everything,
}


def main() -> None:
    """Measure one mode."""
    mode, bootstrap, topic, partitions, count = sys.argv[1:]
    with quiet_collector():
        cpu, wall = time.process_time(), time.perf_counter()
        more = MODES[mode](bootstrap, topic, int(partitions), int(count))
        took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps(took | more))


if __name__ == "__main__":
    main()
