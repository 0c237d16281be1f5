"""Events as payloads, and whole logs of them."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from stream_hb.engine import Engine
from stream_hb.events.batch import RawBatch
from stream_hb.settings import EngineSettings

START_MS = 1_730_000_000_000
SECOND_MS = 1_000


def visit(
    store: str = "s1",
    visit_id: str = "v1",
    at_ms: int = START_MS,
    chain: str | None = "c",
    **more: Any,
) -> bytes:
    return _event("visit", store, at_ms, chain, {"visit_id": visit_id, **more})


def purchase(
    store: str = "s1",
    order_id: str = "o1",
    at_ms: int = START_MS,
    chain: str | None = "c",
    amount_minor: int = 1000,
    **more: Any,
) -> bytes:
    order = {"order_id": order_id, "amount_minor": amount_minor, "currency": "EUR"}
    return _event("purchase", store, at_ms, chain, {**order, **more})


def refund(store: str, order_id: str, at_ms: int, chain: str | None = "c", **fields: Any) -> bytes:
    return _event("refund", store, at_ms, chain, {"order_id": order_id, **fields})


def accept(
    store: str = "s1",
    control_id: str = "word1",
    at_ms: int = START_MS,
    chain: str | None = "c",
    **more: Any,
) -> bytes:
    return _event("accept", store, at_ms, chain, {"control_id": control_id, **more})


def _event(kind: str, store: str, at_ms: int, chain: str | None, fields: dict[str, Any]) -> bytes:
    common = {"schema_version": 1, "event_type": kind, "event_id": "event-0001"}
    where = {"store_id": store, "event_time_ms": at_ms} | ({"chain_id": chain} if chain else {})
    return json.dumps(common | where | fields).encode()


def batch(
    payloads: Sequence[bytes | None],
    topic: str = "events",
    partition: int = 0,
    first_offset: int = 0,
) -> RawBatch:
    end = first_offset + len(payloads)
    return RawBatch(topic, partition, payloads, lambda at: first_offset + at, end)


def shop_log(
    seed: int = 1, stores: int = 8, visits: int = 40, chain: str = "c", start_ms: int = START_MS
) -> list[bytes]:
    """Return a log in order of time: stores that differ, a visit a second, some with an order."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(3, 7, stores)
    levels = rng.normal(8, 1, stores)
    log = []
    for number, store in enumerate(rng.integers(0, stores, stores * visits).tolist()):
        name, visit_id = f"{chain}-{store}", f"v{number}"
        at_ms = start_ms + number * SECOND_MS
        log.append(visit(name, visit_id, at_ms, chain))
        if rng.random() < rates[store]:
            amount = int(np.exp(rng.normal(levels[store], 0.5)))
            log.append(purchase(name, f"o{number}", at_ms, chain, amount, visit_id=visit_id))
    return log


def open_engine(settings: EngineSettings | None = None, shards: Sequence[int] = (0,)) -> Engine:
    engine = Engine(settings or EngineSettings())
    for number in shards:
        engine.open_shard(number, epoch=1)
    return engine


def feed(engine: Engine, payloads: Sequence[bytes | None], shard: int = 0) -> None:
    """Ingest and apply payloads that follow what the shard has read of its topic."""
    position = engine.shards[shard].positions.get(("events", shard))
    first = position.next_offset if position else 0
    engine.apply(engine.ingest({shard: [batch(payloads, partition=shard, first_offset=first)]}))


def refit(engine: Engine, now_ms: int, *, force: bool = True) -> None:
    change = engine.refit(now_ms, force=force)
    if change:
        engine.apply(change)
