"""Logs of experiments: visitors with an arm, several visits, orders and refunds days apart."""

import json
from itertools import pairwise
from typing import Any

import numpy as np

from stream_hb.engine import Engine
from stream_hb.events.calendar import DAY_MS, HOUR_MS
from stream_hb.events.clock import TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.experiments_feed import ExperimentsFeed
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment
from stream_hb.runtime.feeds import unit_rule
from stream_hb.settings import EngineSettings
from stream_hb.tick_feeds import Watched
from tests.support.logs import batch

MIDNIGHT_MS = 1_760_054_400_000
NOW_MS = MIDNIGHT_MS + 1_000 * DAY_MS
METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
ALL = ("conversion", "order_rate", "log_order_value", "revenue_per_visit")
EXPERIMENT = Experiment(
    "ab",
    (DeclaredArm("a", 0.5), DeclaredArm("b", 0.5)),
    "a",
    MIDNIGHT_MS,
    ALL,
    attribution_window_ms=6 * HOUR_MS,
)

Event = dict[str, Any]


def engine_with(
    *experiments: Experiment, every: str = "hour", lateness_ms: int = HOUR_MS, **more: Any
) -> Engine:
    """Return an engine that runs experiments."""
    settings = EngineSettings(
        METHODS,
        units=tuple(unit_rule(each) for each in experiments),
        ticks=TickClock(every),  # type: ignore[arg-type]
        time=TimeRules(lateness_ms=lateness_ms),
        **more,
    )
    engine = Engine(
        settings, feeds={"experiments": ExperimentsFeed(experiments, settings.emission)}
    )
    engine.open_shard(0, epoch=1)
    return engine


def step(engine: Engine, payloads: list[bytes]) -> Watched:
    """Put a batch through; return what the feeds made of the ticks that it closed."""
    position = engine.shards[0].positions.get(("events", 0))
    first = position.next_offset if position else 0
    candidate = engine.ingest({0: [batch(payloads, first_offset=first)]})
    watched = engine.watch(engine.chain_ticks(candidate.closing), NOW_MS)
    engine.apply(watched)
    engine.apply(candidate)
    return watched


def encoded(log: list[Event]) -> list[bytes]:
    """Return events as payloads."""
    return [json.dumps(event).encode() for event in log]


def event(kind: str, at_ms: int, store: str, **fields: Any) -> Event:
    """Return an event of chain ``c``."""
    common = {"schema_version": 1, "event_type": kind, "event_id": "event-0001", "chain_id": "c"}
    return {**common, "event_time_ms": at_ms, "store_id": store, **fields}


def in_arm(arm: str, experiment: str = "ab") -> Event:
    """Return the field that says so."""
    return {"experiment": {"experiment_id": experiment, "arm": arm}}


def visitors(
    seed: int,
    count: int = 400,
    days: int = 3,
    stores: int = 3,
    arms: str = "ab",
    lift: float = 0.5,
    crossing: float = 0.05,
    rate: float = 0.2,
    first_day: int = 0,
) -> list[Event]:
    """Return a log in the order of time: most visitors keep their arm, some are seen in two."""
    rng = np.random.default_rng(seed)
    log = []
    for number in range(count):
        store, arm = f"s{rng.integers(stores)}", str(rng.choice(list(arms)))
        start_ms = MIDNIGHT_MS + first_day * DAY_MS + int(rng.integers(days * DAY_MS))
        who = {"visitor_id": f"u{seed}-{number}"} if rng.random() < 0.7 else {}
        for visit in range(int(rng.integers(1, 4)) if who else 1):
            at_ms = start_ms + int(visit * rng.integers(8 * HOUR_MS))
            mine = str(rng.choice(list(arms))) if rng.random() < crossing else arm
            name = f"v{seed}-{number}-{visit}"
            is_bot = {"is_bot": True} if rng.random() < 0.03 else {}
            fields = {**who, **in_arm(mine), **is_bot}
            log.append(event("visit", at_ms, store, visit_id=name, **fields))
            if rng.random() < rate * (1 + lift * (arm == "b")):
                log += _bought(rng, at_ms, store, name)
    return sorted(log, key=lambda each: each["event_time_ms"])


def _bought(rng: np.random.Generator, at_ms: int, store: str, name: str) -> list[Event]:
    at_ms += int(rng.integers(10 * HOUR_MS))
    amount = int(np.exp(rng.normal(8, 0.8)))
    money = {"order_id": f"o{name}", "currency": "EUR"}
    order = event("purchase", at_ms, store, visit_id=name, amount_minor=amount, **money)
    if rng.random() > 0.2:
        return [order]
    at_ms += int(rng.integers(10 * HOUR_MS))
    back = amount if rng.random() < 0.5 else 1 + amount // 3
    return [order, event("refund", at_ms, store, refund_id=f"r{name}", amount_minor=back, **money)]


def shuffled(log: list[Event], seed: int, within_ms: int, again: float = 0.1) -> list[Event]:
    """Return a log out of order by so much at most, some of it twice."""
    rng = np.random.default_rng(seed)
    twice = [each for each in log if rng.random() < again]
    late = [(each["event_time_ms"] + int(rng.integers(within_ms)), each) for each in log + twice]
    return [each for _, each in sorted(late, key=lambda pair: pair[0])]


def cut(log: list[Event], seed: int, pieces: int) -> list[list[Event]]:
    """Return a log in batches of random sizes."""
    rng = np.random.default_rng(seed)
    ends = sorted({0, len(log), *rng.integers(0, len(log), pieces).tolist()})
    return [log[start:end] for start, end in pairwise(ends)]
