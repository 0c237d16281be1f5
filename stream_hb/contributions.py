"""What a batch of events adds to each metric's statistic.

The simple rule: a visit adds one to n, the first purchase of a visit adds one to y, every purchase
adds an order, and its value where it has one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stream_hb.statistics.columns import Floats, Rows, Statistic, sum_by_row
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments


@dataclass(frozen=True, slots=True)
class Happened:
    """One batch's events by the touched group that they belong to.

    Attributes
    ----------
    size
        Number of touched groups; the arrays below hold positions in ``[0, size)``.
    visits
        Group of each visit.
    conversions
        Group of each purchase that is the first of its visit.
    purchases
        Group of each purchase.
    amount_minor
        Order value of each purchase, minor units.
    """

    size: int
    visits: Rows
    conversions: Rows
    purchases: Rows
    amount_minor: Floats


def conversion(happened: Happened) -> Counts:
    """Converting visits out of visits."""
    return Counts(
        sum_by_row(happened.conversions, None, happened.size),
        sum_by_row(happened.visits, None, happened.size),
    )


def order_rate(happened: Happened) -> Exposure:
    """Orders over visits."""
    return Exposure(
        sum_by_row(happened.purchases, None, happened.size),
        sum_by_row(happened.visits, None, happened.size),
    )


def log_order_value(happened: Happened) -> Moments:
    """Log of the order values; an order of amount 0 has none."""
    valued = happened.amount_minor > 0
    return Moments.of(
        happened.purchases[valued], np.log(happened.amount_minor[valued]), happened.size
    )


CONTRIBUTIONS: dict[str, Callable[[Happened], Statistic]] = {
    "conversion": conversion,
    "order_rate": order_rate,
    "log_order_value": log_order_value,
}
