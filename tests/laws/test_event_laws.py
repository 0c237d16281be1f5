"""The laws of event logs: the state is a function of the set of events, and it is the plain one."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.engine import Engine
from stream_hb.settings import EngineSettings
from tests.reference import event_rules
from tests.support.logs import START_MS, batch, open_engine

METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
SETTINGS = EngineSettings(METHODS, bot_visits_per_hour=2)
HOUR_MS = 3_600_000
STORES = [("c", "a"), ("c", "b"), (None, "a")]
ARMS = [{"experiment_id": "e", "arm": arm} for arm in "ab"]

times_ms = st.integers(0, 20).map(lambda step: START_MS + step * HOUR_MS // 4)
visit_ids = st.sampled_from(["v0", "v1", "v2", "v3", "v4"])
order_ids = st.sampled_from(["o0", "o1", "o2", "o3"])
amounts = st.one_of(st.just(0), st.sampled_from([100, 250, 10**12]), st.integers(1, 10**6))
VISITOR_OF = {"v0": "x", "v1": "x", "v2": "x", "v3": "y"}


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    chain, store = draw(st.sampled_from(STORES))
    event: dict[str, Any] = {
        "schema_version": 1,
        "event_id": "event-0001",
        "event_time_ms": draw(times_ms),
        "store_id": store,
    }
    if chain:
        event["chain_id"] = chain
    kind = draw(st.sampled_from(["visit", "visit", "purchase", "purchase", "refund"]))
    event["event_type"] = kind
    if kind == "refund":
        event |= {"refund_id": draw(st.sampled_from(["r0", "r1", "r2"])), "currency": "EUR"}
        amount = draw(st.sampled_from([50, 100, 250]))
        event |= {"order_id": draw(order_ids), "amount_minor": amount}
        return event | ({"cancels_order": True} if draw(st.integers(0, 5)) == 0 else {})
    visit_id = draw(st.one_of(visit_ids, st.none() if kind == "purchase" else visit_ids))
    if visit_id:
        event["visit_id"] = visit_id
        if visit_id in VISITOR_OF and draw(st.booleans()):
            event["visitor_id"] = VISITOR_OF[visit_id]
        if draw(st.integers(0, 3)) == 0:
            event["experiment"] = draw(st.sampled_from(ARMS))
    if draw(st.integers(0, 9)) == 0:
        event["is_bot"] = True
    if kind == "purchase":
        event |= {"order_id": draw(order_ids), "amount_minor": draw(amounts), "currency": "EUR"}
        event["revision"] = draw(st.integers(0, 2))
    return event


logs = st.lists(events(), max_size=40)
seeds = st.integers(0, 2**32 - 1)
cuts = st.lists(st.integers(0, 80), max_size=6)


def distinct(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what rule 3 orders by hashes that the plain rules do not know."""
    kept: dict[Any, dict[str, Any]] = {}
    for event in log:
        if event["event_type"] == "purchase":
            key: Any = (event.get("chain_id", "default"), event["store_id"], event["order_id"])
            key += (event["revision"], event["event_time_ms"], event["amount_minor"])
        elif event["event_type"] == "refund":
            key = (event.get("chain_id", "default"), event["store_id"], event["refund_id"])
            key += (event["event_time_ms"], event["amount_minor"])
        else:
            key = json.dumps(event)
        kept.setdefault(key, event)
    return list(kept.values())


def fed(
    log: list[dict[str, Any]], at: list[int] | None = None, engine: Engine | None = None
) -> Engine:
    engine = engine or open_engine(SETTINGS)
    places = sorted({0, *(place for place in at or [] if place <= len(log)), len(log)})
    for start, end in pairwise(places):
        payloads = [json.dumps(event).encode() for event in log[start:end]]
        engine.apply(engine.ingest({0: [batch(payloads, first_offset=start)]}))
        for shard in engine.shards.values():
            counts = shard.table.statistic("conversion").columns()
            assert (counts["successes"] >= 0).all()
            assert (counts["successes"] <= counts["trials"]).all()
            assert (shard.table.statistic("log_order_value").columns()["m2"] >= 0).all()
    return engine


def numbers(engine: Engine) -> dict[tuple[str, str], dict[str, float]]:
    table = engine.shards[0].table
    return {
        key: {
            f"{metric}.{name}": float(column[row])
            for metric in table.metrics
            for name, column in table.statistic(metric).columns().items()
        }
        for row, key in enumerate(table.keys)
    }


def units(engine: Engine) -> dict[Any, list[Any]]:
    """Return what is known of units: by group, how many have each of (crossed, visits, …)."""
    shard = engine.shards[0]
    found: dict[Any, list[Any]] = {}
    u = shard.attribution.units.all()
    for at, row in enumerate(u.row.tolist()):
        if u.arm[at] < 0:
            continue  # every visit left it: it was somebody's before its visitor was known
        facts = (u.visits, u.orders, u.revenue_minor, u.first_ms)
        arm = "crossed" if u.crossed[at] else shard.arms.known[u.arm[at]]
        found.setdefault(shard.table.keys[row], []).append(
            (str(arm), *(int(fact[at]) for fact in facts))
        )
    return {key: sorted(value) for key, value in found.items()}


def assert_is_plain(engine: Engine, log: list[dict[str, Any]]) -> None:
    expected = event_rules.count(log, visits_per_hour=2)
    found = numbers(engine)
    assert found.keys() == expected.keys()
    for key, group in expected.items():
        mine = found[key]
        values = [math.log(value) for _, value in group.orders if value > 0]
        assert mine["conversion.trials"] == mine["order_rate.exposure"] == len(group.visits)
        assert mine["conversion.successes"] == len(group.conversions)
        assert mine["order_rate.events"] == len(group.orders)
        assert mine["log_order_value.weight"] == len(values)
        mean = math.fsum(values) / len(values) if values else 0.0
        m2 = math.fsum((value - mean) ** 2 for value in values)
        assert abs(mine["log_order_value.mean"] - mean) <= 1e-12 * 30
        assert abs(mine["log_order_value.m2"] - m2) <= 1e-12 * 900 * max(len(values), 1)
    tallies = engine.shards[0].attribution.tallies
    assert tallies["bot_visits"] == sum(group.bot_visits for group in expected.values())
    assert tallies["bot_orders"] == sum(group.bot_orders for group in expected.values())
    plain_units = {
        key: sorted(
            ("crossed" if len(arms) > 1 else str(next(iter(arms))), *rest)
            for arms, *rest in group.units.values()
        )
        for key, group in expected.items()
        if group.units
    }
    assert units(engine) == plain_units


@given(log=logs, repeated=st.lists(st.integers(0, 39), max_size=20), seed=seeds, at=cuts)
@settings(max_examples=300, deadline=None)
def test_any_order_repetition_and_batches_count_what_the_plain_rules_count(
    log: list[dict[str, Any]], repeated: list[int], seed: int, at: list[int]
) -> None:
    log = distinct(log)
    more = log + [log[place] for place in repeated if place < len(log)]
    shuffled = [more[place] for place in np.random.default_rng(seed).permutation(len(more))]
    assert_is_plain(fed(shuffled, at), log)
