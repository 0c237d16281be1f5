"""The clients that are measured: each reads a topic to an end, with less or more of the work."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event
from typing import Any
from unittest.mock import patch

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from stream_hb.config import Config
from stream_hb.engine import Engine
from stream_hb.events.decode import Decoder
from stream_hb.runtime import assembly
from stream_hb.runtime.assembly import route_of
from stream_hb.runtime.client import Watermarks
from stream_hb.runtime.delivery import Route
from stream_hb.runtime.kafka import KafkaInput, consumer_settings
from stream_hb.runtime.kafka_batches import to_batches
from stream_hb.runtime.kafka_transactions import transaction_settings
from stream_hb.runtime.worker import POLL_SECONDS, Worker, wall_clock_ms
from tests.benchmarks.job import Job, Result

BATCH = 40_000

Ready = Callable[[], None]
Measure = Callable[[Job, Ready], Result]


def polls(job: Job, ready: Ready) -> Iterator[list[Message]]:
    """Yield the messages of all partitions until there were enough."""
    settings = consumer_settings(job.bootstrap, job.run, [job.topic])
    consumer = Consumer({**settings, "enable.partition.eof": False})
    consumer.assign([TopicPartition(job.topic, p, 0) for p in range(job.partitions)])
    consumer.consume(0, 1.0)
    ready()
    seen = 0
    while seen < job.count:
        messages = consumer.consume(BATCH, POLL_SECONDS)
        seen += len(messages)
        yield messages
    consumer.close()


def bare(job: Job, ready: Ready) -> Result:
    """Consume, and read every value."""
    for messages in polls(job, ready):
        list(map(Message.value, messages))
    return {}


def decode(job: Job, ready: Ready) -> Result:
    """Consume, and take the events apart into columns."""
    decoder = Decoder()
    for messages in polls(job, ready):
        for batch in to_batches(messages, {job.topic: 0}):
            decoder.decode(batch)
    return {}


def echo(job: Job, ready: Ready) -> Result:
    """Consume, produce, send offsets, commit: what any transactional worker does at the least.

    Its loop waits for messages as the worker's does.
    """
    settings = consumer_settings(job.bootstrap, job.run, [job.topic], instance_id=job.run)
    consumer = Consumer(
        {**settings, "enable.partition.eof": False, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([job.topic])
    producer = Producer(transaction_settings(job.bootstrap, job.run))
    producer.init_transactions(10)
    while len(consumer.assignment()) < job.partitions:
        consumer.consume(1, POLL_SECONDS)
    ready()
    seen, transactions, out = 0, 0, f"{job.run}-estimates"
    offsets: dict[int, int] = {}
    while seen < job.count:
        messages = consumer.consume(BATCH, POLL_SECONDS)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            partition = message.partition() or 0
            producer.produce(out, message.value(), message.key(), partition)
            offsets[partition] = (message.offset() or 0) + 1
        producer.send_offsets_to_transaction(
            [TopicPartition(job.topic, *each) for each in offsets.items()],
            consumer.consumer_group_metadata(),
        )
        producer.commit_transaction()
        seen, transactions = seen + len(messages), transactions + 1
    consumer.close()
    return {"records": seen, "transactions": transactions}


class _Live(KafkaInput):
    """The input of a worker that had caught up and then fell behind: it emits from the start."""

    def watermarks(self, partition: Any) -> Watermarks:
        low, _ = super().watermarks(partition)
        return Watermarks(low, low)


def config_of(job: Job, **more: Any) -> Config:
    """Return a worker's configuration; ``more`` replaces sections."""
    return Config.model_validate(
        {
            "kafka": {"bootstrap_servers": job.bootstrap, "group_id": job.run},
            "topics": {
                "inputs": [job.topic],
                "partitioner": "murmur2",
                **{
                    use: f"{job.run}-{use}"
                    for use in ("estimates", "rejects", "state", "summaries", "hyper")
                },
            },
            **more,
        }
    )


def made_worker(job: Job, kind: type[KafkaInput] = _Live, **more: Any) -> Worker:
    """Return a worker as ``stream-hb run`` makes it, but for its input."""
    config = config_of(job, **more)
    engine = Engine(assembly.run_settings(config, job.partitions))
    with patch.object(assembly, "KafkaInput", kind):
        made = assembly.worker(config, engine, job.slot, job.partitions)
    if job.cpu_clock:
        made._clock_ms = _cpu_clock()
    return made


def _cpu_clock() -> Callable[[], int]:
    """Return a clock that stands still while others have the processor.

    Refits and emissions come by the clock: on a busy machine there would be more of them for each
    event, and the figure would be the machine's.
    """
    began_ms = wall_clock_ms()
    return lambda: began_ms + int(1000 * time.process_time())


def _worked(job: Job, ready: Ready, **more: Any) -> Result:
    """Run a worker until everything is read and its last change is emitted."""
    running, stop = made_worker(job, **more), Event()
    shards = running.engine.shards
    while len(shards) < job.partitions:
        running.step(stop)
    ready()
    steps = 0
    while running.status.events < job.count or any(s.unscreened for s in shards.values()):
        steps += running.step(stop)
    return {
        "records": running.status.records,
        "refits": running.engine.refits,
        "batches": steps,
        "aborts": sum(running.tally.aborts.values()),
    }


def exactly_once(job: Job, ready: Ready) -> Result:
    """Run the whole worker: transactions, the state's log, the emission rule."""
    return _worked(job, ready)


def every_batch(job: Job, ready: Ready) -> Result:
    """Run the whole worker; its rule is asked with every batch although it is behind."""

    def asked_always(config: Config) -> Route:
        return replace(route_of(config), behind_emit_ms=0)

    with patch.object(assembly, "route_of", asked_always):
        return _worked(job, ready)


def everything(job: Job, ready: Ready) -> Result:
    """Run the whole worker; every group that a batch touched is written."""
    return _worked(job, ready, emission={"everything_touched": True})


def at_least_once(job: Job, ready: Ready) -> Result:
    """Run the worker without transactions and without a log of its state."""
    return _worked(job, ready, delivery="at_least_once")


def member(job: Job, ready: Ready) -> Result:
    """Run a worker of a group and tell how far it is, until it is ended from outside.

    It takes its topic's end for what it is: to a shard that comes from another worker an end that
    lies before the offset is one of lost events. So nothing is emitted before all is read.
    """
    running, stop = made_worker(job, KafkaInput), Event()
    ready()
    told = 0.0
    while True:
        running.step(stop)
        now = time.monotonic()
        if now - told >= 0.1:
            told, cpu = now, time.process_time()
            print(
                f'{{"events": {running.status.events}, "shards": {len(running.engine.shards)}, '
                f'"at": {now}, "cpu": {cpu}}}',
                flush=True,
            )


MODES: dict[str, Measure] = {
    "bare": bare,
    "decode": decode,
    "echo": echo,
    "exactly-once": exactly_once,
    "every-batch": every_batch,
    "everything": everything,
    "at-least-once": at_least_once,
    "member": member,
}
