"""The records: every one keeps the schema, and says what a reader needs."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment, Guardrail
from stream_hb.feeds.experiments.outcomes import METRICS
from tests.feeds.experiments.looked import (
    SCHEMA,
    THREE,
    TWO,
    VALIDATOR,
    drawn_units,
    looked,
    of_units,
    records,
    seen,
    totals,
)

FULL = replace(THREE, metrics=METRICS, guardrails=(Guardrail("revenue_per_visit", 0.1),))


@cache
def _full() -> list[dict[str, Any]]:
    units = drawn_units(np.random.default_rng(7), 9_000, arms=3, lift=0.5)
    what = of_units(units, arms=3, cap_minor=50_000)
    assigned = np.tile([3000.0, 1500.0, 1500.0], (3, 1))
    return records(FULL, seen(what, assigned=assigned, pre_rate=np.array([0.1, 0.2, np.nan])))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_of_the_chain_everything_is_told_and_of_every_store_and_metric_too() -> None:
    chain, *stores = _full()
    assert chain["scope"] == "chain"
    assert [metric["metric"] for metric in chain["metrics"]] == list(METRICS)
    assert len(stores) == 3 * len(METRICS)
    assert {store["scope"] for store in stores} == {"store"}
    for metric in chain["metrics"]:
        assert sum(arm["probability_best"] for arm in metric["arms"]) == pytest.approx(1)
        for effect in metric["effects"]:
            assert effect["status"] == "ok"
            assert effect["lift_posterior"]["probability_above"] is not None
            assert effect["stores"]["new_store"]["sd"] >= effect["stores"]["population"]["sd"]
            railed = effect["guardrail"] is not None
            assert railed == (metric["metric"] == "revenue_per_visit")
            if metric["metric"] != "log_order_value":
                assert 0 < effect["cuped"]["variance_left"] < 1
    assert all(0 < arm["capped_share"] < 0.1 for arm in chain["arms"])
    conversion = chain["metrics"][0]["arms"]
    assert all(arm["sequence"]["lo"] < arm["mean"] < arm["sequence"]["hi"] for arm in conversion)


def test_a_stores_record_has_rates_apart_by_its_effect() -> None:
    record = next(r for r in _full() if r["key"]["metric"] == "conversion")
    assert record["scale"] == "log_odds_ratio"
    for effect in record["effects"]:
        odds = [effect[name] / (1 - effect[name]) for name in ("arm_rate", "control_rate")]
        assert np.log(odds[0] / odds[1]) == pytest.approx(effect["effect"])
        assert effect["interval"]["level"] == 0.95


def test_relative_lifts_of_logarithms_are_shares() -> None:
    units = drawn_units(np.random.default_rng(9), 9_000)
    units = replace(units, revenue_minor=units.revenue_minor * np.where(units.arm == 1, 2.0, 1.0))
    experiment = replace(TWO, metrics=("log_order_value",))
    chain, store, *_ = records(experiment, seen(of_units(units)))
    relative = chain["metrics"][0]["effects"][0]["relative"]
    assert relative["effect"] == pytest.approx(1.0, abs=0.15)
    assert relative["sequence"]["lo"] < relative["effect"] < relative["sequence"]["hi"]
    assert store["effects"][0]["relative_sequence"]["hi"] > 1


@pytest.mark.parametrize(
    ("experiment", "statistics"),
    [
        (TWO, totals([[0, 0], [0, 0]], [[0, 0], [0, 0]])),
        (TWO, totals([[5000, 0]], [[300, 0]])),
        (TWO, totals([[1, 1]], [[1, 0]])),
        (TWO, totals([[5000, 5000]], [[5000, 5000]])),
        (TWO, totals([[5000, 5000]], [[0, 0]])),
        (TWO, totals([[1e9, 1e9]], [[1, 5e8]])),
        (replace(TWO, metrics=METRICS), totals([[500, 400], [3, 0]], [[50, 60], [0, 0]])),
        (
            replace(TWO, metrics=METRICS, guardrails=(Guardrail("log_order_value", 0.1),)),
            of_units(drawn_units(np.random.default_rng(1), 0)),
        ),
        (
            replace(TWO, arms=(*TWO.arms, DeclaredArm("off", 0.0)), metrics=METRICS),
            of_units(drawn_units(np.random.default_rng(1), 7), arms=3),
        ),
        (
            replace(TWO, arms=(DeclaredArm("a", 1.0), DeclaredArm("b", 0.0))),
            totals([[9, 0]], [[1, 0]]),
        ),
    ],
    ids=[
        *("all silent", "one arm silent", "a unit each", "everybody", "nobody", "extreme"),
        *("totals of every metric", "no unit", "an arm off", "no arm to compare"),
    ],
)
def test_no_data_make_a_number_that_json_has_no_word_for(
    experiment: Experiment, statistics: Any
) -> None:
    found = records(experiment, seen(statistics))
    assert len(found) == 1 + statistics.shape[0] * len(experiment.analysed)


def test_flags_say_what_is_not_as_it_should_be() -> None:
    chain, store, silent = records(TWO, seen(totals([[5000, 5000], [0, 0]], [[250, 251], [0, 0]])))
    assert chain["flags"] == ["boundary_tau0"]
    assert store["flags"] == ["boundary_tau0"]
    assert silent["flags"] == ["insufficient", "no_contrast", "boundary_tau0"]
    effect = silent["effects"][0]
    assert effect["raw"] is effect["raw_sd"] is effect["log_e"] or effect["log_e"] == 0
    assert effect["shrinkage_weight"] == 1
    assert effect["interval"]["lo"] < effect["effect"] < effect["interval"]["hi"]
    statistics = totals([[5000, 5000]], [[250, 400]])
    wrong = seen(statistics, assigned=np.array([[5000.0, 6000.0]]), quality=("mixed_currency",))
    chain, store = records(TWO, wrong)
    assert chain["decision"]["action"] == "hold"
    assert {"srm", "mixed_currency"} <= set(chain["flags"])
    assert (chain["srm"]["stores"], chain["srm"]["stores_named"]) == (1, ["s0"])
    assert "srm" in store["flags"]


def test_a_new_epoch_is_flagged_at_its_first_look() -> None:
    statistics = totals([[5000, 5000]], [[250, 400]])
    state, _ = looked(TWO, seen(statistics, 9))
    chain, _ = records(replace(TWO, alpha=0.01), seen(statistics, 10), state)
    assert chain["experiment_epoch"] == 2
    assert "new_epoch" in chain["flags"]


def _change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *parents, last = path.split(".")

    def change(record: dict[str, Any]) -> None:
        at: Any = record
        for name in parents:
            at = at[int(name) if name.isdecimal() else name]
        if value is None and last in at and last != "store_id":
            del at[last]
        else:
            at[last] = value

    return change


@pytest.mark.parametrize(
    ("which", "change"),
    [
        (0, _change("decision", None)),
        (0, _change("srm", None)),
        (0, _change("metrics", [])),
        (0, _change("decision.action", "launch")),
        (0, _change("decision.reasons", [])),
        (0, _change("key.store_id", "s0")),
        (0, _change("scope", "store")),
        (0, _change("version.seq", 0)),
        (0, _change("alpha", 0.7)),
        (0, _change("srm.status", "fine")),
        (0, _change("metrics.0.metric", "clicks")),
        (0, _change("metrics.0.effects.0.p", 1.5)),
        (0, _change("metrics.0.effects.0.stores.these", None)),
        (0, _change("metrics.3.effects.0.guardrail.verdict", "maybe")),
        (0, _change("metrics.0.arms.0.probability_best", -0.1)),
        (0, _change("arms.0.units", "many")),
        (0, _change("flags", ["srm", "srm"])),
        (0, _change("watermark_ms", 1_700_000_000)),
        (1, _change("effects", None)),
        (1, _change("scale", "percent")),
        (1, _change("key.store_id", None)),
        (1, _change("key.metric", "clicks")),
        (1, _change("effects.0.shrinkage_weight", 1.2)),
        (1, _change("effects.0.discovered", "yes")),
        (1, _change("effects.0.interval.level", 1.0)),
        (1, _change("effects.0.raw_sd", -1.0)),
        (1, _change("tuning.units", 0)),
        (1, _change("experiment_epoch", 0)),
    ],
)
def test_what_is_no_record_is_refused(which: int, change: Callable[[dict[str, Any]], None]) -> None:
    record = copy.deepcopy(_full()[which])
    assert VALIDATOR.is_valid(record)
    change(record)
    assert not VALIDATOR.is_valid(record)
