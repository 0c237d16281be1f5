"""What a reader takes for an estimate record, and how it refuses what is none."""

import json
from typing import Any

import pytest

from stream_hb.errors import RecordError
from stream_hb.feeds.estimate_record import Estimate, read_estimate, record_key
from tests.support.estimates import KEY, NOW_MS, estimate_record


def read(**changes: Any) -> Estimate:
    return read_estimate(KEY, json.dumps(estimate_record(**changes)).encode())


def test_everything_that_a_record_says_is_read() -> None:
    record = estimate_record(flags=["low_n", "plug_in"], half_life_s=60.0, currency="EUR")
    read_back = read_estimate(KEY, json.dumps(record).encode())
    for name, value in record.items():
        if name in ("key", "interval", "version", "hyper"):
            for part, inner in value.items():
                assert getattr(getattr(read_back, name), part) == inner
        elif name == "flags":
            assert list(read_back.flags) == value
        else:
            assert getattr(read_back, name) == value


def test_what_the_schema_leaves_open_may_be_absent() -> None:
    optional = ("model", "sd", "raw", "pooled", "n_kish", "staleness_ms", "half_life_s", "currency")
    record = {name: v for name, v in estimate_record().items() if name not in optional}
    found = read_estimate(KEY, json.dumps(record).encode())
    assert (found.sd, found.raw, found.model) == (None, None, None)
    assert found.staleness_ms == found.as_of_ms - found.watermark_ms


def test_a_field_that_a_later_producer_adds_is_ignored() -> None:
    assert read(novelty={"deep": [1]}) == read()


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_refused_and_said(version: Any) -> None:
    with pytest.raises(RecordError, match=r"'c\|s\|\|conversion'.*schema_version"):
        read(schema_version=version)


def test_a_record_of_a_later_version_that_looks_different_is_refused_for_its_version() -> None:
    with pytest.raises(RecordError, match="schema_version 2, and this program reads 1 only"):
        read_estimate(KEY, b'{"schema_version": 2, "estimate": {"mean": 1}}')


@pytest.mark.parametrize("value", [b"", b"{", b"not json", b"\xff\xfe", b"[1, 2]", b"17"])
def test_what_is_no_json_object_is_refused_with_what_came(value: bytes) -> None:
    shown = value.decode(errors="backslashreplace").replace("\\", "\\\\")
    with pytest.raises(RecordError) as refused:
        read_estimate(KEY, value)
    assert "expected a JSON object, got " in str(refused.value)
    assert repr(shown).strip("'") in str(refused.value).replace("\\", "\\\\")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"estimate": None}, r"Expected `float`, got `null` - at `\$.estimate`"),
        ({"estimate": "0.5"}, r"at `\$.estimate`"),
        ({"version": {"epoch": 1, "seq": 0}}, r"`int` >= 1 - at `\$.version.seq`"),
        ({"version": {"epoch": -1, "seq": 1}}, r"at `\$.version.epoch`"),
        ({"interval": {"lo": 0.1, "level": 0.9}}, "missing required field `hi`"),
        ({"metric": "order_rate"}, r"its value is of 'c\|s\|\|order_rate'"),
        ({"key": {"chain_id": "c", "store_id": "s", "arm": "B"}}, r"'c\|s\|B\|conversion'"),
    ],
)
def test_what_is_wrong_in_a_record_is_named_with_its_place(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecordError, match=said):
        read(**changes)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_a_number_that_json_does_not_have_is_refused(number: bytes) -> None:
    value = json.dumps(estimate_record(estimate=1.25)).encode().replace(b"1.25", number)
    with pytest.raises(RecordError):
        read_estimate(KEY, value)


@pytest.mark.parametrize("key", [b"", b"c|s|conversion", b"c|s|||conversion"])
def test_a_key_that_is_none_of_an_estimate_is_refused(key: bytes) -> None:
    with pytest.raises(RecordError, match=r"expected a key chain\|store\|arm\|metric, got"):
        read_estimate(key, json.dumps(estimate_record()).encode())


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(RecordError) as refused:
        read_estimate(KEY, b"x" * 100_000)
    assert len(str(refused.value)) < 300


def test_an_arm_stands_between_store_and_metric() -> None:
    assert record_key("c", "s", "conversion", "B") == b"c|s|B|conversion"


def test_a_watermark_ahead_of_the_clock_is_not_negative_staleness() -> None:
    assert read(watermark_ms=NOW_MS + 5).staleness_ms == 0
