"""What every fit asks of its pool, and how raw estimates are divided."""

from collections.abc import Collection
from typing import TypeVar

import numpy as np

from stream_hb.errors import FitError, nearest
from stream_hb.models.refused import checked, consistent
from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.summary import ExactSummary, as_summary

S = TypeVar("S", bound=Statistic)


def check_method(method: str, methods: Collection[str]) -> None:
    """Refuse a method that the family does not have."""
    if method not in methods:
        raise FitError(f"unknown method {method!r}: {nearest(method, methods)}")


def to_fit(pool: S | ExactSummary[S] | BinnedSummary[S]) -> ExactSummary[S] | BinnedSummary[S]:
    """Return the summary to be fitted; a pool without data, or of no numbers, cannot be."""
    summary = as_summary(_checked(pool))
    if not summary.groups_count:
        raise FitError("no group has data yet: there is nothing to fit")
    return summary


def _checked(
    pool: S | ExactSummary[S] | BinnedSummary[S],
) -> S | ExactSummary[S] | BinnedSummary[S]:
    if isinstance(pool, BinnedSummary):
        return pool
    if isinstance(pool, ExactSummary):
        return ExactSummary(checked(pool.groups))
    # A stream's pool is a summary: one store's orders without visits must not stop all the others.
    return consistent(checked(pool))


def groups_of(pool: S | ExactSummary[S] | BinnedSummary[S]) -> S:
    """Return the groups of a pool that has kept them."""
    if isinstance(pool, BinnedSummary):
        raise FitError(f"expected a pool that has kept its groups, got a {type(pool).__name__}")
    return pool.groups if isinstance(pool, ExactSummary) else pool


def with_data(groups: S, size: Floats) -> S:
    """Return the groups that have any data; a pool without one cannot be fitted."""
    groups, seen = checked(groups), size > 0
    if not seen.any():
        raise FitError("no group has data yet: there is nothing to fit")
    return groups if seen.all() else groups.take(seen)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, giving NaN where the denominator is 0: a group without data has no raw estimate."""
    out = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
