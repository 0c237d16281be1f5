"""Whole event logs with everything wrong with them that a random number can think of."""

import json
import random
from typing import Any

from stream_hb.engine import Engine
from stream_hb.events.rejects import REASONS
from stream_hb.settings import EngineSettings, Input
from stream_hb.statistics.forgetting import HalfLife, Window
from tests.events.test_decode_fuzz import mutant
from tests.support.logs import START_MS, batch, open_engine

METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "pm"}
SETTINGS = (
    EngineSettings(METHODS, bot_visits_per_hour=2),
    EngineSettings(
        METHODS,
        forgetting={
            "conversion": HalfLife(3_600_000),
            "order_rate": Window(24),
            "log_order_value": HalfLife(60_000),
        },
    ),
    EngineSettings(METHODS, inputs={"conversion": Input(totals=True)}, groups_max=3),
)
SPANS_MS = (1_000, 3_600_000, 30 * 86_400_000, 10 * 365 * 86_400_000)
"""Logs of seconds, of hours, of a month (ids are forgotten), of ten years."""


def event(source: random.Random, span_ms: int) -> dict[str, Any]:
    """Return one event; ids are few, so that everything meets everything."""
    kind = source.choice(["visit", "visit", "purchase", "refund", "totals"])
    at_ms = START_MS + source.randrange(span_ms)
    made: dict[str, Any] = {
        "schema_version": 1,
        "event_type": kind,
        "event_id": "event-0001",
        "event_time_ms": at_ms,
        "store_id": source.choice("abcd"),
    }
    if source.random() < 0.1:
        made["ingest_time_ms"] = START_MS + source.randrange(span_ms)
    if kind in ("visit", "purchase"):
        made["visit_id"] = f"v{source.randrange(6)}"
        made |= source.choice([{}, {}, {"visitor_id": source.choice("xy")}, {"is_bot": True}])
        arm = {"experiment_id": source.choice("ef"), "arm": source.choice("ab")}
        made |= {"experiment": arm} if source.random() < 0.2 else {}
    if kind in ("purchase", "refund"):
        made["order_id"] = f"o{source.randrange(5)}"
        made["amount_minor"] = source.choice([1, 100, 10**12])
        made["currency"] = source.choice(["EUR", "EUR", "EUR", "USD"])
    if kind == "purchase":
        made["revision"] = source.choice([0, 0, 1, 2**31 - 1])
        made["amount_minor"] *= source.choice([0, 1])
    if kind == "refund":
        made |= {"refund_id": f"r{source.randrange(5)}", "cancels_order": source.random() < 0.2}
    if kind == "totals":
        start = START_MS + source.randrange(span_ms) // 1000 * 1000
        made |= {"period_start_ms": start, "period_end_ms": start + source.choice([1000, 10**6])}
        made["event_time_ms"] = made["period_end_ms"] + source.choice([0, 1000])
        made |= {"source": source.choice("st"), "visits": source.randrange(9)}
        made |= {"conversions": source.randrange(9)} if source.random() < 0.7 else {}
    return made


def log(source: random.Random) -> list[bytes | None]:
    """Return a log, some of its payloads broken, some repeated."""
    span_ms = source.choice(SPANS_MS)
    payloads: list[bytes | None] = []
    for _ in range(source.randrange(30)):
        good = json.dumps(event(source, span_ms)).encode()
        payloads.append(mutant(source) if source.random() < 0.1 else good)
    payloads += source.choices(payloads, k=source.randrange(8)) if payloads else []
    if source.random() < 0.5:
        source.shuffle(payloads)
    return payloads


def check(source: random.Random) -> tuple[int, int]:
    """Feed one log to an engine in random batches; return how many events it took and refused."""
    engine, payloads = open_engine(source.choice(SETTINGS)), log(source)
    taken = refused = start = 0
    while start < len(payloads):
        end = start + source.randint(1, 12)
        candidate = engine.ingest({0: [batch(payloads[start:end], first_offset=start)]})
        assert {reject.reason for reject in candidate.rejects} <= REASONS.keys()
        engine.apply(candidate)
        taken, refused = taken + candidate.accepted, refused + len(candidate.rejects)
        assert taken + refused == min(end, len(payloads))
        assert_sound(engine)
        start = end
    if source.random() < 0.1:
        restored = Engine(engine.settings)
        restored.restore(engine.snapshot())
        assert restored.snapshot() == engine.snapshot()
    return taken, refused


def assert_sound(engine: Engine) -> None:
    """0 <= y <= n, nothing negative, nothing infinite."""
    table = engine.shards[0].table
    for metric in table.metrics:
        for name, column in table.statistic(metric).columns().items():
            assert abs(column).max(initial=0) < float("inf"), (metric, name)
            assert name == "mean" or column.min(initial=0) >= 0, (metric, name, column)
    counts = table.statistic("conversion").columns()
    assert (counts["successes"] <= counts["trials"] * (1 + 1e-9)).all()
