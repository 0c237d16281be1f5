"""Calibration through the engine: what is believed before a tick, and what of it is remembered."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_hb.calibration_feed import CalibrationFeed, CalibrationSettings
from stream_hb.chain_ticks import ChainTick
from stream_hb.feeds.estimates import OutRecord
from stream_hb.models.registry import FAMILIES
from stream_hb.pool_fit import PoolFit
from stream_hb.settings import EngineSettings
from stream_hb.state import pack, unpack
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments
from stream_hb.tick_feeds import TickMoment

DAY_MS = 86_400_000
FIRST = 20_000
STORES = 60
NAMES = [f"s{number:02d}" for number in range(STORES)]
MODELS = {"conversion": "beta-binomial", "order_rate": "gamma-poisson", "log_order_value": "normal"}


def settings(*half_lives_ms: int | None) -> CalibrationSettings:
    return CalibrationSettings(
        tuple(MODELS), dict.fromkeys(MODELS, half_lives_ms), DAY_MS, 30 * DAY_MS, 30 * DAY_MS
    )


def days(count: int, walk: float = 0.0, seed: int = 3) -> list[ChainTick]:
    """Return days of stores whose rates differ, and wander by ``walk`` a day."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 0.3, STORES)
    found = []
    for day in range(count):
        level = level + rng.normal(0, walk, STORES)
        visits = rng.poisson(300, STORES).astype(float)
        converted = rng.binomial(visits.astype(int), 1 / (1 + np.exp(2.5 - level))).astype(float)
        orders = rng.poisson(visits * np.exp(-2 + level)).astype(float)
        values = [rng.normal(8 + each, 0.8, int(n)) for each, n in zip(level, orders, strict=True)]
        moments = Moments(
            orders,
            np.array([v.mean() if len(v) else 0.0 for v in values]),
            np.array([((v - v.mean()) ** 2).sum() if len(v) else 0.0 for v in values]),
        )
        statistics = {
            "conversion": Counts(converted, visits),
            "order_rate": Exposure(orders, visits),
            "log_order_value": moments,
        }
        number = FIRST + day
        hours, weekdays = np.full(STORES, 24.0), np.full(STORES, 0)
        end_ms = (number + 1) * DAY_MS
        found.append(ChainTick("north", number, end_ms, NAMES, hours, weekdays, statistics))
    return found


def fits(ticks: list[ChainTick]) -> dict[tuple[str, str], PoolFit]:
    """Return the pools' fits on some days together."""
    found = {}
    for metric, model in MODELS.items():
        whole = ticks[0].statistics[metric]
        for tick in ticks[1:]:
            whole = whole.merge(tick.statistics[metric])
        fit = FAMILIES[model].fit(whole, "ml")
        found["north", metric] = PoolFit(1, 0, model, fit, 1.0)
    return found


def shown(
    feed: CalibrationFeed, ticks: list[ChainTick], pools: Any
) -> tuple[CalibrationFeed, list[OutRecord]]:
    records = []
    for tick in ticks:
        feed, told = feed.step(tick, TickMoment(tick.end_ms, tick.end_ms, pools, {}, epoch=2))
        records += told
    return feed, records


def last(records: list[OutRecord]) -> dict[str, dict[str, Any]]:
    plain = [json.loads(record.value or b"") for record in records]
    return {record["metric"]: record for record in plain}


def test_a_right_model_keeps_its_word_in_every_metric() -> None:
    ticks = days(40)
    _, records = shown(CalibrationFeed(settings(None), EngineSettings()), ticks, fits(ticks[:10]))
    for metric, record in last(records).items():
        for coverage in record["coverage"]:
            error = max(coverage["standard_error"], 0.005)
            assert abs(coverage["covered"] - coverage["level"]) < 4 * error, (metric, coverage)
        assert record["alarm"] == "none"
        assert record["version"] == {"epoch": 2, "seq": 40}


def test_a_pool_that_is_remembered_goes_on_in_the_epoch_that_began_since() -> None:
    """A memory older than what was written would give versions that readers have."""
    ticks = days(12)
    new, pools = CalibrationFeed(settings(None), EngineSettings()), fits(ticks)
    feed, before = shown(new, ticks[:9], pools)
    moment = TickMoment(ticks[9].end_ms, ticks[9].end_ms, pools, {}, epoch=5)
    _, records = new.restored(feed.snapshot()).step(ticks[9], moment)
    assert {r["version"]["epoch"] for r in last(before).values()} == {2}
    assert {r["version"]["epoch"] for r in last(records).values()} == {5}


def test_a_belief_that_never_forgets_is_called_wrong_where_stores_wander() -> None:
    ticks = days(60, walk=0.15)
    _, records = shown(CalibrationFeed(settings(None), EngineSettings()), ticks, fits(ticks[:10]))
    assert {record["alarm"] for record in last(records).values()} == {"under_coverage"}


def test_of_a_metric_that_chooses_the_half_life_that_predicts_better_is_taken_into_use() -> None:
    ticks = days(60, walk=0.15)
    choosing = replace(settings(None, 5 * DAY_MS), choosing=frozenset(MODELS))
    feed, records = shown(CalibrationFeed(choosing, EngineSettings()), ticks, fits(ticks[:10]))
    for record in last(records).values():
        assert record["half_life_s"] == 5 * 86_400
        assert [candidate["in_use"] for candidate in record["candidates"]] == [False, True]
    assert feed.half_lives_ms() == {("north", metric): 5 * DAY_MS for metric in MODELS}


def test_of_the_others_the_half_life_that_is_served_is_told_whatever_predicts_better() -> None:
    ticks = days(60, walk=0.15)
    feed = CalibrationFeed(settings(None, 5 * DAY_MS), EngineSettings())
    feed, records = shown(feed, ticks, fits(ticks[:10]))
    for record in last(records).values():
        own, other = record["candidates"]
        assert record["half_life_s"] is None
        assert own["log_score"] < other["log_score"]
        assert record["alarm"] == "under_coverage"
    assert feed.half_lives_ms() == {}


def test_sums_with_a_half_life_are_those_of_the_weighted_days() -> None:
    ticks, half_life_days = days(12), 4
    feed = CalibrationFeed(settings(half_life_days * DAY_MS), EngineSettings())
    feed, _ = shown(feed, ticks, {})
    weights = 0.5 ** (np.arange(11, -1, -1) / half_life_days)
    found = {metric: feed.pools["north", metric].sums[0].kept.columns() for metric in MODELS}
    visits = np.array([tick.statistics["conversion"].columns()["trials"] for tick in ticks])
    kish = found["conversion"]["trials"] ** 2 / found["conversion"]["squares"]
    expected = (weights @ visits) ** 2 / (weights**2 @ visits)
    np.testing.assert_allclose(kish, expected, rtol=1e-12)
    orders = np.array([tick.statistics["log_order_value"].columns()["weight"] for tick in ticks])
    means = np.array([tick.statistics["log_order_value"].columns()["mean"] for tick in ticks])
    expected = (weights @ (orders * means)) / (weights @ orders)
    np.testing.assert_allclose(found["log_order_value"]["mean"], expected, rtol=1e-12)


def test_nothing_is_scored_before_the_pool_is_fitted() -> None:
    _, records = shown(CalibrationFeed(settings(None), EngineSettings()), days(3), {})
    assert not records


@pytest.mark.parametrize("half_lives", [(None,), (None, 5 * DAY_MS)])
def test_a_feed_restored_between_two_ticks_goes_on_to_the_bit(
    half_lives: tuple[int | None, ...],
) -> None:
    ticks = days(12)
    pools = fits(ticks[:5])
    new = CalibrationFeed(settings(*half_lives), EngineSettings())
    _, whole = shown(new, ticks, pools)
    half, before = shown(new, ticks[:7], pools)
    _, after = shown(new.restored(unpack(pack(half.snapshot()))), ticks[7:], pools)
    assert before + after == whole


def test_what_other_half_lives_remember_is_not_taken_over() -> None:
    feed, _ = shown(CalibrationFeed(settings(None, 5 * DAY_MS), EngineSettings()), days(3), {})
    other = CalibrationFeed(settings(None, 6 * DAY_MS), EngineSettings())
    assert other.restored(unpack(pack(feed.snapshot()))).pools == {}
