"""Keys and values of the state log."""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import Raw

from stream_hb import state
from stream_hb.errors import SnapshotError
from stream_hb.events.arm_sets import ArmSet
from stream_hb.events.id_table import Slots, TableWrite

VERSION = 2
"""1: a group's currency was that of its first order to arrive, and stays so."""

RECORD_BYTES = 800_000
"""Most bytes of a delta's record, below the broker's default limit of a megabyte."""

_HEAD_BYTES = 16
"""Of a record, around its changes."""

_ROOM_BYTES = RECORD_BYTES - 4_096
"""Most bytes of one change's values: names of columns and the like come on top."""

GROUPS = "groups"
"""The table that is not one of ids."""

ARMS = "arms"
"""The table of the sets of arms."""

ARMS_OF_PAGE = 256

UNEMITTED = "unemitted"
"""The change that makes nothing of what was emitted of the first groups: a new epoch has begun. A
program that does not know it refuses the log, and must: it would take the old epoch's memory for
the new one's."""

_FEW = 100
"""Places of which the distinct pages are found sooner without NumPy."""

MARKER_KEY = b"m"

Op = list[Any]
"""One change of a delta: its name and what it needs."""


class LogRecord(NamedTuple):
    """A record; without a value it deletes its key."""

    key: bytes
    value: bytes | None


class PageId(NamedTuple):
    """A page of a table."""

    table: str
    number: int


class PaperId(NamedTuple):
    """A part of what a feed remembers."""

    feed: str
    chunk: int


class DeltaId(NamedTuple):
    """A record of a delta."""

    seq: int
    chunk: int


def delta_key(delta: DeltaId) -> bytes:
    """Return the key of a delta's record.

    >>> parsed_key(delta_key(DeltaId(7, 0)))
    DeltaId(seq=7, chunk=0)
    """
    return b"d" + struct.pack(">QI", *delta)


def page_key(page: PageId) -> bytes:
    """Return the key of a page.

    >>> parsed_key(page_key(PageId("visits", 3)))
    PageId(table='visits', number=3)
    """
    return b"p" + struct.pack(">I", page.number) + page.table.encode()


def paper_key(paper: PaperId) -> bytes:
    """Return the key of a part of what a feed remembers.

    >>> parsed_key(paper_key(PaperId("alerts", 2)))
    PaperId(feed='alerts', chunk=2)
    """
    return b"f" + struct.pack(">I", paper.chunk) + paper.feed.encode()


def paper_records(feed: str, value: bytes, before: int) -> list[LogRecord]:
    """Return what a feed remembers in as many records as it takes; ``before`` were there."""
    chunks = [value[at : at + RECORD_BYTES] for at in range(0, len(value), RECORD_BYTES)]
    gone = range(len(chunks), before)
    return [
        *(LogRecord(paper_key(PaperId(feed, n)), chunk) for n, chunk in enumerate(chunks)),
        *(LogRecord(paper_key(PaperId(feed, n)), None) for n in gone),
    ]


def parsed_key(key: bytes) -> PageId | DeltaId | PaperId | None:
    """Return what a key says; None: the marker."""
    try:
        if key == MARKER_KEY:
            return None
        if key[:1] == b"d":
            return DeltaId(*struct.unpack(">QI", key[1:]))
        if key[:1] == b"f":
            return PaperId(key[5:].decode(), *struct.unpack(">I", key[1:5]))
        if key[:1] == b"p":
            return PageId(key[5:].decode(), *struct.unpack(">I", key[1:5]))
    except (struct.error, UnicodeDecodeError):
        pass
    raise SnapshotError(f"a key of the state log that nobody writes: {key[:80]!r}")


def encoded(body: Any) -> bytes:
    """Write a value."""
    return state.pack([VERSION, body])


def decoded(raw: bytes) -> Any:
    """Read a value; refuses one of a newer version."""
    values = state.unpack(raw)
    if not isinstance(values, list) or len(values) != 2 or not isinstance(values[0], int):
        raise SnapshotError("not a record of a state log")
    if not 1 <= values[0] <= VERSION:
        raise SnapshotError(
            f"the state log is of version {values[0]}, this program reads 1 to {VERSION}"
        )
    return values[1]


def put_ops(table: str, write: TableWrite) -> Iterator[Op]:
    """Yield what is written to a table of ids, in parts that fit into a record."""
    if not len(write.slots):
        return
    row_bytes = 16 + sum([values.dtype.itemsize for values in write.values.values()])
    for part in _parts(len(write.slots), row_bytes):
        values = {name: column[part] for name, column in write.values.items()}
        yield ["put", table, _short(write.slots[part]), write.keys[part], values]


def clear_ops(table: str, slots: Slots) -> Iterator[Op]:
    """Yield which slots of a table of ids are free again."""
    for part in _parts(len(slots), 8):
        yield ["clear", table, _short(slots[part])]


def row_ops(
    name: str, rows: Slots, columns: Mapping[str, Any], more: Sequence[Any] = ()
) -> Iterator[Op]:
    """Yield what is written to groups; columns may stand in mappings of their own."""
    if not len(rows):
        return
    for part in _parts(len(rows), 8 + _bytes(columns) // len(rows)):
        yield [name, *more, _short(rows[part]), _taken(columns, part)]


def named_ops(name: str, first: int, values: Sequence[Any]) -> Iterator[Op]:
    """Yield what numbers from ``first`` on stand for, in parts that fit into a record."""
    ends = np.cumsum([len(state.pack(value)) for value in values])
    start = 0
    while start < len(values):
        before = int(ends[start - 1]) if start else 0
        fitting = int(np.searchsorted(ends, before + _ROOM_BYTES, side="right"))
        stop = max(fitting, start + 1)
        yield [name, first + start, values[start:stop]]
        start = stop


def packed_ops(ops: Iterable[Op]) -> Iterator[bytes]:
    """Yield the values of as few records as hold the changes."""
    waiting: list[Raw] = []
    size = 0
    for op in ops:
        packed = state.pack(op)
        if waiting and size + len(packed) > RECORD_BYTES - _HEAD_BYTES:
            yield encoded(waiting)
            waiting, size = [], 0
        waiting.append(Raw(packed))
        size += len(packed)
    if waiting:
        yield encoded(waiting)


def plain_arms(sets: Sequence[ArmSet]) -> list[list[list[str]]]:
    """Return sets of arms as plain values."""
    return [[list(arm) for arm in arms] for arms in sets]


def _parts(size: int, row_bytes: int) -> Iterator[slice]:
    most = max(_ROOM_BYTES // row_bytes, 1)
    return (slice(start, start + most) for start in range(0, size, most))


def _bytes(columns: Mapping[str, Any]) -> int:
    sizes = [
        column.nbytes if isinstance(column, np.ndarray) else _bytes(column)
        for column in columns.values()
    ]
    return sum(sizes)


def _taken(columns: Mapping[str, Any], part: slice) -> dict[str, Any]:
    return {
        name: column[part] if isinstance(column, np.ndarray) else _taken(column, part)
        for name, column in columns.items()
    }


def numbers_of_pages(places: Any, size: int) -> list[int]:
    """Return the pages of so many places that some places stand on.

    >>> numbers_of_pages(np.array([0, 9000, 4095]), 4096)
    [0, 2]
    """
    if len(places) < _FEW:
        return sorted(set((places // size).tolist()))
    numbers: list[int] = np.flatnonzero(np.bincount(places // size)).tolist()
    return numbers


def _short(numbers: Slots) -> Any:
    return numbers.astype(np.uint32)
