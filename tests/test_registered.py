"""Registered stores: cold-start records, tombstones, and pools without the retired."""

from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.settings import EmissionRule, EngineSettings
from stream_hb.stores import NEVER_MS, Stores
from tests.support.logs import START_MS, feed, open_engine, purchase, refit, shop_log, visit
from tests.support.records import assert_without_gaps, checked, emit

RETIRED_MS = START_MS + 10_000
STORES = Stores.of(
    [("c", "c-0"), ("c", "silent"), ("other", "lonely")],
    retired_ms=np.array([RETIRED_MS, NEVER_MS, NEVER_MS]),
)
NO_HEART = EmissionRule(heartbeat_ms=None)


def settings(stores: Stores | None = STORES, **more: Any) -> EngineSettings:
    options = {"registers": lambda _store, shard: shard == 0, "emission": NO_HEART, **more}
    return EngineSettings(stores=stores, **options)


def working(stores: Stores | None = STORES, **more: Any) -> Engine:
    engine = open_engine(settings(stores, **more))
    feed(engine, shop_log())
    refit(engine, START_MS)
    return engine


def named(records: list[dict[str, Any]], store: str) -> list[dict[str, Any]]:
    return [record for record in records if record["key"]["store_id"] == store]


def deleted(engine: Engine, now_ms: int, **options: Any) -> list[bytes]:
    emission = engine.emit(now_ms, **options)
    engine.apply(emission)
    return [record.key for record in emission.records if record.value is None]


def test_a_registered_store_without_events_has_its_cold_start_record() -> None:
    records = named(emit(working(), START_MS), "silent")
    assert {r["metric"] for r in records} == {"conversion", "order_rate", "log_order_value"}
    for record in records:
        assert "cold_start" in record["flags"]
        assert (record["raw"], record["n_eff"], record["shrinkage_weight"]) == (None, 0, 1)


def test_its_first_event_goes_on_from_there() -> None:
    engine = working()
    first = named(emit(engine, START_MS), "silent")
    feed(engine, [visit("silent", "v"), purchase("silent", "o", visit_id="v")])
    then = named(emit(engine, START_MS, everything=True), "silent")
    assert [record["n_eff"] for record in then] == [1, 1, 1]
    assert_without_gaps(first + then)
    assert engine.shards[0].table.keys.count(("c", "silent")) == 1


def test_a_chain_without_any_event_waits_for_its_hyperparameters() -> None:
    engine = working()
    assert named(emit(engine, START_MS), "lonely") == []
    feed(engine, shop_log(chain="other"))
    refit(engine, START_MS)
    assert len(named(emit(engine, START_MS), "lonely")) == 3


def test_a_store_is_registered_with_one_shard() -> None:
    engine = open_engine(settings(), shards=(0, 1))
    feed(engine, shop_log(), 1)
    refit(engine, START_MS)
    records = emit(engine, START_MS)
    assert len(named(records, "silent")) == 3
    assert ("c", "silent") not in engine.shards[1].table.keys


def test_where_the_shard_is_not_known_a_store_waits_for_its_first_event() -> None:
    engine = working(registers=None)
    assert named(emit(engine, START_MS), "silent") == []
    feed(engine, [visit("silent", "v")])
    assert len(named(emit(engine, START_MS), "silent")) == 3


def test_a_store_of_the_default_chain_is_found_however_it_is_spelt() -> None:
    engine = open_engine(settings(default_chain="c"))
    feed(engine, [visit("silent", "v", chain=None), visit("silent", "w", chain="c")])
    trials = engine.shards[0].table.statistic("conversion").columns()["trials"]
    assert trials.sum() == trials.max() == 2


def test_registered_stores_do_not_change_the_pool() -> None:
    with_table, without = working(), working(None)
    for pool, fit in without.pools.items():
        assert with_table.pools[pool].fit.groups_count == fit.fit.groups_count
        assert with_table.pools[pool].data_count == fit.data_count
        assert with_table.pools[pool].parameters() == pytest.approx(fit.parameters())


def test_a_store_has_its_records_until_it_retires() -> None:
    assert len(named(emit(working(), RETIRED_MS - 1), "c-0")) == 3


def test_every_key_of_a_retired_store_is_deleted_once() -> None:
    engine = working()
    emit(engine, START_MS)
    expected = [
        f"c|c-0||{name}".encode() for name in ("conversion", "order_rate", "log_order_value")
    ]
    assert deleted(engine, RETIRED_MS) == expected
    assert deleted(engine, RETIRED_MS, everything=True) == []
    restored = Engine(settings())
    restored.restore(engine.snapshot())
    assert deleted(restored, RETIRED_MS + 1) == []


def test_a_retired_store_is_deleted_by_an_owner_that_wrote_nothing_of_it() -> None:
    """After a rebuild: an earlier epoch may have written the records that are to go."""
    engine = working()
    assert len(deleted(engine, RETIRED_MS)) == 3


def test_events_of_a_retired_store_bring_it_no_record() -> None:
    engine = working()
    emit(engine, RETIRED_MS)
    feed(engine, [visit("c-0", f"late-{i}") for i in range(100)])
    assert named(emit(engine, RETIRED_MS, everything=True), "c-0") == []


def test_a_retired_store_leaves_the_pool() -> None:
    engine = working()
    assert engine.pools["c", "conversion"].fit.groups_count == 8
    refit(engine, RETIRED_MS)
    assert engine.pools["c", "conversion"].fit.groups_count == 7


def test_a_store_that_comes_back_goes_on_counting() -> None:
    engine = working()
    first = emit(engine, START_MS)
    deleted(engine, RETIRED_MS)
    restored = Engine(settings(None))
    restored.restore(engine.snapshot())
    back = named(checked(restored.emit(RETIRED_MS, everything=True).records), "c-0")
    assert [record["version"]["seq"] for record in back] == [2, 2, 2]
    assert_without_gaps(named(first, "c-0") + back)


def test_a_store_registered_since_the_snapshot_is_there_after_it() -> None:
    engine = working(None)
    emit(engine, START_MS)
    restored = Engine(settings())
    restored.restore(engine.snapshot())
    assert len(named(emit(restored, START_MS), "silent")) == 3
