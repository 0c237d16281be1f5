"""A large state, as a worker would have written it: made by the product's own log, not by events.

The input topics hold as many messages as the state says were read; a restore compares offsets and
reads none of them.
"""

from collections.abc import Iterator

from confluent_kafka import Consumer, Producer, TopicPartition

from stream_hb.config import load_config
from stream_hb.engine import Engine
from stream_hb.runtime.assembly import run_settings
from stream_hb.statelog.shard_log import ShardLog
from tests.support.chain import Chain
from tests.support.logs import START_MS, batch, purchase, visit

BATCH = 20_000
ORDERED_EVERY = 5


def grow(chain: Chain, groups: int) -> int:
    """Give a chain so many stores, and say how many bytes the log of its state has."""
    producer = Producer(
        {
            "bootstrap.servers": chain.bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": 1_000_000,
            "queue.buffering.max.messages": 5_000_000,
        }
    )
    engine = Engine(run_settings(load_config(chain.config, {}), chain.partitions))
    reached: list[TopicPartition] = []
    size = 0
    for number in range(chain.partitions):
        starts = {(topic, number): 0 for topic in chain.inputs}
        engine.open_shard(number, 1, starts)
        for key, value in _log(chain, engine, number, groups // chain.partitions):
            size += len(value or b"")
            producer.produce(chain.state, value, key, number)
            producer.poll(0)
        for (topic, _), position in engine.shards[number].positions.items():
            for _ in range(position.next_offset):
                producer.produce(topic, b"x", partition=number)
            reached.append(TopicPartition(topic, number, position.next_offset))
        engine.close_shard(number)
    assert producer.flush(120) == 0
    consumer = Consumer({"bootstrap.servers": chain.bootstrap_servers, "group.id": chain.group_id})
    consumer.commit(offsets=reached, asynchronous=False)
    consumer.close()
    return size


def _log(
    chain: Chain, engine: Engine, number: int, groups: int
) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the records of a shard's log: a transaction for each batch."""
    log = ShardLog(engine.shards[number])
    header = {"group": chain.group_id, "writer": "0", "refits": 0}
    visits = purchases = 0
    for first in range(0, groups, BATCH):
        names = [f"p{number}-s{n}" for n in range(first, min(first + BATCH, groups))]
        seen = [visit(name, f"v{name}", START_MS, "north") for name in names]
        bought = [
            purchase(name, f"o{name}", START_MS, "north", visit_id=f"v{name}")
            for name in names[::ORDERED_EVERY]
        ]
        batches = [
            batch(seen, chain.visits, number, visits),
            batch(bought, chain.purchases, number, purchases),
        ]
        visits, purchases = visits + len(seen), purchases + len(bought)
        candidate = engine.ingest({number: batches}, START_MS)
        plan = log.plan(candidate.shards[number], [], header)
        engine.apply(candidate)
        log.settle(plan)
        yield from ((record.key, record.value) for record in plan.records)
    assert len(engine.shards[number].table) == groups
