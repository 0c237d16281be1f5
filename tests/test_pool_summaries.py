"""Large pools: their summaries follow every batch, a retirement, and a restart."""

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.metrics import METRICS
from stream_hb.pool_parts import Asked
from stream_hb.refit import pool_data
from stream_hb.settings import EngineSettings
from stream_hb.statistics.summary import EXACT_GROUPS_MAX, ExactSummary, summary_of
from stream_hb.stores import NEVER_MS, Stores
from tests.support.logs import START_MS, feed, open_engine, purchase, refit, visit

LARGE = EXACT_GROUPS_MAX + 100
SETTINGS = EngineSettings({"conversion": "ml", "order_rate": "ml", "log_order_value": "ml"})


def large_log(seed: int, stores: int = LARGE, first: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    log = [visit(f"s{first + s}", f"v{seed}-{s}") for s in range(stores)]
    buyers = rng.choice(stores, stores // 3, replace=False).tolist()
    amounts = dict(zip(buyers, rng.integers(500, 5_000, len(buyers)).tolist(), strict=True))
    return log + [
        purchase(f"s{s}", f"o{seed}-{s}", amount_minor=amounts[s], visit_id=f"v{seed}-{s}")
        for s in buyers
    ]


def summarised(engine: Engine, metric: str, now_ms: int = START_MS) -> object:
    return pool_data(engine.parts(), Asked("c", metric, now_ms)).summary


def assert_as_from_the_table(engine: Engine, metric: str, now_ms: int = START_MS) -> None:
    """The kept summary gives the fit of one that is made of the table's groups now."""
    data = pool_data(engine.parts(), Asked("c", metric, now_ms))
    groups = [
        s.summaries.seen(metric, s.summaries.rows("c", now_ms), None)
        for s in engine.shards.values()
    ]
    whole = groups[0] if len(groups) == 1 else groups[0].concatenate(groups[1])
    assert data.data_count == METRICS[metric].data_count(whole)
    assert data.summary.groups_count == summary_of(whole).groups_count
    family = engine.pools["c", metric].family
    kept, made = (family.fit(s, "ml").hyper for s in (data.summary, summary_of(whole)))
    assert family.parameters(kept) == pytest.approx(family.parameters(made), rel=1e-8)


@pytest.mark.parametrize("metric", ["conversion", "order_rate", "log_order_value"])
def test_a_large_pool_is_summarised_once_and_follows_every_batch(metric: str) -> None:
    engine = open_engine(SETTINGS)
    feed(engine, large_log(1, stores=3 * LARGE))  # a third of them have orders
    refit(engine, START_MS)
    first = summarised(engine, metric)
    assert not isinstance(first, ExactSummary)
    assert summarised(engine, metric) is first
    for seed in range(2, 5):
        feed(engine, large_log(seed, stores=700))
    feed(engine, large_log(9, stores=50, first=3 * LARGE))  # new stores
    assert summarised(engine, metric) is not first
    assert_as_from_the_table(engine, metric)


def test_a_small_pool_keeps_its_groups() -> None:
    engine = open_engine(SETTINGS)
    feed(engine, large_log(1, stores=50))
    assert isinstance(summarised(engine, "conversion"), ExactSummary)


def test_a_pool_grows_over_the_limit_while_it_is_worked_on() -> None:
    engine = open_engine(SETTINGS)
    feed(engine, large_log(1, stores=EXACT_GROUPS_MAX))
    refit(engine, START_MS)
    assert isinstance(summarised(engine, "conversion"), ExactSummary)
    feed(engine, large_log(2, stores=1, first=EXACT_GROUPS_MAX))
    assert not isinstance(summarised(engine, "conversion"), ExactSummary)
    feed(engine, large_log(3))
    assert_as_from_the_table(engine, "conversion")


def test_another_chains_batch_leaves_a_summary_alone() -> None:
    engine = open_engine(SETTINGS)
    feed(engine, large_log(1))
    refit(engine, START_MS)
    before = summarised(engine, "conversion")
    feed(engine, [visit("elsewhere", "v", chain="d")])
    assert summarised(engine, "conversion").groups_count == before.groups_count  # type: ignore[attr-defined]
    assert_as_from_the_table(engine, "conversion")


def test_large_and_small_shards_make_one_pool() -> None:
    engine = open_engine(SETTINGS, shards=(0, 1))
    feed(engine, large_log(1), 0)
    feed(engine, large_log(2, stores=40, first=LARGE), 1)
    refit(engine, START_MS)
    feed(engine, large_log(3, stores=40, first=LARGE), 1)
    feed(engine, large_log(4, stores=40), 0)
    assert_as_from_the_table(engine, "conversion")


def test_a_restart_goes_on_as_if_there_had_been_none() -> None:
    engine = open_engine(SETTINGS)
    feed(engine, large_log(1))
    refit(engine, START_MS)
    feed(engine, large_log(2))
    restored = Engine(SETTINGS)
    restored.restore(engine.snapshot())
    for each in (engine, restored):
        feed(each, large_log(3))
        refit(each, START_MS + 60_000)
    assert engine.snapshot() == restored.snapshot()


def test_a_purchase_before_its_visit_is_in_the_summary_as_the_model_sees_it() -> None:
    """It is put in with its visit implied, and has to be taken out so."""
    engine = open_engine(SETTINGS)
    feed(engine, large_log(1))
    refit(engine, START_MS)
    feed(engine, [purchase(f"s{s}", f"early-{s}", visit_id=f"late-{s}") for s in range(500)])
    assert_as_from_the_table(engine, "conversion")
    feed(engine, [visit(f"s{s}", f"late-{s}") for s in range(500)])
    assert_as_from_the_table(engine, "conversion")


def test_a_retired_store_leaves_the_summary() -> None:
    retired_ms = np.where(np.arange(LARGE) < 10, START_MS + 1, NEVER_MS)
    stores = Stores.of([("c", f"s{s}") for s in range(LARGE)], retired_ms=retired_ms)
    engine = open_engine(EngineSettings(methods=SETTINGS.methods, stores=stores))
    feed(engine, large_log(1))
    refit(engine, START_MS)
    before = summarised(engine, "conversion").groups_count  # type: ignore[attr-defined]
    feed(engine, large_log(2))
    after = summarised(engine, "conversion", START_MS + 1)
    assert after.groups_count == before - 10  # type: ignore[attr-defined]
    feed(engine, large_log(3))  # events of the retired, too
    assert_as_from_the_table(engine, "conversion", START_MS + 1)
