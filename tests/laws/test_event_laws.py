"""The laws of event logs: the state is a function of the set of events, and it is the plain one."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.engine import Engine
from stream_hb.events.clock import TimeRules
from stream_hb.settings import EngineSettings, Input
from stream_hb.statistics.forgetting import HalfLife, Window, as_seen
from tests.reference import event_rules
from tests.support.logs import START_MS, batch, open_engine, refit
from tests.support.records import assert_same_estimates, emit

METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
SETTINGS = EngineSettings(METHODS, bot_visits_per_hour=2)
HOUR_MS = 3_600_000
STORES = [("c", "a"), ("c", "b"), (None, "a")]
ARMS = [{"experiment_id": experiment, "arm": arm} for experiment in "ef" for arm in "ab"]

times_ms = st.integers(0, 20).map(lambda step: START_MS + step * HOUR_MS // 4)
visit_ids = st.sampled_from(["v0", "v1", "v2", "v3", "v4"])
order_ids = st.sampled_from(["o0", "o1", "o2", "o3"])
amounts = st.one_of(st.just(0), st.sampled_from([100, 250, 10**12]), st.integers(1, 10**6))
currencies = st.sampled_from(["EUR", "EUR", "EUR", "USD", "CHF"])
VISITOR_OF = {"v0": "x", "v1": "x", "v2": "x", "v3": "y"}


@st.composite
def events(draw: st.DrawFn, currencies: st.SearchStrategy[str] = currencies) -> dict[str, Any]:
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
        event |= {"refund_id": draw(st.sampled_from(["r0", "r1", "r2"]))}
        event["currency"] = draw(currencies)
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
        event |= {"order_id": draw(order_ids), "amount_minor": draw(amounts)}
        event["currency"] = draw(currencies)
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
            key += (event["currency"],)
        elif event["event_type"] == "refund":
            key = (event.get("chain_id", "default"), event["store_id"], event["refund_id"])
            key += (event["event_time_ms"], event["amount_minor"], event["currency"])
        else:
            key = json.dumps(event)
        kept.setdefault(key, event)
    return list(kept.values())


def fed(
    log: list[dict[str, Any]],
    at: list[int] | None = None,
    engine: Engine | None = None,
    settings: EngineSettings = SETTINGS,
) -> Engine:
    engine = engine or open_engine(settings)
    places = sorted({0, *(place for place in at or [] if place <= len(log)), len(log)})
    for start, end in pairwise(places):
        payloads = [json.dumps(event).encode() for event in log[start:end]]
        engine.apply(engine.ingest({0: [batch(payloads, first_offset=start)]}))
        for shard in engine.shards.values():
            counts = shard.table.statistic("conversion").columns()
            assert (counts["successes"] >= 0).all()
            assert (counts["successes"] <= counts["trials"] * (1 + 1e-12)).all()
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
        facts = (u.visits, u.orders, u.revenue_minor, u.first_ms)
        arms = shard.arms.known[u.arms[at]]
        arm = "crossed" if len(arms) > 1 else arms[0]
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


def shuffled(log: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    return [log[place] for place in np.random.default_rng(seed).permutation(len(log))]


@given(log=logs, seed=seeds, at=cuts)
@settings(max_examples=40, deadline=None)
def test_any_order_and_batches_estimate_the_same(
    log: list[dict[str, Any]], seed: int, at: list[int]
) -> None:
    one, other = fed(log), fed(shuffled(log, seed), at)
    for engine in (one, other):
        refit(engine, START_MS)
    assert_same_estimates(emit(one, START_MS), emit(other, START_MS), tolerance=1e-9)


@given(log=logs, stop=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_a_snapshot_between_two_batches_leaves_no_trace(
    log: list[dict[str, Any]], stop: int
) -> None:
    first = fed(log[:stop])
    restored = Engine(SETTINGS)
    restored.restore(first.snapshot())
    assert restored.snapshot() == first.snapshot()
    for engine in (first, restored):
        fed(log[stop:], engine=engine)
    assert restored.snapshot() == first.snapshot()


@given(
    log=st.lists(events(st.just("EUR")), max_size=40),
    at_ms=times_ms,
    amount=st.integers(1, 10**9),
    visit=visit_ids,
)
@settings(max_examples=60, deadline=None)
def test_an_order_and_its_full_refund_leave_the_visit(
    log: list[dict[str, Any]], at_ms: int, amount: int, visit: str
) -> None:
    common = {"schema_version": 1, "event_id": "event-0001", "store_id": "a", "chain_id": "c"}
    seen = common | {"event_type": "visit", "event_time_ms": at_ms, "visit_id": visit}
    money = {"order_id": "new", "amount_minor": amount, "currency": "EUR"}
    order = seen | money | {"event_type": "purchase"}
    refund = common | money | {"event_type": "refund", "event_time_ms": at_ms, "refund_id": "new"}
    assert_close(numbers(fed([*log, order, refund])), numbers(fed([*log, seen])))


@given(log=logs, order=order_ids, amount=st.integers(1, 10**9), visit=visit_ids)
@settings(max_examples=60, deadline=None)
def test_a_revision_that_is_reverted_leaves_no_trace(
    log: list[dict[str, Any]], order: str, amount: int, visit: str
) -> None:
    mine = [
        event for event in log if event["event_type"] == "purchase" and event["order_id"] == order
    ]
    if not mine:
        return
    last = max(mine, key=lambda event: event["revision"])
    key = (last.get("chain_id"), last["store_id"])
    kept = [e for e in log if e not in mine or (e.get("chain_id"), e["store_id"]) != key]
    other = last | {"revision": 7, "amount_minor": amount, "visit_id": visit}
    other.pop("experiment", None)
    other.pop("visitor_id", None)
    back = last | {"revision": 8}
    assert_close(numbers(fed([*kept, last, other, back])), numbers(fed([*kept, last])))


def assert_close(
    one: dict[tuple[str, str], dict[str, float]], other: dict[tuple[str, str], dict[str, float]]
) -> None:
    assert one.keys() == other.keys()
    for key, mine in one.items():
        for name, value in mine.items():
            slack = 1e-12 * 900 * 40 if name.endswith(("mean", "m2")) else 0.0
            assert abs(value - other[key][name]) <= slack, (key, name)


FORGETTING = EngineSettings(
    METHODS,
    bot_visits_per_hour=2,
    forgetting={
        "conversion": HalfLife(HOUR_MS),
        "order_rate": Window(3),
        "log_order_value": HalfLife(HOUR_MS // 4),
    },
)


@given(log=logs, repeated=st.lists(st.integers(0, 39), max_size=10), seed=seeds, at=cuts)
@settings(max_examples=100, deadline=None)
def test_what_fades_fades_by_its_own_time(
    log: list[dict[str, Any]], repeated: list[int], seed: int, at: list[int]
) -> None:
    log = distinct(log)
    more = log + [log[place] for place in repeated if place < len(log)]
    engine = fed(shuffled(more, seed), at, settings=FORGETTING)
    table = engine.shards[0].table
    newest = max((event["event_time_ms"] for event in log), default=0)
    expected = event_rules.count(log, visits_per_hour=2)
    for row, key in enumerate(table.keys):
        group = expected[key]
        rate = as_seen(table.read("conversion", np.array([row]))).columns()
        size, share = faded(group.visits, group.conversions, HOUR_MS)
        np.testing.assert_allclose(rate["trials"], size, rtol=1e-11)
        np.testing.assert_allclose(rate["successes"], size * share, rtol=1e-11, atol=1e-12)
        orders = as_seen(table.read("order_rate", np.array([row]))).columns()
        first_ms = (newest // HOUR_MS - 2) * HOUR_MS
        assert orders["exposure"] == sum(time >= first_ms for time in group.visits)
        assert orders["events"] == sum(time >= first_ms for time, _ in group.orders)
        assert_mean_fades(table.read("log_order_value", np.array([row])).columns(), group.orders)


@given(
    hours=st.lists(st.integers(0, 8), min_size=2, max_size=4),
    amounts=st.lists(st.integers(1, 10**6), min_size=4, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_a_replaced_order_leaves_with_the_weight_that_it_came_with(
    hours: list[int], amounts: list[int]
) -> None:
    """Each revision in a batch of its own, at a time of its own; another order stays."""
    common = {"schema_version": 1, "event_id": "event-0001", "store_id": "a", "currency": "EUR"}
    common |= {"event_type": "purchase"}
    stays = common | {"order_id": "o", "event_time_ms": START_MS, "amount_minor": 77}
    log = [
        common
        | {"order_id": "x", "visit_id": "v", "revision": revision}
        | {"event_time_ms": START_MS + hour * HOUR_MS // 4, "amount_minor": amount}
        for revision, (hour, amount) in enumerate(zip(hours, amounts, strict=False))
    ]
    whole = fed([stays, *log], list(range(10)), settings=FORGETTING)
    last = fed([stays, log[-1]], settings=FORGETTING)
    for metric, rtol in (("conversion", 1e-12), ("log_order_value", 1e-9)):
        kept = (engine.shards[0].table.read(metric, np.array([0])) for engine in (whole, last))
        one, other = map(as_seen, kept)
        for name, column in one.columns().items():
            np.testing.assert_allclose(column, other.columns()[name], rtol=rtol, atol=1e-12)


def faded(times: list[int], converted: list[int], half_life_ms: int) -> tuple[float, float]:
    """Return Kish's size and the weighted share of those that converted."""
    weights = [2.0 ** ((time - START_MS) / half_life_ms) for time in times]
    total = math.fsum(weights)
    if not weights:
        return 0.0, 0.0
    mine = math.fsum(2.0 ** ((time - START_MS) / half_life_ms) for time in converted)
    return total**2 / math.fsum(weight**2 for weight in weights), mine / total


def assert_mean_fades(kept: dict[str, Any], orders: list[tuple[int, int]]) -> None:
    valued = [(time, math.log(value)) for time, value in orders if value > 0]
    weights = [2.0 ** ((time - START_MS) / (HOUR_MS / 4)) for time, _ in valued]
    if not valued:
        assert kept["weight"] == 0
        return
    total = math.fsum(weights)
    mean = math.fsum(w * x for w, (_, x) in zip(weights, valued, strict=True)) / total
    # What was taken out weighed up to 2^20 as much as what is left: that much is lost of 2^-53.
    np.testing.assert_allclose(kept["mean"], mean, rtol=1e-9)
    kish = total**2 / math.fsum(weight**2 for weight in weights)
    np.testing.assert_allclose(kept["weight"] ** 2 / kept["squares"], kish, rtol=1e-9)


@given(hours=st.lists(st.integers(0, 200), min_size=1, max_size=20), seed=seeds, at=cuts)
@settings(max_examples=60, deadline=None)
def test_the_landmark_moves_without_a_jump(hours: list[int], seed: int, at: list[int]) -> None:
    """Orders over two hundred half-lives in any order, those far back among them."""
    orders = [
        {
            "schema_version": 1,
            "event_id": "event-0001",
            "event_type": "purchase",
            "event_time_ms": START_MS + hour * HOUR_MS,
            "store_id": "a",
            "order_id": f"o{number}",
            "amount_minor": number + 1,
            "currency": "EUR",
        }
        for number, hour in enumerate(hours)
    ]
    rules = {"log_order_value": HalfLife(HOUR_MS)}
    far = TimeRules(horizon_ms=30 * 86_400_000)
    lasting = EngineSettings(METHODS, forgetting=rules, time=far)
    engine = fed(shuffled(orders, seed), at, settings=lasting)
    kept = engine.shards[0].table.read("log_order_value", np.array([0])).columns()
    weights = [2.0 ** (hour - 200) for hour in hours]
    total = math.fsum(weights)
    mean = math.fsum(w * math.log(n + 1) for n, w in enumerate(weights)) / total
    np.testing.assert_allclose(kept["mean"], mean, rtol=1e-12, atol=1e-14)
    kish = total**2 / math.fsum(weight**2 for weight in weights)
    np.testing.assert_allclose(kept["weight"] ** 2 / kept["squares"], kish, rtol=1e-12)


def hourly_totals(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum a log up as a till would: counts by store and hour."""
    totals = []
    for (chain, store), group in event_rules.count(log).items():
        hours = {time // HOUR_MS for time, *_ in [(t,) for t in group.visits] + group.orders}
        for hour in sorted(hours):
            inside = [time for time in group.visits if time // HOUR_MS == hour]
            values = [value for time, value in group.orders if time // HOUR_MS == hour]
            logs_ = [math.log(value) for value in values if value > 0]
            mean = math.fsum(logs_) / len(logs_) if logs_ else 0.0
            totals.append(
                {
                    "schema_version": 1,
                    "event_type": "totals",
                    "event_id": "event-0001",
                    "event_time_ms": (hour + 1) * HOUR_MS,
                    "chain_id": chain,
                    "store_id": store,
                    "source": "till",
                    "period_start_ms": hour * HOUR_MS,
                    "period_end_ms": (hour + 1) * HOUR_MS,
                    "visits": len(inside),
                    "conversions": sum(time // HOUR_MS == hour for time in group.conversions),
                    "orders": len(values),
                    "log_amount": {
                        "count": len(logs_),
                        "mean": mean,
                        "m2": math.fsum((x - mean) ** 2 for x in logs_),
                    },
                }
            )
    return totals


BY_TOTALS = EngineSettings(METHODS, inputs={name: Input(totals=True) for name in METHODS})


@given(log=logs, seed=seeds, at=cuts)
@settings(max_examples=60, deadline=None)
def test_hourly_totals_count_what_the_events_count(
    log: list[dict[str, Any]], seed: int, at: list[int]
) -> None:
    log = [e for e in distinct(log) if "visitor_id" not in e and not e.get("is_bot")]
    totals = hourly_totals(log)
    wrong = [each | {"revision": -1, "visits": 10**6} for each in totals]
    before = [each | {"revision": 0} for each in wrong]
    after = [each | {"revision": 1} for each in totals]
    told = shuffled(before + after + after, seed)
    found, expected = numbers(fed(told, at, settings=BY_TOTALS)), numbers(fed(log))
    assert_close({k: found[k] for k in found}, {k: expected[k] for k in found})
