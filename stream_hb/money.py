"""Money: one currency a group, dated rates, caps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.batch import Bools, Int64s, Texts
from stream_hb.statistics.columns import Floats, Rows

DAY_MS = 86_400_000

MINOR_DIGITS: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    )
    | dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3)
    | {"CLF": 4, "UYW": 4}
)
"""Digits of the minor unit by ISO 4217, where they are not two."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Dated rates into one currency.

    Attributes
    ----------
    currency
        What amounts are turned into.
    days, values
        By currency: the days (since 1970) from which a rate holds, ascending, and the rates: units
        of ``currency`` for one unit.
    version
        Which table it is; records name it.

    Examples
    --------
    100.00 dollars on the second day at .9, and 100 yen at .006:

    >>> rates = Rates("EUR", {"USD": np.array([0, 1]), "JPY": np.array([0])},
    ...               {"USD": np.array([0.8, 0.9]), "JPY": np.array([0.006])}, "v1")
    >>> rates.converted(np.array(["USD", "JPY", "CHF"]), np.array([DAY_MS] * 3),
    ...                 np.array([10_000, 100, 5]))
    array([9000,   60,   -1])
    """

    currency: str
    days: Mapping[str, Int64s]
    values: Mapping[str, Floats]
    version: str

    def converted(self, currencies: Texts, times_ms: Int64s, amounts: Int64s) -> Int64s:
        """Return amounts in minor units of the target, -1 where no rate holds that early."""
        made = np.full(len(amounts), -1)
        for currency in np.unique(currencies).tolist():
            mine = currencies == currency
            if currency == self.currency:
                made[mine] = amounts[mine]
            elif currency in self.days:
                made[mine] = self._at(currency, times_ms[mine], amounts[mine])
        return made

    def _at(self, currency: str, times_ms: Int64s, amounts: Int64s) -> Int64s:
        at = np.searchsorted(self.days[currency], times_ms // DAY_MS, side="right") - 1
        digits = MINOR_DIGITS.get(self.currency, 2) - MINOR_DIGITS.get(currency, 2)
        made = np.rint(amounts * self.values[currency][np.maximum(at, 0)] * 10.0**digits)
        return np.where(at < 0, -1, made).astype(np.int64)


@dataclass(frozen=True, slots=True)
class MoneyRules:
    """How money is taken.

    Attributes
    ----------
    currency
        The currency of every group; None: that of a group's first order.
    rates
        Turn other currencies into it; None: they are rejected.
    cap_minor
        Larger order values count as this; None: no cap.
    """

    currency: str | None = None
    rates: Rates | None = None
    cap_minor: int | None = None


@dataclass(slots=True)
class Purse:
    """The groups' currencies, as a candidate sees them.

    Attributes
    ----------
    rules
        How money is taken.
    known
        Currency by row; empty before a group's first order.
    """

    rules: MoneyRules
    known: Texts = field(default_factory=lambda: np.empty(0, "U3"))

    def grown(self, size: int) -> "Purse":
        """Return a copy with room for so many groups."""
        more = np.full(size - len(self.known), self.rules.currency or "", "U3")
        return Purse(self.rules, np.concatenate([self.known, more]))

    def currency(self, row: int) -> str | None:
        """Return a group's currency; None before its first order."""
        return str(self.known[row]) or None if row < len(self.known) else None

    def taken(
        self, rows: Rows, currencies: Texts, times_ms: Int64s, amounts: Int64s
    ) -> tuple[Bools, Int64s]:
        """Take amounts; return which are in their group's currency, and all in it.

        The first amount of a group without a currency sets it.
        """
        if self.rules.rates is not None:
            amounts = self.rules.rates.converted(currencies, times_ms, amounts)
            return amounts >= 0, amounts
        unset = np.flatnonzero(self.known[rows] == "")
        if len(unset):
            first_rows, first = np.unique(rows[unset], return_index=True)
            self.known[first_rows] = currencies[unset[first]]
        same: Bools = self.known[rows] == currencies
        return same, amounts


@dataclass(frozen=True, slots=True)
class OrderTallies:
    """Live orders that are counted and have no value, or a capped one, by group.

    Attributes
    ----------
    orders, zero_valued, capped
        All live orders, those worth nothing, those worth more than the cap.
    """

    orders: NDArray[np.int64]
    zero_valued: NDArray[np.int64]
    capped: NDArray[np.int64]

    @classmethod
    def zeros(cls, size: int) -> "OrderTallies":
        """Return those of groups without orders."""
        return cls(*(np.zeros(size, np.int64) for _ in range(3)))

    def grown(self, size: int) -> "OrderTallies":
        """Return a copy with room for so many groups."""
        more = np.zeros(size - len(self.orders), np.int64)
        columns = (self.orders, self.zero_valued, self.capped)
        return OrderTallies(*(np.concatenate([column, more]) for column in columns))

    def count(self, rows: Rows, signs: Int64s, values: Int64s, cap_minor: int | None) -> None:
        """Add orders (sign 1) or take them away (-1)."""
        np.add.at(self.orders, rows, signs)
        np.add.at(self.zero_valued, rows, signs * (values == 0))
        if cap_minor is not None:
            np.add.at(self.capped, rows, signs * (values > cap_minor))
