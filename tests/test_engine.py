"""The engine: only ``apply`` changes the state, and batches, shards and stops leave no trace."""

from collections import Counter

import pytest

from stream_hb.engine import Engine
from stream_hb.errors import SnapshotError
from stream_hb.settings import EngineSettings
from tests.support.logs import (
    START_MS,
    batch,
    feed,
    open_engine,
    purchase,
    refit,
    shop_log,
    visit,
)
from tests.support.records import (
    assert_same_estimates,
    assert_without_gaps,
    checked,
    emit,
    newest,
)

NOW_MS = START_MS + 3_600_000
BAD = b"not json"


def working_engine() -> Engine:
    """An engine that has counted, refitted and emitted."""
    engine = open_engine()
    feed(engine, shop_log())
    refit(engine, NOW_MS)
    emit(engine, NOW_MS)
    return engine


def test_ingest_emit_and_refit_change_nothing() -> None:
    engine = working_engine()
    before = engine.snapshot()
    more = [*shop_log(seed=2), visit("unknown", chain="new"), purchase("s9", visit_id="v0"), BAD]
    candidate = engine.ingest({0: [batch(more, first_offset=1000)]})
    engine.emit(NOW_MS + 1, candidate)
    engine.emit(NOW_MS + 1, candidate, everything=True)
    engine.refit(NOW_MS + 1, force=True)
    assert engine.snapshot() == before


def test_each_change_lands_when_it_is_applied() -> None:
    engine = working_engine()
    more = shop_log(seed=2)
    changes = (
        lambda: engine.ingest({0: [batch(more, first_offset=1000)]}),
        lambda: engine.refit(NOW_MS + 1, force=True),
        lambda: engine.emit(NOW_MS + 1),
    )
    for make in changes:
        before = engine.snapshot()
        change = make()
        assert change is not None
        engine.apply(change)
        assert engine.snapshot() != before


def test_a_dropped_candidate_leaves_no_trace() -> None:
    engine, twin = working_engine(), working_engine()
    engine.emit(NOW_MS, engine.ingest({0: [batch([visit("lost", "v", chain="lost")])]}))
    more = [visit("found", "v", chain="found"), *shop_log(seed=3)]
    feed(engine, more)
    feed(twin, more)
    assert engine.snapshot() == twin.snapshot()
    assert ("lost", "lost") not in engine.shards[0].table.keys


def test_records_of_a_candidate_are_those_of_the_state_it_becomes() -> None:
    engine, twin = working_engine(), working_engine()
    more = batch([*shop_log(seed=2), visit("new", "v")], first_offset=500)
    ahead = engine.emit(NOW_MS + 1, engine.ingest({0: [more]}), everything=True).records
    twin.apply(twin.ingest({0: [more]}))
    assert ahead == twin.emit(NOW_MS + 1, everything=True).records
    assert newest(checked(ahead)).keys() >= {("c", "new", "conversion")}


def test_restoring_continues_as_if_it_had_never_stopped() -> None:
    engine = working_engine()
    restored = Engine(EngineSettings())
    restored.restore(engine.snapshot())
    assert restored.snapshot() == engine.snapshot()
    for step, seed in enumerate((2, 3)):
        for each in (engine, restored):
            feed(each, shop_log(seed=seed, stores=12))
            refit(each, NOW_MS + 60_000 * step, force=False)
        records = [each.emit(NOW_MS + 60_000 * step) for each in (engine, restored)]
        assert records[0].records == records[1].records != []
        checked(records[0].records)
        for each, emission in zip((engine, restored), records, strict=True):
            each.apply(emission)
    assert restored.snapshot() == engine.snapshot()


def test_a_conversion_is_remembered_over_a_restore() -> None:
    engine = open_engine()
    feed(engine, [visit("s", "v"), purchase("s", "o1", visit_id="v")])
    restored = Engine(EngineSettings())
    restored.restore(engine.snapshot())
    feed(restored, [purchase("s", "o2", visit_id="v")])
    counts = restored.shards[0].table.statistic("conversion").columns()
    assert (counts["successes"].tolist(), counts["trials"].tolist()) == ([1], [1])


def test_what_was_applied_and_not_emitted_is_emitted_after_a_restore() -> None:
    for with_refit in (False, True):
        engine = working_engine()
        feed(engine, shop_log(seed=2))
        if with_refit:
            emit(engine, NOW_MS + 5_000)
            refit(engine, NOW_MS + 5_000)
        restored = Engine(EngineSettings())
        restored.restore(engine.snapshot())
        expected = checked(engine.emit(NOW_MS + 5_000).records)
        assert emit(restored, NOW_MS + 5_000) == expected != []


def test_restoring_emits_nothing_again() -> None:
    engine = working_engine()
    restored = Engine(EngineSettings())
    restored.restore(engine.snapshot())
    assert restored.emit(NOW_MS).records == []


@pytest.mark.parametrize("snapshot", [b"", b"\xc1", b"\x01", b"\x80", b"\x81\xa7version\x63"])
def test_what_is_no_snapshot_is_refused(snapshot: bytes) -> None:
    with pytest.raises(SnapshotError):
        Engine(EngineSettings()).restore(snapshot)


def test_a_snapshot_of_other_metrics_is_refused() -> None:
    snapshot = working_engine().snapshot()
    with pytest.raises(SnapshotError, match="conversion, log_order_value, order_rate"):
        Engine(EngineSettings(methods={"conversion": "ml"})).restore(snapshot)


def test_many_batches_of_one_are_one_batch_of_many() -> None:
    log = [*shop_log(visits=15), BAD]
    whole, single = open_engine(), open_engine()
    feed(whole, log)
    for payload in log:
        feed(single, [payload])
    for each in (whole, single):
        refit(each, NOW_MS)
    for metric in ("conversion", "order_rate"):
        columns = (e.shards[0].table.statistic(metric).columns() for e in (whole, single))
        for one, other in zip(*(c.values() for c in columns), strict=True):
            assert one.tolist() == other.tolist()
    assert whole.shards[0].positions == single.shards[0].positions
    assert_same_estimates(emit(whole, NOW_MS), emit(single, NOW_MS), tolerance=1e-9)


def test_shards_change_no_estimate() -> None:
    log = shop_log(stores=9)
    one, three = open_engine(), open_engine(shards=(0, 1, 2))
    feed(one, log)
    for shard in range(3):
        feed(three, [p for p in log if _store_number(p) % 3 == shard], shard)
    for each in (one, three):
        refit(each, NOW_MS)
    assert three.groups_count == one.groups_count
    assert_same_estimates(emit(one, NOW_MS), emit(three, NOW_MS), tolerance=1e-9)


def _store_number(payload: bytes) -> int:
    return int(payload.partition(b'"store_id": "c-')[2].partition(b'"')[0])


def test_a_record_names_the_refit_that_it_was_made_with() -> None:
    engine = open_engine()
    feed(engine, shop_log())
    refit(engine, NOW_MS)
    assert {r["hyper"]["version"] for r in emit(engine, NOW_MS)} == {1}
    feed(engine, shop_log(seed=2, chain="d"))
    refit(engine, NOW_MS + 5_000)
    records = emit(engine, NOW_MS + 5_000, everything=True)
    hypers = {(r["key"]["chain_id"], r["hyper"]["version"]) for r in records}
    assert hypers == {("c", 1), ("d", 2)}  # nothing changed in the first chain
    assert {r["hyper"]["fitted_at_ms"] for r in records} == {NOW_MS, NOW_MS + 5_000}
    assert all(r["hyper"]["converged"] and r["hyper"]["groups"] == 8 for r in records)


def test_a_warm_start_changes_nothing() -> None:
    warm, cold = open_engine(), open_engine()
    feed(warm, shop_log())
    refit(warm, NOW_MS)
    feed(warm, shop_log(seed=2))
    refit(warm, NOW_MS + 5_000)
    feed(cold, shop_log())
    feed(cold, shop_log(seed=2))
    refit(cold, NOW_MS + 5_000)
    now_ms = NOW_MS + 5_000
    ends = (emit(each, now_ms, everything=True) for each in (warm, cold))
    assert_same_estimates(next(ends), next(ends), tolerance=1e-12)


def test_a_refit_waits_until_it_is_due() -> None:
    engine = working_engine()
    feed(engine, shop_log(seed=2))
    assert engine.refit(NOW_MS + 4_999) is None
    assert engine.refit(NOW_MS + 5_000) is not None


def test_a_pool_is_refitted_only_when_its_data_changed_enough() -> None:
    engine = open_engine(EngineSettings(methods={"order_rate": "ml"}, refit_min_change=0.1))
    feed(engine, [visit("s", f"v{i}") for i in range(100)])
    refit(engine, NOW_MS)
    feed(engine, [visit("s", f"w{i}") for i in range(10)])
    refit(engine, NOW_MS + 5_000)
    assert engine.pools["c", "order_rate"].version == 1
    feed(engine, [visit("s", "w10")])
    refit(engine, NOW_MS + 10_000)
    assert engine.pools["c", "order_rate"].version == 2


def test_a_refit_that_finds_nothing_to_do_keeps_its_number() -> None:
    engine = working_engine()
    refit(engine, NOW_MS + 5_000)
    assert (engine.refits, engine.refitted_at_ms) == (1, NOW_MS + 5_000)


def test_a_pool_that_can_not_be_fitted_yet_waits() -> None:
    """One order has no variance: order values have no hyperparameters before the second."""
    engine = open_engine()
    feed(engine, [visit("s1", "v"), purchase("s1", "o")])
    refit(engine, NOW_MS)
    assert {r["metric"] for r in emit(engine, NOW_MS)} == {"conversion", "order_rate"}
    feed(engine, [purchase(s, f"o{i}", amount_minor=500 + i) for i in range(9) for s in ("a", "b")])
    refit(engine, NOW_MS + 5_000)
    values = [r for r in emit(engine, NOW_MS + 5_000) if r["metric"] == "log_order_value"]
    assert {r["key"]["store_id"] for r in values} == {"s1", "a", "b"}


def test_groups_beyond_the_limit_are_rejected_and_counted() -> None:
    engine = open_engine(EngineSettings(groups_max=2), shards=(0, 1))
    log = [
        visit("a", "v1"),
        visit("b", "v2"),
        visit("c", "v3"),
        purchase("d", "o"),
        visit("a", "v"),
    ]
    candidate = engine.ingest({0: [batch(log)], 1: [batch([visit("e", "v")], partition=1)]})
    assert Counter(r.reason for r in candidate.rejects) == {"too_many_groups": 3}
    assert [(r.partition, r.offset) for r in candidate.rejects] == [(0, 2), (0, 3), (1, 0)]
    assert [r.payload for r in candidate.rejects][:2] == log[2:4]
    engine.apply(candidate)
    assert engine.groups_count == 2
    later = engine.ingest({0: [batch([visit("b", "v9"), visit("c", "v3")], first_offset=5)]})
    assert (later.accepted, len(later.rejects)) == (1, 1)


def test_a_store_in_a_partition_that_is_not_its_own_is_rejected() -> None:
    settings = EngineSettings(belongs=lambda store, partition: store == f"s{partition}")
    engine = open_engine(settings, shards=(0, 1))
    candidate = engine.ingest(
        {
            0: [batch([visit("s0", "v"), visit("s1", "v")])],
            1: [batch([purchase("s1", "o"), purchase("s0", "o")], partition=1)],
        }
    )
    found = [(r.partition, r.offset, r.reason) for r in candidate.rejects]
    assert found == [(0, 1, "wrong_partition"), (1, 1, "wrong_partition")]
    engine.apply(candidate)
    assert [shard.table.keys for shard in engine.shards.values()] == [[("c", "s0")], [("c", "s1")]]


def test_received_is_accepted_and_rejected() -> None:
    engine = open_engine(EngineSettings(groups_max=5))
    log = [*shop_log(visits=3), BAD, None, b"{}", visit("s", event_time_ms=17)]
    candidate = engine.ingest({0: [batch(log)]})
    assert candidate.accepted + len(candidate.rejects) == len(log)
    offsets = [reject.offset for reject in candidate.rejects]
    assert offsets == sorted(offsets)
    assert len(candidate.rejects) > 4  # groups beyond the limit, too


def test_two_spellings_of_the_default_chain_are_one_group() -> None:
    engine = open_engine(EngineSettings(default_chain="main"))
    feed(engine, [visit("s", "v1", chain=None), visit("s", "v2", chain="main")])
    feed(engine, [purchase("s", "o", chain="main", visit_id="v1")])
    feed(engine, [purchase("s", "p", chain=None, visit_id="v1")])
    table = engine.shards[0].table
    assert table.keys == [("main", "s")]
    columns = table.statistic("conversion").columns()
    assert (columns["successes"].tolist(), columns["trials"].tolist()) == ([1], [2])


def test_a_shard_that_left_takes_its_groups_along() -> None:
    engine = open_engine(shards=(0, 1))
    feed(engine, [visit("a", "v")], 0)
    feed(engine, [visit("b", "v")], 1)
    refit(engine, NOW_MS)
    engine.close_shard(1)
    assert engine.groups_count == 1
    assert {r["key"]["store_id"] for r in emit(engine, NOW_MS)} == {"a"}


def test_only_the_shards_that_may_write_do() -> None:
    engine = open_engine(shards=(0, 1))
    feed(engine, [visit("a", "v")], 0)
    feed(engine, [visit("b", "v")], 1)
    refit(engine, NOW_MS)
    first = emit(engine, NOW_MS, shards={1})
    assert {r["key"]["store_id"] for r in first} == {"b"}
    second = emit(engine, NOW_MS)
    assert {r["key"]["store_id"] for r in second} == {"a"}
    assert_without_gaps(first + second)


def test_a_shard_that_was_left_out_is_compared_with_new_hyperparameters_later() -> None:
    engine = open_engine(EngineSettings(refit_min_change=0.0), shards=(0, 1))
    feed(engine, shop_log(), 0)
    feed(engine, shop_log(seed=2, stores=3), 1)
    refit(engine, NOW_MS)
    emit(engine, NOW_MS)
    feed(engine, [visit(f"more-{i % 9}", f"v{i}") for i in range(900)], 1)
    emit(engine, NOW_MS)
    refit(engine, NOW_MS + 5_000)
    expected = engine.emit(NOW_MS + 5_000, shards={0}).records
    emit(engine, NOW_MS + 5_000, shards={1})
    assert engine.emit(NOW_MS + 5_000).records == expected != []


def test_the_watermark_is_that_of_the_slowest_source() -> None:
    engine = open_engine(shards=(0, 1))
    late_ms = START_MS + 7_200_000
    slow = batch([visit("a", "v", START_MS), visit("a", "w", START_MS - 9)], "visits")
    fast = batch([purchase("a", "o", late_ms)], "purchases")
    engine.apply(engine.ingest({0: [slow, fast]}))
    assert engine.watermark_ms() == START_MS - 600_000
    refit(engine, late_ms)
    record = emit(engine, late_ms)[0]
    assert record["watermark_ms"] == START_MS - 600_000
    assert record["offsets"] == {"visits-0": 2, "purchases-0": 1}
    engine.apply(engine.ingest({0: [batch([visit("a", "x", late_ms)], "visits", 0, 2)]}))
    assert engine.watermark_ms() == late_ms - 600_000
