"""Level: a store that is far from its chain, whether it has moved or always was."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, ndtr

from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.sign_rate import running_mean
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Level:
    """How far each store is from the mean of the others, link scale.

    Attributes
    ----------
    mean, sd
        Posterior of the store less the others' mean.
    beyond
        Probability that it is further off than the margin.
    lfsr
        Probability that the sign of the mean is wrong.
    bfdr
        Expected share of stores within the margin among those at least as clear.
    """

    mean: Floats
    sd: Floats
    beyond: Floats
    lfsr: Floats
    bfdr: Floats


def level(estimate: Floats, variance: Floats, spread: float, margin: float, valid: Bools) -> Level:
    r"""Compare every valid store with the mean of the other valid ones.

    With τ the stores' spread, store j is drawn to :math:`\mu_{-j}`, the mean of the others with
    weights :math:`1/(τ^2+v)`, whose variance is part of the store's: a store within the mean that
    it is held against would be closer to it than it is.

    Parameters
    ----------
    estimate, variance
        Raw relation of each store to its chain and its sampling variance.
    margin
        At least 2τ, or an operator's number: 5 % of the stores of a chain lie beyond 2τ for ever.
    """
    tau2 = max(spread, 1e-6) ** 2
    weight = np.where(valid, 1 / (tau2 + variance), 0.0)
    others = weight.sum() - weight
    alone = others <= 0
    others = np.where(alone, 1.0, others)
    weighted = weight * np.where(valid, estimate, 0.0)
    centre = (weighted.sum() - weighted) / others
    unknown = variance + 1 / others
    gain = tau2 / (tau2 + unknown)
    usable = valid & ~alone
    mean = np.where(usable, gain * (estimate - centre), 0.0)
    sd = np.sqrt(np.where(usable, gain * unknown, tau2))
    beyond = np.where(usable, beyond_normal(mean, sd, margin), 0.0)
    return Level(mean, sd, beyond, ndtr(-np.abs(mean) / sd), running_mean(1 - beyond))


def beyond_normal(mean: Floats, sd: Floats, margin: float) -> Floats:
    """Return the probability of a normal beyond ±margin.

    >>> beyond_normal(np.zeros(1), np.ones(1), 1.959964).round(6)
    array([0.05])
    """
    out: Floats = ndtr((-margin - mean) / sd) + ndtr((mean - margin) / sd)
    return out


def beyond_beta(alpha: Floats, beta: Floats, lo: Floats | float, hi: Floats | float) -> Floats:
    """Return the probability of a Beta below ``lo`` or above ``hi``.

    >>> beyond_beta(np.ones(1), np.ones(1), 0.25, 0.75)
    array([0.5])
    """
    out: Floats = betainc(alpha, beta, np.clip(lo, 0, 1)) + betainc(
        beta, alpha, 1 - np.clip(hi, 0, 1)
    )
    return out
