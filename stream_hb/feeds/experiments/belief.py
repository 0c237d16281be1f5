"""What is believed of the arms, and of their lift over the control, over the whole chain.

Nothing here decides. A posterior may be looked at whenever one likes, and is right about its errors
only where its prior is; a decision needs evidence (``evidence.py``), whatever is believed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.best_of import Arm, best_of
from stream_hb.feeds.experiments.beta_arms import Beta, TwoArms, compare_rates
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.evidence import Evidence
from stream_hb.feeds.experiments.gamma_arms import Gamma, compare_counts
from stream_hb.feeds.experiments.lift import (
    ArmMean,
    Lift,
    absolute_lift,
    lift_posterior,
    normal_interval,
)
from stream_hb.feeds.experiments.normal_effect import Normal, compare_means, judge_effect
from stream_hb.feeds.experiments.outcomes import LOG_METRICS, arm_mean


class ArmBelief(NamedTuple):
    """One arm: posterior mean and sd, P(best), and the expected loss of choosing it."""

    mean: float
    sd: float
    probability_best: float
    expected_loss: float


class LiftBelief(NamedTuple):
    """Posterior of a relative lift, expected losses of keeping the control and of shipping."""

    mean: float
    sd: float
    lo: float
    hi: float
    probability_above: float
    loss_keep: float
    loss_ship: float


def arm_beliefs(
    experiment: Experiment, statistics: ArmStatistics, metric: str
) -> list[ArmBelief | None]:
    """Return every arm's posterior over the chain, None where it has no data (or no weight).

    Conversion is Beta (uniform prior), order rate Gamma (prior shape 1/2), the others Normal;
    P(best) and losses are exact or by quadrature, among the arms that have data. The stores' cells
    are added up: where arms have other shares in other stores, stores' levels are in it.
    """
    chain = statistics.chain()
    posteriors = [
        _posterior(chain, metric, i) if arm.weight > 0 else None
        for i, arm in enumerate(experiment.arms)
    ]
    live = [one for one in posteriors if one is not None]
    found = iter(_judged(live)) if live else iter(())
    return [None if one is None else ArmBelief(*_moments(one), *next(found)) for one in posteriors]


def _posterior(chain: ArmStatistics, metric: str, i: int) -> Arm | None:
    units = float(chain.units[0, i])
    if units == 0:
        return None
    if metric == "conversion":
        y = float(chain.conversions[0, i])
        return Beta(1 + y, 1 + units - y)
    means = arm_mean(chain, metric)
    mean, variance = float(means.mean[0, i]), float(means.variance[0, i])
    if metric == "order_rate":
        return _gamma(mean, variance, float(chain.visits[0, i]))
    return Normal(mean, math.sqrt(variance)) if variance > 0 else None


def _gamma(mean: float, variance: float, visits: float) -> Gamma | None:
    """Return the posterior of a rate: as many orders and visits as have this mean and variance."""
    if not visits > 0:
        return None
    if not variance > 0:  # without an order
        return Gamma(0.5, visits)
    return Gamma(0.5 + mean**2 / variance, mean / variance)


def _moments(arm: Arm) -> tuple[float, float]:
    if isinstance(arm, Normal):
        return arm.mean, arm.sd
    assert isinstance(arm, Beta | Gamma)
    return arm.mean, math.sqrt(arm.variance)


def _judged(arms: Sequence[Arm]) -> list[tuple[float, float]]:
    """Return P(best) and expected loss of each: in closed form for two arms."""
    match arms:
        case [_]:
            return [(1.0, 0.0)]
        case [Beta() as a, Beta() as b]:
            return _of_two(compare_rates(a, b))
        case [Gamma() as a, Gamma() as b]:
            return _of_two(compare_counts(a, b))
        case [Normal() as a, Normal() as b]:
            return _of_two(compare_means(a, b))
        case _:
            best = best_of(arms)
            return list(zip(best.probability.tolist(), best.loss.tolist(), strict=True))


def _of_two(arms: TwoArms) -> list[tuple[float, float]]:
    return [(1 - arms.probability, arms.loss_keep), (arms.probability, arms.loss_ship)]


def believed_lift(experiment: Experiment, control: ArmMean, arm: ArmMean, *, is_log: bool) -> Lift:
    """Return the posterior of absolute lifts under the declared prior of relative ones.

    The prior is scaled by the mean of both arms, which says nothing of their difference. Scaled by
    the control's, or taken of the relative lift itself, a control that is high by chance is a fall
    with a small standard error: looked at daily, 8 of 10 wrong signs are then falls.

    Parameters
    ----------
    experiment
        Has the prior.
    control, arm
        Means, arrays of any one shape.
    is_log
        Whether the means are of logarithms: their differences are relative already.
    """
    both = (control.units * control.mean + arm.units * arm.mean) / (control.units + arm.units)
    scale = np.ones_like(both) if is_log else np.abs(both)
    return lift_posterior(absolute_lift(control, arm), experiment.prior, scale)


def lift_belief(
    experiment: Experiment, evidence: Evidence, metric: str, i: int
) -> LiftBelief | None:
    """Return the posterior of a comparison's relative lift over the chain; None while unknown."""
    control, arm = (
        ArmMean(one.mean[0, i], one.variance[0, i], one.units[0, i])
        for one in (evidence.control, evidence.arm)
    )
    is_log = metric in LOG_METRICS
    if not (control.variance + arm.variance > 0 and (is_log or control.mean != 0)):
        return None
    posterior = believed_lift(experiment, control, arm, is_log=is_log)
    unit = 1.0 if is_log else abs(float(control.mean))
    relative = Lift(posterior.effect / unit, posterior.variance / unit**2)
    mean, sd = float(relative.effect), math.sqrt(relative.variance)
    lo, hi = normal_interval(relative, 1 - experiment.alpha)
    return LiftBelief(mean, sd, float(lo), float(hi), *judge_effect(mean, sd))
