"""Integrated hyperparameters of a pool of means: nodes with weights, in place of one (μ, τ²)."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from stream_hb.models.normal_mixture import Mixture
from stream_hb.models.variance_interval import variance_interval
from stream_hb.statistics.columns import Floats

_CURVE_POINTS = 801


class Kernels(NamedTuple):
    """Nodes in one row: arrays of shape (kernels,).

    mu, mu_sd
        Mean and sd of μ given the rest.
    tau
        Spread between groups.
    sigma2
        Variance of one observation; 1 where sampling variances are known.
    weight
        Sums to 1.
    """

    mu: Floats
    mu_sd: Floats
    tau: Floats
    sigma2: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class NormalNodes:
    """What is believed of a pool's hyperparameters, as nodes of a quadrature.

    Attributes
    ----------
    location, location_sd
        Mean and sd of μ at each node, shape (O, I): given the rest μ is normal.
    concentration
        τ, shape (O, I); the same along a row, and its logarithm in equal steps down a column
        (see ``bound``).
    weight
        Shape (O, I); sums to 1.
    sigma2
        Variance of one observation at each node, shape (O, I); None where sampling variances are
        known or each group has its own.
    bound
        Where the prior of τ ends: then ln τ/(bound - τ) has the equal steps.
    few
        Fewer kernels that give the same interval ends, shape (5, kernels): rows as
        :class:`Kernels`.
    prior_degrees, prior_variance, pooled_degrees
        d0, s0² and Σd_j of the groups' own variances, where each has its own; else NaN.
    sigma2_degrees
        Degrees of freedom of σ² where one node stands for them; NaN where the nodes have its
        spread.
    """

    location: Floats
    location_sd: Floats
    concentration: Floats
    weight: Floats
    sigma2: Floats | None
    bound: float
    few: Floats
    prior_degrees: float = math.nan
    prior_variance: float = math.nan
    pooled_degrees: float = math.nan
    sigma2_degrees: float = math.nan

    def kernels(self) -> Kernels:
        """Return all nodes in one row."""
        sigma2 = np.ones_like(self.weight) if self.sigma2 is None else self.sigma2
        columns = self.location, self.location_sd, self.concentration, sigma2, self.weight
        return Kernels(*(np.ravel(column) for column in columns))

    def few_kernels(self) -> Kernels:
        """Return the fewer kernels, for interval ends."""
        return Kernels(*self.few)

    @property
    def bimodal(self) -> bool:
        """Whether the posterior of the spread (of its logarithm) has more than one mode."""
        share = self.weight.sum(axis=1)
        inside = (share[1:-1] > share[:-2]) & (share[1:-1] >= share[2:])
        return bool(inside.sum() > 1)

    def means(self) -> dict[str, float]:
        """Return the posterior means of the hyperparameters."""
        kernels = self.kernels()
        means = {"mu": kernels.mu, "tau": kernels.tau, "sigma2": kernels.sigma2}
        if self.sigma2 is None:
            del means["sigma2"]
        own = {"d0": self.prior_degrees, "sigma2": self.prior_variance}
        return {
            **{name: _mean(values, kernels.weight) for name, values in means.items()},
            **{name: value for name, value in own.items() if not math.isnan(value)},
        }

    def uncertainty(self, level: float) -> dict[str, tuple[float, float, float]]:
        """Return sd and equal-tailed interval of each hyperparameter."""
        tails = (1 - level) / 2, (1 + level) / 2
        kernels = self.kernels()
        mu = Mixture(kernels.mu[None], kernels.mu_sd[None], kernels.weight)
        mu_lo, mu_hi = (float(mu.quantile(p)[0]) for p in tails)
        found = {
            "mu": (float(mu.moments()[1][0]), mu_lo, mu_hi),
            "tau": (_sd(kernels.tau, kernels.weight), *self._tau_quantiles(tails)),
        }
        if self.sigma2 is not None:
            nodes = kernels.sigma2, kernels.weight
            found["sigma2"] = variance_interval(*nodes, self.sigma2_degrees, level)
        return found

    def _tau_quantiles(self, tails: tuple[float, float]) -> tuple[float, float]:
        """Interpolate the log density of ln τ between the nodes, and sum it up."""
        from scipy.interpolate import CubicSpline

        t = self._line(self.concentration[:, 0])
        share = self.weight.sum(axis=1)
        density = CubicSpline(t, np.log(np.maximum(share, share.max() * 1e-12)))
        fine = np.linspace(t[0], t[-1], _CURVE_POINTS)
        height = np.exp(density(fine))
        below = np.concatenate(([0.0], np.cumsum((height[1:] + height[:-1]) / 2)))
        low, high = np.interp(tails, below / below[-1], fine)
        return self._tau(low), self._tau(high)

    def _line(self, tau: Floats) -> Floats:
        if math.isinf(self.bound):
            return np.log(tau)
        return np.log(tau) - np.log(self.bound - tau)

    def _tau(self, t: float) -> float:
        return math.exp(t) if math.isinf(self.bound) else self.bound / (1 + math.exp(-t))

    def with_variances(self, degrees: float, variance: float, pooled_degrees: float) -> Self:
        """Return these nodes with the prior of the groups' own variances."""
        return replace(
            self,
            prior_degrees=degrees,
            prior_variance=variance,
            pooled_degrees=pooled_degrees,
        )


def _mean(values: Floats, weight: Floats) -> float:
    origin = values[0]
    return float(origin + (weight * (values - origin)).sum())


def _sd(values: Floats, weight: Floats) -> float:
    return math.sqrt(float((weight * (values - _mean(values, weight)) ** 2).sum()))
