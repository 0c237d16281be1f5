"""A CSV table as events: a row is an order, a visit, or a visit that may have converted."""

import csv
import gzip
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, TypeVar

from stream_hb.errors import TableError, UsageError, nearest
from stream_hb.events.clock import EARLIEST_MS, LATEST_MS
from stream_hb.events.identifiers import is_identifier
from stream_hb.money import MINOR_DIGITS

_RANGE = "an event's time lies between 2000 and 2100 (--shift-days moves older tables)"

T = TypeVar("T")
Event = dict[str, Any]
Cells = Mapping[str, str]

NO_CURRENCY = "XXX"
"""ISO 4217's code where there is none: orders that are not paid."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns say what.

    Attributes
    ----------
    store, chain
        Columns whose cells, joined with ``-``, are the ids; no chain: the default one.
    time
        When it happened.
    amount, currency
        Value of the order in units of a currency.
    converted
        1 where the visit converted, 0 where not; a row is then a visit.
    order, visit, visitor, arm
        Ids; an order or visit without one is called after its row.
    """

    store: tuple[str, ...]
    chain: tuple[str, ...] = ()
    time: str | None = None
    amount: str | None = None
    converted: str | None = None
    order: str | None = None
    visit: str | None = None
    visitor: str | None = None
    arm: str | None = None

    def named(self) -> list[str]:
        """Return every column that is read."""
        single = (self.time, self.amount, self.converted, self.order, self.visit)
        more = (self.visitor, self.arm)
        return [*self.store, *self.chain, *(name for name in (*single, *more) if name)]


@dataclass(frozen=True, slots=True)
class Reading:
    """How cells are read.

    Attributes
    ----------
    time_format
        ``iso``, ``s``, ``ms``, or a format of strptime; times without a zone are UTC.
    at_ms
        Time of the rows of a table that has no times.
    currency
        Of the amounts.
    experiment
        Id of the experiment whose arms the table has.
    shift_ms
        Added to every time: events are of 2000 to 2100, and a table may be older.
    """

    time_format: str = "iso"
    at_ms: int = 0
    currency: str = NO_CURRENCY
    experiment: str | None = None
    shift_ms: int = 0


def events(path: str, columns: Columns, reading: Reading) -> Iterator[Event]:
    """Yield the table's events in the order of its rows.

    Raises
    ------
    UsageError
        The file cannot be read, or has no such column.
    TableError
        A cell cannot be read; the message names the line.
    """
    name = Path(path).name
    with _opened(path) as file:
        rows = csv.DictReader(file)
        for column in columns.named():
            if column not in (rows.fieldnames or []):
                known = rows.fieldnames or []
                raise UsageError(f"{name} has no column {column!r}; {nearest(column, known)}")
        for number, cells in enumerate(rows, 1):
            row = _Row(f"{name}, line {rows.line_num}", number, cells)
            yield from row.events(columns, reading)


def in_order(unsorted: Iterator[Event]) -> list[Event]:
    """Return events in the order of their time; of one time, in that of their rows.

    A processor takes what is a week behind the newest event for too late: a table that is sorted
    by customer is no log yet.
    """
    return sorted(unsorted, key=itemgetter("event_time_ms"))


@dataclass(frozen=True, slots=True)
class _Row:
    where: str
    number: int
    cells: Cells

    def events(self, columns: Columns, reading: Reading) -> Iterator[Event]:
        """Yield a visit, an order, or both."""
        common = self._common(columns, reading)
        visit = self._session(columns, reading)
        if columns.converted is not None:
            visit.setdefault("visit_id", f"row-{self.number}")
            yield common | visit | {"event_type": "visit", "event_id": f"visit-row-{self.number}"}
            if not self._has_converted(columns.converted):
                return
        elif columns.amount is None:
            visit.setdefault("visit_id", f"row-{self.number}")
            yield common | visit | {"event_type": "visit", "event_id": f"visit-row-{self.number}"}
            return
        order = self._id(columns.order) if columns.order else f"row-{self.number}"
        money = {"amount_minor": self._amount(columns.amount, reading.currency)}
        yield (
            common
            | visit
            | money
            | {"event_type": "purchase", "event_id": f"order-row-{self.number}"}
            | {"order_id": order, "currency": reading.currency}
        )

    def _common(self, columns: Columns, reading: Reading) -> dict[str, Any]:
        time_ms = self._time_ms(columns.time, reading) if columns.time else reading.at_ms
        time_ms += reading.shift_ms
        if not EARLIEST_MS <= time_ms <= LATEST_MS:
            raise TableError(f"{self.where}: {_RANGE}, not {time_ms} ms")
        common: dict[str, Any] = {"schema_version": 1, "event_time_ms": time_ms}
        common["store_id"] = self._joined(columns.store)
        return common | ({"chain_id": self._joined(columns.chain)} if columns.chain else {})

    def _session(self, columns: Columns, reading: Reading) -> dict[str, Any]:
        session: dict[str, Any] = {}
        if columns.visit and self.cells[columns.visit]:
            session["visit_id"] = self._id(columns.visit)
        if columns.visitor and self.cells[columns.visitor]:
            session["visitor_id"] = self.cells[columns.visitor]
        if columns.arm and self.cells[columns.arm]:
            arm = self._id(columns.arm)
            session["experiment"] = {"experiment_id": reading.experiment, "arm": arm}
        return session

    def _joined(self, names: Sequence[str]) -> str:
        # Names for people have blanks; what an id may not have becomes an underscore.
        text = "-".join(self.cells[name].strip() for name in names)
        return self._checked("".join(c if is_identifier(c) else "_" for c in text), names[0])

    def _id(self, column: str) -> str:
        return self._checked(self.cells[column], column)

    def _checked(self, text: str, column: str) -> str:
        if not is_identifier(text):
            rule = "expected 1 to 64 of A-Z a-z 0-9 . _ : -"
            raise TableError(f"{self.where}: column {column!r}: {rule}, not {text!r:.80}")
        return text

    def _has_converted(self, column: str) -> bool:
        return self._read(column, {"0": False, "1": True}.__getitem__, "0 or 1")

    def _amount(self, column: str | None, currency: str) -> int:
        if column is None:
            return 0
        digits = MINOR_DIGITS.get(currency, 2)
        return self._read(column, lambda text: _minor(text, digits), "an amount of 0 or more")

    def _time_ms(self, column: str, reading: Reading) -> int:
        expected = f"a time ({reading.time_format})"
        return self._read(column, lambda text: _time_ms(text, reading.time_format), expected)

    def _read(self, column: str, read: Callable[[str], T], expected: str) -> T:
        text = self.cells[column]
        try:
            return read(text)
        except (ValueError, KeyError, InvalidOperation, OverflowError, TypeError):
            raise TableError(
                f"{self.where}: column {column!r}: expected {expected}, not {text!r:.80}"
            ) from None


def _minor(text: str, digits: int) -> int:
    amount = Decimal(text).scaleb(digits)
    if not amount.is_finite() or amount < 0:
        raise ValueError(text)
    return int(amount.to_integral_value())


def _time_ms(text: str, time_format: str) -> int:
    if time_format in ("s", "ms"):
        return round(Decimal(text) * (1000 if time_format == "s" else 1))
    iso = time_format == "iso"
    read = datetime.fromisoformat(text) if iso else datetime.strptime(text, time_format)
    return round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    try:
        if path == "-":
            yield sys.stdin
        elif path.endswith(".gz"):
            with TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="") as file:
                yield file
        else:
            with Path(path).open(encoding="utf-8-sig", newline="") as file:
                yield file
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
