"""Fits of the Normal-Normal model whose sampling variance is fitted from the observations.

y_ij ~ N(θ_j, σ²), θ_j ~ N(μ, τ²): lme4's ``y ~ 1 + (1 | group)``. Given ρ = τ²/σ² both μ and σ² are
closed forms, so ``ml`` and ``reml`` search for ρ alone, and fit (σ², τ²) jointly. The other methods
take the pooled within-group variance as known.
"""

import math
from typing import NamedTuple

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.normal_fit import fit_tau2, weighted
from stream_hb.models.profile import highest_peak, spread
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

_LOG_2PI = math.log(2 * math.pi)


class Components(NamedTuple):
    """The variance between groups (τ²) and within them (σ²), and how they were reached."""

    tau2: float
    sigma2: float
    bimodal: bool = False
    iterations: int = 0


def pooled_variance(groups: Moments) -> float:
    """Return the within-group variance σ², common to all groups.

    Where no group has two observations it cannot be told from τ²: the groups are then taken to be
    equal, and it is the variance of all observations.
    """
    degrees = groups.weight.sum() - len(groups)
    if degrees > 0:
        return _at_least_rounding(groups, float(groups.m2.sum() / degrees))
    return _total_variance(groups)


def fit_components(groups: Moments, method: str) -> Components:
    """Return τ² and σ² by any method of the family."""
    total = float(groups.weight.sum())
    if len(groups) == 1 or total <= len(groups):
        return Components(0.0, _total_variance(groups))
    if method in ("ml", "reml"):
        return _jointly(groups, restricted=method == "reml")
    sigma2 = pooled_variance(groups)
    tau2, bimodal, iterations = fit_tau2(as_measured(groups, sigma2), method)
    return Components(tau2, sigma2, bimodal, iterations)


def as_measured(groups: Moments, sigma2: float) -> Measured:
    """Return the groups' means with the sampling variance σ²/n; infinite without observations."""
    variance = np.full(len(groups), np.inf)
    np.divide(sigma2, groups.weight, out=variance, where=groups.weight > 0)
    return Measured(groups.mean, variance)


def log_likelihood(groups: Moments, mu: float, tau2: float, sigma2: float) -> float:
    """Return the marginal log-likelihood of the observations, with all its constants."""
    return -_deviance(groups, mu, tau2, sigma2, float(groups.weight.sum())) / 2


def restricted_log_likelihood(groups: Moments, tau2: float, sigma2: float) -> float:
    """Return the restricted log-likelihood: -½ of lme4's REML criterion."""
    at = weighted(as_measured(groups, sigma2), tau2)
    degrees = float(groups.weight.sum()) - 1
    deviance = _deviance(groups, at.mu, tau2, sigma2, degrees)
    return -(deviance + math.log(at.total * sigma2)) / 2


def _deviance(groups: Moments, mu: float, tau2: float, sigma2: float, degrees: float) -> float:
    """Return degrees · ln 2πσ² + Σ ln(1 + nτ²/σ²) + the weighted sum of squares."""
    n = groups.weight
    between = (n * (groups.mean - mu) ** 2 / (sigma2 + n * tau2)).sum()
    squares = groups.m2.sum() / sigma2 + between
    return float(
        degrees * (_LOG_2PI + math.log(sigma2)) + np.log1p(n * (tau2 / sigma2)).sum() + squares
    )


def _jointly(groups: Moments, *, restricted: bool) -> Components:
    """Maximise the likelihood profiled over μ and σ² in ρ = τ²/σ²."""
    degrees = float(groups.weight.sum()) - restricted
    within = max(float(groups.m2.sum()), degrees * _rounding(groups))
    unit = as_measured(groups, 1.0)

    def sigma2_at(ratio: float) -> float:
        return (within + weighted(unit, ratio).q) / degrees

    def score(ratio: float) -> float:
        at = weighted(unit, ratio)
        expected = at.contrast if restricted else at.total
        return (at.q_slope * degrees / (within + at.q) - expected) / 2

    def value(ratio: float) -> float:
        at = weighted(unit, ratio)
        log_det = float(np.log1p(groups.weight * ratio).sum())
        log_det += math.log(at.total) if restricted else 0.0
        return -(degrees * math.log(sigma2_at(ratio)) + log_det) / 2

    smallest = 1 / float(groups.weight.max())
    largest = 10 * spread(groups.mean) ** 2 * degrees / within + smallest
    peak = highest_peak(score, value, 1e-3 * smallest, largest)
    sigma2 = sigma2_at(peak.at)
    return Components(peak.at * sigma2, sigma2, peak.bimodal, peak.iterations)


def _total_variance(groups: Moments) -> float:
    """Return the unbiased variance of all observations about their common mean."""
    n: Floats = groups.weight
    if n.sum() < 2:
        raise FitError("one observation has no variance: the pool needs at least two")
    origin = groups.mean[0]
    mean = origin + (n * (groups.mean - origin)).sum() / n.sum()
    squares = groups.m2.sum() + (n * (groups.mean - mean) ** 2).sum()
    return _at_least_rounding(groups, float(squares / (n.sum() - 1)))


def _at_least_rounding(groups: Moments, sigma2: float) -> float:
    return max(sigma2, _rounding(groups))


def _rounding(groups: Moments) -> float:
    """Return the least variance to believe in: equal prices are only equal to the last digit."""
    return (2.0**-52 * (float(np.abs(groups.mean).max()) or 1.0)) ** 2
