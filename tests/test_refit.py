"""Refits: pools, their versions, and the flags that a fit gives to its records."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_hb import state
from stream_hb.metrics import METRICS
from stream_hb.models.beta_binomial import BetaHyper
from stream_hb.models.family import Fit
from stream_hb.pool_fit import PoolFit
from stream_hb.pool_parts import Asked
from stream_hb.refit import pool_data, refit
from stream_hb.settings import EmissionRule, EngineSettings
from tests.support import logs
from tests.support.logs import START_MS, feed, open_engine, shop_log, visit
from tests.support.records import emit

FIT = Fit(
    method="ml",
    hyper=BetaHyper(0.25, 20.0, 1000.0),
    log_likelihood=-10.0,
    boundary=False,
    bimodal=False,
    converged=True,
    iterations=3,
    groups_count=8,
)


def plain(fit: Fit[Any]) -> bytes:
    return state.encode(state.plain(fit))


def pool_fit(**changes: object) -> PoolFit:
    return PoolFit(1, START_MS, "beta-binomial", replace(FIT, **changes), 100.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, ("plug_in",)),
        ({"boundary": True}, ("plug_in", "boundary_tau0")),
        ({"bimodal": True}, ("plug_in", "bimodal")),
        ({"converged": False}, ("plug_in", "not_converged")),
    ],
)
def test_what_a_fit_says_of_itself_becomes_flags(
    changes: dict[str, object], flags: tuple[str, ...]
) -> None:
    assert pool_fit(**changes).flags() == flags


def test_infinite_hyperparameters_are_written_as_text() -> None:
    hyper = BetaHyper(0.25, math.inf, 1000.0)
    params = pool_fit(hyper=hyper).reference().params
    assert (params["concentration"], params["mean"]) == ("inf", 0.25)


def test_each_chain_and_metric_is_a_pool() -> None:
    engine = open_engine()
    feed(engine, shop_log(chain="a") + shop_log(chain="b", seed=2))
    change = refit(engine.parts(), {}, engine.settings, 7, START_MS)
    assert set(change.pools) == {(chain, metric) for chain in "ab" for metric in METRICS}
    assert {pool.version for pool in change.pools.values()} == {7}


def test_a_pool_is_summarised_over_all_shards() -> None:
    engine = open_engine(shards=(0, 1))
    feed(engine, [visit("s0", "v1"), visit("s1", "v1"), visit("x", "v1", chain="d")], 0)
    feed(engine, [visit("s2", "v1"), visit("s2", "v2")], 1)
    data = pool_data(engine.parts(), Asked("c", "conversion", START_MS))
    assert sorted(data.summary.groups.columns()["trials"].tolist()) == [1, 1, 2]
    assert data.data_count == 4


def test_a_chain_that_one_shard_does_not_know_is_a_pool() -> None:
    engine = open_engine(shards=(0, 1))
    feed(engine, shop_log(chain="only"), 1)
    change = refit(engine.parts(), {}, engine.settings, 1, START_MS)
    assert change.pools["only", "conversion"].fit.groups_count == 8


def test_every_configured_method_is_the_one_that_is_used() -> None:
    methods = {"conversion": "moments", "log_order_value": "ml"}
    engine = open_engine(EngineSettings(methods=methods))
    feed(engine, shop_log())
    logs.refit(engine, START_MS)
    assert {metric: pool.fit.method for (_, metric), pool in engine.pools.items()} == methods


def test_orders_all_of_one_amount_are_no_trouble() -> None:
    """A shop with one price: the values do not vary at all, within groups or between them."""
    engine = open_engine()
    for store in ("a", "b", "c"):
        feed(engine, [visit(store, f"{store}{i}") for i in range(9)])
        orders = [logs.purchase(store, f"o{i}", amount_minor=499) for i in range(5)]
        feed(engine, orders)
    feed(engine, [visit("no-orders", "v")])
    logs.refit(engine, START_MS)
    values = [r for r in emit(engine, START_MS) if r["metric"] == "log_order_value"]
    assert len(values) == 4
    for record in values:
        np.testing.assert_allclose(record["estimate"], math.log(499), rtol=1e-12)


def test_a_refit_in_several_calls_finds_what_one_does() -> None:
    whole, parted = open_engine(EngineSettings()), open_engine(EngineSettings())
    for engine in (whole, parted):
        feed(engine, shop_log())
    at_once = whole.refit(START_MS)
    assert at_once is not None
    assert at_once.whole
    found: dict[Any, Any] = {}
    for step in range(3):
        assert parted.refitted_at_ms is None
        part = parted.refit(START_MS + step, enough=lambda: True)
        assert part is not None
        assert len(part.pools) == 1
        found |= part.pools
        parted.apply(part)
    assert parted.refitted_at_ms == START_MS + 2
    assert {pool: plain(fit.fit) for pool, fit in found.items()} == {
        pool: plain(fit.fit) for pool, fit in at_once.pools.items()
    }


def test_an_emission_looks_at_the_groups_of_the_pools_that_were_refitted() -> None:
    engine = open_engine(EngineSettings(emission=EmissionRule(heartbeat_ms=None)))
    feed(engine, shop_log())
    engine.apply(engine.emit(START_MS))
    written = []
    for step in range(3):
        part = engine.refit(START_MS + step, enough=lambda: True)
        assert part is not None
        engine.apply(part)
        emission = engine.emit(START_MS + step)
        written.append({(chain, metric) for chain, metric in part.pools})
        names = {tuple(record.key.decode().split("|")) for record in emission.records}
        assert {(name[0], name[-1]) for name in names} == written[-1]
        engine.apply(emission)
    assert len(set.union(*written)) == 3
