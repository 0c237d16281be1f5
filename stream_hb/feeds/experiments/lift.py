"""The lift of an arm over its control, absolute or relative, and its posterior under a prior."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class ArmMean:
    """The mean outcome of arms, with the variance of that mean; arrays of any one shape.

    Attributes
    ----------
    mean
        Mean outcome of a unit.
    variance
        Variance of the mean (not of one unit); NaN while it is not known.
    units
        Units behind it.
    outcomes
        How many of them are not like all the others (buyers, where most do not buy): what a mean's
        normality hangs on. None: all.
    """

    mean: Floats
    variance: Floats
    units: Floats
    outcomes: Floats | None = None


class Lift(NamedTuple):
    """An estimated effect and its sampling variance, arrays of any one shape."""

    effect: Floats
    variance: Floats


class LiftPrior(NamedTuple):
    """What is believed of a relative lift beforehand: Normal(mean, sd²)."""

    mean: float = 0.0
    sd: float = 0.3


def absolute_lift(control: ArmMean, arm: ArmMean) -> Lift:
    """Return m_B - m_A."""
    return Lift(arm.mean - control.mean, arm.variance + control.variance)


def relative_lift(control: ArmMean, arm: ArmMean) -> Lift:
    r"""Return (m_B - m_A)/\|m_A\| with its variance by the delta method; NaN over a mean of 0.

    .. math:: V = V_B/m_A^2 + V_A m_B^2/m_A^4

    The absolute value matters: without it, a rise from -10 to -9 would read as a fall of 10 %.

    Examples
    --------
    >>> one = lambda mean, variance: ArmMean(np.array(mean), np.array(variance), np.array(10.0))
    >>> lift = relative_lift(one(-10.0, 0.025), one(-9.0, 1.1277777777777779))
    >>> float(lift.effect), round(float(lift.variance) ** 0.5, 10)
    (0.1, 0.1071460582)
    """
    base = np.where(control.mean == 0, np.nan, control.mean)
    spread = arm.variance / base**2 + control.variance * (arm.mean / base**2) ** 2
    return Lift((arm.mean - control.mean) / np.abs(base), spread)


def lift_posterior(lift: Lift, prior: LiftPrior | None, scale: Floats | float = 1.0) -> Lift:
    """Return the Normal posterior of a lift; None: a flat prior.

    Parameters
    ----------
    lift
        The estimate.
    prior
        Of the relative lift.
    scale
        What turns a relative lift into this one: 1, or |m_A| for an absolute one.

    Examples
    --------
    >>> posterior = lift_posterior(Lift(np.array(0.1), np.array(0.09)), LiftPrior(0.0, 0.3))
    >>> float(posterior.effect), round(float(posterior.variance), 6)
    (0.05, 0.045)
    """
    if prior is None:
        return lift
    mean, variance = prior.mean * np.asarray(scale), (prior.sd * np.asarray(scale)) ** 2
    share = variance / (variance + lift.variance)
    return Lift(mean + share * (lift.effect - mean), share * lift.variance)


def normal_interval(lift: Lift, level: float) -> tuple[Floats, Floats]:
    """Return the equal-tailed interval of a Normal posterior."""
    half = float(ndtri((1 + level) / 2)) * np.sqrt(lift.variance)
    return lift.effect - half, lift.effect + half


class FixedTest(NamedTuple):
    """A test that is looked at once: Welch's t.

    p_value, p_above
        Two-sided, and against "no effect or a negative one".
    half_width
        Of the two-sided interval.
    half_width_one_sided
        From the estimate to the one-sided bound.
    """

    p_value: Floats
    p_above: Floats
    half_width: Floats
    half_width_one_sided: Floats


def fixed_test(lift: Lift, control: ArmMean, arm: ArmMean, level: float) -> FixedTest:
    """Return Welch's test: what a fixed sample says, and a daily look at it does not.

    Looked at every day for 30 days it fires in 27 of 100 experiments without any effect: it is
    here to be compared with, no decision reads it.
    """
    se = np.sqrt(lift.variance)
    degrees = _welch_degrees(control, arm)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = lift.effect / se
    return FixedTest(
        2 * stdtr(degrees, -np.abs(t)),
        stdtr(degrees, -t),
        stdtrit(degrees, (1 + level) / 2) * se,
        stdtrit(degrees, level) * se,
    )


def _welch_degrees(control: ArmMean, arm: ArmMean) -> Floats:
    total = (control.variance + arm.variance) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [one.variance**2 / (one.units - 1) for one in (control, arm)]
        degrees: Floats = total / (parts[0] + parts[1])
    return degrees
