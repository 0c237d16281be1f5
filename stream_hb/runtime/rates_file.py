"""The table of dated rates as a CSV file; every fault is named by its file and line."""

import csv
import math
from collections import defaultdict
from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np

from stream_hb.config import Config
from stream_hb.errors import TableError
from stream_hb.events.identifiers import is_currency
from stream_hb.money import MoneyRules, Rates

COLUMNS = ["date", "currency", "rate"]
_EPOCH = date(1970, 1, 1)


def money_rules(config: Config) -> MoneyRules:
    """Return how money is taken; reads the table of rates if there is one."""
    money, value = config.money, config.metrics.log_order_value
    rates = None
    if money.rates_path is not None and money.currency is not None:
        rates = read_rates(Path(money.rates_path), money.currency)
    return MoneyRules(money.currency, rates, value.cap_minor if value else None)


def read_rates(path: Path, currency: str) -> Rates:
    """Read rates into a currency: ``date,currency,rate``, a rate holds from its date on.

    Raises
    ------
    TableError
        The file cannot be read, or a line is wrong.
    """
    try:
        raw = path.read_bytes()
        lines = raw.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise TableError(f"{path}: cannot be read: {reason}") from None
    rows = csv.DictReader(lines)
    if rows.fieldnames != COLUMNS:
        raise TableError(f"{path}, line 1: expected {','.join(COLUMNS)}, not {lines[:1]}")
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        day, rate = _day(row["date"], where), _rate(row["rate"], where)
        if not is_currency(row["currency"] or ""):
            raise TableError(f"{where}: expected a currency like EUR, not {row['currency']!r:.80}")
        if day in found[row["currency"]]:
            raise TableError(f"{where}: {row['currency']} has a rate of {row['date']} already")
        found[row["currency"]][day] = rate
    ordered = {name: sorted(by_day.items()) for name, by_day in found.items()}
    return Rates(
        currency,
        {name: np.array([day for day, _ in pairs], np.int64) for name, pairs in ordered.items()},
        {name: np.array([rate for _, rate in pairs]) for name, pairs in ordered.items()},
        sha256(raw).hexdigest()[:12],
    )


def _day(text: str | None, where: str) -> int:
    try:
        return (date.fromisoformat(text or "") - _EPOCH).days
    except ValueError:
        raise TableError(f"{where}: expected a date like 2026-01-31, not {text!r:.80}") from None


def _rate(text: str | None, where: str) -> float:
    try:
        rate = float(text or "")
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise TableError(f"{where}: expected a rate above 0, not {text!r:.80}")
    return rate
