"""The metrics of an experiment as means of arms: estimate, variance, and units behind it."""

from dataclasses import replace

import numpy as np

from stream_hb.feeds.experiments.arm_statistics import VARIABLES, ArmStatistics, UnitMoments
from stream_hb.feeds.experiments.cuped import Paired, adjusted, theta_of
from stream_hb.feeds.experiments.lift import ArmMean
from stream_hb.feeds.experiments.ratio import ratio_mean
from stream_hb.statistics.columns import Floats

METRICS = ("conversion", "order_rate", "log_order_value", "revenue_per_visit")

LOG_METRICS = ("log_order_value",)
"""Metrics whose differences are relative already: of means of logarithms."""

_VISITS, _CONVERTED, _ORDERS, _REVENUE, _PRE = range(len(VARIABLES))
_NUMERATOR = {"order_rate": _ORDERS, "revenue_per_visit": _REVENUE}


def arm_mean(statistics: ArmStatistics, metric: str) -> ArmMean:
    """Return a metric of every store and arm; variance NaN where it is not known (yet).

    =================== =======================================================================
    conversion          share of units that ordered; binomial
    order_rate          orders per visit; by the delta method over units, Poisson from totals
    log_order_value     mean of logarithms of order values
    revenue_per_visit   revenue per visit by the delta method over units; unknown from totals
    =================== =======================================================================

    Sample variances are divided by n - 1: with many small stores, a division by n would make the
    sum over the stores too sure of itself.
    """
    means = _mean(statistics, metric)
    return means if metric == "log_order_value" else replace(means, outcomes=_outcomes(statistics))


def adjusted_arm_mean(statistics: ArmStatistics, metric: str) -> ArmMean | None:
    """Return the same adjusted for what the units did before; None where that is not known.

    θ is pooled over arms and stores, and the covariate taken about its store's mean: what differs
    between stores is no news of the arms.
    """
    paired = paired_with_past(statistics, metric)
    if paired is None:
        return None
    return replace(adjusted(paired, theta_of(paired)), outcomes=_outcomes(statistics))


def _mean(statistics: ArmStatistics, metric: str) -> ArmMean:
    match metric:
        case "conversion":
            return _conversion(statistics)
        case "log_order_value":
            return _log_order_value(statistics)
        case _ if statistics.joint is not None:
            return _ratio(statistics, _NUMERATOR[metric])
        case "order_rate":
            return _poisson(statistics)
        case _:
            return _unknown(statistics.units)


def _outcomes(statistics: ArmStatistics) -> Floats:
    """Return the buyers, or those who did not buy where they are fewer."""
    return np.minimum(statistics.conversions, statistics.units - statistics.conversions)


def paired_with_past(statistics: ArmStatistics, metric: str) -> Paired | None:
    """Return moments of a unit's outcome with its covariate; of a ratio: of its linearised part.

    M/D varies as (M - RD)/μ_D does, which is what the covariate is to explain.
    """
    joint = statistics.joint
    if joint is None or not joint.has_pre or metric == "log_order_value":
        return None
    plain = arm_mean(statistics, metric)
    if metric == "conversion":
        m2, cross = (joint.comoment[..., _CONVERTED, with_] for with_ in (_CONVERTED, _PRE))
    else:
        m2, cross = _linearised(joint, _NUMERATOR[metric], np.nan_to_num(plain.mean))
    pre_mean, pre_m2 = joint.mean[..., _PRE], joint.comoment[..., _PRE, _PRE]
    return Paired(statistics.units, plain.mean, m2, pre_mean, pre_m2, cross)


def _linearised(joint: UnitMoments, top: int, ratio: Floats) -> tuple[Floats, Floats]:
    """Return the squares of (M - RD)/μ_D, and its products with the covariate."""
    base = np.where(joint.mean[..., _VISITS] > 0, joint.mean[..., _VISITS], 1.0)
    of_top, of_visits = joint.comoment[..., top, :], joint.comoment[..., _VISITS, :]
    m2 = of_top[..., top] - 2 * ratio * of_top[..., _VISITS] + ratio**2 * of_visits[..., _VISITS]
    cross = of_top[..., _PRE] - ratio * of_visits[..., _PRE]
    return np.maximum(m2, 0.0) / base**2, cross / base


def _conversion(statistics: ArmStatistics) -> ArmMean:
    n = statistics.units
    p = _over(statistics.conversions, n)
    return ArmMean(p, _over(p * (1 - p), n - 1), n)


def _log_order_value(statistics: ArmStatistics) -> ArmMean:
    values = statistics.values
    if values is None:
        return _unknown(statistics.units)
    mean, count = np.where(values.count > 0, values.mean, np.nan), values.count
    return ArmMean(mean, _over(values.m2, count - 1) / np.maximum(count, 1), count)


def _ratio(statistics: ArmStatistics, top: int) -> ArmMean:
    joint = statistics.joint
    assert joint is not None
    mean, c = joint.mean, joint.comoment
    return ratio_mean(
        statistics.units,
        mean[..., top],
        c[..., top, top],
        mean[..., _VISITS],
        c[..., _VISITS, _VISITS],
        c[..., top, _VISITS],
    )


def _poisson(statistics: ArmStatistics) -> ArmMean:
    rate = _over(statistics.orders, statistics.visits)
    return ArmMean(rate, _over(rate, statistics.visits), statistics.units)


def _unknown(units: Floats) -> ArmMean:
    nothing = np.full(units.shape, np.nan)
    return ArmMean(nothing, nothing, np.zeros(units.shape))


def _over(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, NaN where there is nothing to divide by."""
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
