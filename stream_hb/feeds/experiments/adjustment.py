"""A comparison over the chain, adjusted for what units or stores did before (CUPED)."""

from typing import NamedTuple

import numpy as np

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.cuped import (
    Paired,
    adjusted,
    adjusted_relative_lift,
    of_stores,
    theta_of,
)
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.lift import ArmMean, Lift, absolute_lift
from stream_hb.feeds.experiments.outcomes import arm_mean, paired_with_past
from stream_hb.statistics.columns import Floats


class Adjustment(NamedTuple):
    """What CUPED makes of a comparison: θ, both lifts, and the variance that is left."""

    theta: float
    absolute: Lift
    relative: Lift
    variance_left: float


def adjustment(
    experiment: Experiment,
    statistics: ArmStatistics,
    metric: str,
    comparison: int,
    pre_rate: Floats | None,
) -> Adjustment | None:
    """Return the comparison over the chain adjusted for the past; None where no past is known.

    The units' own past where it is known (over all stores together), else their store's rate of
    before, which takes out of the arms' difference what comes from their stores being others.
    """
    paired = paired_with_past(statistics.chain(), metric) or _of_stores(
        statistics, metric, pre_rate
    )
    if paired is None:
        return None
    pair = experiment.control_index, experiment.treatments[comparison]
    both = [_column(paired, i) for i in pair]
    if min(float(one.units) for one in both) < 2:
        return None
    arms = Paired(*(np.stack(columns) for columns in zip(*map(_parts, both), strict=True)))
    theta = theta_of(arms)
    means = adjusted(arms, theta)
    control, arm = (ArmMean(means.mean[i], means.variance[i], means.units[i]) for i in (0, 1))
    lift = absolute_lift(control, arm)
    plain = float((arms.m2 / (arms.units - 1) / arms.units).sum())
    relative = adjusted_relative_lift(both[0], both[1], theta)
    return Adjustment(theta, lift, relative, float(lift.variance) / plain if plain > 0 else 1.0)


def _of_stores(statistics: ArmStatistics, metric: str, pre_rate: Floats | None) -> Paired | None:
    if pre_rate is None or not np.isfinite(pre_rate).any():
        return None
    means = arm_mean(statistics, metric)
    m2 = np.nan_to_num(means.variance * means.units * (means.units - 1))
    return of_stores(means.units, np.nan_to_num(means.mean), m2, pre_rate)


def _column(paired: Paired, i: int) -> Paired:
    return Paired(*(np.asarray(part.reshape(-1)[i]) for part in _parts(paired)))


def _parts(paired: Paired) -> tuple[Floats, ...]:
    p = paired
    return p.units, p.mean, p.m2, p.pre_mean, p.pre_m2, p.cross
