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
        Their sum Σw, 1/se² of mu.
    contrast
        Σw - Σw²/Σw: what is left of the sum once mu has been estimated.
    mu
        The weighted mean.
    deviation
        Each group's mean less mu.
    """

    weight: Floats
    total: float
    contrast: float
    mu: float
    deviation: Floats

    @property
    def q(self) -> float:
        """Weighted sum of squared deviations (Cochran's Q)."""
        return float((self.weight * self.deviation**2).sum())

    @property
    def q_slope(self) -> float:
        """Derivative of Q in τ², its sign turned: Σw²(y - mu)²."""
        return float(((self.weight * self.deviation) ** 2).sum())


def weighted(groups: Measured, tau2: float) -> Weighted:
    """Weigh the groups by their marginal precision."""
    weight = 1 / (groups.variance + tau2)
    # The most precise group is the origin and is summed apart: nothing then cancels, whatever the
    # means' distance from zero and however much heavier than all others that group is.
    top = int(weight.argmax())
    others = weight.copy()
    others[top] = 0.0
    rest = float(others.sum())
    total = rest + float(weight[top])
    contrast = float((others * (total - others)).sum() + weight[top] * rest) / total
    away = groups.mean - groups.mean[top]
    offset = float((weight * away).sum()) / total
    return Weighted(weight, total, contrast, float(groups.mean[top]) + offset, away - offset)


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
    return max(0.0, (at.q - (len(groups) - 1)) / at.contrast)


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
        return (at.q_slope - (at.contrast if restricted else at.total)) / 2

    def value(tau2: float) -> float:
        if restricted:
            return restricted_log_likelihood(groups, tau2)
        return log_likelihood(groups, weighted(groups, tau2).mu, tau2)

    smallest = float(groups.variance.min())
    peak = highest_peak(score, value, 1e-3 * smallest, 10 * spread(groups.mean) ** 2 + smallest)
    return Tau2(peak.at, peak.bimodal, peak.iterations)
