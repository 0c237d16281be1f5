"""Money: one currency a group, dated rates, caps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.batch import Bools, Int64s, Texts
from stream_hb.events.currencies import Codes, Currencies
from stream_hb.field_names import field_names
from stream_hb.statistics.columns import Floats, Rows

DAY_MS = 86_400_000
_PLACES = np.array([26 * 26, 26, 1])

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
    return int(codes_of(np.array([currency]))[0])


def codes_of(currencies: Texts) -> Int64s:
    """Return numbers for currencies, the same for ever and in the order of their names; 0 for none.

    >>> codes_of(np.array(["AAA", "EUR", "ZZZ", ""]))
    array([    1,  3242, 17576,     0])
    """
    letters = np.ascontiguousarray(currencies, "U3").view(np.uint32).reshape(-1, 3)
    codes: Int64s = (letters.astype(np.int64) - ord("A")) @ _PLACES + 1
    return np.maximum(codes, 0)


def _names_of(codes: Codes) -> Texts:
    """Undo :func:`codes_of`."""
    letters = (codes.astype(np.int64)[:, None] - 1) // _PLACES % 26 + ord("A")
    letters[codes == 0] = 0
    names: Texts = letters.astype(np.uint32).view("U3").reshape(-1)
    return names


@dataclass(frozen=True, slots=True)
class MoneyRules:
    """How money is taken.

    Attributes
    ----------
    currency
        The currency of every group; None: that of a group's earliest order.
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


@dataclass(frozen=True, slots=True)
class Purse:
    """The groups' currencies, as a candidate sees them; numbers are those of :func:`codes_of`.

    Attributes
    ----------
    rules
        How money is taken.
    base
        By row, the currency in which amounts are remembered under the number 0: one of the first
        to arrive, for good. Which one makes no difference; it needs no room.
    current
        By row, the currency of the group's earliest purchase, of several at once the first by
        name; 0 before any.
    since_ms
        The time of that purchase; 0: the currency is settled, whatever comes.
    """

    rules: MoneyRules
    base: Codes = field(default_factory=lambda: np.empty(0, np.uint16))
    current: Codes = field(default_factory=lambda: np.empty(0, np.uint16))
    since_ms: Int64s = field(default_factory=lambda: np.empty(0, np.int64))

    def grown(self, size: int) -> Self:
        """Return the purse with room for so many groups."""
        more = size - len(self.base)
        if not more:
            return self
        settled = np.full(more, _code(self.rules.currency) if self.rules.currency else 0, np.uint16)
        return replace(
            self,
            base=np.concatenate([self.base, settled]),
            current=np.concatenate([self.current, settled]),
            since_ms=np.concatenate([self.since_ms, np.zeros(more, np.int64)]),
        )

    def names(self, rows: Rows) -> list[str | None]:
        """Return groups' currencies; None before their first order."""
        return [name or None for name in self.texts(rows).tolist()]

    def texts(self, rows: Rows) -> Texts:
        """Return groups' currencies; empty before their first order."""
        return _names_of(self.take(rows).current)

    def sold(self, rows: Rows, codes: Int64s, times_ms: Int64s) -> Self:
        """Return the purse after some purchases."""
        now, since_ms = self.current[rows], self.since_ms[rows]
        earlier = (times_ms < since_ms) | ((times_ms == since_ms) & (codes < now)) | (now == 0)
        if not earlier.any():
            return self
        rows, codes, times_ms = rows[earlier], codes[earlier], times_ms[earlier]
        order = np.lexsort((codes, times_ms, rows))
        places, first = np.unique(rows[order], return_index=True)
        current, since = self.current.copy(), self.since_ms.copy()
        current[places] = codes[order][first]
        since[places] = times_ms[order][first]
        return replace(self, current=current, since_ms=since)

    def based(self, rows: Rows, codes: Int64s) -> Self:
        """Return the purse where groups that remember no amounts yet are to remember some."""
        new = self.base[rows] == 0
        if not new.any():
            return self
        base, current = self.base.copy(), self.current[rows]
        base[rows[new]] = np.where(current == 0, codes, current)[new]
        return replace(self, base=base)

    def foreign(self, rows: Rows, codes: Int64s) -> Bools:
        """Tell which amounts are in another currency than their group's, as far as is known."""
        current = self.current[rows]
        foreign: Bools = (codes != current) & (current != 0)
        return foreign

    def numbers(self, rows: Rows, codes: Int64s) -> Int64s:
        """Return the numbers under which amounts are remembered."""
        return np.where(codes == self.base[rows], 0, codes)

    def changed(self, before: Self) -> Rows:
        """Return the groups whose earliest purchase is another one than before."""
        if self is before:
            return np.empty(0, np.intp)
        old = before.grown(len(self.base))
        news = (self.since_ms != old.since_ms) | (self.current != old.current)
        return np.flatnonzero(news | (self.base != old.base))

    def currencies(self, before: Self) -> Currencies | None:
        """Return what orders are to know of currencies; None: all are converted into one."""
        if self.rules.rates is not None:
            return None
        if self is before:
            return Currencies(self.base, self.current, np.empty(0, np.intp))
        size = len(before.base)
        turned = (before.base != 0) & (before.current != self.current[:size])
        return Currencies(self.base, self.current, np.flatnonzero(turned))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the purse as columns by row, the currencies by name; what :meth:`restored` takes.

        Without orders in another currency there is no column of the base: it says nothing then.
        """
        columns = {"currency": _names_of(self.current), "currency_since_ms": self.since_ms}
        if (self.base != self.current).any():
            columns["base_currency"] = _names_of(self.base)
        return columns

    def take(self, rows: Rows) -> Self:
        """Return the purse of some groups; those beyond its end have none."""
        known = self.grown(max(int(rows.max(initial=-1)) + 1, len(self.base)))
        columns = known.base[rows], known.current[rows], known.since_ms[rows]
        return type(self)(self.rules, *columns)

    @classmethod
    def restored(cls, rules: MoneyRules, columns: Mapping[str, NDArray[Any]]) -> Self:
        """Make a purse of its columns.

        Where no base is named it is the currency. Versions before had that alone: of such a group
        nobody knows since when, and what came in other currencies is lost, so it is settled.
        """
        current = codes_of(columns["currency"])
        if rules.currency is not None:
            current = np.where(current == 0, _code(rules.currency), current)
        base = codes_of(columns.get("base_currency", columns["currency"]))
        base = np.where(base == 0, current, base)
        since_ms = columns.get("currency_since_ms", np.zeros(len(current), np.int64))
        return cls(rules, base.astype(np.uint16), current.astype(np.uint16), since_ms)


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
        return {name: getattr(self, name) for name in field_names(OrderTallies)}

    def count(self, rows: Rows, signs: Int64s, values: Int64s, cap_minor: int | None) -> None:
        """Add orders (sign 1) or take them away (-1)."""
        np.add.at(self.orders, rows, signs)
        np.add.at(self.zero_valued, rows, signs * (values == 0))
        if cap_minor is not None:
            np.add.at(self.capped, rows, signs * (values > cap_minor))
