"""Records a small state log: ``python -m tests.data.statelog.record`` writes version_N.msgpack.

A file, once written, is never written again: it stands for the logs that programs of its version
have left at brokers. A change of the format bumps ``records.VERSION`` and adds a file.
"""

import json
import random
from pathlib import Path
from typing import Any

from stream_hb.settings import EngineSettings
from stream_hb.state import pack
from stream_hb.statelog.records import VERSION
from stream_hb.statelog.shard_log import ShardLog
from tests.support.logs import START_MS, batch, open_engine, purchase, refit, refund, visit

METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
SETTINGS = EngineSettings(METHODS, bot_visits_per_hour=3)
FOLDER = Path(__file__).parent
EVENTS_A_BATCH = 25


def event(source: random.Random, number: int) -> bytes:
    store, at_ms = f"s{source.randrange(5)}", START_MS + number * 60_000
    visit_id = f"v{source.randrange(60)}"
    named: dict[str, Any] = {}
    if source.random() < 0.4:
        named["visitor_id"] = f"w{source.randrange(6)}"
    if source.random() < 0.3:
        named["experiment"] = {"experiment_id": "e", "arm": source.choice("ab")}
    kind = source.random()
    if kind < 0.6:
        return visit(store, visit_id, at_ms, **named)
    order_id, amount = f"o{source.randrange(40)}", source.randrange(1, 20_000)
    currency = source.choice(["EUR", "EUR", "USD"])
    if kind < 0.9:
        at_ms -= source.randrange(2) * number * 120_000  # may turn its group's currency
        named |= {"amount_minor": amount, "visit_id": visit_id, "currency": currency}
        return purchase(store, order_id, at_ms, **named)
    more: dict[str, Any] = {"refund_id": f"r{number}", "amount_minor": amount // 3}
    return refund(store, order_id, at_ms, currency=currency, **more)


def main() -> None:
    """Feed a log in batches; write its events and the records of its shard's state."""
    source = random.Random(6)
    events = [event(source, number) for number in range(150)]
    engine = open_engine(SETTINGS)
    log, records = ShardLog(engine.shards[0]), []
    for start in range(0, len(events), EVENTS_A_BATCH):
        payloads = events[start : start + EVENTS_A_BATCH]
        candidate = engine.ingest({0: [batch(payloads, first_offset=start)]})
        refit(engine, START_MS + start)
        emission = engine.emit(START_MS + start, candidate)
        header = {"group": "g", "writer": "g-0", "refits": engine.refits}
        plan = log.plan(candidate.shards[0], emission.updates, header)
        records += [list(record) for record in plan.records]
        engine.apply(candidate)
        engine.apply(emission)
        log.settle(plan)
    path = FOLDER / f"version_{VERSION}.msgpack"
    if path.exists():
        raise SystemExit(f"{path} is there: a recorded log is never written again")
    path.write_bytes(pack({"events": [json.loads(e) for e in events], "records": records}))


if __name__ == "__main__":
    main()
