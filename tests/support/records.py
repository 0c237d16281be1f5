"""Every estimate record that a test looks at comes through here, and is checked on the way."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stream_hb.emitter import Emission
from stream_hb.engine import Engine
from stream_hb.feeds.estimates import OutRecord

Record = dict[str, Any]


def _validator(name: str) -> Draft202012Validator:
    schema = json.loads(files("stream_hb").joinpath(f"schemas/{name}").read_text("utf-8"))
    return Draft202012Validator(schema)


_ESTIMATE = _validator("estimate_v1.json")
_REJECT = _validator("reject_v1.json")
_REFIT = _validator("refit_v1.json")
_NUMBERS = ("estimate", "sd", "pooled", "n_eff", "n_kish", "shrinkage_weight", "staleness_ms")


def checked_record(value: bytes, key: bytes | None = None) -> Record:
    """Parse an estimate record; it must keep the schema and what the schema cannot say."""
    record: Record = json.loads(value, parse_constant=_no_constant)
    _ESTIMATE.validate(record)
    for name in _NUMBERS:
        if name == "shrinkage_weight" and record[name] is None:
            continue
        assert math.isfinite(record[name]), f"{name} of {record['key']} is {record[name]}"
    interval = record["interval"]
    assert -math.inf < interval["lo"] <= interval["hi"] < math.inf, interval
    if key is not None:
        names = record["key"]
        assert names["arm"] is None
        assert key.decode() == f"{names['chain_id']}|{names['store_id']}||{record['metric']}"
    assert record["staleness_ms"] == max(0, record["as_of_ms"] - record["watermark_ms"])
    assert ("cold_start" in record["flags"]) == (record["raw"] is None), record
    if record["model"] == "composite":
        assert record["shrinkage_weight"] is None, record
    else:
        _check_identity(record)
    return record


def _check_identity(record: Record) -> None:
    """estimate = (1 - w) raw + w pooled; without data the weight on the pooled mean is all."""
    raw, weight, pooled = record["raw"], record["shrinkage_weight"], record["pooled"]
    if raw is None:
        assert weight == 1, record
        raw = 0.0
    expected = (1 - weight) * raw + weight * pooled
    size = max(1.0, abs(raw), abs(pooled))
    assert abs(record["estimate"] - expected) <= 1e-9 * size, record


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


def checked(records: Iterable[OutRecord]) -> list[Record]:
    return [checked_record(r.value, r.key) for r in records if r.value is not None]


def checked_reject(value: bytes) -> Record:
    record: Record = json.loads(value, parse_constant=_no_constant)
    _REJECT.validate(record)
    return record


def checked_refit(value: bytes | None) -> Record:
    record: Record = json.loads(value or b"", parse_constant=_no_constant)
    _REFIT.validate(record)
    return record


def name_of(record: Record) -> tuple[str, str, str]:
    """Return (chain, store, metric)."""
    return record["key"]["chain_id"], record["key"]["store_id"], record["metric"]


def newest(records: Iterable[Record]) -> dict[tuple[str, str, str], Record]:
    return {name_of(record): record for record in records}


def emit(engine: Engine, now_ms: int, **options: Any) -> list[Record]:
    """Emit, apply and return the records."""
    emission: Emission = engine.emit(now_ms, **options)
    records = checked(emission.records)
    engine.apply(emission)
    return records


def assert_without_gaps(records: Iterable[Record]) -> None:
    """A key's epochs grow, and its seq counts 1, 2, 3, ... in each."""
    last: dict[tuple[str, str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for record in records:
        version = record["version"]["epoch"], record["version"]["seq"]
        epoch, seq = last[name_of(record)]
        following = (epoch, seq + 1) if version[0] == epoch else (max(version[0], epoch + 1), 1)
        assert version == following, f"{name_of(record)}: {version} after {(epoch, seq)}"
        last[name_of(record)] = version


def assert_same_estimates(a: Iterable[Record], b: Iterable[Record], tolerance: float) -> None:
    """The newest records of both agree on every number of the estimate."""
    one, other = newest(a), newest(b)
    assert one.keys() == other.keys()
    for name, record in one.items():
        mine, theirs = _numbers(record), _numbers(other[name])
        for field, value in mine.items():
            message = f"{name} {field}: {value} and {theirs[field]}"
            if value is None:
                assert theirs[field] is None, message
            else:
                assert theirs[field] == pytest.approx(value, rel=tolerance, abs=tolerance), message


def _numbers(record: Record) -> dict[str, float | None]:
    names = ("estimate", "sd", "raw", "pooled", "shrinkage_weight", "n_eff")
    interval = {end: record["interval"][end] for end in ("lo", "hi")}
    return {name: record[name] for name in names} | interval


def assert_alike(one: Any, two: Any) -> None:
    """Assert that two records are the same, floats to 1e-9."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert_alike(value, two[name])
    elif isinstance(one, list):
        assert len(one) == len(two)
        for value, other in zip(one, two, strict=True):
            assert_alike(value, other)
    elif isinstance(one, float):
        assert two == pytest.approx(one, rel=1e-9, abs=1e-12)
    else:
        assert one == two
