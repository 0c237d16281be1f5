"""Money: one currency a group, dated rates, caps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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
    Cents for a dollar's cent on the second day at .9, and for a yen at .006:

    >>> rates = Rates("EUR", {"USD": np.array([0, 1]), "JPY": np.array([0])},
    ...               {"USD": np.array([0.8, 0.9]), "JPY": np.array([0.006])}, "v1")
    >>> currencies, times = np.array(["USD", "JPY", "CHF"]), np.array([DAY_MS] * 3)
    >>> rates.cover(currencies, times)
    array([ True,  True, False])
    >>> rates.factors(rates.codes(currencies[:2]), times[:2])
    array([0.9, 0.6])
    """

    currency: str
    days: Mapping[str, Int64s]
    values: Mapping[str, Floats]
    version: str

    def cover(self, currencies: Texts, times_ms: Int64s) -> Bools:
        """Tell of which amounts a rate is known at their time."""
        good: Bools = currencies == self.currency
        for currency in np.unique(currencies[~good]).tolist():
            first = self.days[currency][0] if currency in self.days else np.inf
            good |= (currencies == currency) & (times_ms // DAY_MS >= first)
        return good

    def codes(self, currencies: Texts) -> Int64s:
        """Return numbers for currencies, the same for ever; 0 for the target."""
        distinct, places = np.unique(currencies, return_inverse=True)
        codes = [0 if name == self.currency else _code(name) for name in distinct.tolist()]
        return np.array(codes, np.int64)[places]

    def factors(self, codes: Int64s, times_ms: Int64s) -> Floats:
        """Return what one minor unit is worth in the target's; before the first rate, by that."""
        made = np.ones(len(codes))
        for currency in self.days if codes.any() else ():
            mine = codes == _code(currency)
            if currency != self.currency and mine.any():
                days = times_ms[mine] // DAY_MS
                at = np.searchsorted(self.days[currency], days, side="right") - 1
                digits = MINOR_DIGITS.get(self.currency, 2) - MINOR_DIGITS.get(currency, 2)
                made[mine] = self.values[currency][np.maximum(at, 0)] * 10.0**digits
        return made


def _code(currency: str) -> int:
    """Return a number of a currency's three letters, above 0 and below 2^15."""
    first, second, third = (ord(letter) - ord("A") for letter in currency)
    return (first * 26 + second) * 26 + third + 1


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

    def take(self, currencies: Texts, times_ms: Int64s) -> Bools:
        """Tell which amounts can be counted as far as the rules know, whatever their groups."""
        if self.rates is not None:
            return self.rates.cover(currencies, times_ms)
        if self.currency is None:
            return np.ones(len(currencies), np.bool_)
        same: Bools = currencies == self.currency
        return same

    def codes(self, currencies: Texts) -> Int64s:
        """Return the currencies as numbers, 0 where an amount needs no conversion."""
        if self.rates is None:
            return np.zeros(len(currencies), np.int64)
        return self.rates.codes(currencies)


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

    def same(self, rows: Rows, currencies: Texts) -> Bools:
        """Tell which amounts are in their group's currency, or will be converted into it.

        The first amount of a group without a currency sets it.
        """
        if self.rules.rates is not None:
            return np.ones(len(rows), np.bool_)
        unset = np.flatnonzero(self.known[rows] == "")
        if len(unset):
            first_rows, first = np.unique(rows[unset], return_index=True)
            self.known[first_rows] = currencies[unset[first]]
        same: Bools = self.known[rows] == currencies
        return same


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

    def take(self, rows: Rows) -> "OrderTallies":
        """Return copies of the given rows; rows beyond these are of groups without orders."""
        size = int(rows.max(initial=-1)) + 1
        known = self if size <= len(self.orders) else self.grown(size)
        return OrderTallies(known.orders[rows], known.zero_valued[rows], known.capped[rows])

    def columns(self) -> dict[str, NDArray[np.int64]]:
        """Return the columns by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def count(self, rows: Rows, signs: Int64s, values: Int64s, cap_minor: int | None) -> None:
        """Add orders (sign 1) or take them away (-1)."""
        np.add.at(self.orders, rows, signs)
        np.add.at(self.zero_valued, rows, signs * (values == 0))
        if cap_minor is not None:
            np.add.at(self.capped, rows, signs * (values > cap_minor))
