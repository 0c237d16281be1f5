"""Each group's own variance, uncertain: nodes of σ_j² with weights.

Given its sum of squares and the prior (d0, s0²), σ_j² is scaled inverse χ² with ν = d_j + d0
degrees of freedom about the squeezed variance. Integrated over it a normal mean is a t.
"""

import math

import numpy as np
from scipy.special import gammaln

from stream_hb.models.moderation import VariancePrior, degrees_of, squeeze
from stream_hb.models.normal_shrinkage import Variances
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.moments import Moments

_NATS = 12.0
_STEPS = 40
_LEAST_SHARE = 1e-5
_COUNTS = ((3.0, 17), (8.0, 13), (30.0, 11), (math.inf, 9))
"""Up to so many degrees of freedom, so many nodes."""


def own_variances(groups: Moments, prior: VariancePrior) -> tuple[Floats, Floats]:
    """Return each group's variance of one observation, squeezed, and its degrees of freedom ν.

    ν is d_j + d0, and at most Σd_j. A group without a variance of its own, and none of the prior's
    to take (d0 = 0), borrows s0² with ν = Σd_j. Equal observations are not believed to have no
    variance at all: it is at least 1e-5 of s0².
    """
    degrees = degrees_of(groups)
    variance = np.zeros(len(groups))
    np.divide(groups.m2, degrees, out=variance, where=degrees > 0)
    squeezed = squeeze(variance, degrees, prior)
    total = degrees + prior.degrees
    least = _LEAST_SHARE * prior.variance
    known = np.where(total > 0, np.minimum(total, prior.pooled_degrees), prior.pooled_degrees)
    own: Floats = np.maximum(squeezed, least)
    return own, known


def sampling_variance(groups: Moments, prior: VariancePrior) -> Floats:
    """Return the variance of each group's mean, the squeezed one over n; infinite without data."""
    return _over_sizes(own_variances(groups, prior)[0], groups.weight)


def variance_nodes(groups: Moments, prior: VariancePrior) -> Variances:
    """Return nodes of the variance of each group's mean, over the range within 12 nats.

    Examples
    --------
    The middle one of three observations' variances is not theirs alone to say:

    >>> one = Moments(np.array([3.0]), np.array([0.0]), np.array([2.0]))
    >>> nodes = variance_nodes(one, VariancePrior(0.0, 1.0))
    >>> bool(nodes.variance.max() > 1000 * nodes.variance.min())
    True
    """
    variance, degrees = own_variances(groups, prior)
    log_ratio, log_share = _rule(degrees)
    nodes = variance[:, np.newaxis] * np.exp(log_ratio)
    sizes = np.broadcast_to(groups.weight[:, np.newaxis], nodes.shape)
    return Variances(_over_sizes(nodes, sizes), log_share)


def _over_sizes(variance: Floats, sizes: Floats) -> Floats:
    out = np.full(variance.shape, np.inf)
    np.divide(variance, sizes, out=out, where=sizes > 0)
    return out


def _rule(degrees: Floats) -> tuple[Floats, Floats]:
    """Return nodes of x = ln σ²/s² and the logs of their weights, shape (groups, K).

    The density of x is ∝ exp(-ν/2 (x + e^-x)). Far to the right a group's mean has its say too
    (a factor e^(-x/2)), so that the range needs to be no wider than ν + 1 ask for.
    """
    known = np.isinf(degrees)
    if known.all():
        return np.zeros((len(degrees), 1)), np.zeros((len(degrees), 1))
    finite = np.where(known, 1.0, degrees)
    least = float(finite[~known].min())
    count = next(count for most, count in _COUNTS if least <= most)
    low, high = _below(2 * _NATS / finite), _above(2 * _NATS / (finite + 1))
    share = np.linspace(0, 1, count)
    x = low[:, None] + (high - low)[:, None] * share
    half = (finite / 2)[:, None]
    log_density = half * np.log(half) - gammaln(half) - half * (x + np.exp(-x))
    log_share = log_density + np.log((high - low) / (count - 1))[:, None]
    x[known], log_share[known] = 0.0, -math.log(count)
    return x, log_share


def _above(fall: Floats) -> Floats:
    """Solve x + e^-x - 1 = fall for x > 0, by Newton's method from above (it is convex)."""
    x = fall + 1
    for _ in range(_STEPS):
        x = x - (x + np.exp(-x) - 1 - fall) / -np.expm1(-x)
    return x


def _below(fall: Floats) -> Floats:
    """Solve x + e^-x - 1 = fall for x < 0, from below: of y = -x, e^y = fall + 1 + y."""
    y = np.minimum(np.sqrt(2 * fall), np.log1p(fall) + 2)
    for _ in range(_STEPS):
        y = y - (np.exp(y) - 1 - fall - y) / np.expm1(y)
    below: Floats = -y
    return below
