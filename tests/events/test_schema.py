"""The decoder accepts an event exactly when event_v1.json or control_v1.json does."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from stream_hb.events.decode import Decoder
from tests.events.examples import (
    ACCEPT,
    CONTROL_EXAMPLES,
    CONTROL_SCHEMA,
    EXAMPLES,
    PURCHASE,
    REFUND,
    SCHEMA,
    TOTALS,
    VISIT,
    as_json,
    decoded,
    raw_batch,
    why,
)

VALID_BUT_UNUSED = {"invalid_totals"}
TIMES_MS = st.integers(946_684_800_000, 4_102_444_800_000)
IDENTIFIERS = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
LABELS = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
COUNTS = st.integers(0, 10**12)
CURRENCIES = st.from_regex(r"[A-Z]{3}", fullmatch=True)
EXPERIMENTS = st.none() | st.fixed_dictionaries({"experiment_id": IDENTIFIERS, "arm": IDENTIFIERS})
COVARIATES = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True),
    st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9),
    max_size=16,
)
COMMON = {
    "schema_version": st.just(1),
    "event_id": st.text("abcé-01", min_size=8, max_size=64),
    "event_time_ms": TIMES_MS,
    "store_id": IDENTIFIERS,
}
COMMON_OPTIONAL = {
    "ingest_time_ms": TIMES_MS,
    "chain_id": IDENTIFIERS,
    "experiment": EXPERIMENTS,
    "covariates": COVARIATES,
    "unknown": st.sampled_from([None, 10**30, "é", [1, {"a": []}], 1e300]),
}
UNIT_OPTIONAL = {
    "visitor_id": st.none() | LABELS,
    "is_bot": st.booleans(),
    "source": st.none() | LABELS,
}
VISITS = st.fixed_dictionaries(
    COMMON | {"event_type": st.just("visit"), "visit_id": IDENTIFIERS},
    optional=COMMON_OPTIONAL | UNIT_OPTIONAL,
)
PURCHASES = st.fixed_dictionaries(
    COMMON
    | {
        "event_type": st.just("purchase"),
        "order_id": IDENTIFIERS,
        "amount_minor": COUNTS,
        "currency": CURRENCIES,
    },
    optional=COMMON_OPTIONAL
    | UNIT_OPTIONAL
    | {
        "visit_id": IDENTIFIERS,
        "units": st.integers(1, 100_000),
        "unit_price_minor": st.none() | st.integers(0, 10**10),
        "revision": st.integers(0, 2**31 - 1),
    },
)
REFUNDS = st.fixed_dictionaries(
    COMMON
    | {
        "event_type": st.just("refund"),
        "refund_id": IDENTIFIERS,
        "order_id": IDENTIFIERS,
        "amount_minor": st.integers(1, 10**12),
        "currency": CURRENCIES,
    },
    optional=COMMON_OPTIONAL
    | UNIT_OPTIONAL
    | {"visit_id": IDENTIFIERS, "cancels_order": st.booleans()},
)
TOTALS_EVENTS = st.fixed_dictionaries(
    COMMON
    | {
        "event_type": st.just("totals"),
        "source": st.text(min_size=1, max_size=64),
        "period_start_ms": TIMES_MS,
        "period_end_ms": TIMES_MS,
        "visits": COUNTS,
    },
    optional=COMMON_OPTIONAL
    | {
        "conversions": COUNTS,
        "orders": COUNTS,
        "currency": CURRENCIES,
        "amount_minor_sum": st.integers(0, 10**15),
        "log_amount": st.fixed_dictionaries(
            {"count": COUNTS, "mean": st.floats(-50, 50), "m2": st.floats(0, 1e15)}
        ),
        "revision": st.integers(0, 2**31 - 1),
    },
)
ACCEPTS = st.fixed_dictionaries(
    COMMON | {"event_type": st.just("accept"), "control_id": IDENTIFIERS},
    optional={
        "ingest_time_ms": TIMES_MS,
        "chain_id": IDENTIFIERS,
        "metric": st.none() | IDENTIFIERS,
        "reason": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=256),
        "unknown": st.sampled_from([None, 10**30, "é", [1, {"a": []}]]),
    },
)
EVENTS = st.one_of(VISITS, PURCHASES, REFUNDS, TOTALS_EVENTS, ACCEPTS)
ODD_VALUES = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2, -0.0, 0.5, 1.0, 2.0, 1e9, 1e12, 1e300, 10**30, -(10**30)),
        *(946_684_799_999, 946_684_800_000.0, 4_102_444_800_001, 1_730_000_000, 10**12 + 1),
        *("", "a", "a b", "é", "eur", "EUR", "EURO", "a\n", "abcdefgh\n", "x" * 64, "x" * 65),
        *("visit", "purchase", "refund", "totals", "accept", "click", "1", "Infinity"),
        *([], {}, [1], {"a": 1}, {"A": 1}, {"a\n": 1}, {"a": "b"}, {"a": None}, {"a": 1e9 + 1}),
        {f"a{i}": i for i in range(17)},
        *({"arm": "b"}, {"experiment_id": "e", "arm": "b"}, {"experiment_id": "e", "arm": "b c"}),
        {"experiment_id": "e", "arm": "b", "more": 1},
        *({"count": 1.0, "mean": 2, "m2": 3}, {"count": 1.5, "mean": 2, "m2": 3}),
        *({"count": 1, "mean": 51, "m2": 0}, {"count": 1, "mean": 1}),
    ]
)


def _ecma_pattern(
    validator: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    # JSON Schema's $ is the end of the text; Python's also matches before a final newline.
    if isinstance(instance, str) and not re.search(pattern.replace("$", r"\Z"), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


DEFS = SCHEMA["$defs"] | CONTROL_SCHEMA["$defs"]
_Ecma: Any = cast("Any", extend)(Draft202012Validator, {"pattern": _ecma_pattern})
VALIDATOR = _Ecma(SCHEMA)
CONTROL_VALIDATOR = _Ecma(CONTROL_SCHEMA)
# The branch that an event's type leads to; four times faster than the whole oneOf.
BRANCHES = {kind: VALIDATOR.evolve(schema=branch) for kind, branch in DEFS.items()}
DECODER = Decoder()


@st.composite
def mutated_events(draw: st.DrawFn) -> dict[str, Any]:
    """A valid event with up to three fields dropped, or replaced by something odd."""
    event = draw(EVENTS)
    for _ in range(draw(st.integers(0, 3))):
        field = draw(st.sampled_from([*sorted(event), *sorted(COMMON_OPTIONAL | UNIT_OPTIONAL)]))
        if draw(st.booleans()):
            event[field] = draw(ODD_VALUES)
        else:
            event.pop(field, None)
    return event


def accepted(payload: bytes) -> bool:
    rejects = DECODER.decode(raw_batch([payload])).rejects
    return not rejects or rejects[0].reason in VALID_BUT_UNUSED


def assert_as_the_schema_says(event: dict[str, Any], *, ensure_ascii: bool) -> None:
    payload = json.dumps(event, ensure_ascii=ensure_ascii).encode()
    kind = event.get("event_type")
    valid = isinstance(kind, str) and kind in BRANCHES and BRANCHES[kind].is_valid(event)
    assert accepted(payload) is valid, f"schema says {valid}: {payload!r}"


@given(EVENTS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_valid_event_is_accepted(event: dict[str, Any], ensure_ascii: bool) -> None:
    validator = CONTROL_VALIDATOR if event["event_type"] == "accept" else VALIDATOR
    assert validator.is_valid(event)
    assert_as_the_schema_says(event, ensure_ascii=ensure_ascii)


@given(mutated_events(), st.booleans())
@settings(max_examples=600, deadline=None)
@example(VISIT | {"store_id": "a\n"}, True)
@example(VISIT | {"schema_version": 1.0, "unknown": 10**400}, True)
def test_a_mutated_event_is_accepted_exactly_when_the_schema_accepts_it(
    event: dict[str, Any], ensure_ascii: bool
) -> None:
    assert_as_the_schema_says(event, ensure_ascii=ensure_ascii)


@pytest.mark.parametrize("event", EXAMPLES["valid"], ids=lambda event: event["event_type"])
def test_the_valid_examples_are_accepted(event: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(event)
    assert accepted(as_json(event))


@pytest.mark.parametrize("event", EXAMPLES["invalid"])
def test_the_invalid_examples_are_rejected(event: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(event)
    assert not accepted(as_json(event))


def test_the_examples_of_control_events_are_judged_as_they_stand() -> None:
    for event in CONTROL_EXAMPLES["valid"]:
        assert CONTROL_VALIDATOR.is_valid(event)
        assert accepted(as_json(event))
    for event in CONTROL_EXAMPLES["invalid"]:
        assert not CONTROL_VALIDATOR.is_valid(event)
        assert not accepted(as_json(event))


@pytest.mark.parametrize("event", [VISIT, PURCHASE, REFUND, TOTALS, ACCEPT])
@pytest.mark.parametrize("value", ODD_VALUES.elements)  # type: ignore[attr-defined]
def test_each_odd_value_in_each_field_is_judged_as_the_schema_does(
    event: dict[str, Any], value: Any
) -> None:
    properties = DEFS[event["event_type"]]["properties"]
    for field in properties:
        assert_as_the_schema_says(event | {field: value}, ensure_ascii=True)


@pytest.mark.parametrize("event", [VISIT, PURCHASE, REFUND, TOTALS, ACCEPT])
def test_the_bounds_of_every_number_belong_to_it(event: dict[str, Any]) -> None:
    properties = DEFS[event["event_type"]]["properties"]
    for field, rule in properties.items():
        for bound in {"minimum", "maximum"} & rule.keys():
            for beside in (-1, 0, 1):
                changed = event | {field: rule[bound] + beside}
                assert_as_the_schema_says(changed, ensure_ascii=True)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"period_end_ms": TOTALS["period_start_ms"]}, "period_end_ms 1729990000000 <= "),
        ({"event_time_ms": 1_729_998_999_999}, "event_time_ms 1729998999999 < period_end_ms"),
        ({"conversions": 813}, "conversions 813 > visits 812"),
        ({"orders": 40}, "log_amount.count 41 > orders 40"),
    ],
)
def test_totals_that_contradict_themselves_are_rejected(
    changes: dict[str, Any], detail: str
) -> None:
    reason, came = why(TOTALS, **changes)
    assert reason == "invalid_totals"
    assert detail in came


def test_totals_taken_at_the_end_of_their_period_are_valid() -> None:
    event = TOTALS | {"event_time_ms": TOTALS["period_end_ms"]}
    assert decoded(as_json(event)).rejects == []


def test_totals_with_visits_alone_are_valid() -> None:
    parts = {"conversions", "orders", "log_amount"}
    event = {name: value for name, value in TOTALS.items() if name not in parts}
    assert decoded(as_json(event)).rejects == []
