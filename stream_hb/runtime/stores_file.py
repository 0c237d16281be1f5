"""The stores table as a CSV file; every fault is named by its file and line."""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from stream_hb.config import Config
from stream_hb.errors import ConfigError, TableError, nearest
from stream_hb.metrics import METRICS, MODELS
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.table import GroupKey
from stream_hb.stores import NEVER_MS, UNKNOWN, UTC, Stores

OWN_COLUMNS = ("store_id", "chain_id", "region", "time_zone", "opened", "retired")
"""The columns with a meaning of their own; every other one is a covariate."""

LEVELS_MAX = 16
COVARIATE_MAX = 1e9
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the file: its number, counted from 1, and its cells by column."""

    path: str
    line: int
    cells: Mapping[str, str]

    def fail(self, problem: str) -> NoReturn:
        """Raise, naming the line."""
        raise TableError(f"{self.path}, line {self.line}: {problem}")

    def text(self, column: str) -> str:
        """Return a cell, empty where the file has no such column."""
        return self.cells.get(column, "")

    def identifier(self, column: str, default: str = "") -> str:
        """Return a chain or store id."""
        text = self.text(column) or default
        if not _IDENTIFIER.fullmatch(text):
            self.fail(
                f"column {column!r}: expected 1 to 64 of A-Z a-z 0-9 . _ : -, not {text!r:.80}"
            )
        return text

    def day(self, column: str) -> date | None:
        """Return a date, None for an empty cell."""
        text = self.text(column)
        if not text:
            return None
        try:
            return date.fromisoformat(text)
        except ValueError:
            self.fail(f"column {column!r}: expected a date like 2026-01-31, not {text!r:.40}")

    def zone(self) -> tzinfo:
        """Return the store's time zone, UTC where none is told."""
        text = self.text("time_zone") or "UTC"
        try:
            return ZoneInfo(text)
        except (ValueError, OSError, KeyError):  # not found is a KeyError
            self.fail(f"column 'time_zone': {text!r:.40} is no IANA time zone")

    def number(self, column: str) -> float:
        """Return a covariate, NaN for an empty cell."""
        text = self.text(column)
        value = _number(text) if text else math.nan
        if text and (value is None or not abs(value) <= COVARIATE_MAX):
            limit = f"a number of at most {COVARIATE_MAX:g} in size"
            self.fail(f"column {column!r}: expected {limit}, not {text!r:.40}")
        return math.nan if value is None else value


def known_stores(config: Config) -> Stores | None:
    """Read the stores table that the configuration names.

    Raises
    ------
    ConfigError
        A metric has a covariate that is not a column of the table, or it has too many stores.
    TableError
        The table cannot be read, or a line of it is wrong.
    """
    if config.stores.path is None:
        return None
    path = Path(config.stores.path)
    known = covariate_names(path)
    used = {name: model.covariates for name, model in config.metrics.models().items()}
    problems = [
        f"metrics.{metric}.covariates: no column {name!r}; {nearest(name, known)}"
        for metric, names in used.items()
        for name in names
        if name not in known
    ]
    problems += _not_modelled(config)
    if problems:
        raise ConfigError(str(path), problems)
    stores = read_stores(path, config.default_chain, sorted(set().union(*used.values())))
    if len(stores.keys) > config.limits.groups:
        problem = (
            f"limits.groups: {config.limits.groups} are fewer than its {len(stores.keys)} stores"
        )
        raise ConfigError(str(path), [problem])
    return stores


def _not_modelled(config: Config) -> Iterator[str]:
    """Yield what asks for a model that there is not."""
    methods = config.metrics.kept()
    for metric, model in config.metrics.models().items():
        if not (model.covariates or model.nested):
            continue
        with_what = "covariates" if model.covariates else "nested"
        family = MODELS.get(METRICS[metric].model_name(model))
        if family is None:
            yield f"metrics.{metric}.variance: {with_what} are for variance common only yet"
        elif methods[metric] not in family.methods:
            known = ", ".join(family.methods)
            yield f"metrics.{metric}.method: {methods[metric]} is not for {with_what}; {known} are"


def covariate_names(path: Path) -> list[str]:
    """Return the columns of a stores table that a model may use.

    Raises
    ------
    TableError
        The file cannot be read, or its first line names no stores.
    """
    header = next(_rows(path)).cells
    return [name for name in header if name == "region" or name not in OWN_COLUMNS]


def read_stores(path: Path, default_chain: str, covariates_used: Iterable[str] = ()) -> Stores:
    """Read a stores table.

    Columns: ``store_id``; and, where they are there, ``chain_id`` (else the default chain),
    ``region``, ``time_zone`` (IANA, else UTC), ``opened``, ``retired`` (dates; a store is retired
    from the beginning of that day at its place), and covariates: numbers, or texts of at most
    16 kinds. Empty cells are not known.

    Parameters
    ----------
    path
        The file.
    default_chain
        Chain of the stores that name none.
    covariates_used
        Columns that a model uses. The others are read for what they might explain, and left out
        where they hold neither numbers nor a few kinds of texts.

    Raises
    ------
    TableError
        The file cannot be read, or a line is wrong.
    """
    used = set(covariates_used)
    _, *rows = _rows(path)
    if not rows:
        raise TableError(f"{path}: has a header but no stores")
    keys = [_key(row, default_chain) for row in rows]
    _check_once(rows, keys)
    covariates: dict[str, Floats] = {}
    columns_of: dict[str, Sequence[str]] = {}
    for name in covariate_names(path):
        columns = _covariate(rows, name) if name in used else _if_readable(rows, name)
        covariates |= columns
        columns_of[name] = tuple(columns)
    retired_ms = np.array([_retired_ms(row) for row in rows], dtype=np.int64)
    zones = [row.text("time_zone") or UTC for row in rows]
    return Stores.of(keys, _regions(rows), retired_ms, covariates, columns_of, zones)


def _rows(path: Path) -> Iterator[Row]:
    """Yield the header, under its own names, and the lines below; blank ones are left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: is not UTF-8 text: byte {error.start}") from None
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if not header:
                header = stripped
                _check_header(path, header)
            row = Row(str(path), reader.line_num, dict(zip(header, stripped, strict=False)))
            if len(stripped) == len(header):
                yield row
            elif stripped:
                row.fail(f"{len(stripped)} fields, but the header has {len(header)}")
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
    if not header:
        raise TableError(f"{path}: is empty; its first line should name the columns")


def _check_header(path: Path, header: Sequence[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"{path}: two columns are called {twice[0]!r}")
    if "store_id" not in header:
        raise TableError(f"{path}: no column 'store_id'; {nearest('store_id', header)}")


def _key(row: Row, default_chain: str) -> GroupKey:
    return row.identifier("chain_id", default_chain), row.identifier("store_id")


def _check_once(rows: Sequence[Row], keys: Sequence[GroupKey]) -> None:
    lines: dict[GroupKey, int] = {}
    for row, key in zip(rows, keys, strict=True):
        if key in lines:
            row.fail(f"store {key[1]!r} of chain {key[0]!r} stands in line {lines[key]} already")
        lines[key] = row.line


def _retired_ms(row: Row) -> int:
    opened, retired = row.day("opened"), row.day("retired")
    zone = row.zone()
    if opened and retired and retired < opened:
        row.fail(f"retired on {retired}, before it opened on {opened}")
    if retired is None:
        return NEVER_MS
    return round(datetime.combine(retired, time(), zone).timestamp() * 1000)


def _regions(rows: Sequence[Row]) -> NDArray[np.intp]:
    """Number the regions in the order of the file; a name is one region in each chain."""
    codes: dict[str, int] = {"": UNKNOWN}
    told = [codes.setdefault(row.text("region"), len(codes) - 1) for row in rows]
    return np.array(told, dtype=np.intp)


def _covariate(rows: Sequence[Row], name: str) -> dict[str, Floats]:
    """Return a column of numbers as it is, one of texts as an indicator for each but the first."""
    first = next((row.text(name) for row in rows if row.text(name)), "0")
    if name != "region" and _number(first) is not None:
        return {name: np.array([row.number(name) for row in rows], dtype=np.float64)}
    levels = sorted({row.text(name) for row in rows} - {""})
    if len(levels) > LEVELS_MAX:
        rows[0].fail(f"column {name!r}: {len(levels)} different texts, at most {LEVELS_MAX}")
    return {f"{name}={level}": _indicator(rows, name, level) for level in levels[1:]}


def _if_readable(rows: Sequence[Row], name: str) -> dict[str, Floats]:
    try:
        return _covariate(rows, name)
    except TableError:
        return {}


def _indicator(rows: Sequence[Row], name: str, level: str) -> Floats:
    texts = [row.text(name) for row in rows]
    return np.array([float(text == level) if text else math.nan for text in texts])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
