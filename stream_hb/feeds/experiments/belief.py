"""What is believed of the arms, and of their lift over the control, over the whole chain.

Nothing here decides. A posterior may be looked at whenever one likes, and is right about its errors
only where its prior is; a decision needs evidence (``evidence.py``), whatever is believed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.best_of import Arm, best_of
from stream_hb.feeds.experiments.beta_arms import Beta, TwoArms, compare_rates
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.gamma_arms import Gamma, compare_counts
from stream_hb.feeds.experiments.lift import Lift, lift_posterior, normal_interval
from stream_hb.feeds.experiments.normal_effect import Normal, compare_means, judge_effect
from stream_hb.feeds.experiments.outcomes import arm_mean


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
    P(best) and losses are exact or by quadrature, among the arms that have data.
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


def lift_belief(experiment: Experiment, relative: Lift) -> LiftBelief | None:
    """Return the posterior of a relative lift under the declared prior; None while unknown."""
    if not (math.isfinite(relative.effect) and relative.variance > 0):
        return None
    posterior = lift_posterior(relative, experiment.prior)
    mean, sd = float(posterior.effect), math.sqrt(posterior.variance)
    lo, hi = normal_interval(posterior, 1 - experiment.alpha)
    return LiftBelief(mean, sd, float(lo), float(hi), *judge_effect(mean, sd))
