"""The pricing feed on a real broker: compaction changes nothing, and the example prices from it."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from confluent_kafka import Producer

from stream_hb.engine import Engine
from stream_hb.feeds.estimate_record import Estimate
from stream_hb.feeds.estimate_table import EstimateTable
from stream_hb.feeds.estimates import OutRecord
from stream_hb.settings import EmissionRule, EngineSettings
from stream_hb.stores import NEVER_MS, Stores
from tests.support import topics as kafka
from tests.support.broker import NamedBroker, RealBroker
from tests.support.deadline import wait_until
from tests.support.logs import START_MS, feed, open_engine, refit, shop_log, visit

pytestmark = pytest.mark.broker

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "prices.py"
STORES = Stores.of([("c", "c-0"), ("c", "c-1")], retired_ms=np.array([START_MS + 3_000, NEVER_MS]))
TopicMaker = Callable[..., str]


def pricing_log(rounds: int = 6, chain: str = "c") -> list[OutRecord]:
    """What a worker writes while the stores' events come; ``c-0`` retires on the way."""
    settings = EngineSettings(
        methods={"conversion": "ml"},
        stores=STORES,
        emission=EmissionRule(heartbeat_ms=None, everything_touched=True),
    )
    engine = open_engine(settings)
    written: list[OutRecord] = []
    for number in range(rounds):
        feed(engine, shop_log(seed=number, visits=20, chain=chain))
        now_ms = START_MS + 1_000 * number
        refit(engine, now_ms)
        written += emitted(engine, now_ms)
    return written


def emitted(engine: Engine, now_ms: int) -> list[OutRecord]:
    emission = engine.emit(now_ms)
    engine.apply(emission)
    return emission.records


def append(servers: str, topic: str, records: Iterable[OutRecord]) -> None:
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
    for record in records:
        producer.produce(topic, key=record.key, value=record.value, partition=0)
    assert producer.flush(20) == 0


def table_of(records: Iterable[kafka.Record]) -> EstimateTable:
    table = EstimateTable()
    for record in records:
        table.feed(record.key or b"", record.value, record.offset)
    return table


def estimates(table: EstimateTable) -> dict[str, Estimate]:
    return {estimate.key.store_id: estimate for estimate in table}


@pytest.mark.timeout(120)
def test_a_table_read_after_compaction_is_the_one_read_before(
    broker: RealBroker, topics: TopicMaker
) -> None:
    if isinstance(broker, NamedBroker):
        pytest.skip("the cleaner of the named broker looks every 15 s at the soonest")
    servers = broker.bootstrap_servers
    quick = {"segment_ms": "100", "min_cleanable_dirty_ratio": "0.01", "delete_retention_ms": "0"}
    topic = topics(cleanup_policy="compact", **quick)
    written = pricing_log()
    deleted = [record.key for record in written if record.value is None]
    assert deleted == [b"c|c-0||conversion"]
    append(servers, topic, written)
    before = kafka.read_all(servers, topic)
    expected = estimates(table_of(before))
    assert len(expected) == 7  # eight stores without the one that has retired

    def compacted() -> bool:
        # A segment is closed by the first record after its time.
        append(servers, topic, written[-1:])
        left = kafka.read_all(servers, topic)
        return len(left) < len(before) and not any(r.key == deleted[0] for r in left)

    wait_until(compacted, 60.0)
    after = kafka.read_all(servers, topic)
    again = table_of(after)
    assert estimates(again) == expected
    assert again.missed == 0
    assert estimates(table_of([*after, *before, *reversed(after)])) == expected


@pytest.fixture
def example(broker: RealBroker | NamedBroker) -> Iterator[Callable[[str], Iterator[str]]]:
    """Run the example against a topic; yields its lines, for half a minute at most."""
    started: list[tuple[subprocess.Popen[str], Timer]] = []

    def start(topic: str) -> Iterator[str]:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLE), broker.bootstrap_servers, topic],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        timer = Timer(30.0, process.kill)
        timer.start()
        started.append((process, timer))
        assert process.stdout is not None
        return iter(process.stdout)

    yield start
    for process, timer in started:
        timer.cancel()
        process.kill()
        process.communicate()


def test_the_example_prints_prices_from_the_topic(
    broker: RealBroker | NamedBroker,
    topics: TopicMaker,
    example: Callable[[str], Iterator[str]],
) -> None:
    """Records of now get their price, a stale one and a cold start none but the list's."""
    topic = topics(cleanup_policy="compact")
    now_ms = time.time_ns() // 1_000_000
    stores = Stores.of([("c", "silent")])
    engine = open_engine(
        EngineSettings({"conversion": "ml"}, stores=stores, registers=lambda _store, _shard: True)
    )
    seldom = [visit("seldom", f"w{number}", now_ms - 1_600_000) for number in range(200)]
    feed(engine, [*seldom, *shop_log(visits=200, start_ms=now_ms - 1_600_000)])
    refit(engine, now_ms)
    written = emitted(engine, now_ms)
    append(broker.bootstrap_servers, topic, [OutRecord(b"c|bad||conversion", b"{"), *written])
    append(broker.bootstrap_servers, topic, pricing_log(1, "old")[:1])
    lines = example(topic)
    said = [next(lines) for _ in range(1 + len(written) + 1)]
    prices = dict(line.split(" ", 2)[:2] for line in said[1:-1])
    assert said[0].startswith("skipped: record of key 'c|bad||conversion': expected a JSON object")
    expected = {f"c-{number}": "20.00" for number in range(8)}
    assert prices == {**expected, "silent": "20.00", "seldom": "18.00"}
    assert any(line.startswith("silent 20.00 the store has no data of its own") for line in said)
    assert "its data are" in said[-1]


def test_the_example_is_of_thirty_lines_or_so() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 36
