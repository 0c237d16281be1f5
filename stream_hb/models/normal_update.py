"""One group's Normal posterior as its observations come in, hyperparameters given.

The posterior is its own next prior, so updating by one observation, or by a batch, gives what all
observations at once would.
"""

from typing import NamedTuple

from stream_hb.models.normal import NormalHyper
from stream_hb.statistics.columns import Floats


class NormalBelief(NamedTuple):
    """What is believed of a group's mean: numbers, or one array row per group."""

    mean: float | Floats
    variance: float | Floats


def prior_belief(hyper: NormalHyper) -> NormalBelief:
    """Return what is believed of a group before its first observation."""
    return NormalBelief(hyper.mu, hyper.tau2)


def update(
    belief: NormalBelief, mean: float | Floats, sigma2: float, count: float | Floats = 1.0
) -> NormalBelief:
    """Return the belief after ``count`` more observations with the given mean and variance σ².

    Examples
    --------
    Ten orders of mean 12 and variance 9, in a chain of mean 10 and variance 4:

    >>> belief = update(NormalBelief(10.0, 4.0), mean=12.0, sigma2=9.0, count=10)
    >>> round(belief.mean, 3), round(belief.variance, 4)
    (11.633, 0.7347)
    """
    # Not 1/variance: a variance of zero (complete pooling) is a belief that nothing moves.
    gain = count * belief.variance / (sigma2 + count * belief.variance)
    return NormalBelief(belief.mean + gain * (mean - belief.mean), (1 - gain) * belief.variance)
