"""Alerts through the engine: what the feed of drift is shown, and what it remembers."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_hb.chain_ticks import ChainTick
from stream_hb.drift_feed import DriftFeed, hyper_of
from stream_hb.events.controls import Control
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.feeds.estimates import OutRecord
from stream_hb.models.registry import FAMILIES
from stream_hb.pool_fit import PoolFit
from stream_hb.state import pack, unpack
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments
from stream_hb.stores import Stores
from stream_hb.tick_feeds import Memory, TickMoment, watch

DAY_MS = 86_400_000
FIRST = 20_000
DAYS, STORES, CHANGED = 80, 30, 60
METRICS = ("conversion", "order_rate", "log_order_value")
SETTINGS = DriftSettings(half_life_days=20, lag_days=7, warm_up_days=21)
NAMES = [f"s{number:02d}" for number in range(STORES)]


def days(seed: int = 5) -> list[ChainTick]:
    """Return days of a chain in which store s07 converts half as much again from one day on."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-3, 0.2, STORES)
    found = []
    for day in range(DAYS):
        moved = odds + (np.arange(STORES) == 7) * (day >= CHANGED) * 0.6
        visits = rng.poisson(900, STORES).astype(float)
        orders = rng.binomial(visits.astype(int), 1 / (1 + np.exp(-moved))).astype(float)
        values = Moments(orders, rng.normal(8, 0.5 / np.sqrt(orders + 1)), 0.25 * orders)
        statistics = {
            "conversion": Counts(orders, visits),
            "order_rate": Exposure(orders, visits),
            "log_order_value": values,
        }
        number = FIRST + day
        found.append(
            ChainTick(
                "north",
                number,
                (number + 1) * DAY_MS,
                NAMES,
                np.full(STORES, 24.0),
                np.full(STORES, (number + 3) % 7),
                statistics,
            )
        )
    return found


def moment(tick: ChainTick) -> TickMoment:
    return TickMoment(tick.end_ms, tick.end_ms, {}, {"events-0": tick.number}, epoch=3)


def shown(feed: DriftFeed, ticks: list[ChainTick]) -> tuple[DriftFeed, list[OutRecord]]:
    records = []
    for tick in ticks:
        feed, told = feed.step(tick, moment(tick))
        records += told
    return feed, records


def plain(records: list[OutRecord]) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in records]


@pytest.fixture(scope="module")
def alerts() -> list[dict[str, Any]]:
    return plain(shown(DriftFeed(SETTINGS, METRICS), days())[1])


def test_the_store_that_leaves_its_chain_is_told_and_no_other(alerts: list[dict[str, Any]]) -> None:
    drifts = [alert for alert in alerts if alert["labels"]["alertname"] == "StoreDrift"]
    assert {alert["labels"]["store_id"] for alert in drifts} == {"s07"}
    assert {alert["labels"]["metric"] for alert in drifts} == {"conversion", "order_rate"}
    assert {alert["labels"]["direction"] for alert in drifts} == {"up"}
    first = drifts[0]["evidence"]
    changed = (first["change_time_estimate_ms"] // DAY_MS) - FIRST
    assert abs(changed - CHANGED) <= 3
    assert drifts[0]["version"] == {"epoch": 3, "seq": 1}
    assert first["offsets"]["events-0"] >= FIRST + CHANGED


def test_a_feed_restored_in_the_middle_of_an_episode_tells_the_same(
    alerts: list[dict[str, Any]],
) -> None:
    ticks = days()
    half, before = shown(DriftFeed(SETTINGS, METRICS), ticks[: CHANGED + 8])
    again = DriftFeed(SETTINGS, METRICS).restored(unpack(pack(half.snapshot())))
    _, after = shown(again, ticks[CHANGED + 8 :])
    assert plain(before + after) == alerts
    assert any(alert["status"] == "firing" for alert in plain(before))


def test_a_tick_that_is_shown_again_says_nothing() -> None:
    ticks = days()[:30]
    feed, _ = shown(DriftFeed(SETTINGS, METRICS), ticks)
    again, records = feed.step(ticks[-1], moment(ticks[-1]))
    assert not records
    assert pack(again.snapshot()) == pack(feed.snapshot())


def test_stores_have_the_row_of_their_first_day_whatever_stores_come_later() -> None:
    ticks = days()[:2]
    some = np.array([3, 7])
    first = replace(
        ticks[0],
        stores=[NAMES[at] for at in some],
        hours=ticks[0].hours[some],
        weekdays=ticks[0].weekdays[some],
        statistics={name: kept.take(some) for name, kept in ticks[0].statistics.items()},
    )
    feed, _ = shown(DriftFeed(SETTINGS, ("conversion",)), [first, ticks[1]])
    known = feed.pools["north", "conversion"]
    assert known.stores[:3] == ("s03", "s07", "s00")
    assert len(known.stores) == STORES


def test_a_retired_store_is_not_silent() -> None:
    ticks = days()[:40]
    silent = np.arange(STORES) != 4
    quiet = [
        replace(
            tick,
            stores=[name for name, there in zip(NAMES, silent, strict=True) if there],
            hours=tick.hours[silent],
            weekdays=tick.weekdays[silent],
            statistics={name: kept.take(silent) for name, kept in tick.statistics.items()},
        )
        for tick in ticks[30:]
    ]
    retired_ms = np.full(STORES, 2**62)
    retired_ms[4] = ticks[30].number * DAY_MS
    stores = Stores.of([("north", name) for name in NAMES], retired_ms=retired_ms)
    for known, told in ((None, {"s04"}), (stores, set())):
        _, records = shown(DriftFeed(SETTINGS, ("conversion",), known), ticks[:30] + quiet)
        silences = [a for a in plain(records) if a["labels"]["alertname"] == "StoreSilent"]
        assert {alert["labels"]["store_id"] for alert in silences} == told


def test_log_values_are_looked_at_for_smaller_shifts() -> None:
    feed = DriftFeed(replace(SETTINGS, false_alerts_per_store_year=0.5), METRICS)
    values, counts = feed.settings_of("log_order_value"), feed.settings_of("conversion")
    assert max(values.shifts) < max(counts.shifts)
    assert values.dead_band < counts.dead_band
    assert values.false_alerts_per_store_year == counts.false_alerts_per_store_year == 0.5


def fitted(model: str, groups: Any, method: str) -> PoolFit:
    return PoolFit(4, 0, model, FAMILIES[model].fit(groups, method), 1.0)


@pytest.mark.parametrize("method", ["ml", "bayes"])
def test_the_spread_between_stores_is_that_of_the_fit_on_the_link_scale(method: str) -> None:
    rng = np.random.default_rng(1)
    size = 400
    visits = np.full(size, 4000.0)
    odds = rng.normal(-2.5, 0.3, size)
    orders = rng.binomial(4000, 1 / (1 + np.exp(-odds))).astype(float)
    events = rng.poisson(4000 * np.exp(odds)).astype(float)
    means = rng.normal(8, 0.3, size)
    for model, groups in (
        ("beta-binomial", Counts(orders, visits)),
        ("gamma-poisson", Exposure(events, visits)),
        ("normal", Moments(visits, means, 0.64 * visits)),
    ):
        hyper = hyper_of(fitted(model, groups, method))
        assert hyper.spread == pytest.approx(0.3, rel=0.12)
        assert hyper.version == 4
    assert hyper.sigma2 == pytest.approx(0.64, rel=0.01)


def said(tick: ChainTick, *stores: str, metric: str = "", reason: str = "moved") -> ChainTick:
    """Return the tick in which operators accept some stores' levels."""
    controls = tuple(
        Control(tick.number, "north", store, f"word-{store}", tick.end_ms - 1, metric, reason)
        for store in stores
    )
    return replace(tick, controls=controls)


ACCEPTED = CHANGED + 8


def accepting(*stores: str, **more: str) -> tuple[DriftFeed, list[dict[str, Any]]]:
    ticks = days()
    ticks[ACCEPTED] = said(ticks[ACCEPTED], *stores, **more)
    feed, records = shown(DriftFeed(SETTINGS, PURCHASING), ticks)
    return feed, plain(records)


PURCHASING = ("conversion", "order_rate")


def test_an_accepted_level_ends_the_alert_with_the_operators_reason_and_raises_no_other() -> None:
    feed, told = accepting("s07")
    at = f"{np.datetime64((FIRST + ACCEPTED + 1) * DAY_MS, 'ms')}Z"
    for metric in PURCHASING:
        mine = [a for a in told if a["labels"]["metric"] == metric]
        assert {a["labels"]["store_id"] for a in mine} == {"s07"}
        assert [a["status"] for a in mine].count("resolved") == 1
        assert mine[-1]["status"] == "resolved"
        assert mine[-1]["endsAt"] == at
        assert mine[-1]["annotations"]["resolution"] == "accepted by an operator: moved"
    assert feed.tallies == {}


def test_the_level_of_one_metric_alone_may_be_accepted(alerts: list[dict[str, Any]]) -> None:
    _, told = accepting("s07", metric="order_rate")

    def of(metric: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [a for a in records if a["labels"]["metric"] == metric]

    assert of("conversion", told) == of("conversion", alerts)
    assert of("order_rate", told)[-1]["status"] == "resolved"


def test_a_word_where_nothing_is_open_is_counted_and_changes_nothing() -> None:
    ticks = days()[:40]
    heard = [*ticks[:30], said(ticks[30], "s03", "nobody"), *ticks[31:]]
    without, records = shown(DriftFeed(SETTINGS, METRICS), ticks)
    feed, same = shown(DriftFeed(SETTINGS, METRICS), heard)
    assert same == records
    assert feed.tallies == {"accepted_without_alert": 2}
    assert pack(feed.snapshot()["pools"]) == pack(without.snapshot()["pools"])


def test_what_is_said_while_the_whole_chain_is_silent_is_heard() -> None:
    tick = days()[0]
    nobody = np.empty(0, np.intp)
    silent = replace(
        said(tick, "s03"),
        stores=[],
        hours=tick.hours[nobody],
        weekdays=tick.weekdays[nobody],
        statistics={name: kept.take(nobody) for name, kept in tick.statistics.items()},
    )
    memory = Memory({"alerts": DriftFeed(SETTINGS, METRICS)})
    watched = watch(memory, [silent], moment(tick))
    assert watched.memory.tallies == {"accepted_without_alert": 1}


def test_what_was_counted_is_remembered() -> None:
    ticks = days()[:3]
    feed, _ = shown(DriftFeed(SETTINGS, METRICS), [*ticks[:2], said(ticks[2], "nobody")])
    again = DriftFeed(SETTINGS, METRICS).restored(unpack(pack(feed.snapshot())))
    assert again.tallies == feed.tallies == {"accepted_without_alert": 1}
    old = DriftFeed(SETTINGS, METRICS).restored(feed.snapshot()["pools"])
    assert old.tallies == {}
    assert old.pools.keys() == feed.pools.keys()


def test_what_is_not_a_number_and_a_leap_of_the_clock_are_counted() -> None:
    ticks = days()[:3]
    trials = ticks[1].statistics["conversion"].columns()["trials"].copy()
    trials[4] = np.nan
    successes = ticks[1].statistics["conversion"].columns()["successes"]
    bad = replace(ticks[1], statistics={"conversion": Counts(successes, trials)})
    leap = replace(ticks[2], number=ticks[2].number + 365)
    feed, records = shown(DriftFeed(SETTINGS, ("conversion",)), [ticks[0], bad, leap])
    assert records == []
    assert feed.tallies == {"alert_rows_refused": 1, "alert_ticks_set_aside": 1}


def silent_from(ticks: list[ChainTick], first: int, row: int = 4) -> list[ChainTick]:
    there = np.arange(STORES) != row
    return ticks[:first] + [
        replace(
            tick,
            stores=[name for name, here in zip(NAMES, there, strict=True) if here],
            hours=tick.hours[there],
            weekdays=tick.weekdays[there],
            statistics={name: kept.take(there) for name, kept in tick.statistics.items()},
        )
        for tick in ticks[first:]
    ]


def test_a_silence_that_was_accepted_is_told_again_only_after_a_visit() -> None:
    ticks = days()[:60]
    quiet = silent_from(ticks, 30)
    quiet[35] = said(quiet[35], "s04", reason="closed for the winter")
    again = silent_from(ticks, 50)
    _, records = shown(DriftFeed(SETTINGS, ("conversion",)), quiet[:45] + again[45:])
    silences = [a for a in plain(records) if a["labels"]["alertname"] == "StoreSilent"]
    changes = [(a["status"], a["updatedAt"][:10]) for a in silences]
    day = [str(np.datetime64((FIRST + n + 1) * DAY_MS, "ms"))[:10] for n in range(60)]
    assert ("firing", day[30]) == changes[0]
    assert [change for change in changes if change[0] == "resolved"] == [("resolved", day[35])]
    later = [change for change in changes if change[1] > day[35]]
    assert later[0] == ("firing", day[50])
