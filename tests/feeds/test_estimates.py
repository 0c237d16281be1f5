"""The record of one estimate, as bytes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.feeds.estimate_record import HyperReference
from stream_hb.feeds.estimates import (
    OutRecord,
    Provenance,
    Sizes,
    encode_raw,
    estimate_records,
)
from stream_hb.models.family import Posterior
from tests.support.records import Record, checked_record

NOW_MS = 1_730_000_000_000
PROVENANCE = Provenance(
    metric="conversion",
    model="beta_binomial",
    epoch=3,
    hyper=encode_raw(
        HyperReference(57, NOW_MS - 100, {"mean": 0.2, "concentration": 9.0}, 8, True)
    ),
    offsets=encode_raw({"visits-3": 1042}),
    level=0.9,
    watermark_ms=NOW_MS - 1_000,
    as_of_ms=NOW_MS,
    flags=("plug_in",),
)


def posterior(raw: float = 0.4, weight: float = 0.25) -> Posterior:
    pooled = 0.2
    mean = pooled if np.isnan(raw) else (1 - weight) * raw + weight * pooled
    columns = (raw, pooled, weight, mean, 0.05, mean - 0.1, mean + 0.1)
    return Posterior(*(np.array([value]) for value in columns))


def written(estimate: Posterior, size: float = 100.0, **changes: object) -> OutRecord:
    provenance = replace(PROVENANCE, **changes)  # type: ignore[arg-type]
    sizes = Sizes(*(np.array([number]) for number in (size, size + 1, size + 2)))
    (record,) = estimate_records(provenance, [("c", "s")], [8], estimate, sizes)
    return record


def record_of(*args: object, **changes: object) -> Record:
    out = written(*args, **changes)  # type: ignore[arg-type]
    return checked_record(value_of(out), out.key)


def value_of(record: OutRecord) -> bytes:
    assert record.value is not None
    return record.value


def test_a_record_says_everything_that_a_pricing_feed_needs() -> None:
    assert record_of(posterior()) == {
        "schema_version": 1,
        "key": {"chain_id": "c", "store_id": "s", "arm": None},
        "metric": "conversion",
        "model": "beta_binomial",
        "version": {"epoch": 3, "seq": 8},
        "estimate": pytest.approx(0.35),
        "sd": 0.05,
        "interval": {
            "lo": pytest.approx(0.25),
            "hi": pytest.approx(0.45),
            "level": 0.9,
            "kind": "equal_tailed",
        },
        "raw": 0.4,
        "pooled": 0.2,
        "n_eff": 101,
        "n_kish": 102,
        "shrinkage_weight": 0.25,
        "hyper": {
            "version": 57,
            "fitted_at_ms": NOW_MS - 100,
            "params": {"mean": 0.2, "concentration": 9.0},
            "groups": 8,
            "converged": True,
        },
        "watermark_ms": NOW_MS - 1_000,
        "as_of_ms": NOW_MS,
        "staleness_ms": 1_000,
        "offsets": {"visits-3": 1042},
        "half_life_s": None,
        "currency": None,
        "flags": ["plug_in"],
    }


def test_the_key_is_chain_store_arm_and_metric() -> None:
    assert written(posterior()).key == b"c|s||conversion"


def test_a_record_is_one_line() -> None:
    assert b"\n" not in value_of(written(posterior()))


def test_numbers_come_back_to_the_bit() -> None:
    value = 0.1 + 0.2
    record = json.loads(value_of(written(posterior(raw=value, weight=0.0))))
    assert (record["raw"], record["estimate"]) == (value, value)


def test_a_group_without_data_has_no_raw_estimate() -> None:
    record = record_of(posterior(raw=np.nan, weight=1.0), 0.0)
    assert record["raw"] is None
    assert record["flags"] == ["cold_start", "plug_in"]


@pytest.mark.parametrize(("size", "flags"), [(29.0, ["low_n", "plug_in"]), (30.0, ["plug_in"])])
def test_fewer_than_thirty_observations_are_flagged(size: float, flags: list[str]) -> None:
    assert record_of(posterior(), size)["flags"] == flags


def test_a_watermark_ahead_of_the_clock_is_not_negative_staleness() -> None:
    assert record_of(posterior(), watermark_ms=NOW_MS + 5)["staleness_ms"] == 0


def test_a_weight_that_rounding_left_above_one_is_one() -> None:
    assert record_of(posterior(weight=1 + 2e-16))["shrinkage_weight"] == 1


@pytest.mark.parametrize("name", ["mean", "sd", "lo", "hi", "pooled"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_never_written(name: str, value: float) -> None:
    """JSON would say null, or nothing valid, and a feed would act on it."""
    wrong = replace(posterior(), **{name: np.array([value])})
    with pytest.raises(FitError, match=rf"conversion of store 's': {name} is -?(nan|inf) under"):
        written(wrong)


def test_a_metric_made_of_others_has_no_weight() -> None:
    made = replace(posterior(), weight=np.array([np.nan]))
    record = record_of(made, model="composite", metric="revenue_per_visit")
    assert record["shrinkage_weight"] is None
