"""The feed of experiments: what it is told, when it looks, what it says and remembers."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.events.calendar import DAY_MS, HOUR_MS
from stream_hb.experiments_feed import ExperimentsFeed
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment
from stream_hb.settings import EmissionRule, Input
from tests.feeds.experiments.looked import checked
from tests.support.experiments import (
    EXPERIMENT,
    METHODS,
    MIDNIGHT_MS,
    Event,
    encoded,
    engine_with,
    event,
    in_arm,
    step,
    visitors,
)

Record = dict[str, Any]
DAILY = replace(EXPERIMENT, attribution_window_ms=DAY_MS, metrics=("conversion",))


def visit(at_ms: int, name: str, arm: str, store: str = "s", experiment: str = "ab") -> Event:
    fields = in_arm(arm, experiment)
    return event("visit", MIDNIGHT_MS + at_ms, store, visit_id=name, **fields)


def buys(at_ms: int, name: str, store: str = "s") -> Event:
    money = {"order_id": f"o{name}", "amount_minor": 500, "currency": "EUR"}
    return event("purchase", MIDNIGHT_MS + at_ms, store, visit_id=name, **money)


def end(day: int) -> Event:
    """Return what closes the days before one: a visit that takes part in nothing."""
    return event("visit", MIDNIGHT_MS + day * DAY_MS + 2 * HOUR_MS, "s", visit_id=f"end{day}")


def told(engine: Engine, *logs: list[Event]) -> list[Record]:
    """Feed logs as batches; return all records."""
    records = []
    for log in [*logs, []]:
        records += step(engine, encoded(log)).records["experiments"]
    return [checked(record) for record in records]


def chains(records: list[Record]) -> list[Record]:
    return [record for record in records if record["scope"] == "chain"]


def arms(record: Record) -> list[tuple[float, float, float]]:
    """Return assigned, mature and converted units of the arms."""
    return [(arm["assigned_units"], arm["units"], arm["conversions"]) for arm in record["arms"]]


def test_a_unit_is_assigned_when_it_comes_and_analysed_when_its_window_is_over() -> None:
    log = [visit(HOUR_MS, "v", "a"), buys(3 * HOUR_MS, "v"), end(1), end(2), end(3)]
    first, second, *_ = chains(told(engine_with(DAILY, every="day"), log))
    assert arms(first)[0] == (1, 0, 0)
    assert arms(second)[0] == (1, 1, 1)
    assert second["watermark_ms"] == MIDNIGHT_MS + 2 * DAY_MS


def test_what_happens_after_the_window_is_no_outcome_however_early_it_is_read() -> None:
    log = [visit(HOUR_MS, "v", "a"), buys(26 * HOUR_MS, "v"), end(1), end(2), end(3)]
    assert arms(chains(told(engine_with(DAILY, every="day"), log))[1])[0] == (1, 1, 0)


@pytest.mark.parametrize("every", ["day", "hour"])
def test_the_minimum_runtime_begins_with_the_first_unit_however_early_the_start_was(
    every: str,
) -> None:
    """Declared a month before its first unit, it shipped after two days, without its weekdays."""
    early = MIDNIGHT_MS - 30 * DAY_MS
    experiment = replace(DAILY, start_ms=early, minimum_runtime_ms=3 * DAY_MS)
    log = []
    for day in range(3):
        for i in range(1200):
            at_ms = day * DAY_MS + i * 1000
            log.append(visit(at_ms, f"v{day}-{i}", "ab"[i % 2]))
            if i % 20 == 0 or i % 6 == 1:
                log.append(buys(at_ms + HOUR_MS, f"v{day}-{i}"))
    found = chains(told(engine_with(experiment, every=every), [*log, end(3), end(4), end(5)]))
    shipped = [one["watermark_ms"] for one in found if one["decision"]["action"] == "ship"]
    # By the hour nothing is looked at before something happens: the visit that ends the day.
    assert shipped[0] == MIDNIGHT_MS + 4 * DAY_MS + {"day": 0, "hour": 3 * HOUR_MS}[every]
    reasons = [why for one in found for why in one["decision"]["reasons"]]
    assert any(why.endswith("mature units span 2.0 days of 3.0") for why in reasons)


def test_a_unit_seen_in_a_second_arm_is_taken_back() -> None:
    one, two = (
        {**visit(at_ms, name, arm), "visitor_id": "u"}
        for at_ms, name, arm in ((HOUR_MS, "v", "a"), (24 * HOUR_MS, "w", "b"))
    )
    first, second, *_ = chains(
        told(engine_with(DAILY, every="day"), [one, two, end(1), end(2), end(3)])
    )
    assert arms(first) == [(1, 0, 0), (0, 0, 0)]
    assert arms(second) == [(0, 0, 0), (0, 0, 0)]
    assert "crossover: the data cannot be trusted" in second["decision"]["reasons"]


def test_a_unit_in_an_arm_that_is_not_declared_holds_the_experiment() -> None:
    log = [visit(0, "v", "a"), visit(1, "w", "typo"), end(1), end(2)]
    record = chains(told(engine_with(DAILY, every="day"), log))[-1]
    assert record["srm"]["unexpected_units"] == 1
    assert record["decision"]["action"] == "hold"
    assert "unexpected_arm" in record["flags"]


def test_units_of_before_the_start_and_of_other_experiments_take_no_part() -> None:
    later = replace(DAILY, start_ms=MIDNIGHT_MS + HOUR_MS)
    log = [visit(0, "v", "a"), visit(2 * HOUR_MS, "w", "a"), visit(0, "x", "a", experiment="no")]
    records = told(engine_with(later, every="day"), [*log, end(1), end(2), end(3)])
    assert arms(chains(records)[-1])[0][:2] == (1, 1)


def test_overlapping_experiments_have_units_of_their_own() -> None:
    other = replace(DAILY, experiment_id="cd")
    who = {"visitor_id": "u"}
    log = [visit(0, "v", "a") | who, visit(1, "w", "b", experiment="cd") | who, end(1), end(2)]
    records = chains(told(engine_with(DAILY, other, every="day"), log))[-2:]
    assert {r["key"]["experiment_id"]: [a[0] for a in arms(r)] for r in records} == {
        "ab": [1, 0],
        "cd": [0, 1],
    }


def test_all_stores_silent_say_nothing_and_one_arm_without_a_unit_is_insufficient() -> None:
    assert told(engine_with(DAILY, every="day"), [end(1), end(2), end(3)]) == []
    log = [visit(i, f"v{i}", "a") for i in range(200)]
    record = chains(told(engine_with(DAILY, every="day"), [*log, end(2), end(4)]))[-1]
    assert "insufficient" in record["flags"]
    assert record["decision"]["action"] == "hold"  # nobody is in the other arm: no fair split


def test_an_experiment_is_looked_at_though_its_stores_are_silent_meanwhile() -> None:
    log = [visit(HOUR_MS, "v", "a"), end(9), end(10)]
    records = chains(told(engine_with(DAILY, every="day"), log))
    days = [(record["watermark_ms"] - MIDNIGHT_MS) // DAY_MS for record in records]
    assert days == [1, 2, 10]
    assert [arms(record)[0][1] for record in records] == [0, 1, 1]


def test_one_store_and_huge_amounts_leave_no_infinity_in_any_record() -> None:
    rich = replace(EXPERIMENT, cap_minor=10**12)
    log = [visit(i, f"v{i}", "ab"[i % 2]) for i in range(300)]
    amounts = ((i, 10**12 if i % 3 else 0) for i in range(0, 300, 2))
    log += [buys(1000 + i, f"v{i}") | {"amount_minor": amount} for i, amount in amounts]
    records = told(engine_with(rich, every="day"), [*log, end(1), end(2)])
    assert {record["scope"] for record in records} == {"chain", "store"}  # all were checked


def test_effects_are_adjusted_for_what_stores_did_before_the_start() -> None:
    later = replace(DAILY, start_ms=MIDNIGHT_MS + DAY_MS)
    log = []
    for i in range(600):
        store, buys_often = f"s{i % 3}", i % 10 < 2 + 3 * (i % 3)
        for day, name in ((0, f"p{i}"), (1, f"v{i}")):
            log.append(visit(day * DAY_MS + HOUR_MS + i, name, "ab"[i // 3 % 2], store))
            log += [buys(day * DAY_MS + HOUR_MS + i, name, store)] if buys_often else []
    record = chains(told(engine_with(later, every="day"), [*log, end(2), end(3)]))[-1]
    cuped = record["metrics"][0]["effects"][0]["cuped"]
    assert 0.5 < cuped["theta"] < 1.5
    assert cuped["variance_left"] < 1
    without = replace(later, cuped=False)
    record = chains(told(engine_with(without, every="day"), [*log, end(2), end(3)]))[-1]
    assert record["metrics"][0]["effects"][0]["cuped"] is None


# A store's effect is told where it changed; each key's numbers have no gap.


def test_numbers_of_every_key_count_its_records() -> None:
    seqs: dict[str, list[int]] = {}
    engine = engine_with(DAILY, every="day", emission=EmissionRule(changed_sd=1, changed_width=0.4))
    for record in told(engine, visitors(4, 900, days=8), [end(9)]):
        seqs.setdefault(json.dumps(record["key"]), []).append(record["version"]["seq"])
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())
    chain, *stores = sorted(map(len, seqs.values()), reverse=True)
    assert chain > max(stores) > 1


# What is declared anew.


def restarted(engine: Engine, experiment: Experiment) -> Engine:
    other = engine_with(experiment, every="day")
    other = Engine(other.settings, feeds=other.memory.feeds)
    other.restore(engine.snapshot())
    return other


def test_another_declaration_is_a_new_epoch_with_units_of_its_own() -> None:
    engine = engine_with(DAILY, every="day")
    day = [visit(i, f"v{i}", "ab"[i % 2]) for i in range(50)]
    before = told(engine, [*day, end(1), end(2)])
    later = [visit(2 * DAY_MS + 3 * HOUR_MS + i, f"w{i}", "ab"[i % 2]) for i in range(20)]
    engine = restarted(engine, replace(DAILY, alpha=0.01))
    after = told(engine, [*later, end(3)], [end(4), end(5)], [end(6)])
    first, *_, last = chains(after)
    assert first["experiment_epoch"] == last["experiment_epoch"] == 2
    assert first["since_ms"] == first["watermark_ms"]
    assert [a[:2] for a in arms(first)] == [(0, 0), (0, 0)]
    assert first["version"]["seq"] == len(chains(before)) + 1
    stores = [r["version"]["seq"] for r in before + after if r["scope"] == "store"]
    assert stores == list(range(1, len(stores) + 1))
    # Those that came on the day of the change belong to neither epoch.
    assert [a[0] for a in arms(last)] == [0, 0]


def test_an_experiment_that_is_left_out_and_declared_again_goes_on() -> None:
    engine = engine_with(DAILY, every="day")
    day = [visit(i, f"v{i}", "ab"[i % 2]) for i in range(50)]
    told(engine, [*day, end(1), end(2), end(3)])
    other = replace(DAILY, experiment_id="other")
    engine = restarted(restarted(engine, other), DAILY)
    (record,) = chains(told(engine, [end(4)]))
    assert [a[1] for a in arms(record)] == [25, 25]


# Totals.


TOTALS = {name: Input(totals=True) for name in METHODS}
RATES = replace(
    EXPERIMENT,
    metrics=("conversion", "order_rate", "log_order_value"),
    attribution_window_ms=HOUR_MS,
    start_ms=MIDNIGHT_MS,
)


def summed(log: list[Event], revisions: int = 0) -> list[Event]:
    """Return the totals of hours by store and arm of a log of visits and their orders."""
    arm_of = {v["visit_id"]: v["experiment"]["arm"] for v in log if v["event_type"] == "visit"}
    cells: dict[tuple[str, str, int], list[Event]] = {}
    for each in log:
        hour = (each["event_time_ms"] - MIDNIGHT_MS) // HOUR_MS
        cells.setdefault((each["store_id"], arm_of[each["visit_id"]], hour), []).append(each)
    return sorted(
        (_totals(cell, some, revisions) for cell, some in cells.items()),
        key=lambda each: each["event_time_ms"],
    )


def _totals(cell: tuple[str, str, int], some: list[Event], revision: int) -> Event:
    store, arm, hour = cell
    orders = [each for each in some if each["event_type"] == "purchase"]
    logs = np.log([each["amount_minor"] for each in orders])
    mean = float(logs.mean()) if orders else 0.0
    begin = MIDNIGHT_MS + hour * HOUR_MS
    return event(
        "totals",
        begin + HOUR_MS,
        store,
        source="till",
        period_start_ms=begin,
        period_end_ms=begin + HOUR_MS,
        visits=len(some) - len(orders),
        conversions=len({each["visit_id"] for each in orders}),
        orders=len(orders),
        log_amount={"count": len(orders), "mean": mean, "m2": float(((logs - mean) ** 2).sum())},
        revision=revision,
        **in_arm(arm),
    )


def simple_log(seed: int = 5, count: int = 8000, days: int = 9, lift: float = 0.6) -> list[Event]:
    """Return visits of nobody in particular, each with an order at once or without."""
    rng = np.random.default_rng(seed)
    log = []
    for number, at_ms in enumerate(np.sort(rng.integers(0, days * DAY_MS, count)).tolist()):
        arm, store = "ab"[int(rng.integers(2))], f"s{rng.integers(4)}"
        log.append(visit(at_ms, f"v{number}", arm, store))
        if rng.random() < 0.1 * (1 + lift * (arm == "b")):
            order = buys(at_ms, f"v{number}", store)
            log.append(order | {"amount_minor": int(np.exp(rng.normal(8, 0.8)))})
    return log


def test_totals_of_arms_decide_what_their_events_do() -> None:
    log, day = simple_log(), 10
    by_events = chains(told(engine_with(RATES, every="day"), log, [end(day)]))
    engine = engine_with(RATES, every="day", inputs=TOTALS)
    last = summed([visit(day * DAY_MS + 2 * HOUR_MS, "end", "a")])
    by_totals = chains(told(engine, summed(log), last))
    assert [r["decision"]["action"] for r in by_totals] == [
        r["decision"]["action"] for r in by_events
    ]
    assert by_events[-1]["decision"]["action"] == "ship"
    for mine, its in zip(by_events, by_totals, strict=True):
        assert [a[1:] for a in arms(mine)] == [a[1:] for a in arms(its)]
    one, two = (found[-1]["metrics"] for found in (by_events, by_totals))
    for metric in (0, 2):  # of conversion and log value they know the same, to rounding
        effects = one[metric]["effects"][0], two[metric]["effects"][0]
        assert effects[1]["p"] == pytest.approx(effects[0]["p"], rel=1e-9)


def test_a_higher_revision_of_totals_replaces_while_the_window_is_open_and_not_after() -> None:
    daily = replace(RATES, attribution_window_ms=DAY_MS, metrics=("conversion",))
    (first,) = summed([visit(0, "v", "a")])
    more = {**first, "visits": 40, "revision": 1}
    even_more = {**first, "visits": 70, "revision": 2}
    ends = [summed([visit(day * DAY_MS, f"e{day}", "a")]) for day in (1, 2, 3, 4)]
    engine = engine_with(daily, every="day", inputs=TOTALS)
    logs = [first], [*ends[0], more], ends[1], [*ends[2], even_more], ends[3]
    records = chains(told(engine, *logs))
    assert [arms(record)[0][0] for record in records] == [40, 41, 42]


# The flags of estimates.


def test_estimates_of_stores_with_a_wrong_split_are_flagged() -> None:
    engine = engine_with(DAILY, every="day")
    log = [visit(i, f"v{i}", "a" if i % 4 else "b", f"s{i % 2}") for i in range(2000)]
    told(engine, [*log, visit(1, "q", "a", "fair"), end(1), end(2)])
    feed = engine.memory.feeds["experiments"]
    assert isinstance(feed, ExperimentsFeed)
    assert {("c", "s0"), ("c", "s1")} <= feed.srm
    refit = engine.refit(MIDNIGHT_MS, force=True)
    assert refit is not None
    engine.apply(refit)
    records = [json.loads(r.value or b"{}") for r in engine.emit(MIDNIGHT_MS).records]
    flagged = {r["key"]["store_id"] for r in records if "srm" in r["flags"]}
    assert flagged == {store for _, store in feed.srm}


def test_an_experiment_with_a_switched_off_arm_counts_the_others() -> None:
    three = (DeclaredArm("a", 0.5), DeclaredArm("b", 0.5), DeclaredArm("old", 0.0))
    log = [visit(i, f"v{i}", "ab"[i % 2]) for i in range(100)]
    record = chains(
        told(engine_with(replace(DAILY, arms=three), every="day"), [*log, end(1), end(2)])
    )[-1]
    assert record["srm"]["status"] == "ok"
    assert [arm["arm"] for arm in record["arms"]] == ["a", "b", "old"]
