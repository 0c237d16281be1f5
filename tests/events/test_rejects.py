"""The record of a message that could not be used."""

import base64
import hashlib
import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stream_hb.events.batch import Reject
from stream_hb.events.rejects import KEPT_PAYLOAD_BYTES, REASONS, reject_record
from tests.events.examples import PURCHASE, REFUND, as_json, reject_of

SCHEMA = json.loads(files("stream_hb").joinpath("schemas/reject_v1.json").read_text("utf-8"))
REJECT = Reject("visits", 3, 1041, "not_json", "Input data was truncated", b"{")


def record_of(reject: Reject) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(reject_record(reject))
    Draft202012Validator(SCHEMA).validate(record)
    return record


def test_the_schema_knows_exactly_the_reasons() -> None:
    assert SCHEMA["properties"]["reason"]["enum"] == list(REASONS)


def test_a_record_says_where_and_why() -> None:
    record = record_of(REJECT)
    assert (record["topic"], record["partition"], record["offset"]) == ("visits", 3, 1041)
    assert (record["reason"], record["detail"]) == ("not_json", "Input data was truncated")
    assert record["schema_version"] == 1


def test_the_original_bytes_come_back_from_the_record() -> None:
    payload = bytes(range(256))
    record = record_of(replace(REJECT, payload=payload))
    assert base64.b64decode(record["payload_base64"]) == payload
    assert record["payload_bytes"] == 256
    assert record["payload_sha256"] == hashlib.sha256(payload).hexdigest()


def test_of_a_large_payload_the_first_64_KiB_travel_and_the_digest_is_of_all() -> None:
    payload = b"0123456789" * 1_000_000
    record = record_of(replace(REJECT, payload=payload))
    assert base64.b64decode(record["payload_base64"]) == payload[:KEPT_PAYLOAD_BYTES]
    assert KEPT_PAYLOAD_BYTES == 65_536
    assert record["payload_bytes"] == 10_000_000
    assert record["payload_sha256"] == hashlib.sha256(payload).hexdigest()


def test_a_message_without_a_value_is_told_from_an_empty_one() -> None:
    absent, empty = (
        record_of(replace(REJECT, payload=None)),
        record_of(replace(REJECT, payload=b"")),
    )
    assert (absent["payload_base64"], absent["payload_bytes"]) == (None, None)
    assert (empty["payload_base64"], empty["payload_bytes"]) == ("", 0)
    assert absent["payload_sha256"] is None
    assert empty["payload_sha256"] == hashlib.sha256(b"").hexdigest()


def test_a_long_detail_is_cut_with_a_mark() -> None:
    detail = record_of(replace(REJECT, detail="é" * 1000))["detail"]
    assert detail == "é" * 299 + "…"


@pytest.mark.parametrize(
    "payload",
    [
        None,
        b"",
        b"\xff",
        b"[" * 10_000,
        as_json(REFUND | {"order_id": "a b"}),
        as_json(PURCHASE)[:40],
    ],
)
def test_what_the_decoder_rejects_becomes_a_valid_record(payload: bytes | None) -> None:
    assert record_of(reject_of(payload))["reason"] in REASONS
