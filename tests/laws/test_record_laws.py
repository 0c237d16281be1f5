"""What every estimate record keeps, of every metric, under every model and method."""

import json
import zlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.engine import Engine
from stream_hb.events.batch import RawBatch
from stream_hb.metrics import METRICS, MODELS, OF_MONEY
from stream_hb.settings import EngineSettings, ModelSettings
from stream_hb.statistics.forgetting import HalfLife, Window
from stream_hb.stores import UNKNOWN, Stores
from tests.support.logs import START_MS, batch, feed, open_engine, purchase, refit, shop_log, visit
from tests.support.records import Record, checked

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SCHEMA = json.loads(files("stream_hb").joinpath("schemas/estimate_v1.json").read_text("utf-8"))
STORES = Stores.of(
    [("c", f"c-{number}") for number in range(8)] + [("c", "silent")],
    regions=np.array([0, 0, 0, 1, 1, 1, 2, UNKNOWN, 2]),
    covariates={"size": np.arange(9.0)},
)
DESCRIBED = {
    "plain": ModelSettings(),
    "covariates": ModelSettings(covariates=("size",)),
    "nested": ModelSettings(nested=True),
    "moderated": ModelSettings(variance="moderated"),
    "separate": ModelSettings(variance="separate"),
}
FORGETTING = {"none": None, "half-life": HalfLife(HOUR_MS), "window": Window(24)}


def cases() -> Iterator[tuple[str, str, str]]:
    """Yield every metric with every model that it can have, and every method of that."""
    for metric, definition in METRICS.items():
        for name, model in DESCRIBED.items():
            family = MODELS.get(definition.model_name(model))
            for method in family.methods if family else ():
                yield metric, name, method


def engine_of(metric: str, name: str, method: str, forgets: str) -> Engine:
    rule = FORGETTING[forgets]
    return open_engine(
        EngineSettings(
            methods={"conversion": "moments", metric: method},  # which reads visits
            models={metric: DESCRIBED[name]},
            stores=STORES,
            registers=lambda _store, _shard: True,
            forgetting={metric: rule} if rule else {},
        )
    )


def odd_shops(seed: int) -> list[bytes]:
    """A log with a store that always converts, one that never does, one order, and one of 0."""
    always = [visit("always", f"v{n}") for n in range(6)]
    always += [purchase("always", f"o{n}", visit_id=f"v{n}") for n in range(6)]
    never = [visit("never", f"v{n}") for n in range(50)]
    few = [purchase("one", "o"), purchase("free", "o", amount_minor=0)]
    return [*shop_log(seed, visits=25), *always, *never, *few]


def following(engine: Engine, payloads: list[bytes]) -> RawBatch:
    position = engine.shards[0].positions["events", 0]
    return batch(payloads, first_offset=position.next_offset)


def assert_a_line_between_raw_and_pooled(record: Record) -> None:
    raw, pooled, weight = record["raw"], record["pooled"], record["shrinkage_weight"]
    if raw is None:
        assert (weight, record["estimate"]) == (1, pytest.approx(pooled, rel=1e-9))
        return
    line = (1 - weight) * raw + weight * pooled
    assert abs(record["estimate"] - line) <= 1e-9 * max(abs(raw), abs(pooled)), record


@cache
def fitted(metric: str, name: str, method: str, forgets: str) -> Engine:
    """Fitted once; the examples look at what it would write, and change nothing of it."""
    engine = engine_of(metric, name, method, forgets)
    feed(engine, odd_shops(1))
    refit(engine, START_MS)
    return engine


@pytest.mark.parametrize(("metric", "name", "method"), list(cases()))
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), hours=st.integers(0, 60))
def test_a_conjugate_mean_lies_on_the_line_between_raw_and_pooled(
    metric: str, name: str, method: str, seed: int, hours: int
) -> None:
    forgets = sorted(FORGETTING)[zlib.crc32(f"{metric} {name} {method}".encode()) % len(FORGETTING)]
    engine = fitted(metric, name, method, forgets)
    at_ms = START_MS + hours * HOUR_MS
    more = [*shop_log(seed, visits=5, start_ms=at_ms), visit("new", "v", at_ms)]
    candidate = engine.ingest({0: [following(engine, more)]})
    written = checked(engine.emit(at_ms, candidate, everything=True).records)
    records = [record for record in written if record["metric"] == metric]
    assert len(records) == 8 + 1 + 4 + 1
    for record in records:
        assert_a_line_between_raw_and_pooled(record)
        assert metric == "log_order_value" or record["pooled"] >= 0, record
        assert metric != "conversion" or record["pooled"] <= 1, record


FOUR = ("conversion", "order_rate", "log_order_value", "revenue_per_visit")


def complete_engine() -> Engine:
    engine = open_engine(
        EngineSettings(
            composites=("revenue_per_visit",),
            stores=STORES,
            registers=lambda _store, _shard: True,
            forgetting={"order_rate": HalfLife(60_000)},
        )
    )
    feed(engine, odd_shops(1))
    refit(engine, START_MS)
    return engine


def test_records_of_all_metrics_have_every_field_of_the_schema_and_no_other() -> None:
    records = checked(complete_engine().emit(START_MS + HOUR_MS).records)
    assert {record["metric"] for record in records} == set(FOUR)
    for record in records:
        assert record.keys() == SCHEMA["properties"].keys()
        for part in ("key", "version", "interval", "hyper"):
            assert record[part].keys() == SCHEMA["properties"][part]["properties"].keys()


MODEL_NAMES = {
    "conversion": "beta_binomial",
    "order_rate": "gamma_poisson",
    "log_order_value": "normal_normal",
    "revenue_per_visit": "composite",
}


def test_every_field_says_of_each_metric_what_the_schema_promises() -> None:
    engine = complete_engine()
    (shard,) = engine.shards.values()
    for record in checked(engine.emit(START_MS + HOUR_MS).records):
        metric = record["metric"]
        assert record["model"] == MODEL_NAMES[metric]
        assert record["interval"]["kind"] == "equal_tailed"
        assert record["interval"]["level"] == 0.95
        assert record["interval"]["lo"] <= record["estimate"] <= record["interval"]["hi"]
        assert record["half_life_s"] == (60.0 if metric == "order_rate" else None)
        assert record["offsets"] == {"events-0": shard.positions["events", 0].next_offset}
        assert record["watermark_ms"] == engine.watermark_ms()
        assert record["as_of_ms"] == START_MS + HOUR_MS
        assert record["n_kish"] <= record["n_eff"] + 1e-9 or metric == "order_rate"
        assert record["hyper"]["fitted_at_ms"] == START_MS
        assert all(isinstance(record["offsets"][source], int) for source in record["offsets"])
        # "silent" and "never" have no order, so no currency yet.
        sells = record["key"]["store_id"] not in ("silent", "never")
        assert record["currency"] == ("EUR" if metric in OF_MONEY and sells else None)
        assert (record["shrinkage_weight"] is None) == (metric == "revenue_per_visit")


def test_amounts_of_events_are_whole_minor_units_and_estimates_are_in_them() -> None:
    """35.99 is refused at the door, so that nothing is off by a hundred; a mean is a fraction."""
    engine = complete_engine()
    value = json.loads(purchase("c-1", "fraction")) | {"amount_minor": 35.99}
    candidate = engine.ingest({0: [following(engine, [json.dumps(value).encode()])]})
    assert [reject.reason for reject in candidate.rejects] == ["wrong_type"]
    records = checked(engine.emit(START_MS + HOUR_MS).records)
    found = {r["metric"]: r["raw"] for r in records if r["key"]["store_id"] == "always"}
    assert np.exp(found["log_order_value"]) == pytest.approx(1000)
    assert found["revenue_per_visit"] > 1000 * found["conversion"]
