"""Point fits of the variance between groups whose prior mean is a regression.

Estimators and likelihoods are those of metafor's ``rma(yi, vi, mods = ~ ...)`` (Viechtbauer 2010,
doi:10.18637/jss.v036.i03), and with a fitted σ² those of lme4's ``y ~ x + (1 | group)``.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.covariates.regression import Regression, RegressionPool, Unweighted
from stream_hb.models.profile import find_root, highest_peak
from stream_hb.statistics.moments import Moments

_LOG_2PI = math.log(2 * math.pi)


class Tau2(NamedTuple):
    """An estimate of the variance between groups, and how it was reached."""

    tau2: float
    bimodal: bool = False
    iterations: int = 0


class Within(NamedTuple):
    """What the observations say of their variance.

    observations, squares, log_sizes
        Σn, Σm2 and Σ ln n of the groups.
    rounding
        The least σ² to believe in: equal prices are only equal to the last digit.
    """

    observations: float
    squares: float
    log_sizes: float
    rounding: float

    @classmethod
    def of(cls, groups: Moments) -> Self:
        """Sum over groups with data; less than one observation (decayed) counts as one."""
        largest = float(np.abs(groups.mean).max()) or 1.0
        return cls(
            float(np.maximum(groups.weight, 1.0).sum()),
            float(groups.m2.sum()),
            float(np.log(groups.weight).sum()),
            (2.0**-52 * largest) ** 2,
        )


class Components(NamedTuple):
    """The variance between groups (τ²) and within them (σ²), and how they were reached."""

    tau2: float
    sigma2: float
    bimodal: bool = False
    iterations: int = 0


def fit_tau2(pool: RegressionPool, method: str) -> Tau2:
    """Return τ²; 0 where there are only as many groups as coefficients."""
    if _degrees(pool) == 0:
        return Tau2(0.0)
    match method:
        case "moments":
            return Tau2(_hedges(pool))
        case "dl":
            return Tau2(_der_simonian_laird(pool))
        case "pm":
            return _paule_mandel(pool)
        case _:
            return _by_likelihood(pool, restricted=method == "reml")


def log_likelihood(pool: RegressionPool, tau2: float) -> float:
    """Return the marginal log-likelihood at the best coefficients, with all its constants."""
    at = pool.at(tau2)
    return (at.log_weight - pool.groups_count * _LOG_2PI - at.q) / 2


def restricted_log_likelihood(pool: RegressionPool, tau2: float) -> float:
    """Return the restricted log-likelihood as metafor has it (with ½ ln det X'X)."""
    at = pool.at(tau2)
    ratio = at.log_det - pool.unweighted().log_det
    return (at.log_weight - _degrees(pool) * _LOG_2PI - ratio - at.q) / 2


def _degrees(pool: RegressionPool) -> int:
    return pool.groups_count - pool.coefficients_count


def _hedges(pool: RegressionPool) -> float:
    """Return the residual variance less what sampling explains of it (metafor's HE)."""
    at = pool.unweighted()
    return max(0.0, (at.squares - at.trace) / _degrees(pool))


def _der_simonian_laird(pool: RegressionPool) -> float:
    """Return the closed form of doi:10.1016/0197-2456(86)90046-2, with coefficients."""
    at = pool.at(0.0)
    return max(0.0, (at.q - _degrees(pool)) / at.contrast) if at.contrast > 0 else 0.0


def _paule_mandel(pool: RegressionPool) -> Tau2:
    """Return the τ² at which Q is its expectation J - d (doi:10.6028/jres.087.022)."""
    degrees = _degrees(pool)

    def excess(tau2: float) -> float:
        return pool.at(tau2).q - degrees

    if excess(0.0) <= 0:
        return Tau2(0.0)
    # Q is at most Σr²/τ² with the residuals of equal weights, so it is below its expectation here.
    tau2, iterations = find_root(excess, 0.0, 2 * pool.unweighted().squares / degrees)
    return Tau2(tau2, iterations=iterations)


def _by_likelihood(pool: RegressionPool, *, restricted: bool) -> Tau2:
    def score(tau2: float) -> float:
        at = pool.at(tau2)
        return (at.q_slope - (at.contrast if restricted else at.total)) / 2

    def value(tau2: float) -> float:
        return (restricted_log_likelihood if restricted else log_likelihood)(pool, tau2)

    least = pool.least_variance
    peak = highest_peak(score, value, 1e-3 * least, 10 * pool.unweighted().squares + least)
    return Tau2(peak.at, peak.bimodal, peak.iterations)


def fit_components(unit: RegressionPool, within: Within, method: str) -> Components:
    """Return τ² and σ² of observations; ``unit`` holds the means with the variances 1/n."""
    spare = within.observations - unit.groups_count
    if spare <= 0 or _degrees(unit) == 0:
        return Components(0.0, residual_variance(unit, within))
    if method in ("ml", "reml"):
        return _jointly(unit, within, restricted=method == "reml")
    sigma2 = max(within.squares / spare, within.rounding)
    ratio, bimodal, iterations = fit_tau2(Scaled(unit, sigma2), method)
    return Components(ratio * sigma2, sigma2, bimodal, iterations)


def residual_variance(unit: RegressionPool, within: Within) -> float:
    """Return the variance of all observations about the regression, the groups taken as equal."""
    degrees = within.observations - unit.coefficients_count
    if degrees <= 0:
        raise FitError(
            f"{within.observations:g} observations leave no variance to {unit.coefficients_count} "
            "coefficients: the pool needs more observations or fewer covariates"
        )
    return max((within.squares + unit.at(0.0).q) / degrees, within.rounding)


def observations_log_likelihood(
    unit: RegressionPool, within: Within, tau2: float, sigma2: float
) -> float:
    """Return the log-likelihood of the observations at the best coefficients."""
    return -_deviance(unit, within, tau2, sigma2, within.observations) / 2


def observations_restricted_log_likelihood(
    unit: RegressionPool, within: Within, tau2: float, sigma2: float
) -> float:
    """Return -½ of lme4's REML criterion, but for ln det of the design's scaling."""
    degrees = within.observations - unit.coefficients_count
    log_det = unit.at(tau2 / sigma2).log_det
    return -(_deviance(unit, within, tau2, sigma2, degrees) + log_det) / 2


def _deviance(
    unit: RegressionPool, within: Within, tau2: float, sigma2: float, degrees: float
) -> float:
    """Return degrees · ln 2πσ² + Σ ln(1 + nτ²/σ²) + the weighted sum of squares."""
    at = unit.at(tau2 / sigma2)
    log_det = within.log_sizes - at.log_weight
    return degrees * (_LOG_2PI + math.log(sigma2)) + log_det + (within.squares + at.q) / sigma2


def _jointly(unit: RegressionPool, within: Within, *, restricted: bool) -> Components:
    """Maximise the likelihood profiled over β and σ² in ρ = τ²/σ²."""
    degrees = within.observations - (unit.coefficients_count if restricted else 0)
    squares = max(within.squares, degrees * within.rounding)

    def sigma2_at(ratio: float) -> float:
        return (squares + unit.at(ratio).q) / degrees

    def score(ratio: float) -> float:
        at = unit.at(ratio)
        expected = at.contrast if restricted else at.total
        return (at.q_slope * degrees / (squares + at.q) - expected) / 2

    def value(ratio: float) -> float:
        at = unit.at(ratio)
        log_det = (at.log_det if restricted else 0.0) - at.log_weight
        return -(degrees * math.log((squares + at.q) / degrees) + log_det) / 2

    least = unit.least_variance
    most = 10 * unit.unweighted().squares * degrees / squares + least
    peak = highest_peak(score, value, 1e-3 * least, most)
    sigma2 = sigma2_at(peak.at)
    return Components(peak.at * sigma2, sigma2, peak.bimodal, peak.iterations)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Means in units of σ: what sampling variances 1/n say of means that vary by σ²/n.

    Attributes
    ----------
    unit
        The pool with the variances 1/n.
    sigma2
        σ².
    """

    unit: RegressionPool
    sigma2: float

    @property
    def groups_count(self) -> int:
        """Groups with data."""
        return self.unit.groups_count

    @property
    def coefficients_count(self) -> int:
        """Coefficients of the prior mean."""
        return self.unit.coefficients_count

    @property
    def least_variance(self) -> float:
        """Smallest sampling variance."""
        return self.unit.least_variance

    @property
    def median_se(self) -> float:
        """Median standard error of the means; of two middle ones their mean."""
        return self.unit.median_se

    def at(self, tau2: float) -> Regression:
        """Regress with the weights 1/(v + τ²); the coefficients stay in the means' units."""
        at = self.unit.at(tau2)
        return at._replace(q=at.q / self.sigma2, q_slope=at.q_slope / self.sigma2)

    def unweighted(self) -> Unweighted:
        """Regress with equal weights."""
        at = self.unit.unweighted()
        return at._replace(squares=at.squares / self.sigma2)
