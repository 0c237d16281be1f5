"""Spread of a variance whose posterior is known at a few nodes: that of a scaled inverse χ².

Nodes that a quadrature needs are too few to read quantiles off: above some degrees of freedom it
is one. Given the spreads, σ² is scaled inverse χ² with about as many degrees of freedom as the
observations within groups leave it, and ln σ² has the mean ln s² + ln(ν/2) - ψ(ν/2) and the
variance ψ'(ν/2): so the nodes' own moments of ln σ² say which (ν, s²) it is.
"""

import math

import numpy as np
from scipy.special import chdtri, digamma, polygamma

from stream_hb.models.moderation import trigamma_inverse
from stream_hb.models.quadrature_quantile import interval_of_nodes
from stream_hb.statistics.columns import Floats

_NO_SPREAD = 1e-18
"""A variance of ln σ² below this is rounding."""

_FEW, _PICTURE = 15.0, 9
"""Half the degrees of freedom up to which so many nodes, or more, tell the interval themselves."""

_ENOUGH = 5.0
"""Half the degrees of freedom from which on the variance's own standard deviation is χ²'s."""


def variance_interval(
    sigma2: Floats, weight: Floats, degrees: float, level: float, *, one_rule: bool = False
) -> tuple[float, float, float]:
    """Return sd and equal-tailed interval of σ².

    Parameters
    ----------
    sigma2, weight
        Nodes, and their weights that sum to 1, of any one shape.
    degrees
        Degrees of freedom for which each node stands alone, at their σ²; NaN where the nodes are
        spread out as σ² is, or σ² is taken as known: without spread it has no width.
    level
        Probability inside.
    one_rule
        Whether the nodes are all those of one rule in ln σ²: many of them show the interval.

    Examples
    --------
    Ten degrees of freedom about 1, by one node:

    >>> sd, lo, hi = variance_interval(np.ones(1), np.ones(1), 10, 0.95)
    >>> round(lo, 3), round(hi, 3)  # 10/20.483 and 10/3.247
    (0.488, 3.08)
    """
    share = np.ravel(weight)
    logs = np.log(np.ravel(sigma2))
    centre = float(logs[0] + share @ (logs - logs[0]))
    spread = float(share @ (logs - centre) ** 2)
    if not math.isnan(degrees):
        centre -= _below_log(degrees / 2)
        spread += float(polygamma(1, degrees / 2))
    if spread < _NO_SPREAD:
        return 0.0, math.exp(centre), math.exp(centre)
    half = trigamma_inverse(spread)
    scale = math.exp(centre + _below_log(half))
    if one_rule and half < _FEW and len(np.unique(logs)) >= _PICTURE:
        # Of few degrees of freedom what the spreads say of the variance matters more than χ².
        lo, hi = (math.exp(end) for end in interval_of_nodes(logs, share, level))
        return _sd(half, scale, np.ravel(sigma2), share), lo, hi
    lo, hi = (scale * 2 * half / float(chdtri(2 * half, p)) for p in _tails(level))
    return _sd(half, scale, np.ravel(sigma2), share), lo, hi


def _tails(level: float) -> tuple[float, float]:
    """Return the upper tails of χ² that make the lower and the upper end of the variance."""
    return (1 - level) / 2, (1 + level) / 2


def _below_log(half: float) -> float:
    """Return ψ(ν/2) - ln(ν/2): of ln χ²/ν the mean."""
    return float(digamma(half)) - math.log(half)


def _sd(half: float, scale: float, nodes: Floats, share: Floats) -> float:
    """Return the standard deviation; of the nodes where χ²'s is infinite, or nearly so."""
    if half > _ENOUGH:
        return scale * half / (half - 1) / math.sqrt(half - 2)
    mean = nodes[0] + share @ (nodes - nodes[0])
    return math.sqrt(float(share @ (nodes - mean) ** 2))
