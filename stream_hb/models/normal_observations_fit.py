"""Fits of the Normal-Normal model whose sampling variance is fitted from the observations.

y_ij ~ N(θ_j, σ²), θ_j ~ N(μ, τ²): lme4's ``y ~ 1 + (1 | group)``. Given ρ = τ²/σ² both μ and σ² are
closed forms, so ``ml`` and ``reml`` search for ρ alone, and fit (σ², τ²) jointly. The other methods
take the pooled within-group variance as known.
"""

import math
from typing import NamedTuple, Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.normal_fit import fit_tau2
from stream_hb.models.normal_sums import NormalSums, ObservedPool, sums_of
from stream_hb.models.pool import groups_of
from stream_hb.models.profile import highest_peak
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.moments_summary import MomentsSummary

_LOG_2PI = math.log(2 * math.pi)


class Components(NamedTuple):
    """The variance between groups (τ²) and within them (σ²), and how they were reached."""

    tau2: float
    sigma2: float
    bimodal: bool = False
    iterations: int = 0


class Observed(NamedTuple):
    """A pool as the likelihood of its observations reads it.

    Attributes
    ----------
    sums
        Sums over the groups' means, in units of σ².
    groups_count, weight, m2
        Groups, observations, and squared deviations within groups.
    """

    sums: NormalSums
    groups_count: float
    weight: float
    m2: float

    @classmethod
    def of(cls, pool: ObservedPool) -> Self:
        """Read groups, or their summary."""
        sums = sums_of(pool)
        if isinstance(pool, MomentsSummary):
            return cls(sums, sums.groups_count, pool.totals.weight, pool.totals.m2)
        groups = groups_of(pool)
        # Less than one observation (decayed) takes nothing away from what others say of σ².
        observations = float(np.maximum(groups.weight[groups.weight > 0], 1.0).sum())
        return cls(sums, sums.groups_count, observations, float(groups.m2.sum()))


def pooled_variance(pool: ObservedPool) -> float:
    """Return the within-group variance σ², common to all groups.

    Where no group has two observations it cannot be told from τ²: the groups are then taken to be
    equal, and it is the variance of all observations.
    """
    return _pooled_variance(Observed.of(pool))


def fit_components(pool: Observed, method: str) -> Components:
    """Return τ² and σ² by any method of the family."""
    if pool.groups_count == 1 or pool.weight <= pool.groups_count:
        return Components(0.0, _total_variance(pool))
    if method in ("ml", "reml"):
        return _jointly(pool, restricted=method == "reml")
    sigma2 = _pooled_variance(pool)
    tau2, bimodal, iterations = fit_tau2(pool.sums, method, sigma2)
    return Components(tau2, sigma2, bimodal, iterations)


def as_measured(groups: Moments, sigma2: float) -> Measured:
    """Return the groups' means with the sampling variance σ²/n; infinite without observations."""
    variance = np.full(len(groups), np.inf)
    np.divide(sigma2, groups.weight, out=variance, where=groups.weight > 0)
    return Measured(groups.mean, variance)


def log_likelihood(pool: Observed, mu: float, tau2: float, sigma2: float) -> float:
    """Return the marginal log-likelihood of the observations, with all its constants."""
    return -_deviance(pool, mu, tau2, sigma2, pool.weight) / 2


def restricted_log_likelihood(pool: Observed, tau2: float, sigma2: float) -> float:
    """Return the restricted log-likelihood: -½ of lme4's REML criterion."""
    at = pool.sums.at(tau2, sigma2)
    deviance = _deviance(pool, float(at.mu), tau2, sigma2, pool.weight - 1)
    return -(deviance + math.log(at.total * sigma2)) / 2


def _deviance(pool: Observed, mu: float, tau2: float, sigma2: float, degrees: float) -> float:
    """Return degrees · ln 2πσ² + Σ ln(1 + nτ²/σ²) + the weighted sum of squares."""
    at = pool.sums.at(tau2, sigma2)
    squares = pool.m2 / sigma2 + at.q + at.total * (mu - at.mu) ** 2
    inflation = pool.sums.log_inflation(tau2 / sigma2)
    return float(degrees * (_LOG_2PI + math.log(sigma2)) + inflation + squares)


def _jointly(pool: Observed, *, restricted: bool) -> Components:
    """Maximise the likelihood profiled over μ and σ² in ρ = τ²/σ²."""
    sums, degrees = pool.sums, pool.weight - restricted
    within = max(pool.m2, degrees * _rounding(pool))

    def sigma2_at(ratio: float) -> float:
        return (within + float(sums.at(ratio).q)) / degrees

    def scores(ratio: Floats) -> Floats:
        at = sums.at(ratio)
        expected = at.contrast if restricted else at.total
        return (at.q_slope * degrees / (within + at.q) - expected) / 2

    def value(ratio: float) -> float:
        log_det = float(sums.log_inflation(ratio))
        log_det += math.log(sums.at(ratio).total) if restricted else 0.0
        return -(degrees * math.log(sigma2_at(ratio)) + log_det) / 2

    smallest = 1 / float(sums.precision.max())
    largest = 10 * sums.farthest2 * degrees / within + smallest
    peak = highest_peak(
        lambda ratio: float(scores(np.array(ratio))), value, 1e-3 * smallest, largest, scores
    )
    sigma2 = sigma2_at(peak.at)
    return Components(peak.at * sigma2, sigma2, peak.bimodal, peak.iterations)


def _pooled_variance(pool: Observed) -> float:
    degrees = pool.weight - pool.groups_count
    if degrees > 0:
        return max(pool.m2 / degrees, _rounding(pool))
    return _total_variance(pool)


def _total_variance(pool: Observed) -> float:
    """Return the unbiased variance of all observations about their common mean."""
    if pool.weight < 2:
        raise FitError("one observation has no variance: the pool needs at least two")
    squares = pool.m2 + float(pool.sums.at(0.0).q)
    return max(squares / (pool.weight - 1), _rounding(pool))


def _rounding(pool: Observed) -> float:
    """Return the least variance to believe in: equal prices are only equal to the last digit."""
    return (2.0**-52 * (pool.sums.largest or 1.0)) ** 2
