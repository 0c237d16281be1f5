"""Fits of the Normal-Normal model with known sampling variances (random-effects meta-analysis).

y_j ~ N(θ_j, v_j), θ_j ~ N(μ, τ²). Given τ² the best μ is the mean with weights 1/(v_j + τ²), so
every method is a search for τ² alone. Estimators and likelihoods are those of metafor
(Viechtbauer 2010, doi:10.18637/jss.v036.i03).
"""

import math
from typing import NamedTuple

import numpy as np

from stream_hb.models.normal_sums import NormalSums, Sums, sums_of
from stream_hb.models.profile import find_root, highest_peak
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured

_LOG_2PI = math.log(2 * math.pi)


class Tau2(NamedTuple):
    """An estimate of the between-group variance, and how it was reached."""

    tau2: float
    bimodal: bool = False
    iterations: int = 0


def weighted(groups: Measured, tau2: float) -> Sums:
    """Weigh the groups by their marginal precision."""
    return sums_of(groups).at(tau2)


def fit_tau2(sums: NormalSums, method: str, sigma2: float = 1.0) -> Tau2:
    """Return τ² by ``moments``, ``dl``, ``pm``, ``ml`` or ``reml``; 0 for a single group."""
    if sums.groups_count == 1:
        return Tau2(0.0)
    match method:
        case "moments":
            return Tau2(_by_moments(sums, sigma2))
        case "dl":
            return Tau2(_der_simonian_laird(sums, sigma2))
        case "pm":
            return _paule_mandel(sums, sigma2)
        case _:
            return _by_likelihood(sums, restricted=method == "reml")


def log_likelihood(sums: NormalSums, mu: float, tau2: float) -> float:
    """Return the marginal log-likelihood with all its constants."""
    at = sums.at(tau2)
    squares = at.q + at.total * (mu - at.mu) ** 2
    return float(-0.5 * (sums.groups_count * _LOG_2PI + at.log_variance + squares))


def restricted_log_likelihood(sums: NormalSums, tau2: float) -> float:
    """Return the restricted log-likelihood, μ integrated out, as metafor has it (with ½ ln J)."""
    at, count = sums.at(tau2), sums.groups_count
    total = (count - 1) * _LOG_2PI + at.log_variance + math.log(at.total / count) + at.q
    return float(-total / 2)


def _by_moments(sums: NormalSums, sigma2: float) -> float:
    """Return the variance of the means less their mean sampling variance (Hedges)."""
    count = sums.groups_count
    return max(0.0, sums.squares / (count - 1) - sigma2 * sums.reciprocal / count)


def _der_simonian_laird(sums: NormalSums, sigma2: float) -> float:
    """Return the closed form of doi:10.1016/0197-2456(86)90046-2."""
    at = sums.at(0.0, sigma2)
    return max(0.0, float((at.q - (sums.groups_count - 1)) / at.contrast))


def _paule_mandel(sums: NormalSums, sigma2: float) -> Tau2:
    """Return the τ² at which Q is its expectation, J - 1 (doi:10.6028/jres.087.022)."""
    degrees = sums.groups_count - 1

    def excess(tau2: float) -> float:
        return float(sums.at(tau2, sigma2).q) - degrees

    if excess(0.0) <= 0:
        return Tau2(0.0)
    # Q is at most Σ(y - ȳ)²/τ², so it is below its expectation here.
    tau2, iterations = find_root(excess, 0.0, 2 * sums.squares / degrees)
    return Tau2(tau2, iterations=iterations)


def _by_likelihood(sums: NormalSums, *, restricted: bool) -> Tau2:
    def scores(tau2: Floats) -> Floats:
        at = sums.at(tau2)
        return (at.q_slope - (at.contrast if restricted else at.total)) / 2

    def value(tau2: float) -> float:
        if restricted:
            return restricted_log_likelihood(sums, tau2)
        return log_likelihood(sums, float(sums.at(tau2).mu), tau2)

    smallest = 1 / float(sums.precision.max())
    peak = highest_peak(
        lambda tau2: float(scores(np.array(tau2))),
        value,
        1e-3 * smallest,
        10 * sums.farthest2 + smallest,
        scores,
    )
    return Tau2(peak.at, peak.bimodal, peak.iterations)
