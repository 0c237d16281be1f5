"""Marginal likelihoods in many digits, straight from their definitions: plain and slow."""

from collections.abc import Sequence

import mpmath as mp
import numpy as np
from numpy.typing import NDArray

mp.mp.dps = 60


def rising_log(x: float, c: float) -> mp.mpf:
    x, c = mp.mpf(x), mp.mpf(c)
    return mp.loggamma(x + c) - mp.loggamma(c) - x * mp.log(c)


def rising_log_slope(x: float, c: float) -> mp.mpf:
    """Derivative of R(x, c) in c, times c."""
    x, c = mp.mpf(x), mp.mpf(c)
    return c * (mp.digamma(x + c) - mp.digamma(c)) - x


def rising_log_curvature(x: float, c: float) -> mp.mpf:
    """Second derivative of R(x, c) in c, times c squared."""
    x, c = mp.mpf(x), mp.mpf(c)
    return c**2 * (mp.psi(1, x + c) - mp.psi(1, c)) + x


def beta_binomial(
    successes: Sequence[float], trials: Sequence[float], mean: float, concentration: float
) -> float:
    a, b = mp.mpf(mean) * mp.mpf(concentration), (1 - mp.mpf(mean)) * mp.mpf(concentration)
    total = mp.mpf(0)
    for y, n in zip(successes, trials, strict=True):
        total += mp.log(mp.binomial(n, y)) + mp.log(mp.beta(a + y, b + n - y) / mp.beta(a, b))
    return float(total)


def gamma_poisson(
    events: Sequence[float], exposure: Sequence[float], mean: float, shape: float
) -> float:
    a, b = mp.mpf(shape), mp.mpf(shape) / mp.mpf(mean)
    total = mp.mpf(0)
    for y, t in zip(events, exposure, strict=True):
        total += mp.log(mp.gamma(a + y) / mp.gamma(a) / mp.factorial(y))
        total += a * mp.log(b / (b + t)) + y * mp.log(t / (b + t))
    return float(total)


def normal_from_observations(
    values: Sequence[Sequence[float]], mu: float, tau2: float, sigma2: float
) -> float:
    """Density of every observation at once, by its dense covariance matrix."""
    total = 0.0
    for group in values:
        size = len(group)
        covariance = sigma2 * np.eye(size) + tau2 * np.ones((size, size))
        total += _log_normal(np.asarray(group) - mu, covariance)
    return total


def _log_normal(away: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
    return float(-(log_det + away @ np.linalg.solve(covariance, away)) / 2)
