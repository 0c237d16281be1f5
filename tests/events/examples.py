"""Events that the tests of the room share, and short ways to decode them."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from stream_hb.events.batch import Decoded, RawBatch, Reject
from stream_hb.events.decode import Decoder

SCHEMA: dict[str, Any] = json.loads(
    files("stream_hb").joinpath("schemas/event_v1.json").read_text("utf-8")
)
CONTROL_SCHEMA: dict[str, Any] = json.loads(
    files("stream_hb").joinpath("schemas/control_v1.json").read_text("utf-8")
)
CONTROL_EXAMPLES: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "data" / "events" / "control_examples.json").read_text("utf-8")
)
EXAMPLES: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "data" / "events" / "event_examples.json").read_text("utf-8")
)

_COMMON: dict[str, Any] = {
    "schema_version": 1,
    "event_id": "event-0001",
    "event_time_ms": 1_730_000_000_000,
    "store_id": "store-01",
}
VISIT = {**_COMMON, "event_type": "visit", "chain_id": "chain-1", "visit_id": "v1"}
PURCHASE = {
    **_COMMON,
    "event_type": "purchase",
    "chain_id": "chain-1",
    "visit_id": "v1",
    "order_id": "o1",
    "amount_minor": 3599,
    "currency": "EUR",
}
REFUND = {
    **_COMMON,
    "event_type": "refund",
    "refund_id": "r1",
    "order_id": "o1",
    "amount_minor": 1000,
    "currency": "EUR",
}
TOTALS = {
    **_COMMON,
    "event_type": "totals",
    "source": "footfall",
    "period_start_ms": 1_729_990_000_000,
    "period_end_ms": 1_729_999_000_000,
    "visits": 812,
    "conversions": 39,
    "orders": 41,
    "log_amount": {"count": 41, "mean": 8.02, "m2": 14.7},
}


ACCEPT = {
    **_COMMON,
    "event_type": "accept",
    "chain_id": "chain-1",
    "control_id": "word-1",
    "metric": "conversion",
    "reason": "moved to the first floor",
}


def as_json(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def raw_batch(payloads: Sequence[bytes | None], first_offset: int = 0) -> RawBatch:
    return RawBatch(
        topic="events",
        partition=3,
        payloads=payloads,
        offset_of=lambda index: first_offset + index,
        next_offset=first_offset + len(payloads),
    )


def decoded(*payloads: bytes | None) -> Decoded:
    return Decoder().decode(raw_batch(payloads))


def reject_of(payload: bytes | None) -> Reject:
    """Return the one reject that the payload becomes."""
    (reject,) = decoded(payload).rejects
    return reject


def why(event: dict[str, Any], **changes: Any) -> tuple[str, str]:
    """Return reason and detail of an event with some fields changed."""
    reject = reject_of(as_json(event | changes))
    return reject.reason, reject.detail
