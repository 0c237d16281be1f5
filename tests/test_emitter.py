"""Which keys get a record, and what flags it; every record is checked on its way here."""

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.estimator import PARTS
from stream_hb.pool_fit import PoolFit
from stream_hb.refit import Refit
from stream_hb.settings import EmissionRule, EngineSettings
from stream_hb.statistics.forgetting import Forgetting, HalfLife, Never
from tests.support.logs import START_MS, batch, feed, open_engine, purchase, refit, shop_log, visit
from tests.support.records import Record, assert_without_gaps, checked, emit, name_of

MINUTE_MS = 60_000
NO_HEART = EmissionRule(heartbeat_ms=None)


def engine_with(emission: EmissionRule = NO_HEART, **settings: Any) -> Engine:
    engine = open_engine(EngineSettings(emission=emission, **settings))
    feed(engine, shop_log())
    refit(engine, START_MS)
    return engine


def stores(records: list[Record]) -> set[str]:
    return {record["key"]["store_id"] for record in records}


def visits(store: str, count: int) -> list[bytes]:
    return [visit(store, f"more-{number}") for number in range(count)]


def test_the_first_record_of_a_key_is_always_written() -> None:
    records = emit(engine_with(), START_MS)
    assert len(records) == 8 * 3
    assert {record["version"]["seq"] for record in records} == {1}


def test_nothing_is_written_of_what_did_not_change() -> None:
    engine = engine_with()
    emit(engine, START_MS)
    assert emit(engine, START_MS + 100 * MINUTE_MS) == []


def test_a_small_change_is_not_worth_a_record_and_a_large_one_is() -> None:
    engine = engine_with(methods={"conversion": "ml"})
    emit(engine, START_MS)
    feed(engine, visits("c-1", 1))
    assert emit(engine, START_MS) == []
    feed(engine, visits("c-1", 60))
    assert [name_of(record) for record in emit(engine, START_MS)] == [("c", "c-1", "conversion")]


def test_small_changes_add_up() -> None:
    """The comparison is with the last record, not with the last look."""
    engine = engine_with(methods={"conversion": "ml"})
    records = emit(engine, START_MS)
    for number in range(60):
        feed(engine, [visit("c-1", f"one-{number}")])
        records += emit(engine, START_MS)
    assert 1 < sum(record["key"]["store_id"] == "c-1" for record in records) < 40
    assert_without_gaps(records)


def test_a_change_of_the_mean_alone_is_worth_a_record() -> None:
    rule = EmissionRule(changed_sd=0.1, changed_width=1e9, heartbeat_ms=None)
    engine = engine_with(rule, methods={"conversion": "ml"})
    before = {name_of(record): record for record in emit(engine, START_MS)}
    feed(engine, visits("c-2", 60))
    (record,) = emit(engine, START_MS)
    last = before[name_of(record)]
    assert abs(record["estimate"] - last["estimate"]) > 0.1 * last["sd"]


def test_a_change_of_the_width_alone_is_worth_a_record() -> None:
    rule = EmissionRule(changed_sd=1e9, changed_width=0.05, heartbeat_ms=None)
    engine = engine_with(rule, methods={"conversion": "ml"})
    before = {name_of(record): record for record in emit(engine, START_MS)}
    feed(engine, visits("c-2", 60))
    (record,) = emit(engine, START_MS)
    assert abs(record["sd"] / before[name_of(record)]["sd"] - 1) > 0.05


def test_hyperparameters_alone_can_make_a_record() -> None:
    engine = engine_with(methods={"conversion": "ml"})
    emit(engine, START_MS)
    feed(engine, [visit(f"new-{number}", f"v{i}") for number in range(9) for i in range(40)])
    emit(engine, START_MS)
    assert emit(engine, START_MS) == []
    refit(engine, START_MS + 5_000)
    records = emit(engine, START_MS + 5_000)
    assert {record["hyper"]["version"] for record in records} == {2}
    assert stores(records) & {f"c-{number}" for number in range(8)}
    assert emit(engine, START_MS + 5_000) == []


def test_a_key_that_no_record_was_due_of_is_found_after_a_refit_of_another_pool() -> None:
    engine = engine_with()
    emit(engine, START_MS)
    feed(engine, shop_log(seed=5, chain="d"))
    assert emit(engine, START_MS) == []  # the new chain has no hyperparameters yet
    refit(engine, START_MS + 5_000)
    records = emit(engine, START_MS + 5_000)
    assert {record["key"]["chain_id"] for record in records} == {"d"}
    assert len(records) == 8 * 3


def test_a_new_group_of_a_fitted_pool_waits_for_no_refit() -> None:
    engine = engine_with()
    emit(engine, START_MS)
    feed(engine, [visit("new", "v1")])
    assert {name_of(record)[:2] for record in emit(engine, START_MS)} == {("c", "new")}


def test_the_heart_beats_within_its_time_and_not_in_one_burst() -> None:
    engine = engine_with(EmissionRule(heartbeat_ms=MINUTE_MS), methods={"conversion": "ml"})
    first = emit(engine, START_MS)
    assert emit(engine, START_MS + MINUTE_MS // 2 - 1) == []
    beats = [emit(engine, START_MS + second * 1000) for second in range(30, 61)]
    assert {name_of(record) for beat in beats for record in beat} == {name_of(r) for r in first}
    assert max(map(len, beats)) <= 2
    assert_without_gaps(first + [record for beat in beats for record in beat])


def test_no_key_is_silent_for_longer_than_a_heartbeat() -> None:
    engine = engine_with(EmissionRule(heartbeat_ms=MINUTE_MS), methods={"conversion": "ml"})
    last = {name_of(record): START_MS for record in emit(engine, START_MS)}
    for now_ms in range(START_MS, START_MS + 10 * MINUTE_MS, 1000):
        for record in emit(engine, now_ms):
            last[name_of(record)] = now_ms
        assert min(last.values()) >= now_ms - MINUTE_MS


def test_everything_touched_is_written_when_asked_for() -> None:
    rule = EmissionRule(heartbeat_ms=None, everything_touched=True)
    engine = engine_with(rule, methods={"conversion": "ml"})
    emit(engine, START_MS)
    position = engine.shards[0].positions["events", 0].next_offset
    raw = batch([*visits("c-1", 1), *visits("c-2", 1)], first_offset=position)
    candidate = engine.ingest({0: [raw]})
    assert stores(emit(engine, START_MS, candidate=candidate)) == {"c-1", "c-2"}


def test_everything_is_written_when_asked_for() -> None:
    engine = engine_with()
    first = emit(engine, START_MS)
    again = emit(engine, START_MS, everything=True)
    assert len(again) == len(first)
    assert_without_gaps(first + again)


def test_purchases_without_visits_make_a_cold_start() -> None:
    engine = engine_with()
    feed(engine, [purchase("web", f"o{number}", amount_minor=0) for number in range(3)])
    emit(engine, START_MS)
    records = emit(engine, START_MS, everything=True)
    cold = [record for record in records if record["key"]["store_id"] == "web"]
    assert {record["metric"] for record in cold} == {
        "conversion",
        "order_rate",
        "log_order_value",
    }
    for record in cold:
        assert (record["raw"], record["shrinkage_weight"], record["n_eff"]) == (None, 1, 0)
        assert record["estimate"] == record["pooled"]
        assert "cold_start" in record["flags"]
        assert "low_n" not in record["flags"]


def test_a_purchase_before_its_visit_implies_the_visit() -> None:
    engine = engine_with(methods={"conversion": "ml"})
    feed(engine, [purchase("web", "o1", visit_id="later")])
    record = next(r for r in emit(engine, START_MS) if r["key"]["store_id"] == "web")
    assert (record["raw"], record["n_eff"]) == (1, 1)


def test_few_observations_are_flagged() -> None:
    engine = engine_with(methods={"conversion": "ml"})
    feed(engine, [*visits("few", 29), *visits("enough", 30)])
    flags = {r["key"]["store_id"]: r["flags"] for r in emit(engine, START_MS)}
    assert "low_n" in flags["few"]
    assert "low_n" not in flags["enough"]


def test_groups_that_do_not_differ_are_flagged() -> None:
    engine = open_engine(EngineSettings(methods={"conversion": "ml"}))
    for store in ("a", "b", "c"):
        feed(engine, visits(store, 40))
        feed(engine, [purchase(store, f"o{i}", visit_id=f"more-{i}") for i in range(10)])
    refit(engine, START_MS)
    for record in emit(engine, START_MS):
        assert "boundary_tau0" in record["flags"]
        assert record["shrinkage_weight"] == 1
        assert record["hyper"]["params"]["concentration"] == "inf"
        np.testing.assert_allclose(record["estimate"], 0.25, rtol=1e-12)


def test_a_fit_that_did_not_converge_is_flagged() -> None:
    engine = engine_with(methods={"conversion": "ml"})
    emit(engine, START_MS)
    pool = engine.pools["c", "conversion"]
    doubtful = replace(pool.fit, converged=False, bimodal=True)
    fits = {("c", "conversion"): PoolFit(2, START_MS, pool.model, doubtful, pool.data_count)}
    engine.apply(Refit(2, START_MS, fits))
    record = emit(engine, START_MS, everything=True)[0]
    assert {"not_converged", "bimodal"} <= set(record["flags"])
    assert record["hyper"]["converged"] is False


def test_hyperparameters_older_than_two_refits_are_flagged() -> None:
    engine = engine_with()
    in_time = emit(engine, START_MS + 10_000)
    late = emit(engine, START_MS + 10_001, everything=True)
    assert not any("stale_hyper" in record["flags"] for record in in_time)
    assert all("stale_hyper" in record["flags"] for record in late)
    refit(engine, START_MS + 10_001)  # nothing to do for it, but it looked
    again = emit(engine, START_MS + 10_001, everything=True)
    assert not any("stale_hyper" in record["flags"] for record in again)


def test_input_older_than_five_minutes_is_flagged() -> None:
    engine = engine_with()
    newest_ms = engine.shards[0].positions["events", 0].event_time_ms
    in_time = emit(engine, newest_ms + 5 * MINUTE_MS)
    late = emit(engine, newest_ms + 5 * MINUTE_MS + 1, everything=True)
    assert not any("stale_input" in record["flags"] for record in in_time)
    assert all("stale_input" in record["flags"] for record in late)
    assert late[0]["staleness_ms"] == 15 * MINUTE_MS + 1


def test_records_carry_the_level_of_their_interval() -> None:
    engine = engine_with(level=0.8)
    wide = {name_of(r): r["interval"] for r in emit(engine_with(), START_MS)}
    for record in emit(engine, START_MS):
        interval, other = record["interval"], wide[name_of(record)]
        assert interval["level"] == 0.8
        assert other["lo"] < interval["lo"] <= interval["hi"] < other["hi"]


def test_emissions_in_parts_write_what_one_would_have() -> None:
    """And each key once: what was looked at waits no more."""
    whole, parted = engine_with(), engine_with()
    expected = {name_of(record): record for record in emit(whole, START_MS)}
    found: list[Record] = []
    emission = parted.emit(START_MS, rows_max=5)
    while emission.is_part:
        assert 0 < emission.looked_count <= 5 + len(parted.settings.emitted_metrics)
        found += checked(emission.records)
        parted.apply(emission)
        emission = parted.emit(START_MS, rows_max=5)
    found += checked(emission.records)
    parted.apply(emission)
    assert len(found) == len(expected)
    assert {name_of(record): record for record in found} == expected
    assert emit(parted, START_MS) == []


def test_metrics_take_turns_though_all_change_again_before_all_are_looked_at() -> None:
    engine = engine_with()
    metrics = set(engine.settings.emitted_metrics)
    seen = []
    for turn in range(len(metrics)):
        shard = engine.shards[0]
        shard.unscreened.mark_all(len(shard.table))
        emission = engine.emit(START_MS + turn, rows_max=len(shard.table))
        seen += [looked.metric for looked in emission.looked if len(looked.rows)]
        engine.apply(emission)
    assert sorted(seen) == sorted(metrics)


def test_what_a_batch_touches_does_not_wait_for_what_a_refit_left() -> None:
    engine = engine_with()
    candidate = engine.ingest({0: [batch(visits("c-6", 60), first_offset=10_000)]})
    emission = engine.emit(START_MS, candidate, rows_max=1)
    assert emission.is_part
    assert ("c", "c-6", "conversion") in {name_of(r) for r in checked(emission.records)}


def test_what_is_due_by_the_clock_comes_in_parts_too_the_oldest_first() -> None:
    """Wrong before: after a stop every key was due, and all came in one transaction."""
    engine = engine_with(EmissionRule(heartbeat_ms=MINUTE_MS))
    whole = engine.emit(START_MS)
    engine.apply(whole)
    first = engine.emit(START_MS + MINUTE_MS * 3 // 4, rows_max=1)
    assert (len(whole.records), len(first.records), first.is_part) == (8 * 3, 1, True)
    engine.apply(first)
    now_ms = START_MS + 3 * MINUTE_MS
    parts = [engine.emit(now_ms, rows_max=5)]
    engine.apply(parts[0])
    while parts[-1].is_part:
        parts.append(engine.emit(now_ms, rows_max=5))
        assert len(parts[-1].records) <= 5
        engine.apply(parts[-1])
    names = [[name_of(record) for record in checked(part.records)] for part in parts]
    expected = [name_of(record) for record in checked(whole.records)]
    assert sorted(chain.from_iterable(names)) == sorted(expected)
    assert name_of(checked(first.records)[0]) in names[-1]


@pytest.mark.parametrize("half_life_ms", [None, 60 * MINUTE_MS])
def test_a_groups_record_is_the_same_before_and_after_a_batch_that_touches_some_is_applied(
    half_life_ms: int | None,
) -> None:
    metrics = EngineSettings().methods
    rule: Forgetting = HalfLife(half_life_ms) if half_life_ms else Never()
    forgetting = dict.fromkeys(metrics, rule)
    engine = engine_with(forgetting=forgetting, composites=("revenue_per_visit",))
    emit(engine, START_MS)
    later = [visit(f"c-{n % 2}", f"later-{n}", START_MS + n * MINUTE_MS) for n in range(90)]
    candidate = engine.ingest({0: [batch(later, first_offset=10_000)]})
    changed = engine.emit(START_MS, candidate).records
    ahead = engine.emit(START_MS, candidate, everything=True).records
    engine.apply(candidate)
    assert len(ahead) == 8 * 4
    assert {record.key for record in changed} >= {b"c|c-0||conversion", b"c|c-1||conversion"}
    assert set(changed) < set(ahead)
    assert ahead == engine.emit(START_MS, everything=True).records


@pytest.mark.parametrize("part", PARTS["revenue_per_visit"])
def test_a_metric_that_is_made_of_others_is_looked_at_when_one_of_these_is_refitted(
    part: str,
) -> None:
    engine = engine_with(composites=("revenue_per_visit",))
    emit(engine, START_MS)
    fit = engine.pools["c", part]
    engine.apply(Refit(2, START_MS, {("c", part): replace(fit, version=2)}))
    looked = {each.metric for each in engine.emit(START_MS).looked if len(each.rows)}
    assert looked == {part, "revenue_per_visit"}
