"""Moments of posteriors under kernels that all groups share, by the sampling variances there are.

A kernel says of a group with mean y and sampling variance v that its own is Bμ + (1-B)y, with
variance Bτ² + B²se²(μ) and the pull B = v/(v + τ²). Given v the mixture's mean is thus linear in y,
and its variance a quadratic: the coefficients are sums over the kernels that all groups of the same
v have in common, and stores with few orders have few different v.
"""

from typing import NamedTuple

import numpy as np

from stream_hb.models.normal_nodes import Kernels
from stream_hb.statistics.columns import Floats

_CELLS_MAX = 1 << 14
"""Kernels x variances held at once: their arrays stay in the processor's cache."""

_FEWEST = 24
"""Groups from which on looking for equal variances is cheaper than working them all out."""


class SharedMoments(NamedTuple):
    """What integration says of every group: one row per group.

    weight, pooled, mean, sd
        As in the posterior.
    """

    weight: Floats
    pooled: Floats
    mean: Floats
    sd: Floats


class _Coefficients(NamedTuple):
    """Of a group's moments in the distance d of its mean from the origin; a row per variance.

    weight, pooled
        As in the posterior, pooled about the origin.
    constant, linear, quadratic
        Variance of the posterior: constant + linear d + quadratic d².
    least
        What of it no d takes away: the mean of the kernels' variances.
    """

    weight: Floats
    pooled: Floats
    constant: Floats
    linear: Floats
    quadratic: Floats
    least: Floats


def shared_moments(mean: Floats, variance: Floats, kernels: Kernels) -> SharedMoments:
    """Return weight on the pooled mean, pooled mean, posterior mean and sd of every group.

    Parameters
    ----------
    mean
        The groups' means.
    variance
        Their sampling variances: where the kernels have a σ², in units of it. Infinite: no data.
    kernels
        Of the hyperparameters.

    Examples
    --------
    One kernel, μ = 10 and τ² = 4, and stores with 10 and 2 orders of variance 9:

    >>> one = Kernels(*(np.array([x]) for x in (10.0, 0.0, 2.0, 1.0, 1.0)))
    >>> found = shared_moments(np.array([12.0, 8.0]), np.array([0.9, 4.5]), one)
    >>> found.mean.round(3), (found.sd**2).round(4)
    (array([11.633,  9.059]), array([0.7347, 2.1176]))
    """
    # About the pool, so that a large common mean takes no digits.
    origin = float(kernels.mu[0] + (kernels.weight * (kernels.mu - kernels.mu[0])).sum())
    own = _own(variance, kernels._replace(mu=kernels.mu - origin))
    away = mean - origin
    spread = own.constant + away * (own.linear + away * own.quadratic)
    seen = np.isfinite(variance)
    weight, pooled = np.where(seen, own.weight, 1.0), origin + own.pooled
    return SharedMoments(
        weight,
        pooled,
        np.where(seen, mean + weight * (pooled - mean), pooled),
        np.sqrt(np.maximum(spread, own.least)),
    )


def _own(variance: Floats, kernels: Kernels) -> _Coefficients:
    if len(variance) < _FEWEST:
        return _coefficients(variance, kernels)
    distinct, which = np.unique(variance, return_inverse=True)
    return _Coefficients(*(column[which] for column in _coefficients(distinct, kernels)))


def _coefficients(variance: Floats, kernels: Kernels) -> _Coefficients:
    step = max(1, _CELLS_MAX // len(kernels.weight))
    parts = [_block(variance[i : i + step], kernels) for i in range(0, max(len(variance), 1), step)]
    return _Coefficients(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _block(variance: Floats, kernels: Kernels) -> _Coefficients:
    mu, mu_sd, tau, sigma2, share = (np.ascontiguousarray(column) for column in kernels)
    tau2 = tau**2
    # B = v/(v + τ²) in the form that an infinite v (no data) passes through.
    pull = variance[:, np.newaxis] * sigma2
    np.divide(tau2, pull, out=pull)
    pull += 1
    np.divide(1, pull, out=pull)
    weight, drawn = _sum(pull, share), _sum(pull, share * mu)
    within = _sum(pull, share * tau2) + _sum(pull * pull, share * mu_sd**2)
    centre = pull * mu
    centre -= drawn[:, np.newaxis]
    pull -= weight[:, np.newaxis]
    weighed = pull * share
    quadratic, linear = _product(weighed, pull), -2 * _product(weighed, centre)
    between = _product(np.multiply(centre, share, out=weighed), centre)
    safe = np.where(weight > 0, weight, 1.0)
    return _Coefficients(
        np.minimum(weight, 1.0), drawn / safe, within + between, linear, quadratic, within
    )


# Not by @: its sums over the kernels depend on how many rows there are beside.
def _sum(rows: Floats, share: Floats) -> Floats:
    total: Floats = np.einsum("vk,k->v", rows, share)
    return total


def _product(rows: Floats, others: Floats) -> Floats:
    total: Floats = np.einsum("vk,vk->v", rows, others)
    return total
