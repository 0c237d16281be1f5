"""From effects back to rates: what each arm's own rate is, once the effect is shrunk."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from stream_hb.feeds.experiments.multisite import site_means
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured


class ArmRates(NamedTuple):
    """Rates of control and arm in each store."""

    control: Floats
    arm: Floats


def log_odds_level(successes: Floats, units: Floats) -> Measured:
    """Return the logit of each store's rate over both arms together, 1/2 added to both cells."""
    yes, no = successes + 0.5, units - successes + 0.5
    return _seen(units, np.log(yes / no), 1 / yes + 1 / no)


def log_rate_level(counts: Floats, exposure: Floats) -> Measured:
    """Return ln of each store's rate over both arms together, 1/2 added to the count."""
    some = counts + 0.5
    return _seen(exposure, np.log(some / np.where(exposure > 0, exposure, 1.0)), 1 / some)


def rates_of_arms(level: Measured, effect: Floats, share: Floats, *, logit: bool) -> ArmRates:
    """Return both arms' rates about the store's own level, which is shrunk as the effects are.

    The arms lie on both sides of what they have in common: control at level - share·effect, arm at
    level + (1 - share)·effect, half and half for arms of one size. Shrinking each arm by itself
    and reading the effect off would undo the shrinkage of the effect.

    Parameters
    ----------
    level
        Of both arms together, on the scale of the effect.
    effect
        Shrunk effect of each store.
    share
        The arm's share of the units of both.
    logit
        Whether the scale is the logit, else the logarithm.

    Examples
    --------
    >>> level = log_odds_level(np.array([100.0, 90.0]), np.array([2000.0, 2000.0]))
    >>> rates = rates_of_arms(level, np.array([0.2, 0.2]), np.array([0.5, 0.5]), logit=True)
    >>> rates.control.round(4), rates.arm.round(4)
    (array([0.0445, 0.0422]), array([0.0539, 0.0511]))
    """
    common = site_means(level)
    inverse = expit if logit else np.exp
    return ArmRates(inverse(common - share * effect), inverse(common + (1 - share) * effect))


def _seen(units: Floats, mean: Floats, variance: Floats) -> Measured:
    seen = units > 0
    return Measured(np.where(seen, mean, 0.0), np.where(seen, variance, np.inf))
