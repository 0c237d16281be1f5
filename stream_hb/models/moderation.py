"""Variances of many groups, moderated: each is drawn to what the others say of it.

σ_j² is scaled inverse χ² with d0 degrees of freedom about s0², s_j² | σ_j² ~ σ_j² χ²(d_j)/d_j; then
s_j² ~ s0² F(d_j, d0), whose log has known mean and variance, and (d0, s0²) follow by their moments.
Smyth (2004), doi:10.2202/1544-6115.1027: limma's ``fitFDist`` and ``squeezeVar``.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, polygamma

from stream_hb.statistics.columns import Floats
from stream_hb.statistics.moments import Moments

_NEGLIGIBLE = 1e-5
"""Variances below this share of their median are taken for it: their logarithm says nothing."""

_DEGREES_LEAST = 1e-15
_STEPS_MAX = 50


class VariancePrior(NamedTuple):
    """What the groups say together of one group's variance.

    Attributes
    ----------
    degrees
        d0: how many observations' worth; 0 where one group cannot say, infinite where the
        variances differ no more than their own degrees of freedom explain.
    variance
        s0².
    pooled_degrees
        Σd_j: no variance is known better than all groups together know it, however alike they are
        (limma's ``eBayes`` caps its degrees of freedom so).
    """

    degrees: float
    variance: float
    pooled_degrees: float = math.inf


def fit_variance_prior(variance: Floats, degrees: Floats) -> VariancePrior:
    """Return (d0, s0²) by the moments of log s², as limma's ``fitFDist``.

    Parameters
    ----------
    variance
        s_j², shape (groups,). Zeros are offset to 1e-5 of the median (of 1 where that is 0).
    degrees
        d_j, shape (groups,); groups without any are left out. One group must have some.

    Examples
    --------
    Equal variances are believed whole, however few observations each has:

    >>> fit_variance_prior(np.array([4.0, 4.0, 4.0]), np.array([2.0, 2.0, 2.0]))
    VariancePrior(degrees=inf, variance=4.0, pooled_degrees=6.0)
    """
    seen = degrees > _DEGREES_LEAST
    variance, degrees = _offset(variance[seen]), degrees[seen]
    if len(variance) == 1:
        return VariancePrior(0.0, float(variance[0]), float(degrees[0]))
    half = degrees / 2
    away = np.log(variance) - digamma(half) + np.log(half)
    extra = float(away.var(ddof=1) - polygamma(1, half).mean())
    if extra <= 0:
        return VariancePrior(math.inf, float(variance.mean()), float(degrees.sum()))
    half_prior = trigamma_inverse(extra)
    location = float(away.mean() + digamma(half_prior) - math.log(half_prior))
    return VariancePrior(2 * half_prior, math.exp(location), float(degrees.sum()))


def squeeze(variance: Floats, degrees: Floats, prior: VariancePrior) -> Floats:
    """Return (d_j s_j² + d0 s0²)/(d_j + d0), limma's ``squeezeVar``.

    A group without degrees of freedom has s0², whatever its ``variance`` says.

    Examples
    --------
    >>> squeeze(np.array([1.0, np.nan]), np.array([4.0, 0.0]), VariancePrior(4.0, 3.0))
    array([2., 3.])
    """
    own = np.where(degrees > 0, variance, 0.0)
    if math.isinf(prior.degrees):
        return np.full(len(own), prior.variance)
    total = degrees + prior.degrees
    squeezed = np.full(len(own), prior.variance)
    np.divide(degrees * own + prior.degrees * prior.variance, total, out=squeezed, where=total > 0)
    return squeezed


def degrees_of(groups: Moments) -> Floats:
    """Return n - 1, the degrees of freedom of each group's variance; 0 up to one observation.

    The weight may be a Kish effective size: what counts less than one observation says nothing of
    the variance.
    """
    return np.maximum(groups.weight - 1, 0.0)


def trigamma_inverse(value: float) -> float:
    """Return y with ψ'(y) = value > 0, by Newton's method on 1/ψ' (convex: no step overshoots).

    >>> round(trigamma_inverse(math.pi**2 / 6), 12)
    1.0
    """
    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    y = 0.5 + 1 / value
    for _ in range(_STEPS_MAX):
        slope = float(polygamma(1, y))
        step = slope * (1 - slope / value) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-12:
            break
    return y


def _offset(variance: Floats) -> Floats:
    positive = np.maximum(variance, 0.0)
    median = float(np.median(positive)) or 1.0
    return np.maximum(positive, _NEGLIGIBLE * median)
