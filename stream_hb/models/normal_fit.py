"""Fits of the Normal-Normal model with known sampling variances (random-effects meta-analysis).

y_j ~ N(θ_j, v_j), θ_j ~ N(μ, τ²). Given τ² the best μ is the mean with weights 1/(v_j + τ²), so
every method is a search for τ² alone. Estimators and likelihoods are those of metafor
(Viechtbauer 2010, doi:10.18637/jss.v036.i03).
"""

import math
from typing import NamedTuple

import numpy as np

from stream_hb.models.profile import find_root, highest_peak, spread
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured

_LOG_2PI = math.log(2 * math.pi)


class Tau2(NamedTuple):
    """An estimate of the between-group variance, and how it was reached."""

    tau2: float
    bimodal: bool = False
    iterations: int = 0


class Weighted(NamedTuple):
    """What every method needs at one τ².

    weight
        1/(v + τ²) of each group.
    total
        Their sum, 1/se² of mu.
    mu
        The weighted mean.
    q
        Weighted sum of squared deviations from it (Cochran's Q).
    """

    weight: Floats
    total: float
    mu: float
    q: float


def weighted(groups: Measured, tau2: float) -> Weighted:
    """Weigh the groups by their marginal precision."""
    weight = 1 / (groups.variance + tau2)
    total = float(weight.sum())
    # About one of the means, or large means would lose the digits of their differences.
    origin = groups.mean[0]
    mu = float(origin + (weight * (groups.mean - origin)).sum() / total)
    return Weighted(weight, total, mu, float((weight * (groups.mean - mu) ** 2).sum()))


def fit_tau2(groups: Measured, method: str) -> Tau2:
    """Return τ² by ``moments``, ``dl``, ``pm``, ``ml`` or ``reml``; 0 for a single group."""
    if len(groups) == 1:
        return Tau2(0.0)
    match method:
        case "moments":
            return Tau2(_by_moments(groups))
        case "dl":
            return Tau2(_der_simonian_laird(groups))
        case "pm":
            return _paule_mandel(groups)
        case _:
            return _by_likelihood(groups, restricted=method == "reml")


def log_likelihood(groups: Measured, mu: float, tau2: float) -> float:
    """Return the marginal log-likelihood with all its constants."""
    variance = groups.variance + tau2
    return float(-0.5 * (_LOG_2PI + np.log(variance) + (groups.mean - mu) ** 2 / variance).sum())


def restricted_log_likelihood(groups: Measured, tau2: float) -> float:
    """Return the restricted log-likelihood, μ integrated out, as metafor has it (with ½ ln J)."""
    at = weighted(groups, tau2)
    count = len(groups)
    total = (count - 1) * _LOG_2PI - np.log(at.weight).sum() + math.log(at.total / count) + at.q
    return float(-total / 2)


def _by_moments(groups: Measured) -> float:
    """Return the variance of the means less their mean sampling variance (Hedges)."""
    return max(0.0, float(groups.mean.var(ddof=1) - groups.variance.mean()))


def _der_simonian_laird(groups: Measured) -> float:
    """Return the closed form of doi:10.1016/0197-2456(86)90046-2."""
    at = weighted(groups, 0.0)
    expected = at.total - float((at.weight**2).sum()) / at.total
    return max(0.0, (at.q - (len(groups) - 1)) / expected)


def _paule_mandel(groups: Measured) -> Tau2:
    """Return the τ² at which Q is its expectation, J - 1 (doi:10.6028/jres.087.022)."""
    degrees = len(groups) - 1

    def excess(tau2: float) -> float:
        return weighted(groups, tau2).q - degrees

    if excess(0.0) <= 0:
        return Tau2(0.0)
    # Q is at most Σ(y - ȳ)²/τ², so it is below its expectation here.
    above = 2 * float(((groups.mean - groups.mean.mean()) ** 2).sum()) / degrees
    tau2, iterations = find_root(excess, 0.0, above)
    return Tau2(tau2, iterations=iterations)


def _by_likelihood(groups: Measured, *, restricted: bool) -> Tau2:
    def score(tau2: float) -> float:
        at = weighted(groups, tau2)
        slope = float(((at.weight * (groups.mean - at.mu)) ** 2).sum()) - at.total
        lost = float((at.weight**2).sum()) / at.total if restricted else 0.0
        return (slope + lost) / 2

    def value(tau2: float) -> float:
        if restricted:
            return restricted_log_likelihood(groups, tau2)
        return log_likelihood(groups, weighted(groups, tau2).mu, tau2)

    smallest = float(groups.variance.min())
    peak = highest_peak(score, value, 1e-3 * smallest, 10 * spread(groups.mean) ** 2 + smallest)
    return Tau2(peak.at, peak.bimodal, peak.iterations)
