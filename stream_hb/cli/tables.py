"""CSV tables of group statistics, read once from top to bottom into columns."""

import csv
import gzip
import io
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import TableError
from stream_hb.statistics.columns import Floats

# R writes NA for the sample variance of one observation; an empty cell says the same.
_NOTHING = {"", "NA"}

# Beyond it squares overflow.
_LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class Table:
    """One row per group.

    Attributes
    ----------
    source
        The file's name, for errors.
    names
        The groups' names, all different, in the file's order.
    columns
        The numbers, NaN where a cell is empty or NA.
    lines
        The line of each row in the file, counted from 1.
    texts
        Columns that were asked for as they stand; "" where a cell is empty or NA.
    """

    source: str
    names: Sequence[str]
    columns: dict[str, Floats]
    lines: NDArray[np.int64]
    texts: dict[str, list[str]] = field(default_factory=dict)

    def require(self, column: str, holds: NDArray[np.bool_], rule: str) -> None:
        """Raise for the first row of ``column`` where ``holds`` is false."""
        wrong = np.flatnonzero(~holds)
        if len(wrong):
            row = wrong[0]
            value = self.columns[column][row]
            found = "empty or NaN" if np.isnan(value) else f"{value:.12g}"
            where = f"{self.source}, line {self.lines[row]} (group {self.names[row]!r})"
            raise TableError(f"{where}: column {column!r} {rule}, not {found}")

    def require_finite(self, column: str, where: NDArray[np.bool_] | bool = True) -> None:
        """Raise for the first row (of those in ``where``) that has no finite number."""
        values, unread = self.columns[column], ~np.asarray(where)
        self.require(column, np.isfinite(values) | unread, "should be a finite number")
        small = (np.abs(values) <= _LARGEST) | unread
        self.require(column, small, f"should be at most {_LARGEST:g} in size")


class TableReader:
    """A table whose header has been read, so that its columns can be chosen."""

    def __init__(self, lines: Iterator[str], source: str) -> None:
        self.source = source
        self._rows = csv.reader(lines, strict=True)
        self.header = self._read_header()

    def read(self, columns: Sequence[str], texts: Sequence[str] = ()) -> Table:
        """Read every row's group, the numbers of ``columns`` and the words of ``texts``."""
        at_group, *places = self._places(("group", *columns, *texts))
        at_columns, at_texts = places[: len(columns)], places[len(columns) :]
        words: dict[str, list[str]] = {name: [] for name in texts}
        kept = list(zip(at_texts, words.values(), strict=True))
        names: dict[str, None] = {}
        numbers = [array("d") for _ in columns]
        lines = array("q")
        cells = [(place, column.append) for place, column in zip(at_columns, numbers, strict=True)]
        for row in self._complete_rows():
            name = row[at_group].strip()
            if not name or name in names:
                fault = f"{name!r} a second time" if name else "no group name"
                self._fail(f"column 'group': {fault}")
            names[name] = None
            lines.append(self._rows.line_num)
            for place, append in cells:
                append(self._number(row[place], place))
            for place, column in kept:
                word = row[place].strip()
                column.append("" if word in _NOTHING else word)
        if not lines:
            raise TableError(f"{self.source}: has a header but no rows")
        arrays = {name: np.frombuffer(col) for name, col in zip(columns, numbers, strict=True)}
        return Table(self.source, list(names), arrays, np.frombuffer(lines, dtype=np.int64), words)

    def _read_header(self) -> list[str]:
        header = [name.strip() for name in next(filter(None, self._next_rows()), [])]
        if not header:
            raise TableError(f"{self.source}: is empty; its first line should name the columns")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise TableError(f"{self.source}: two columns are called {twice[0]!r}")
        return header

    def _places(self, columns: Sequence[str]) -> list[int]:
        missing = [name for name in columns if name not in self.header]
        if missing:
            told = ", ".join(map(self._named_with_nearest, missing))
            raise TableError(f"{self.source}: no column {told}; it has {','.join(self.header)}")
        return [self.header.index(name) for name in columns]

    def _named_with_nearest(self, name: str) -> str:
        near = get_close_matches(name, self.header, n=1)
        return f"{name!r} (did you mean {near[0]!r}?)" if near else repr(name)

    def _complete_rows(self) -> Iterator[list[str]]:
        width = len(self.header)
        for row in self._next_rows():
            if len(row) == width:
                yield row
            elif row:  # blank lines are no rows
                self._fail(f"{len(row)} fields, but the header has {width}")

    def _next_rows(self) -> Iterator[list[str]]:
        try:
            yield from self._rows
        except csv.Error as error:
            self._fail(f"not CSV: {error}")
        except UnicodeDecodeError:
            self._fail("not UTF-8 text here or soon after")
        except (OSError, EOFError, zlib.error):
            self._fail("not gzip, or cut off, here or soon after")

    def _number(self, cell: str, place: int) -> float:
        try:
            return float(cell)
        except ValueError:
            if cell.strip() in _NOTHING:
                return float("nan")
            self._fail(f"column {self.header[place]!r}: {cell!r:.40} is not a number")

    def _fail(self, problem: str) -> NoReturn:
        line = max(1, self._rows.line_num)  # 0 before the first was read
        raise TableError(f"{self.source}, line {line}: {problem}")


@contextmanager
def open_table(source: str) -> Iterator[TableReader]:
    """Open a CSV file (``.gz``, too), or standard input for ``-``."""
    if source == "-":
        text = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
        yield TableReader(text, "standard input")
        return
    try:
        opened = gzip.open if source.endswith(".gz") else open
        file = opened(source, "rt", encoding="utf-8-sig", newline="")
    except OSError as error:
        raise TableError(f"{source}: cannot be read: {error.strerror}") from None
    with file:
        yield TableReader(file, source)
