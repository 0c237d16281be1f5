"""The names of a dataclass's fields, asked for again and again on the way of every batch."""

from dataclasses import fields
from typing import Any

_known: dict[type[Any], tuple[str, ...]] = {}


def field_names(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of a dataclass's fields in their order.

    :func:`dataclasses.fields` goes through all of them at every call: for columns of a few rows
    that takes longer than what is done to them.

    >>> from stream_hb.events.clock import SourceClock
    >>> field_names(SourceClock)
    ('newest_ms', 'ahead_ms', 'seen_at_ms')
    """
    names = _known.get(kind)
    if names is None:
        names = _known[kind] = tuple(field.name for field in fields(kind))
    return names
