"""The product of a Beta rate and a log-normal mean with unknown variance, by dense quadrature."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc
from scipy.stats import chi2, norm

_POINTS = 400


def interval(
    a: float, b: float, mean: float, sd: float, sigma2: float, df: float, level: float
) -> tuple[float, float]:
    """Quantiles of p·exp(θ + s/2), p ~ Beta(a, b), θ ~ N(mean, sd²), df·sigma2/s ~ χ²(df)."""
    share = (np.arange(_POINTS) + 0.5) / _POINTS
    theta = mean + sd * norm.ppf(share)
    half = df * sigma2 / chi2.ppf(share, df) / 2 if np.isfinite(df) else np.array([sigma2 / 2])
    log_value = np.add.outer(theta, half).ravel()
    # Sorted into few values: the average over 160,000 would be the same.
    log_value = np.sort(log_value).reshape(_POINTS, -1).mean(axis=1)

    def excess(log_product: float, probability: float) -> float:
        rate = np.exp(np.minimum(log_product - log_value, 0.0))
        return float(betainc(a, b, rate).mean()) - probability

    tails = (1 - level) / 2, (1 + level) / 2
    low, high = (brentq(excess, -700.0, 40.0, args=(p,), xtol=1e-12) for p in tails)
    return float(np.exp(low)), float(np.exp(high))
