"""Payloads to columns and rejects."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stream_hb.events import columns as columns_module
from stream_hb.events.batch import Decoded, Reject
from stream_hb.events.decode import DEPTH, PAYLOAD_BYTES, SLICE, Decoder
from stream_hb.events.rejects import REASONS
from tests.events.examples import (
    PURCHASE,
    REFUND,
    TOTALS,
    VISIT,
    as_json,
    decoded,
    raw_batch,
    reject_of,
    why,
)

EXPERIMENT = {"experiment_id": "e1", "arm": "a"}


def without(event: dict[str, Any], field: str) -> bytes:
    return as_json({name: value for name, value in event.items() if name != field})


def with_raw_field(raw: bytes) -> bytes:
    """A valid visit with an unknown field whose value is the given text."""
    return as_json(VISIT)[:-1] + b', "unknown": ' + raw + b"}"


def columns(result: Decoded) -> tuple[Any, ...]:
    visits, purchases = result.visits, result.purchases
    return (
        visits.store_keys,
        visits.event_time_ms.tolist(),
        visits.indexes.tolist(),
        purchases.store_keys,
        purchases.visit_hash.tolist(),
        purchases.order_hash.tolist(),
        purchases.amount_minor.tolist(),
        purchases.currencies.tolist(),
        purchases.event_time_ms.tolist(),
        purchases.indexes.tolist(),
        result.rejects,
    )


def test_visits_become_columns_in_the_order_of_arrival() -> None:
    later = VISIT | {"visit_id": "v2", "event_time_ms": 1_730_000_000_001, "store_id": "store-02"}
    visits = decoded(as_json(VISIT), as_json(later)).visits
    assert visits.store_keys == [("chain-1", "store-01"), ("chain-1", "store-02")]
    assert visits.event_time_ms.tolist() == [1_730_000_000_000, 1_730_000_000_001]
    assert visits.indexes.tolist() == [0, 1]
    assert visits.event_time_ms.dtype == visits.indexes.dtype == np.int64


def test_purchases_become_columns_in_the_order_of_arrival() -> None:
    purchases = decoded(as_json(VISIT), as_json(PURCHASE), without(PURCHASE, "visit_id")).purchases
    assert purchases.store_keys == [("chain-1", "store-01")] * 2
    visit, no_visit = purchases.visit_hash.tolist()
    assert visit == decoded(as_json(VISIT)).visits.visit_hash[0]
    assert no_visit == 0
    assert len(set(purchases.order_hash.tolist())) == 1
    assert purchases.amount_minor.tolist() == [3599, 3599]
    assert purchases.currencies.tolist() == ["EUR", "EUR"]
    assert purchases.indexes.tolist() == [1, 2]


def test_an_event_without_chain_has_none_as_its_chain() -> None:
    assert decoded(without(VISIT, "chain_id")).visits.store_keys == [(None, "store-01")]


def test_stores_of_several_chains_keep_their_chain() -> None:
    chains = ["a", None, "b", "a"]
    payloads = [
        as_json(VISIT | {"chain_id": c}) if c else without(VISIT, "chain_id") for c in chains
    ]
    keys = decoded(*payloads).visits.store_keys
    assert keys == [(chain, "store-01") for chain in chains]


def test_an_empty_batch_has_empty_columns() -> None:
    result = decoded()
    assert result.received == 0
    assert columns(result) == ([], [], [], [], [], [], [], [], [], [], [])
    assert result.visits.event_time_ms.dtype == np.int64


def test_a_reject_knows_where_it_stood_and_keeps_its_bytes() -> None:
    batch = raw_batch([as_json(VISIT), b"{", as_json(VISIT), None], first_offset=1000)
    broken, empty = Decoder().decode(batch).rejects
    assert (broken.topic, broken.partition, broken.offset) == ("events", 3, 1001)
    assert (broken.payload, empty.payload) == (b"{", None)
    assert empty.offset == 1003


def test_rejects_of_every_stage_stand_in_offset_order_across_slices() -> None:
    backwards = TOTALS | {"period_end_ms": TOTALS["period_start_ms"]}
    bad_refund = as_json(REFUND | {"refund_id": "a b"})
    faulty = [b"{", bad_refund, as_json(VISIT | {"visit_id": "a b"}), None, as_json(backwards)]
    number = SLICE // 3
    payloads = [as_json(VISIT), *faulty, as_json(PURCHASE)] * number
    result = Decoder().decode(raw_batch(payloads))
    offsets = [reject.offset for reject in result.rejects]
    assert len(payloads) > 2 * SLICE
    assert offsets == [at for at in range(len(payloads)) if at % 7 not in (0, 6)]
    assert result.visits.indexes.tolist() == list(range(0, len(payloads), 7))
    assert result.purchases.indexes.tolist() == list(range(6, len(payloads), 7))
    assert result.received == 2 * number + len(offsets)


def test_one_bad_payload_in_a_slice_costs_no_other_event() -> None:
    payloads = [as_json(VISIT | {"store_id": f"s{i}"}) for i in range(SLICE)]
    payloads[17] = b"\xff"
    visits = decoded(*payloads).visits
    assert visits.store_keys == [("chain-1", f"s{i}") for i in range(SLICE) if i != 17]


def test_what_a_decoder_saw_before_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = [
        as_json(VISIT | {"store_id": f"s{i % 7}", "chain_id": f"c{i % 3}"}) for i in range(50)
    ] + [as_json(VISIT | {"store_id": "a b"}), as_json(PURCHASE | {"currency": "E1R"})]
    fresh = columns(Decoder().decode(raw_batch(payloads)))
    monkeypatch.setattr(columns_module, "KNOWN_NAMES", 5)
    used = Decoder()
    for _ in range(3):
        assert columns(used.decode(raw_batch(payloads))) == fresh


def test_a_decoder_remembers_a_bounded_number_of_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "KNOWN_NAMES", 10)
    decoder = Decoder()
    for i in range(100):
        good = as_json(VISIT | {"store_id": f"s{i}", "chain_id": f"c{i}"})
        bad = as_json(VISIT | {"store_id": "a b", "chain_id": f"d{i}"})
        decoder.decode(raw_batch([good, bad]))
        assert len(decoder._make._stores) < 10 + 3


@pytest.mark.parametrize("payload", [None, b""])
def test_an_absent_or_empty_payload_is_a_reject(payload: bytes | None) -> None:
    assert reject_of(payload).reason == "empty_payload"


def test_a_payload_of_10_MB_is_a_reject_before_it_is_parsed() -> None:
    reject = reject_of(b"[" * 10_000_000)
    assert reject.reason == "too_large"
    assert reject.detail == f"Expected at most {PAYLOAD_BYTES} bytes, got 10000000"


def test_a_payload_of_the_largest_size_is_parsed() -> None:
    room = PAYLOAD_BYTES - len(with_raw_field(b'""'))
    assert not decoded(with_raw_field(b'"' + b"x" * room + b'"')).rejects
    assert reject_of(with_raw_field(b'"' + b"x" * (room + 1) + b'"')).reason == "too_large"


@pytest.mark.parametrize(
    "payload", [b"[" * 10_000, b'{"a":' * 10_000, b"[" * 10_000 + b"]" * 10_000]
)
def test_nesting_10_000_deep_is_a_reject(payload: bytes) -> None:
    assert reject_of(payload).reason == "too_deep"
    assert reject_of(with_raw_field(payload)).reason == "too_deep"


def test_nesting_is_accepted_up_to_its_limit() -> None:
    deepest = b"[" * (DEPTH - 1) + b"]" * (DEPTH - 1)
    assert not decoded(with_raw_field(deepest)).rejects
    assert reject_of(with_raw_field(b"[" + deepest + b"]")).reason == "too_deep"


def test_many_brackets_that_are_not_deep_are_accepted() -> None:
    assert not decoded(with_raw_field(b"[" + b"[]," * 1000 + b"[]]")).rejects
    assert not decoded(with_raw_field(b'"' + b'[\\"' * 1000 + b'"')).rejects


def test_a_caller_that_stands_deep_gets_an_answer_too() -> None:
    def deep(levels: int) -> list[Reject]:
        return deep(levels - 1) if levels else decoded(with_raw_field(nested)).rejects

    nested = b"[" * (DEPTH - 10) + b"]" * (DEPTH - 10)
    rejects = deep(sys.getrecursionlimit() - 150 - len(_stack()))
    # How much stack a decoder written in C may use depends on the version of Python.
    assert [reject.reason for reject in rejects] in ([], ["too_deep"])


def _stack() -> list[Any]:
    frame, frames = sys._getframe(), []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back  # type: ignore[assignment]
    return frames


@pytest.mark.parametrize(
    "payload",
    [
        b'"' + b'\\"' * 500_000 + b"[" * 300,
        b'"' * 500_000 + b"[" * 300,
        b"[]" * 500_000,
        b"{" * 1_000_000,
    ],
)
def test_a_megabyte_of_brackets_or_quotes_is_a_reject(payload: bytes) -> None:
    assert reject_of(payload).reason in {"not_json", "too_deep", "wrong_type"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\xfe", "not_utf8"),
        (with_raw_field(b'"\xff"'), "not_utf8"),
        (as_json(VISIT).replace(b"v1", b"v\xc3"), "not_utf8"),
        (as_json(VISIT)[:-5], "not_json"),
        (b"\xef\xbb\xbf" + as_json(VISIT), "not_json"),
        (as_json(VISIT) * 2, "not_json"),
        (as_json(VISIT).replace(b"1730000000000", b"NaN"), "not_json"),
        (as_json(VISIT).replace(b"1730000000000", b'"x"')[:-2], "not_json"),
        (with_raw_field(b"-Infinity"), "not_json"),
        (with_raw_field(b'"\\ud800"'), "not_json"),
        (b"store-01,v1", "not_json"),
        (b"[]", "wrong_type"),
        (b"null", "wrong_type"),
        (b"{}", "missing_field"),
        (as_json(VISIT).replace(b"1730000000000", b"1e999"), "out_of_range"),
        (as_json(VISIT).replace(b"1730000000000", b"9" * 5000), "out_of_range"),
    ],
)
def test_text_that_is_no_event_is_a_reject_with_its_reason(payload: bytes, reason: str) -> None:
    assert reject_of(payload).reason == reason


@pytest.mark.parametrize(
    ("event", "changes", "reason", "detail"),
    [
        (VISIT, {"schema_version": 2}, "unsupported_schema_version", "Expected 1, got 2"),
        (VISIT, {"schema_version": 2, "event_type": "new"}, "unsupported_schema_version", "got 2"),
        (VISIT, {"schema_version": "1"}, "wrong_type", "$.schema_version"),
        (VISIT, {"event_type": "click"}, "unknown_event_type", "Invalid value 'click'"),
        (VISIT, {"event_type": 5}, "wrong_type", "$.event_type"),
        (VISIT, {"event_time_ms": 1_730_000_000}, "out_of_range", "got 1730000000 - at `$.event"),
        (
            VISIT,
            {"event_time_ms": "now"},
            "wrong_type",
            "Expected `int`, got `str` - at `$.event",
        ),
        (VISIT, {"event_time_ms": True}, "wrong_type", "got `bool`"),
        (VISIT, {"event_id": "short"}, "out_of_range", "$.event_id"),
        (VISIT, {"store_id": ""}, "bad_identifier", "$.store_id"),
        (VISIT, {"store_id": "x" * 65}, "bad_identifier", "$.store_id"),
        (VISIT, {"store_id": "a b"}, "bad_identifier", "got 'a b' - at `$.store_id`"),
        (VISIT, {"store_id": "a\n"}, "bad_identifier", "$.store_id"),
        (VISIT, {"chain_id": "é"}, "bad_identifier", "$.chain_id"),
        (VISIT, {"chain_id": None}, "wrong_type", "got `null` - at `$.chain_id`"),
        (VISIT, {"visit_id": "a/b"}, "bad_identifier", "$.visit_id"),
        (VISIT, {"experiment": EXPERIMENT | {"arm": "a b"}}, "bad_identifier", "experiment.arm"),
        (VISIT, {"experiment": EXPERIMENT | {"arm": ""}}, "bad_identifier", "experiment.arm"),
        (VISIT, {"experiment": EXPERIMENT | {"x": 1}}, "unknown_field", "`x` - at `$.experiment`"),
        (VISIT, {"experiment": {"arm": "a"}}, "missing_field", "`experiment_id`"),
        (VISIT, {"covariates": {"A": 1}}, "bad_identifier", "`$.covariates`"),
        (VISIT, {"covariates": {"a": 1e10}}, "out_of_range", "$.covariates"),
        (PURCHASE, {"amount_minor": -5}, "out_of_range", "Expected `int` >= 0, got -5 - at"),
        (PURCHASE, {"amount_minor": 35.99}, "wrong_type", "Expected `int`, got `float`"),
        (PURCHASE, {"amount_minor": -5.0}, "out_of_range", "got -5.0 - at"),
        (PURCHASE, {"currency": "eur"}, "bad_identifier", "[A-Z], got 'eur' - at `$.currency`"),
        (PURCHASE, {"currency": "EURO"}, "bad_identifier", "$.currency"),
        (PURCHASE, {"order_id": "é"}, "bad_identifier", "$.order_id"),
        (PURCHASE, {"visit_id": "v 1"}, "bad_identifier", "$.visit_id"),
        (REFUND, {"amount_minor": 0}, "out_of_range", "got 0"),
        (REFUND, {"refund_id": "a b"}, "bad_identifier", "$.refund_id"),
        (TOTALS, {"conversions": 10**9}, "invalid_totals", "conversions 1000000000 > visits"),
        (TOTALS, {"store_id": "a b"}, "bad_identifier", "$.store_id"),
        (TOTALS, {"log_amount": {"count": 1.5, "mean": 1, "m2": 1}}, "wrong_type", "count"),
    ],
)
def test_an_invalid_event_is_a_reject_that_says_what_was_expected_and_where(
    event: dict[str, Any], changes: dict[str, Any], reason: str, detail: str
) -> None:
    came = why(event, **changes)
    assert came[0] == reason
    assert detail in came[1]
    assert reason in REASONS


def test_a_missing_field_is_named() -> None:
    reject = reject_of(without(PURCHASE, "order_id"))
    assert reject.reason == "missing_field"
    assert "`order_id`" in reject.detail


def test_an_integer_may_be_written_as_a_float() -> None:
    result = decoded(as_json(PURCHASE | {"amount_minor": 3599.0, "schema_version": 1.0}))
    assert result.purchases.amount_minor.tolist() == [3599]


def test_the_last_of_duplicate_keys_counts() -> None:
    twice = as_json(VISIT)[:-1] + b', "store_id": "s9"}'
    assert decoded(twice).visits.store_keys == [("chain-1", "s9")]


@pytest.mark.parametrize("name", sorted(PURCHASE))
@pytest.mark.parametrize("first", [b"null", b"-1", b'"purchases"', b"{}", b'{"arm": 1}', b"1.5"])
def test_the_last_of_duplicate_keys_counts_whatever_the_first_was(name: str, first: bytes) -> None:
    twice = b'{"' + name.encode() + b'": ' + first + b", " + as_json(PURCHASE)[1:]
    assert decoded(twice).rejects == []
    assert decoded(twice).purchases.order_hash == decoded(as_json(PURCHASE)).purchases.order_hash


def test_the_last_of_duplicate_keys_counts_in_objects_too() -> None:
    plain = as_json(VISIT | {"experiment": EXPERIMENT})
    twice = plain.replace(b'"arm":', b'"arm": 5, "arm":')
    assert plain != twice
    assert decoded(twice).visits.arms == decoded(plain).visits.arms


def test_of_two_event_types_the_last_counts() -> None:
    both = as_json(PURCHASE | VISIT)
    assert decoded(both[:-1] + b', "event_type": "purchase"}').purchases.amount_minor.tolist() == [
        PURCHASE["amount_minor"]
    ]


def test_of_duplicate_keys_the_last_is_what_a_reject_tells_of() -> None:
    twice = as_json(PURCHASE | {"amount_minor": "7"})[:-1] + b', "amount_minor": -5}'
    reject = reject_of(twice)
    assert reject.reason == "out_of_range"
    assert "got -5 - at `$.amount_minor`" in reject.detail


def test_a_detail_is_short_whatever_it_quotes() -> None:
    assert len(why(VISIT, event_type="z" * 100_000)[1]) == 300


def test_fields_may_be_spelt_with_escapes() -> None:
    escaped = as_json(VISIT | {"experiment": EXPERIMENT | {"arm": "a b"}})
    assert reject_of(escaped.replace(b"experiment", b"\\u0065xperiment")).reason == "bad_identifier"


@pytest.mark.parametrize("make", [list, tuple])
def test_payloads_may_be_any_sequence(make: Callable[..., Any]) -> None:
    assert decoded(*make([as_json(VISIT)])).visits.indexes.tolist() == [0]


def test_refunds_become_columns() -> None:
    refunds = decoded(as_json(REFUND), as_json(REFUND | {"cancels_order": True})).refunds
    order = decoded(as_json(PURCHASE)).purchases.order_hash[0]
    assert refunds.order_hash.tolist() == [order, order]
    assert refunds.amount_minor.tolist() == [REFUND["amount_minor"]] * 2
    assert refunds.cancels_order.tolist() == [False, True]


def test_totals_become_columns() -> None:
    totals = decoded(as_json(TOTALS), as_json(TOTALS | {"source": "till"})).totals
    assert [each.visits for each in totals.totals] == [TOTALS["visits"]] * 2
    assert len(set(totals.source_hash.tolist())) == 2


def test_arms_visitors_and_bots_become_columns() -> None:
    told = {"experiment": EXPERIMENT, "visitor_id": "somebody, é", "is_bot": True}
    visits = decoded(as_json(VISIT), as_json(VISIT | told | {"ingest_time_ms": 10**12})).visits
    assert visits.arm_codes.tolist() == [-1, 0]
    assert list(visits.arms) == [("e1", "a")]
    assert visits.is_bot.tolist() == [False, True]
    assert (visits.visitor_hash != 0).tolist() == [False, True]
    assert visits.ingest_time_ms.tolist() == [0, 10**12]
