"""Why a message could not be used, and the record that keeps its bytes for whoever mends it."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from stream_hb.events.batch import Reject

SCHEMA_VERSION = 1
DETAIL_CHARACTERS = 300
KEPT_PAYLOAD_BYTES = 64 * 1024

#: The closed list of reason codes; dashboards and tests count on it.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "empty_payload": "the message has no value or an empty one",
        "too_large": "the payload is larger than an event can be; it was not parsed",
        "too_deep": "objects and arrays are nested deeper than any event needs",
        "not_utf8": "the payload is not UTF-8 text",
        "not_json": "the payload is not one JSON value (truncated, NaN, trailing characters)",
        "unsupported_schema_version": "schema_version is not one that this release reads",
        "unknown_event_type": "event_type is not visit, purchase, refund, totals or accept",
        "missing_field": "a required field is absent",
        "unknown_field": "a closed object (experiment, log_amount) has a field it does not know",
        "wrong_type": "a field has another JSON type than the schema's",
        "out_of_range": "a number or a length is outside the schema's bounds",
        "bad_identifier": "an identifier, a currency or a covariate's name is malformed",
        "invalid_totals": "the totals contradict themselves",
        "too_late": "the event is older than the watermark less the horizon, or its tick is closed",
        "from_future": "the event is later than the time at which it is known",
        "mixed_currency": "the group's orders are in another currency, and no rate converts them",
        "overlapping_period": "totals of the same source cover a part of the period already",
        "unexpected_input": "no metric of the pool reads events of this type",
        "wrong_partition": "the store's key belongs to another partition",
        "too_many_groups": "the store is new and the limit on groups is reached",
        "too_many_controls": "more control events wait for their tick than are kept",
    }
)


class Fault(NamedTuple):
    """What is wrong with a payload: a code of :data:`REASONS`, and expected, came and where."""

    reason: str
    detail: str = ""


class RejectRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the rejects topic or file: ``schemas/reject_v1.json``."""

    schema_version: int = SCHEMA_VERSION
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    payload_base64: str | None
    payload_bytes: int | None
    payload_sha256: str | None


def shortened(detail: str) -> str:
    """Cut a detail to :data:`DETAIL_CHARACTERS`: it may quote a value of a megabyte.

    >>> len(shortened("x" * 1000)), shortened("short")
    (300, 'short')
    """
    if len(detail) <= DETAIL_CHARACTERS:
        return detail
    return detail[: DETAIL_CHARACTERS - 1] + "…"


def reject_record(reject: Reject) -> bytes:
    """Return the reject as one JSON object.

    The first 64 KiB of the payload travel along; its length and SHA-256 are of all its bytes, so
    that the whole message can be found again in its topic and recognised.
    """
    base64, length, digest = _described(reject.payload)
    return msgspec.json.encode(
        RejectRecord(
            reason=reject.reason,
            detail=shortened(reject.detail),
            topic=reject.topic,
            partition=reject.partition,
            offset=reject.offset,
            payload_base64=base64,
            payload_bytes=length,
            payload_sha256=digest,
        )
    )


def _described(payload: bytes | None) -> tuple[str | None, int | None, str | None]:
    if payload is None:
        return None, None, None
    kept = b64encode(payload[:KEPT_PAYLOAD_BYTES]).decode()
    return kept, len(payload), sha256(payload).hexdigest()
