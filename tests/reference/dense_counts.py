"""Full Bayes for counts on a fine grid of (location, log spread): plain code, no shortcuts.

Shares nothing with the package: log-gammas, a rectangle rule, bisection on the mixture's CDF.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaln, expit, gammainc, gammaln

Array = NDArray[np.float64]
LogPrior = Callable[[Array, Array], Array]

_NATS = (1e4, 1e3, 200.0, 60.0, 21.0, 21.0)
"""A coarse grid's highest node may be far below the top: the box closes slowly."""


def default_prior(pooled: float) -> LogPrior:
    """s ~ half-normal(1), location ~ Normal(pooled, 2.5²), as a density in (location, s)."""

    def log_density(location: Array, spread: Array) -> Array:
        out: Array = (
            np.log(np.sqrt(2 / np.pi))
            - spread**2 / 2
            - ((location - pooled) / 2.5) ** 2 / 2
            - np.log(2.5 * np.sqrt(2 * np.pi))
        )
        return out

    return log_density


@dataclass
class Dense:
    """Nodes (flat) with weights, and the log evidence above no constant."""

    location: Array
    spread: Array
    weight: Array
    log_evidence: float
    family: str

    def parameters(self) -> tuple[Array, Array]:
        """Beta's (α, β), or Gamma's (shape, rate)."""
        if self.family == "beta-binomial":
            m, q = expit(self.location), expit(-self.location)
            concentration = 1 / (self.spread**2 * m * q)
            return m * concentration, q * concentration
        shape = 1 / self.spread**2
        return shape, shape / np.exp(self.location)

    def mean_sd(self, total: float, size: float) -> tuple[float, float]:
        a, b = self.parameters()
        if self.family == "beta-binomial":
            a, b = a + total, b + size - total
            mean, variance = a / (a + b), a * b / (a + b) ** 2 / (a + b + 1)
        else:
            a, b = a + total, b + size
            mean, variance = a / b, a / b**2
        centre = float((self.weight * mean).sum())
        return centre, float(np.sqrt((self.weight * (variance + (mean - centre) ** 2)).sum()))

    def weight_on_pool(self, size: float) -> float:
        a, b = self.parameters()
        c = a + b if self.family == "beta-binomial" else b
        return float((self.weight * c / (c + size)).sum())

    def below(self, total: float, size: float, x: float) -> float:
        a, b = self.parameters()
        if self.family == "beta-binomial":
            return float((self.weight * betainc(a + total, b + size - total, x)).sum())
        return float((self.weight * gammainc(a + total, (b + size) * x)).sum())

    def quantile(self, total: float, size: float, probability: float) -> float:
        is_beta = self.family == "beta-binomial"

        def natural(t: float) -> float:
            return float(expit(t)) if is_beta else float(np.exp(t))

        root = brentq(
            lambda t: self.below(total, size, natural(t)) - probability, -300, 30, xtol=1e-9
        )
        return natural(float(root))


def dense(family: str, total: Array, size: Array, log_prior: LogPrior, points: int = 160) -> Dense:
    """Integrate on ``points``² nodes over the box within 21 nats of the highest."""
    box = (-25.0, 12.0, np.log(3e-4), np.log(50.0))
    for nats, count in zip(_NATS, (60, 50, 50, 50, 50, points), strict=True):
        location, log_spread, log_density, cell = _grid(family, total, size, log_prior, box, count)
        near = log_density > log_density.max() - nats
        old = box
        box = (
            *_around(location[:, 0], near.any(axis=1)),
            *_around(log_spread[0], near.any(axis=0)),
        )
        box = (max(box[0], old[0]), min(box[1], old[1]), max(box[2], old[2]), min(box[3], old[3]))
    weight = np.exp(log_density - log_density.max())
    evidence = float(log_density.max() + np.log(weight.sum() * cell))
    weight /= weight.sum()
    some = weight > 1e-10
    return Dense(
        location[some],
        np.exp(log_spread[some]),
        weight[some] / weight[some].sum(),
        evidence,
        family,
    )


def _around(points: Array, near: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the ends of what is near, one point further out."""
    inside = np.flatnonzero(near)
    step = points[1] - points[0]
    return float(points[inside[0]] - step), float(points[inside[-1]] + step)


def _grid(
    family: str,
    total: Array,
    size: Array,
    log_prior: LogPrior,
    box: tuple[float, float, float, float],
    count: int,
) -> tuple[Array, Array, Array, float]:
    part = (np.arange(count) + 0.5) / count
    location, log_spread = np.meshgrid(
        box[0] + (box[1] - box[0]) * part, box[2] + (box[3] - box[2]) * part, indexing="ij"
    )
    spread = np.exp(log_spread)
    likelihood = _LIKELIHOODS[family](total, size, location, spread)
    cell = (box[1] - box[0]) * (box[3] - box[2]) / count**2
    return location, log_spread, likelihood + log_prior(location, spread) + log_spread, cell


def _rising(x: Array, c: Array) -> Array:
    """Sum of ln Π(1 + i/c) for i < x over whole numbers x: a sum of positive terms."""
    out = np.zeros_like(c)
    for i in range(1, int(x.max(initial=0.0))):
        out += (x > i).sum() * np.log1p(i / c)
    return out


def _beta_binomial(y: Array, n: Array, location: Array, spread: Array) -> Array:
    m, q = expit(location), expit(-location)
    c = 1 / (spread**2 * m * q)
    coefficient = -(np.log(n + 1) + betaln(n - y + 1, y + 1)).sum()
    binomial = y.sum() * np.log(m) + (n - y).sum() * np.log(q)
    out: Array = binomial + coefficient
    return out + _rising(y, m * c) + _rising(n - y, q * c) - _rising(n, c)


def _gamma_poisson(y: Array, t: Array, location: Array, spread: Array) -> Array:
    a = 1 / spread**2
    out: Array = y.sum() * location + (y * np.log(t) - gammaln(y + 1)).sum() + _rising(y, a)
    for y_j, t_j in zip(y, t, strict=True):
        out = out - (a + y_j) * np.log1p(t_j * np.exp(location) / a)
    return out


_LIKELIHOODS = {"beta-binomial": _beta_binomial, "gamma-poisson": _gamma_poisson}
