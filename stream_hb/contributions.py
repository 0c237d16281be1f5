"""What a batch takes out of each metric's statistic and puts into it.

Visits and conversions weigh as much as their visit's attribution time says, orders and values as
their order's time says; so what is put in can be taken out again to the bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from stream_hb.events.moves import Moves, Signed
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


@dataclass(frozen=True, slots=True)
class Happened:
    """What is put into some groups, or taken out of them.

    Attributes
    ----------
    visits, conversions, orders
        Visits, those that converted, and live orders.
    valued
        Live orders of which the value is above 0.
    log_values
        Logarithm of these values.
    """

    visits: Share
    conversions: Share
    orders: Share
    valued: Share
    log_values: Floats

    @property
    def is_something(self) -> bool:
        """Whether there is anything."""
        return any(len(share.rows) for share in (self.visits, self.conversions, self.orders))


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is taken out of some groups, and what is put in."""

    taken: Happened
    put: Happened

    @classmethod
    def of(cls, moves: Moves, place: Rows) -> Self:
        """Part moves by their sign; ``place`` says where each row stands among the touched."""
        return cls(_happened(moves, place, -1), _happened(moves, place, 1))


def _happened(moves: Moves, place: Rows, sign: int) -> Happened:
    visits, conversions, orders = (
        _share(signed, place, sign) for signed in (moves.visits, moves.conversions, moves.orders)
    )
    values = moves.orders.values[moves.orders.signs == sign]
    valued = Share(orders.rows[values > 0], orders.times_ms[values > 0])
    log_values = np.log(values[values > 0].astype(np.float64))
    return Happened(visits, conversions, orders, valued, log_values)


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
    return [orders, *happened.visits.sums(rule, mark, size)]


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
    columns = CONTRIBUTIONS[metric](happened, rule, mark, size * rule.cells_per_group())
    return rule.folded(kind(*columns[: len(fields(kind))]))  # type: ignore[arg-type]
