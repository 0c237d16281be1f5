"""The laws of a whole log: order, batches and shards change nothing, and the rules are plain."""

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
from tests.support.logs import START_MS, batch, feed, open_engine, purchase, refit, visit
from tests.support.records import Record, assert_same_estimates, assert_without_gaps, emit

# They hold whatever the method; point fits are quicker.
SETTINGS = EngineSettings({"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"})
DAY_MS = 86_400_000
NOW_MS = START_MS + 2 * DAY_MS
STORES = [("c", "a"), ("c", "b"), ("c", "x"), ("d", "a"), (None, "a"), ("default", "a")]
BAD: list[bytes | None] = [None, b"", b"{", b"\xff", b"[]", b"{}", b'{"event_type":"visit"}']

times_ms = st.integers(START_MS, NOW_MS)
order_ids = st.sampled_from([f"o{number}" for number in range(12)])
visit_ids = st.sampled_from([f"v{number}" for number in range(6)])
amounts = st.one_of(st.just(0), st.integers(1, 10**12))


@st.composite
def good_events(draw: st.DrawFn) -> bytes:
    chain, store = draw(st.sampled_from(STORES))
    at_ms = draw(times_ms)
    if draw(st.booleans()):
        return visit(store, draw(visit_ids), at_ms, chain)
    of_visit = draw(st.one_of(st.none(), visit_ids))
    more: dict[str, Any] = {"visit_id": of_visit} if of_visit else {}
    return purchase(store, draw(order_ids), at_ms, chain, draw(amounts), **more)


payloads = st.one_of(good_events(), good_events(), good_events(), st.sampled_from(BAD))
event_logs = st.lists(payloads, max_size=60)
seeds = st.integers(0, 2**32 - 1)


def engine_of(log: list[bytes | None], cuts: list[int] | None = None) -> Engine:
    """Feed the log, cut into batches at the given places."""
    engine = open_engine(SETTINGS)
    places = sorted({0, *(cuts or []), len(log)})
    for start, end in pairwise(places):
        feed(engine, log[start:end])
    return engine


def shuffled(log: list[bytes | None], seed: int) -> list[bytes | None]:
    return [log[at] for at in np.random.default_rng(seed).permutation(len(log))]


def statistics(engine: Engine) -> dict[tuple[str, str], dict[str, float]]:
    """Return every number that is kept of every group."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for shard in engine.shards.values():
        for metric in shard.table.metrics:
            for name, column in shard.table.statistic(metric).columns().items():
                for key, value in zip(shard.table.keys, column.tolist(), strict=True):
                    found.setdefault(key, {})[f"{metric}.{name}"] = value
    return found


def assert_same_statistics(a: Engine, b: Engine) -> None:
    """Whole numbers to the bit, the moments of the values to 1e-12 of what they are made of."""
    one, other = statistics(a), statistics(b)
    assert one.keys() == other.keys()
    for key, mine in one.items():
        size = max(1.0, mine["log_order_value.weight"] * 30**2)  # log of 1e12 is 28
        for name, value in mine.items():
            tolerance = 1e-12 * size if name.endswith(("mean", "m2")) else 0.0
            assert abs(value - other[key][name]) <= tolerance, (key, name)


def final_records(engine: Engine) -> list[Record]:
    refit(engine, NOW_MS)
    return emit(engine, NOW_MS)


@given(log=event_logs)
@settings(max_examples=80, deadline=None)
def test_a_log_is_counted_as_by_the_plain_rules(log: list[bytes | None]) -> None:
    engine = open_engine(SETTINGS)
    candidate = engine.ingest({0: [batch(log)]})
    engine.apply(candidate)
    good = [json.loads(payload) for payload in log if payload not in BAD and payload is not None]
    expected = event_rules.count(good)
    found = statistics(engine)
    assert (candidate.accepted, len(candidate.rejects)) == (len(good), len(log) - len(good))
    assert found.keys() == expected.keys()
    for key, group in expected.items():
        mine = found[key]
        values = [math.log(value) for _, value in group.orders if value > 0]
        mean = math.fsum(values) / len(values) if values else 0.0
        m2 = math.fsum((value - mean) ** 2 for value in values)
        assert mine["conversion.trials"] == mine["order_rate.exposure"] == len(group.visits)
        assert mine["conversion.successes"] == len(group.conversions)
        assert mine["order_rate.events"] == len(group.orders)
        assert mine["log_order_value.weight"] == len(values)
        np.testing.assert_allclose(mine["log_order_value.mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(mine["log_order_value.m2"], m2, rtol=1e-10, atol=1e-10)


@given(log=event_logs, cuts=st.lists(st.integers(0, 60), max_size=5), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_order_and_batches_change_no_statistic(
    log: list[bytes | None], cuts: list[int], seed: int
) -> None:
    inside = [cut for cut in cuts if cut <= len(log)]
    assert_same_statistics(engine_of(log), engine_of(shuffled(log, seed), inside))


@given(log=event_logs, cuts=st.lists(st.integers(0, 60), max_size=5), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_order_and_batches_change_no_estimate(
    log: list[bytes | None], cuts: list[int], seed: int
) -> None:
    inside = [cut for cut in cuts if cut <= len(log)]
    one, other = engine_of(log), engine_of(shuffled(log, seed), inside)
    assert_same_estimates(final_records(one), final_records(other), tolerance=1e-9)


@given(log=event_logs, stop=st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_stop_between_two_batches_leaves_no_trace(log: list[bytes | None], stop: int) -> None:
    engine = open_engine(SETTINGS)
    feed(engine, log[:stop])
    first = final_records(engine)
    restored = Engine(SETTINGS)
    restored.restore(engine.snapshot())
    outcomes = []
    for each in (engine, restored):
        feed(each, log[stop:])
        refit(each, NOW_MS + 5_000)
        outcomes.append(each.emit(NOW_MS + 5_000).records)
    assert outcomes[0] == outcomes[1]
    assert_without_gaps(first + emit(restored, NOW_MS + 5_000))


@given(log=event_logs)
@settings(max_examples=40, deadline=None)
def test_successes_never_exceed_trials_as_the_models_see_them(log: list[bytes | None]) -> None:
    for record in final_records(engine_of(log)):
        if record["metric"] == "conversion":
            assert record["raw"] is None or 0 <= record["raw"] <= 1
            assert 0 <= record["interval"]["lo"] <= record["interval"]["hi"] <= 1
