"""What a batch says of visits, orders and refunds: the input of the attribution, as columns.

Keys are ids scoped to their group (:func:`stream_hb.events.id_hash.scoped`), 0 where there is none.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from stream_hb.events.batch import Bools, Hashes, Int64s
from stream_hb.statistics.columns import Rows

_HASHES = np.empty(0, np.uint64)
_NUMBERS = np.empty(0, np.int64)
_ROWS = np.empty(0, np.intp)
_MARKS = np.empty(0, np.bool_)


@dataclass(frozen=True, slots=True)
class VisitMentions:
    """Visit events.

    Attributes
    ----------
    key, row
        The visit and its group.
    time_ms
        When it was.
    visitor
        Whose it was; 0: nobody says.
    arm
        Number of the arm that it was in; -1: none.
    is_bot
        Whether the sender takes it for a bot's.
    """

    key: Hashes
    row: Rows
    time_ms: Int64s
    visitor: Hashes
    arm: Int64s
    is_bot: Bools


@dataclass(frozen=True, slots=True)
class OrderMentions:
    """Purchase events.

    Attributes
    ----------
    key, row
        The order and its group.
    time_ms, revision, amount_minor
        As the event says.
    visit_key
        The visit that it belongs to; 0: none is named.
    visitor, arm, is_bot
        As in :class:`VisitMentions`.
    currency
        Number of the amount's currency; 0: the one that the group's rows are written in. Where no
        rates convert, equal ids in two currencies have two keys.
    """

    key: Hashes
    row: Rows
    time_ms: Int64s
    revision: Int64s
    amount_minor: Int64s
    visit_key: Hashes
    visitor: Hashes
    arm: Int64s
    is_bot: Bools
    currency: Int64s


@dataclass(frozen=True, slots=True)
class RefundMentions:
    """Refund events.

    Attributes
    ----------
    key, row
        The refund and its group.
    order_key
        The order that it is of.
    time_ms, amount_minor
        As the event says; the amount is above 0.
    cancels
        Whether nothing of the order is left.
    currency
        As in :class:`OrderMentions`.
    """

    key: Hashes
    row: Rows
    order_key: Hashes
    time_ms: Int64s
    amount_minor: Int64s
    cancels: Bools
    currency: Int64s


@cache
def no_visits() -> VisitMentions:
    """Return what a batch without visits says of them."""
    return VisitMentions(_HASHES, _ROWS, _NUMBERS, _HASHES, _NUMBERS, _MARKS)


@cache
def no_orders() -> OrderMentions:
    """Return what a batch without purchases says of them."""
    whose = (_HASHES, _HASHES, _NUMBERS, _MARKS)
    return OrderMentions(_HASHES, _ROWS, _NUMBERS, _NUMBERS, _NUMBERS, *whose, _NUMBERS)


@cache
def no_refunds() -> RefundMentions:
    """Return what a batch without refunds says of them."""
    return RefundMentions(_HASHES, _ROWS, _HASHES, _NUMBERS, _NUMBERS, _MARKS, _NUMBERS)
