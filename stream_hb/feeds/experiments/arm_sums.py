"""Statistics of arms that grow: more stores, more units in a store, and as plain values."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stream_hb.feeds.experiments.arm_statistics import (
    VARIABLES,
    ArmStatistics,
    UnitMoments,
    ValueMoments,
)
from stream_hb.statistics.columns import Floats, Rows

_KNOWN = len(VARIABLES) - 1
"""A unit's past is not among what is added up."""

_PAIRS = np.triu_indices(_KNOWN)


def no_units(stores: int, arms: int, like: ArmStatistics | None = None) -> ArmStatistics:
    """Return statistics of no unit, of the kind of others.

    >>> no_units(2, 3).shape
    (2, 3)
    """
    size, many = (stores, arms), len(VARIABLES)
    plain_counts = ("units", "visits", "conversions", "orders")
    columns = {name: np.zeros(size) for name in plain_counts}
    if like is not None:
        more = _columns(like).keys() - set(plain_counts)
        shapes = {"means": (*size, many), "comoments": (*size, many, many)}
        columns |= {name: np.zeros(shapes.get(name, size)) for name in more}
    return _of_columns(columns)


def added(into: ArmStatistics, rows: Rows, part: ArmStatistics, stores: int) -> ArmStatistics:
    """Return statistics with more units, and room for more stores.

    Moments by Chan's formula: no squares are subtracted from squares. What one of both does not
    know is not known of the sum.

    Parameters
    ----------
    into
        What there is.
    rows
        Where the stores of the others stand in the sum; ascending or not, distinct.
    part
        The others.
    stores
        How many the sum has.

    Examples
    --------
    >>> one = ArmStatistics.of_totals(*(np.full((1, 2), n) for n in (100.0, 5.0, 6.0)))
    >>> both = added(one, np.array([1]), one, 2)
    >>> added(both, np.array([0]), one, 2).units
    array([[200., 200.],
           [100., 100.]])
    """
    arms = part.shape[1]
    if not into.units.any():
        into = no_units(into.shape[0], arms, part)
    old = spread(into, np.arange(into.shape[0]), stores)
    return _merged(old, spread(part, rows, stores))


def _merged(one: ArmStatistics, other: ArmStatistics) -> ArmStatistics:
    values = joint = capped = None
    if one.values is not None and other.values is not None:
        values = _values(one.values, other.values)
    if one.joint is not None and other.joint is not None:
        joint = _joint(one.units, one.joint, other.units, other.joint)
    if one.capped is not None and other.capped is not None:
        capped = one.capped + other.capped
    return ArmStatistics(
        one.units + other.units,
        one.visits + other.visits,
        one.conversions + other.conversions,
        one.orders + other.orders,
        values,
        joint,
        capped,
    )


def _values(one: ValueMoments, other: ValueMoments) -> ValueMoments:
    count = one.count + other.count
    share = _over(other.count, count)
    away = other.mean - one.mean
    m2 = one.m2 + other.m2 + away**2 * one.count * share
    return ValueMoments(count, one.mean + away * share, m2)


def _joint(n: Floats, one: UnitMoments, m: Floats, other: UnitMoments) -> UnitMoments:
    share = _over(m, n + m)
    away = other.mean - one.mean
    between = away[..., :, None] * away[..., None, :] * (n * share)[..., None, None]
    mean = one.mean + away * share[..., None]
    return UnitMoments(mean, one.comoment + other.comoment + between, has_pre=False)


def _over(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def spread(statistics: ArmStatistics, rows: Rows, stores: int) -> ArmStatistics:
    """Return statistics with its stores at other rows among more."""
    columns = {name: _spread(column, rows, stores) for name, column in _columns(statistics).items()}
    return _of_columns(columns)


def _spread(column: Floats, rows: Rows, stores: int) -> Floats:
    out = np.zeros((stores, *column.shape[1:]))
    out[rows] = column
    return out


def concatenated(one: ArmStatistics, other: ArmStatistics) -> ArmStatistics:
    """Return the statistics of the stores of both."""
    stores = one.shape[0] + other.shape[0]
    if not one.shape[0]:
        return other
    return added(
        spread(one, np.arange(one.shape[0]), stores),
        np.arange(one.shape[0], stores),
        other,
        stores,
    )


def _columns(statistics: ArmStatistics) -> dict[str, Floats]:
    """Return everything that is known, an array a name, a row a store."""
    s = statistics
    found = {"units": s.units, "visits": s.visits, "conversions": s.conversions, "orders": s.orders}
    if s.values is not None:
        found |= {"count": s.values.count, "mean": s.values.mean, "m2": s.values.m2}
    if s.joint is not None:
        found |= {"means": s.joint.mean, "comoments": s.joint.comoment}
    return found if s.capped is None else {**found, "capped": s.capped}


def _of_columns(columns: Mapping[str, Floats]) -> ArmStatistics:
    c = columns
    return ArmStatistics(
        units=c["units"],
        visits=c["visits"],
        conversions=c["conversions"],
        orders=c["orders"],
        values=ValueMoments(c["count"], c["mean"], c["m2"]) if "count" in c else None,
        joint=UnitMoments(c["means"], c["comoments"], has_pre=False) if "means" in c else None,
        capped=c.get("capped"),
    )


def plain(statistics: ArmStatistics) -> dict[str, Floats]:
    """Return statistics as arrays by name, without what is there twice."""
    columns = _columns(statistics)
    if "means" in columns:
        columns["means"] = columns["means"][..., :_KNOWN]
        columns["comoments"] = columns["comoments"][..., _PAIRS[0], _PAIRS[1]]
    return columns


def restored(columns: Mapping[str, Any]) -> ArmStatistics:
    """Undo :func:`plain`."""
    found = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    if "means" in found:
        means, pairs = found["means"], found["comoments"]
        shape, many = means.shape[:2], len(VARIABLES)
        found["means"] = np.zeros((*shape, many))
        found["means"][..., :_KNOWN] = means
        found["comoments"] = np.zeros((*shape, many, many))
        found["comoments"][..., _PAIRS[0], _PAIRS[1]] = pairs
        found["comoments"][..., _PAIRS[1], _PAIRS[0]] = pairs
    return _of_columns(found)
