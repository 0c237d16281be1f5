"""Revenue per visit: records made of two pools."""

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.settings import EmissionRule, EngineSettings
from tests.support.logs import START_MS, feed, open_engine, purchase, refit, shop_log, visit
from tests.support.records import Record, emit, name_of

SETTINGS = EngineSettings(
    composites=("revenue_per_visit",), emission=EmissionRule(heartbeat_ms=None)
)


def working(settings: EngineSettings = SETTINGS) -> Engine:
    engine = open_engine(settings)
    feed(engine, shop_log(stores=12, visits=200))
    refit(engine, START_MS)
    return engine


def by_store(records: list[Record], metric: str) -> dict[str, Record]:
    return {name_of(r)[1]: r for r in records if r["metric"] == metric}


def test_revenue_per_visit_is_conversion_times_the_mean_order() -> None:
    records = emit(working(), START_MS)
    conversion = by_store(records, "conversion")
    value = by_store(records, "log_order_value")
    for store, record in by_store(records, "revenue_per_visit").items():
        assert (record["model"], record["shrinkage_weight"]) == ("composite", None)
        assert record["n_eff"] == conversion[store]["n_eff"]
        sigma2 = value[store]["hyper"]["params"]["sigma2"]
        # exp(θ + σ²/2) and half of θ's own variance: the mean of the log-normal
        order = np.exp(value[store]["estimate"] + sigma2 / 2 + value[store]["sd"] ** 2 / 2)
        assert record["estimate"] == pytest.approx(conversion[store]["estimate"] * order, rel=1e-2)
        assert 0 < record["interval"]["lo"] < record["estimate"] < record["interval"]["hi"]


def test_its_hyperparameters_are_those_of_both() -> None:
    record = next(iter(by_store(emit(working(), START_MS), "revenue_per_visit").values()))
    params = record["hyper"]["params"]
    assert {"conversion.mean", "log_order_value.mu", "log_order_value.sigma2"} <= params.keys()


def test_a_store_without_an_order_is_a_cold_start() -> None:
    engine = working()
    feed(engine, [visit("window", f"v{i}") for i in range(50)])
    record = by_store(emit(engine, START_MS), "revenue_per_visit")["window"]
    assert record["raw"] is None
    assert "cold_start" in record["flags"]


def test_it_waits_for_both_pools() -> None:
    engine = open_engine(SETTINGS)
    feed(engine, [visit("s", f"v{i}") for i in range(50)])
    refit(engine, START_MS)
    assert {record["metric"] for record in emit(engine, START_MS)} == {"conversion", "order_rate"}


def test_nothing_is_written_of_what_did_not_change_and_a_restart_remembers() -> None:
    engine = working()
    assert len(by_store(emit(engine, START_MS), "revenue_per_visit")) == 12
    assert emit(engine, START_MS) == []
    restored = Engine(SETTINGS)
    restored.restore(engine.snapshot())
    assert emit(restored, START_MS) == []
    feed(restored, shop_log(seed=9, stores=2, visits=400))
    touched = by_store(emit(restored, START_MS), "revenue_per_visit")
    assert touched.keys() == {"c-0", "c-1"}


def test_a_mean_that_moved_because_orders_vary_more_than_was_known_is_worth_a_record() -> None:
    engine, logs = open_engine(SETTINGS), np.random.default_rng(1).normal(8, 2, 720)
    amounts = np.exp(logs).astype(int).tolist()
    feed(engine, [visit(f"c-{n % 12}", f"v{n}") for n in range(2400)])
    feed(engine, [order(f"c-{n % 12}", n, amount) for n, amount in enumerate(amounts)])
    refit(engine, START_MS)
    told = by_store(emit(engine, START_MS), "revenue_per_visit")
    # One store's new orders: the others' means and spreads are what they were, but for sigma2.
    feed(engine, [order("c-0", n, [30, 300_000][n % 2]) for n in range(720, 744)])
    refit(engine, START_MS)
    told |= by_store(emit(engine, START_MS), "revenue_per_visit")
    now = by_store(emit(engine, START_MS, everything=True), "revenue_per_visit")
    moved = [abs(now[s]["estimate"] - told[s]["estimate"]) / told[s]["sd"] for s in now]
    assert max(moved) <= 0.1


def order(store: str, number: int, amount_minor: int) -> bytes:
    return purchase(store, f"o{number}", amount_minor=amount_minor, visit_id=f"v{number}")


def test_both_factors_give_their_flags_once() -> None:
    for record in by_store(emit(working(), START_MS), "revenue_per_visit").values():
        assert len(set(record["flags"])) == len(record["flags"])
