"""What a batch takes out of each metric's statistic and puts into it.

Visits and conversions weigh as much as their visit's attribution time says, orders and values as
their order's time says; so what is put in can be taken out again to the bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import numpy as np

from stream_hb.events.batch import Bools
from stream_hb.events.moves import Moves, Signed
from stream_hb.events.totals import Summed, TotalsChange
from stream_hb.field_names import field_names
from stream_hb.statistics.columns import Floats, Rows, Statistic, sum_by_row
from stream_hb.statistics.decayed_moments import DecayedMoments
from stream_hb.statistics.forgetting import Forgetting, Int64s
from stream_hb.statistics.moments import Moments


@dataclass(frozen=True, slots=True)
class Share:
    """Things of one sort that happened in groups.

    Attributes
    ----------
    rows, times_ms
        Group and time of each.
    numbers
        How many each stands for; None: one.
    """

    rows: Rows
    times_ms: Int64s
    numbers: Floats | None = None

    def take(self, mine: Bools) -> Self:
        """Return some of them."""
        numbers = None if self.numbers is None else self.numbers[mine]
        return type(self)(self.rows[mine], self.times_ms[mine], numbers)

    def joined(self, other: Self) -> Self:
        """Return both."""
        numbers = None
        if self.numbers is not None or other.numbers is not None:
            numbers = np.concatenate([_ones(self), _ones(other)])
        return type(self)(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.times_ms, other.times_ms]),
            numbers,
        )

    def sums(self, rule: Forgetting, mark: int, size: int) -> tuple[Floats, Floats]:
        """Return Σw, and Σw² where things have weights, by cell."""
        cells = rule.cells(self.rows, self.times_ms, mark)
        numbers = None if self.numbers is None else self.numbers[cells.kept]
        if cells.weights is None:
            return sum_by_row(cells.places, numbers, size), np.empty(0)
        mass = cells.weights if numbers is None else cells.weights * numbers
        return (
            sum_by_row(cells.places, mass, size),
            sum_by_row(cells.places, mass * cells.weights, size),
        )


def _ones(share: Share) -> Floats:
    return np.ones(len(share.rows)) if share.numbers is None else share.numbers


Which = Callable[[Share], Bools]
"""Tells which of some things are meant."""

Where = Callable[[Share], Rows]
"""Returns other numbers for the groups of some things."""


def _moved(share: Share, where: Where) -> Share:
    return replace(share, rows=where(share))


@dataclass(frozen=True, slots=True)
class Happened:
    """What is put into some groups, or taken out of them.

    Attributes
    ----------
    visits, conversions
        Visits, and those that converted.
    exposed, orders
        Visits that could bring orders, and live orders: the same visits, but for totals that do
        not say how many orders there were.
    valued
        Live orders of which the value is above 0.
    log_values
        Logarithm of these values.
    sums
        Sums of further such logarithms.
    """

    visits: Share
    conversions: Share
    exposed: Share
    orders: Share
    valued: Share
    log_values: Floats
    sums: "Sums | None" = None

    @property
    def is_something(self) -> bool:
        """Whether there is anything."""
        return any(len(share.rows) for share in self.all)

    def _shares(self) -> tuple[Share, ...]:
        return self.visits, self.conversions, self.exposed, self.orders, self.valued

    @property
    def all(self) -> list[Share]:
        """Everything of it that has a group and a time."""
        return [*self._shares(), *([self.sums.share] if self.sums else [])]

    def snapshot(self) -> list[Any]:
        """Return it as plain values and arrays."""
        shares = [[share.rows, share.times_ms, share.numbers] for share in self.all]
        sums = [self.sums.mean, self.sums.m2] if self.sums else None
        return [shares, self.log_values, sums]

    @classmethod
    def restored(cls, state: Sequence[Any]) -> Self:
        """Undo :meth:`snapshot`."""
        shares = [Share(*columns) for columns in state[0]]
        sums = Sums(shares[5], *state[2]) if state[2] else None
        return cls(shares[0], shares[1], shares[2], shares[3], shares[4], state[1], sums)

    def part(self, which: Which) -> Self:
        """Return some of it."""
        a, b, c, d, e = (share.take(which(share)) for share in self._shares())
        sums = self.sums.take(which(self.sums.share)) if self.sums else None
        return type(self)(a, b, c, d, e, self.log_values[which(self.valued)], sums)

    def at(self, where: Where) -> Self:
        """Return the same with other numbers for the groups."""
        sums = self.sums and replace(self.sums, share=_moved(self.sums.share, where))
        a, b, c, d, e = (_moved(share, where) for share in self._shares())
        return type(self)(a, b, c, d, e, self.log_values, sums)

    def joined(self, other: Self) -> Self:
        """Return both."""
        pairs = zip(self._shares(), other._shares(), strict=True)
        a, b, c, d, e = (one.joined(two) for one, two in pairs)
        sums = self.sums.joined(other.sums) if self.sums and other.sums else None
        log_values = np.concatenate([self.log_values, other.log_values])
        return type(self)(a, b, c, d, e, log_values, sums or self.sums or other.sums)


@dataclass(frozen=True, slots=True)
class Sums:
    """Moments that somebody else summed up.

    Attributes
    ----------
    share
        Group, time and number of observations of each.
    mean, m2
        Mean and sum of squared deviations.
    """

    share: Share
    mean: Floats
    m2: Floats

    def take(self, mine: Bools) -> Self:
        """Return some of them."""
        return type(self)(self.share.take(mine), self.mean[mine], self.m2[mine])

    def joined(self, other: Self) -> Self:
        """Return both."""
        mean, m2 = np.concatenate([self.mean, other.mean]), np.concatenate([self.m2, other.m2])
        return type(self)(self.share.joined(other.share), mean, m2)

    def merged(self, rule: Forgetting, mark: int, size: int, into: Statistic) -> Statistic:
        """Merge them into statistics by cell, of each cell one at a time."""
        cells = rule.cells(self.share.rows, self.share.times_ms, mark)
        numbers = np.ones(len(cells.places)) if self.share.numbers is None else self.share.numbers
        weights = np.ones(len(cells.places)) if cells.weights is None else cells.weights
        number, mean, m2 = numbers[cells.kept], self.mean[cells.kept], self.m2[cells.kept]
        columns = (weights * number, mean, weights * m2, weights**2 * number)
        order = np.argsort(cells.places, kind="stable")
        places = cells.places[order]
        first = np.searchsorted(places, places)  # where each cell's begin
        turn = np.arange(len(places)) - first
        for number_of_turn in range(int(turn.max(initial=-1)) + 1):
            mine = order[turn == number_of_turn]
            part = type(into).zeros(size)
            for column, values in zip(part.columns().values(), columns, strict=False):
                column[cells.places[mine]] = values[mine]
            into = into.merge(part)
        return into


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is taken out of some groups, and what is put in."""

    taken: Happened
    put: Happened

    @classmethod
    def of_totals(cls, change: TotalsChange, place: Rows) -> Self:
        """Return what totals take out and put in."""
        return cls(_of_totals(change.taken, place), _of_totals(change.put, place))

    @classmethod
    def of(cls, moves: Moves, place: Rows, cap_minor: int | None = None) -> Self:
        """Part moves by their sign; ``place`` says where each row stands among the touched.

        Values above ``cap_minor`` count as that much.
        """
        return cls(*(_happened(moves, place, sign, cap_minor) for sign in (-1, 1)))

    def part(self, which: Which) -> Self:
        """Return some of it."""
        return type(self)(self.taken.part(which), self.put.part(which))

    def within(self, chosen: Bools) -> Self:
        """Return what concerns some of the touched groups."""
        return self.part(lambda share: chosen[share.rows])

    def at(self, where: Where) -> Self:
        """Return the same with other numbers for the groups."""
        return type(self)(self.taken.at(where), self.put.at(where))

    def placed(self, place: Rows) -> Self:
        """Return the same with other numbers for the groups: those at theirs in ``place``."""
        return self.at(lambda share: place[share.rows])

    def joined(self, other: Self) -> Self:
        """Return both."""
        return type(self)(self.taken.joined(other.taken), self.put.joined(other.put))

    def _all(self) -> list[Share]:
        return [*self.taken.all, *self.put.all]

    @property
    def rows(self) -> Rows:
        """The groups that it concerns, some of them several times."""
        return np.concatenate([share.rows for share in self._all()])

    def after(self, time_ms: int) -> Self | None:
        """Return what happened later than a time; None: nothing did."""
        if max(int(share.times_ms.max(initial=0)) for share in self._all()) <= time_ms:
            return None
        return self.part(lambda share: share.times_ms > time_ms)

    def snapshot(self) -> list[Any]:
        """Return it as plain values and arrays."""
        return [self.taken.snapshot(), self.put.snapshot()]

    @classmethod
    def restored(cls, state: Sequence[Any]) -> Self:
        """Undo :meth:`snapshot`."""
        return cls(*(Happened.restored(side) for side in state))


def _happened(moves: Moves, place: Rows, sign: int, cap_minor: int | None) -> Happened:
    if not any(np.count_nonzero(signed.signs == sign) for signed in moves.all):
        return _no_moves()
    visits, conversions, orders = (_share(signed, place, sign) for signed in moves.all)
    values = moves.orders.values[moves.orders.signs == sign]
    if cap_minor is not None:
        values = np.minimum(values, cap_minor)
    valued = Share(orders.rows[values > 0], orders.times_ms[values > 0])
    log_values = np.log(values[values > 0].astype(np.float64))
    return Happened(visits, conversions, visits, orders, valued, log_values)


@cache
def _no_moves() -> Happened:
    nowhere = Share(np.empty(0, np.intp), np.empty(0, np.int64))
    return Happened(nowhere, nowhere, nowhere, nowhere, nowhere, np.empty(0))


def _of_totals(summed: Summed, place: Rows) -> Happened:
    return _of_some_totals(summed, place) if len(summed.row) else _nothing()


@cache
def _nothing() -> Happened:
    nowhere = Share(np.empty(0, np.intp), np.empty(0, np.int64))
    told = Share(nowhere.rows, nowhere.times_ms, np.empty(0))
    return Happened(told, told, told, told, nowhere, np.empty(0))


def _of_some_totals(summed: Summed, place: Rows) -> Happened:
    rows, times = place[summed.row], summed.middle_ms
    told = [
        Share(rows[known], times[known], numbers[known].astype(np.float64))
        for numbers, known in (
            (summed.visits, summed.conversions >= 0),
            (summed.conversions, summed.conversions >= 0),
            (summed.visits, summed.orders >= 0),
            (summed.orders, summed.orders >= 0),
            (summed.log_count, summed.log_count > 0),
        )
    ]
    valued = summed.log_count > 0
    sums = Sums(told[4], summed.log_mean[valued], summed.log_m2[valued]) if valued.any() else None
    nowhere = Share(rows[:0], times[:0])
    return Happened(told[0], told[1], told[2], told[3], nowhere, np.empty(0), sums)


def _share(signed: Signed, place: Rows, sign: int) -> Share:
    mine = signed.signs == sign
    return Share(place[signed.rows[mine]], signed.times_ms[mine])


def conversion(happened: Happened, rule: Forgetting, mark: int, size: int) -> list[Floats]:
    """Return converting visits, visits and, where they have weights, the squares of these."""
    converted, _ = happened.conversions.sums(rule, mark, size)
    return [converted, *happened.visits.sums(rule, mark, size)]


def order_rate(happened: Happened, rule: Forgetting, mark: int, size: int) -> list[Floats]:
    """Return orders, visits and, where they have weights, the squares of these."""
    orders, _ = happened.orders.sums(rule, mark, size)
    return [orders, *happened.exposed.sums(rule, mark, size)]


def log_order_value(happened: Happened, rule: Forgetting, mark: int, size: int) -> list[Floats]:
    """Return the moments of the log order values; an order of amount 0 has none."""
    cells = rule.cells(happened.valued.rows, happened.valued.times_ms, mark)
    values = happened.log_values[cells.kept]
    if cells.weights is None:
        return list(Moments.of(cells.places, values, size).columns().values())
    return list(DecayedMoments.of(cells.places, values, cells.weights, size).columns().values())


CONTRIBUTIONS: dict[str, Callable[[Happened, Forgetting, int, int], list[Floats]]] = {
    "conversion": conversion,
    "order_rate": order_rate,
    "log_order_value": log_order_value,
}


def contribution(
    metric: str, kind: type[Statistic], happened: Happened, rule: Forgetting, mark: int, size: int
) -> Statistic:
    """Return the statistic of what happened in ``size`` groups as the metric's rule keeps it."""
    cells = size * rule.cells_per_group()
    columns = CONTRIBUTIONS[metric](happened, rule, mark, cells)
    made = kind(*columns[: len(field_names(kind))])
    if happened.sums is not None and metric == "log_order_value":
        made = happened.sums.merged(rule, mark, cells, made)
    return rule.folded(made)
