r"""Payloads to columns of valid events and rejects: whatever the bytes, nothing is raised.

An event is accepted exactly when ``schemas/event_v1.json`` accepts it, except where JSON itself
leaves room:

- of a key that occurs twice the last value counts, but each must be valid, and two different
  ``event_type`` are a reject;
- a lone surrogate (``"\\ud800"``), which JSON's grammar admits, is no text and a reject;
- a payload longer than :data:`PAYLOAD_BYTES`, or nested deeper than :data:`DEPTH`, is a reject;
- refunds and valid totals are rejected as ``not_yet_supported``.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import msgspec
import numpy as np

from stream_hb.events.batch import Decoded, Int64s, Purchases, RawBatch, Reject, Visits
from stream_hb.events.identifiers import (
    MalformedError,
    StoreCodes,
    bad_identifier,
    is_currency,
    only_identifier_characters,
)
from stream_hb.events.rejects import Fault, shortened
from stream_hb.events.schema import (
    SCHEMA_VERSION,
    Event,
    Purchase,
    Totals,
    Visit,
    inconsistency,
)

#: Longest payload that is parsed; the longest valid event with known fields only is about 3 kB.
PAYLOAD_BYTES = 1 << 20
#: Deepest nesting, far below the interpreter's recursion limit: so it does not depend on how deep
#: the caller stands whether a payload is accepted.
DEPTH = 256
#: Payloads decoded before their structs are freed: what fits the cache gains 1 µs an event.
SLICE = 1000
#: Chains and stores after which the next batch begins a new memory of them.
KNOWN_STORES = 200_000

_decode: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode
# Never fails once begun, so that it reads a payload once whatever the quotes in it.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
#: What to find in a message of msgspec, and the reason code it means; otherwise wrong_type.
_MESSAGES = (
    ("Invalid value", "unknown_event_type"),
    ("missing required field", "missing_field"),
    ("unknown field", "unknown_field"),
    ("matching regex", "bad_identifier"),
    ("out of range", "out_of_range"),
    (" >= ", "out_of_range"),
    (" <= ", "out_of_range"),
)
_IDENTIFIER_LENGTH = re.compile(
    r"of length .* at `\$\.((store|chain|visit|order|refund)_id|experiment\.\w+|currency)`"
)
_NUMBER_PATH = re.compile(r"at `\$\.(\w+)`$")


#: Visits and purchases of a slice, and why those at a place in the slice are neither.
_Columns = tuple[Visits, Purchases, list[tuple[int, Fault]]]


class Decoder:
    """Decodes batches; remembers store keys and currencies it has seen to be well formed.

    The memory only saves work: what a batch decodes to does not depend on earlier batches, but
    for the numbering of the stores.
    """

    def __init__(self) -> None:
        self._stores = StoreCodes()
        self._currencies: set[str] = set()  # at most 26³

    def decode(self, batch: RawBatch) -> Decoded:
        """Take the batch apart into visits, purchases and rejects, each in offset order."""
        visits, purchases, rejects = [], [], []
        if len(self._stores) >= KNOWN_STORES:
            self._stores = StoreCodes()
        received = len(batch.payloads)
        for start in range(0, received, SLICE):
            payloads = batch.payloads[start : start + SLICE]
            some_visits, some_purchases, faults = self._columns(payloads, start)
            visits.append(some_visits)
            purchases.append(some_purchases)
            rejects += [_reject(batch, start + at, payloads[at], fault) for at, fault in faults]
        return Decoded(received, Visits.joined(visits), Purchases.joined(purchases), rejects)

    def _columns(self, payloads: Sequence[bytes | None], start: int) -> _Columns:
        events = _events(payloads)
        try:
            return self._split(events, start)
        except MalformedError:  # which event it is, is found one by one
            return self._split([_with_good_identifiers(event) for event in events], start)

    def _split(self, events: Sequence[Event | Fault], start: int) -> _Columns:
        others = [at for at, event in enumerate(events) if type(event) is not Visit]
        bought = [at for at in others if type(events[at]) is Purchase]
        visits = cast("list[Visit]", list(events))
        for at in reversed(others):  # few: quicker than to ask every event once more
            del visits[at]
        purchases = cast("list[Purchase]", [events[at] for at in bought])
        return (
            self._visits(visits, start + np.delete(np.arange(len(events)), others)),
            self._purchases(purchases, start + np.array(bought, np.int64)),
            [(at, _fault(events[at])) for at in others if type(events[at]) is not Purchase],
        )

    def _visits(self, visits: Sequence[Visit], indexes: Int64s) -> Visits:
        _check([visit.visit_id for visit in visits])
        return Visits(
            store_codes=self._store_codes(visits),
            known_stores=self._stores.known,
            event_time_ms=np.array([visit.event_time_ms for visit in visits], np.int64),
            indexes=indexes,
        )

    def _purchases(self, purchases: Sequence[Purchase], indexes: Int64s) -> Purchases:
        visit_ids: list[str | None] = [purchase.visit_id for purchase in purchases]
        order_ids = [purchase.order_id for purchase in purchases]
        _check(order_ids)
        _check(filter(None, visit_ids))
        return Purchases(
            store_codes=self._store_codes(purchases),
            known_stores=self._stores.known,
            visit_ids=visit_ids,
            order_ids=order_ids,
            amount_minor=np.array([purchase.amount_minor for purchase in purchases], np.int64),
            currencies=self._checked_currencies(purchases),
            event_time_ms=np.array([purchase.event_time_ms for purchase in purchases], np.int64),
            indexes=indexes,
        )

    def _store_codes(self, events: Sequence[Visit] | Sequence[Purchase]) -> Int64s:
        chains = [event.chain_id for event in events]
        stores = [event.store_id for event in events]
        return self._stores.of(chains, stores)

    def _checked_currencies(self, purchases: Sequence[Purchase]) -> list[str]:
        currencies = [purchase.currency for purchase in purchases]
        unknown = set(currencies) - self._currencies
        if not all(map(is_currency, unknown)):
            raise MalformedError
        self._currencies |= unknown
        return currencies


def _check(identifiers: Iterable[str]) -> None:
    if not only_identifier_characters(identifiers):
        raise MalformedError


def _reject(batch: RawBatch, index: int, payload: bytes | None, fault: Fault) -> Reject:
    return Reject(
        topic=batch.topic,
        partition=batch.partition,
        offset=batch.offset_of(index),
        reason=fault.reason,
        detail=shortened(fault.detail),
        payload=payload,
    )


def _events(payloads: Sequence[bytes | None]) -> Sequence[Event | Fault]:
    """Decode the payloads all at once, or one by one where something is wrong with any."""
    try:
        return _all_events(cast("Sequence[bytes]", payloads))
    except (TypeError, ValueError, RecursionError):  # TypeError: a payload is None
        return list(map(_event, payloads))


def _all_events(payloads: Sequence[bytes]) -> list[Event]:
    longest = max(map(len, payloads))
    # A level of nesting takes two bytes, so ordinary events are not looked into.
    if longest > PAYLOAD_BYTES or (longest > 2 * DEPTH and any(map(_is_deep, payloads))):
        raise ValueError(longest)
    # The decoder skips unknown fields unread, so it would not notice bad UTF-8 in them.
    if not all(map(bytes.isascii, payloads)):
        b"\n".join(payloads).decode()
    return list(map(_decode, payloads))


def _event(payload: bytes | None) -> Event | Fault:
    """Decode one payload, or say what is wrong with it."""
    if not payload:
        return Fault("empty_payload")
    if len(payload) > PAYLOAD_BYTES:
        return Fault("too_large", f"Expected at most {PAYLOAD_BYTES} bytes, got {len(payload)}")
    try:
        payload.decode()
        return _event_of_text(payload)
    except UnicodeDecodeError as error:
        return Fault("not_utf8", str(error))
    except ValueError as error:
        return Fault("not_json", str(error))
    except RecursionError as error:
        return Fault("too_deep", str(error))


def _event_of_text(payload: bytes) -> Event | Fault:
    if _is_deep(payload):
        return Fault("too_deep", f"Expected at most {DEPTH} levels of nesting")
    try:
        return _decode(payload)
    except msgspec.ValidationError as error:
        return _second_look(payload, str(error))


def _is_deep(payload: bytes) -> bool:
    """Whether objects and arrays are nested deeper than :data:`DEPTH` levels."""
    if payload.count(b"{") + payload.count(b"[") <= DEPTH:
        return False
    # In columns: a step of Python for each byte of a megabyte would hold up everybody else.
    marks = np.frombuffer(_STRING.sub(b"", payload), np.uint8)
    opens = (marks == ord("{")) | (marks == ord("["))
    closes = (marks == ord("}")) | (marks == ord("]"))
    levels = np.cumsum(opens.astype(np.int64) - closes)
    return bool(levels.max(initial=0) > DEPTH)


def _second_look(payload: bytes, message: str) -> Event | Fault:
    """Judge a payload that the strict decoder refused, its whole text read."""
    try:
        document = msgspec.json.decode(payload)
    except msgspec.ValidationError:  # a number that no float holds, in any field
        return _fault_of(message, {})
    if not isinstance(document, dict):
        return _fault_of(message, {})
    version = document.get("schema_version")
    if type(version) in (int, float) and version != SCHEMA_VERSION:
        return Fault("unsupported_schema_version", f"Expected {SCHEMA_VERSION}, got {version}")
    if "got `float`" not in message:
        return _fault_of(message, document)
    try:
        event: Event = msgspec.convert(_with_integral_floats_as_integers(document), Event)
    except msgspec.ValidationError as error:
        return _fault_of(str(error), document)
    return event


def _with_integral_floats_as_integers(value: Any) -> Any:
    """Make 3599.0 the integer that JSON Schema says it is, in the event and its objects.

    Programs that know only floats send it, and the strict decoder does not take it.
    """
    if isinstance(value, dict):
        return {name: _with_integral_floats_as_integers(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fault_of(message: str, document: dict[str, Any]) -> Fault:
    """Find the reason code of a message of msgspec, and add the number that came to a bound."""
    if _IDENTIFIER_LENGTH.search(message):
        return Fault("bad_identifier", message)
    reason = next((reason for part, reason in _MESSAGES if part in message), "wrong_type")
    path = _NUMBER_PATH.search(message)
    came = document.get(path[1]) if reason == "out_of_range" and path else None
    if type(came) in (int, float):
        message = message.replace(" - at", f", got {came} - at")
    return Fault(reason, message)


def _with_good_identifiers(event: Event | Fault) -> Event | Fault:
    bad = "" if isinstance(event, Fault) else bad_identifier(event)
    return Fault("bad_identifier", bad) if bad else event


def _fault(event: Event | Fault) -> Fault:
    """Why an event that is neither visit nor purchase becomes a reject."""
    checked = _with_good_identifiers(event)
    if isinstance(checked, Fault):
        return checked
    if isinstance(checked, Totals) and (contradiction := inconsistency(checked)):
        return Fault("invalid_totals", contradiction)
    kind = type(checked).__name__.lower()
    return Fault("not_yet_supported", f"{kind} is a valid event that this release does not use")
