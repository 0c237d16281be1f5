r"""Payloads to columns of valid events and rejects: whatever the bytes, nothing is raised.

An event is accepted exactly when ``schemas/event_v1.json`` or ``control_v1.json`` accepts it,
except where JSON itself leaves room:

- of a key that occurs twice the last value counts, in whatever object and whatever the first was;
- a lone surrogate (``"\\ud800"``), which JSON's grammar admits, is no text and a reject;
- a payload longer than :data:`PAYLOAD_BYTES`, or nested deeper than :data:`DEPTH`, is a reject;
- totals that contradict themselves (:func:`stream_hb.events.schema.inconsistency`) are rejects.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import numpy as np

from stream_hb.events.batch import Decoded, Int64s, RawBatch, Reject
from stream_hb.events.columns import Columns, joined
from stream_hb.events.identifiers import MalformedError, bad_identifier
from stream_hb.events.rejects import Fault, shortened
from stream_hb.events.schema import (
    SCHEMA_VERSION,
    Accept,
    Event,
    Purchase,
    Refund,
    Totals,
    Visit,
    inconsistency,
)

#: Longest payload that is parsed; the longest valid event with known fields only is about 3 kB.
PAYLOAD_BYTES = 1 << 20
#: Deepest nesting, far below the interpreter's recursion limit: so it does not depend on how deep
#: the caller stands whether a payload is accepted.
DEPTH = 256
#: Payloads decoded before their structs are freed: of more, memory grows and nothing is gained.
SLICE = 4000
#: Key of the ids' hash where nobody chooses ids to do harm; a driver on a network has its own.
OPEN_KEY = b"stream_hb"

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
    r"of length .* at `\$\.((store|chain|visit|order|refund|control)_id|experiment\.\w+|currency)`"
)
_NUMBER_PATH = re.compile(r"at `\$\.(\w+)`$")


class Decoder:
    """Decodes batches.

    Parameters
    ----------
    key
        Key of the ids' hash (:class:`stream_hb.events.id_hash.IdHash`).
    """

    def __init__(self, key: bytes = OPEN_KEY) -> None:
        self._make = Columns(key)

    def decode(self, batch: RawBatch) -> Decoded:
        """Take the batch apart into columns by type and rejects, each in offset order."""
        self._make.renewed()
        received = len(batch.payloads)
        slices = [self._slice(batch, start) for start in range(0, max(received, 1), SLICE)]
        rejects = [reject for each in slices for reject in each.rejects]
        return Decoded(received, *joined(slices), rejects)

    def _slice(self, batch: RawBatch, start: int) -> Decoded:
        payloads = batch.payloads[start : start + SLICE]
        events = _events(payloads)
        try:
            return self._split(batch, start, payloads, events)
        except MalformedError:  # which event it is, is found one by one
            good = [_with_good_identifiers(event) for event in events]
            return self._split(batch, start, payloads, good)

    def _split(
        self,
        batch: RawBatch,
        start: int,
        payloads: Sequence[bytes | None],
        events: Sequence[Event | Fault],
    ) -> Decoded:
        places = _places(events)
        if len(places[Totals]):  # seldom; one by one, each is asked for contradictions
            events = list(map(_consistent, events))
            places = _places(events)
        # Any: they are of the kind that they were picked by.
        mine: dict[Any, list[Any]] = {kind: _picked(events, p) for kind, p in places.items()}
        at = {kind: start + p for kind, p in places.items()} if start else places
        return Decoded(
            len(payloads),
            self._make.visits(mine[Visit], at[Visit]),
            self._make.purchases(mine[Purchase], at[Purchase]),
            self._make.refunds(mine[Refund], at[Refund]),
            self._make.totals(mine[Totals], at[Totals]),
            self._make.controls(mine[Accept], at[Accept]),
            [
                _reject(batch, start + place, payloads[place], fault)
                for place, fault in zip(places[Fault].tolist(), mine[Fault], strict=True)
            ],
        )


_NUMBERS: dict[type, int] = {Visit: 0, Purchase: 1, Refund: 2, Totals: 3, Accept: 4, Fault: 5}
_NOWHERE = np.empty(0, np.intp)


def _places(events: Sequence[Event | Fault]) -> dict[type, Int64s]:
    """Return where the events of each kind stand."""
    numbers = np.fromiter(map(_NUMBERS.__getitem__, map(type, events)), np.int8, len(events))
    counts = np.bincount(numbers, minlength=len(_NUMBERS)).tolist()
    return {
        kind: (numbers == number).nonzero()[0] if counts[number] else _NOWHERE
        for kind, number in _NUMBERS.items()
    }


def _picked(events: Sequence[Event | Fault], places: Int64s) -> list[Event | Fault]:
    """Return the events at some places, ascending."""
    if not len(places):
        return []
    if len(places) == len(events):
        return list(events)
    return [events[at] for at in places.tolist()]


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
    together = b"\n".join(payloads)
    if not together.isascii():
        together.decode()
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
        return _consistent(_decode(payload))
    except msgspec.ValidationError as error:
        return _consistent(_second_look(payload, str(error)))


def _consistent(event: Event | Fault) -> Event | Fault:
    """Return the event, or what contradicts itself in it."""
    if not isinstance(event, Totals):
        return event
    event = _with_good_identifiers(event)
    contradiction = inconsistency(event) if isinstance(event, Totals) else ""
    return Fault("invalid_totals", contradiction) if contradiction else event


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
    """Judge a payload that the strict decoder refused, its whole text read.

    That one looks at every value as it comes: at one that a later value of the same key replaces,
    too, and at 3599.0, which JSON Schema takes for an integer.
    """
    try:
        document = msgspec.json.decode(payload)
    except msgspec.ValidationError:  # a number that no float holds, in any field
        return _fault_of(message, {})
    if not isinstance(document, dict):
        return _fault_of(message, {})
    version = document.get("schema_version")
    if type(version) in (int, float) and version != SCHEMA_VERSION:
        return Fault("unsupported_schema_version", f"Expected {SCHEMA_VERSION}, got {version}")
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
