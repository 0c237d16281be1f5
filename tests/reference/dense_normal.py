"""Normal-Normal posteriors on dense grids, straight from the model: plain and slow.

Nothing is integrated in closed form: μ, τ (and σ²) are points of a grid, and a group's posterior is
the mixture of what it is given each point.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import t as student

Floats = NDArray[np.float64]
LogDensity = Callable[[Floats], Floats]


def known_variances(
    y: Floats, v: Floats, log_prior: LogDensity, tau_max: float, group: int, level: float
) -> tuple[float, float]:
    """Interval of one group's θ: a grid of 1,200 τ = max·u² by 300 μ."""
    u = (np.arange(1200) + 0.5) / 1200
    tau = (tau_max * u**2)[:, None]
    centre, spread = float(np.mean(y)), 12 * float(np.sqrt(v.min() + y.var() + tau_max**2 / 25))
    mu = (centre + spread * np.linspace(-1, 1, 301) ** 3)[None, :]
    step = 3 * np.linspace(-1, 1, 301)[None, :] ** 2
    log_density = log_prior(tau) + np.log(u)[:, None] + np.log(step + 1e-300)
    for value, variance in zip(y, v, strict=True):
        total = variance + tau**2
        log_density = log_density - 0.5 * (np.log(total) + (value - mu) ** 2 / total)
    return _interval(*_kernels(y[group], v[group], mu, tau, log_density), level)


def common_variance(
    y: Floats,
    n: Floats,
    squares: float,
    log_prior: LogDensity,
    taus: Floats,
    sigmas: Floats,
    mus: Floats,
    group: int,
    level: float,
) -> tuple[float, float, float]:
    """Interval of one group's θ and log evidence, by equal steps of ln τ, ln σ and μ."""
    tau, sigma2, mu = taus[:, None, None], sigmas[None, :, None] ** 2, mus[None, None, :]
    degrees = float((n - 1).sum())
    log_density = log_prior(tau) + np.log(tau) + 0.0 * mu
    log_density = log_density - 0.5 * (degrees * np.log(2 * np.pi * sigma2) + squares / sigma2)
    log_density = log_density - 0.5 * float(np.log(n).sum())
    for value, size in zip(y, n, strict=True):
        total = sigma2 / size + tau**2
        log_density = log_density - 0.5 * (np.log(2 * np.pi * total) + (value - mu) ** 2 / total)
    top = float(log_density.max())
    cell = np.log(taus[1] / taus[0]) * 2 * np.log(sigmas[1] / sigmas[0]) * (mus[1] - mus[0])
    evidence = top + float(np.log(np.exp(log_density - top).sum() * cell))
    kernels = _kernels(y[group], sigma2 / n[group], mu, tau, log_density)
    return (*_interval(*kernels, level), evidence)


def separate_variances(
    y: Floats,
    n: Floats,
    s2: Floats,
    log_prior: LogDensity,
    taus: Floats,
    mus: Floats,
    group: int,
    level: float,
) -> tuple[float, float]:
    """Interval of one group's θ: every other group's mean is a t about its θ = μ + τz."""
    tau, mu = taus[:, None, None], mus[None, :, None]
    z = np.linspace(-7, 7, 281)[None, None, :]
    normal = np.exp(-0.5 * z**2)
    theta = mu + tau * z
    weight = np.exp(log_prior(tau)) * tau * normal
    for j, (value, size, variance) in enumerate(zip(y, n, s2, strict=True)):
        density = student.pdf(value, size - 1, theta, np.sqrt(variance / size))
        if j == group:
            weight = weight * density
        else:
            weight = weight * (density * normal).sum(axis=-1, keepdims=True)
    order = np.argsort(theta, axis=None)
    mass = weight.ravel()[order].cumsum()
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    low, high = np.interp(tails, mass / mass[-1], theta.ravel()[order])
    return float(low), float(high)


def _kernels(
    y: float, v: Floats, mu: Floats, tau: Floats, log_density: Floats
) -> tuple[Floats, Floats, Floats]:
    weight = np.exp(log_density - log_density.max())
    kept = weight > 1e-9
    pull = v / (v + tau**2)
    mean = np.broadcast_to(pull * mu + (1 - pull) * y, weight.shape)[kept]
    sd = np.broadcast_to(np.sqrt(pull) * tau, weight.shape)[kept]
    return mean, sd, weight[kept] / weight[kept].sum()


def _interval(mean: Floats, sd: Floats, weight: Floats, level: float) -> tuple[float, float]:
    middle = float((weight * mean).sum())
    around = float(np.sqrt((weight * (sd**2 + (mean - middle) ** 2)).sum()))

    def end(probability: float) -> float:
        def excess(x: float) -> float:
            return float((weight * ndtr((x - mean) / sd)).sum()) - probability

        return float(brentq(excess, middle - 12 * around, middle + 12 * around, rtol=1e-10))

    return end((1 - level) / 2), end((1 + level) / 2)
