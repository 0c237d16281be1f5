"""CUPED: outcomes adjusted for what the same units did before, so that their variance is less.

Deng, Xu, Kohavi & Walker (2013), doi:10.1145/2433396.2433413. The covariate is of the time before
the experiment, so the arms do not differ in it but by chance.
"""

from dataclasses import dataclass

import numpy as np

from stream_hb.feeds.experiments.lift import ArmMean, Lift
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Paired:
    """Outcome Y and covariate X of units, moments of each arm; arrays of any one shape.

    Attributes
    ----------
    units
        Units of the arm.
    mean, pre_mean
        Means of Y and X.
    m2, pre_m2
        Sums of squared deviations.
    cross
        Sum of products of both deviations.
    """

    units: Floats
    mean: Floats
    m2: Floats
    pre_mean: Floats
    pre_m2: Floats
    cross: Floats


def theta_of(arms: Paired) -> float:
    """Return θ = Cov(Y, X)/Var(X), pooled over all arms; 0 where either does not vary.

    >>> one = np.array([4.0, 4.0])
    >>> theta_of(Paired(one, one, 3 * one, one, 2 * one, one))
    0.5
    """
    spread, outcome = float(arms.pre_m2.sum()), float(arms.m2.sum())
    return float(arms.cross.sum()) / spread if spread > 0 and outcome > 0 else 0.0


def adjusted(arms: Paired, theta: float) -> ArmMean:
    r"""Return the mean of Y - θX (about X's mean over all arms) and its variance.

    .. math:: V = (Var\,Y + θ^2 Var\,X - 2θ\,Cov)/n

    Taking X about its overall mean moves every arm alike and leaves the outcome's own unit.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        overall = float((arms.units * arms.pre_mean).sum() / arms.units.sum())
        m2 = arms.m2 + theta**2 * arms.pre_m2 - 2 * theta * arms.cross
        variance = np.maximum(m2, 0.0) / (arms.units - 1) / arms.units
    mean = arms.mean - theta * (arms.pre_mean - overall)
    return ArmMean(mean, np.where(arms.units > 1, variance, np.nan), arms.units)


def adjusted_relative_lift(control: Paired, arm: Paired, theta: float) -> Lift:
    r"""Return the adjusted difference over the *unadjusted* control mean, as gbstats' HEAD has it.

    The numerator's and the denominator's chance go together: with Y and X of A and B and
    :math:`c = -\bar Y_B/\bar Y_A`,

    .. math:: V = \frac{Var(Y_B) + θ^2Var(X_B) - 2θCov_B}{n_B \bar Y_A^2} +
                  \frac{c^2Var(Y_A) + θ^2Var(X_A) + 2cθCov_A}{n_A \bar Y_A^2}
    """
    base = np.where(control.mean == 0, np.nan, control.mean)
    ratio = -arm.mean / base
    difference = arm.mean - control.mean - theta * (arm.pre_mean - control.pre_mean)
    first = _variance(arm, -1.0, theta) / (arm.units * base**2)
    second = _variance(control, ratio, theta) / (control.units * base**2)
    return Lift(difference / np.abs(base), first + second)


def _variance(arm: Paired, factor: Floats | float, theta: float) -> Floats:
    """Return the variance of factor·Y + θX of one unit."""
    m2 = factor**2 * arm.m2 + theta**2 * arm.pre_m2 + 2 * factor * theta * arm.cross
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(arm.units > 1, np.maximum(m2, 0.0) / (arm.units - 1), np.nan)


def of_stores(units: Floats, mean: Floats, m2: Floats, pre_rate: Floats) -> Paired:
    """Return the arms' moments where a unit's covariate is its store's rate before the experiment.

    Parameters
    ----------
    units, mean, m2
        Of the outcome in each store and arm, shape (stores, arms).
    pre_rate
        Of each store; NaN where it has no past: it then has the average one.

    Returns
    -------
    One row per arm.
    """
    known = np.isfinite(pre_rate)
    weight = units.sum(axis=1) * known
    usual = float((weight * np.where(known, pre_rate, 0.0)).sum() / max(weight.sum(), 1e-300))
    x = np.where(known, pre_rate, usual)[:, None]
    total = np.maximum(units.sum(axis=0), 1e-300)
    seen = np.where(units > 0, mean, 0.0)
    y_bar, x_bar = (units * seen).sum(axis=0) / total, (units * x).sum(axis=0) / total
    y_away, x_away = np.where(units > 0, seen - y_bar, 0.0), x - x_bar
    return Paired(
        units.sum(axis=0),
        y_bar,
        (m2 + units * y_away**2).sum(axis=0),
        x_bar,
        (units * x_away**2).sum(axis=0),
        (units * y_away * x_away).sum(axis=0),
    )
