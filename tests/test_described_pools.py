"""Pools whose stores are described: covariates that shift the prior mean, regions in a chain."""

from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.settings import EmissionRule, EngineSettings, ModelSettings
from stream_hb.stores import Stores
from tests.support.logs import START_MS, feed, open_engine, purchase, refit, visit
from tests.support.records import Record, checked_refit, emit, name_of

STORE_COUNT = 24
BIG = np.arange(STORE_COUNT) % 2 == 0
KEYS = [("c", f"s{number:02}") for number in range(STORE_COUNT)] + [("c", "big"), ("c", "small")]
SIZE = np.array([*np.where(BIG, 2.0, 1.0), 2.0, 1.0])
STORES = Stores.of(KEYS, regions=np.array([*np.where(BIG, 0, 1), 0, 1]), covariates={"size": SIZE})
METHODS = ["ml", "bayes"]
METRICS = ["conversion", "order_rate", "log_order_value"]


def log_of_two_kinds() -> list[bytes]:
    """Big stores convert half of their visits and sell dear, small ones a tenth and cheap."""
    rng = np.random.default_rng(5)
    log = []
    for number, (_, store) in enumerate(KEYS[:STORE_COUNT]):
        rate, level = (0.5, 9.0) if BIG[number] else (0.1, 7.0)
        rate = rng.beta(40 * rate, 40 * (1 - rate))
        for at in range(60):
            log.append(visit(store, f"v{at}"))
            if rng.random() < rate:
                amount = int(np.exp(rng.normal(level, 0.3)))
                log.append(purchase(store, f"o{at}", amount_minor=amount, visit_id=f"v{at}"))
    return log


def working(metric: str, method: str, model: ModelSettings) -> Engine:
    engine = open_engine(
        EngineSettings(
            {metric: method},
            {metric: model},
            stores=STORES,
            registers=lambda _store, _shard: True,
            emission=EmissionRule(heartbeat_ms=None),
        )
    )
    feed(engine, log_of_two_kinds())
    refit(engine, START_MS)
    return engine


def by_store(records: list[Record]) -> dict[str, Record]:
    return {name_of(record)[1]: record for record in records}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", [ModelSettings(covariates=("size",)), ModelSettings(nested=True)])
def test_a_store_without_events_has_the_estimate_of_its_kind(
    metric: str, method: str, model: ModelSettings
) -> None:
    records = by_store(emit(working(metric, method, model), START_MS))
    assert len(records) == STORE_COUNT + 2
    kinds = {True: records["big"], False: records["small"]}
    for number, (_, store) in enumerate(KEYS[:STORE_COUNT]):
        mine, other = kinds[bool(BIG[number])], kinds[not BIG[number]]
        estimate = records[store]["estimate"]
        assert abs(estimate - mine["estimate"]) < abs(estimate - other["estimate"])
    for cold in kinds.values():
        assert "cold_start" in cold["flags"]
        assert cold["interval"]["lo"] < cold["estimate"] < cold["interval"]["hi"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("model", [ModelSettings(covariates=("size",)), ModelSettings(nested=True)])
def test_a_snapshot_keeps_the_fit(metric: str, model: ModelSettings) -> None:
    engine = working(metric, "bayes", model)
    emit(engine, START_MS)
    restored = Engine(engine.settings)
    restored.restore(engine.snapshot())
    assert restored.snapshot() == engine.snapshot()
    ours, theirs = (each.emit(START_MS, everything=True).records for each in (engine, restored))
    assert ours == theirs


@pytest.mark.parametrize("metric", METRICS)
def test_what_explains_the_deviations_is_named_in_the_refits_warnings(metric: str) -> None:
    plain = refit_records(working(metric, "ml", ModelSettings()))[0]
    assert any("size explains" in warning for warning in plain["warnings"]), plain["warnings"]
    assert plain["checks"]["covariates"][0]["name"] == "size"
    assert plain["checks"]["exchangeable"] is False
    told = refit_records(working(metric, "ml", ModelSettings(covariates=("size",))))[0]
    assert not any("size explains" in warning for warning in told["warnings"]), told["warnings"]


def refit_records(engine: Engine) -> list[dict[str, Any]]:
    change = Engine.refit(fresh(engine), START_MS, force=True)
    assert change is not None
    return [checked_refit(record.value) for record in change.records(0.95)]


def fresh(engine: Engine) -> Engine:
    """The same state with everything to be fitted again."""
    engine.pools = {}
    return engine


@pytest.mark.parametrize("metric", METRICS)
def test_a_refit_says_how_sure_it_is_and_what_the_hyperprior_does(metric: str) -> None:
    (record,) = refit_records(working(metric, "bayes", ModelSettings()))
    assert record["log_likelihood"] is None
    assert isinstance(record["log_evidence"], float)
    for name, found in record["hyperparameters"].items():
        assert found["sd"] >= 0, name
        lo, hi = found["interval"]
        assert lo <= found["value"] <= hi, name
    sensitivity = record["sensitivity"]
    assert (
        sensitivity["halved"]["spread"] >= sensitivity["spread"] >= sensitivity["doubled"]["spread"]
    )
    assert sensitivity["most_affected"]["store_id"] in {store for _, store in KEYS}


def test_a_point_fit_has_a_likelihood_and_no_hyperprior() -> None:
    (record,) = refit_records(working("conversion", "ml", ModelSettings()))
    assert record["sensitivity"] is record["log_evidence"] is None
    assert isinstance(record["log_likelihood"], float)
    assert all(found["sd"] is None for found in record["hyperparameters"].values())


def test_a_prior_of_the_configuration_reaches_the_fit() -> None:
    tight = ModelSettings(prior="half-normal:0.001")
    loose, held = (
        refit_records(working("conversion", "bayes", model))[0]["sensitivity"]["spread"]
        for model in (ModelSettings(), tight)
    )
    assert held < 0.01 < loose
