"""Quantiles of mixtures of Beta or Gamma kernels, one mixture per row."""

import math
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import (
    betainc,
    betaincc,
    betaincinv,
    betaln,
    gammainc,
    gammaincc,
    gammaincinv,
    gammaln,
    ndtri,
    xlog1py,
    xlogy,
)

from stream_hb.statistics.columns import Floats

_STEPS_MAX = 60
_CLOSE = 1e-7
"""A quantile's last step, in standard deviations, and how far its probability may be off."""


_LEAST = 1e-15
"""How near 0 or 1 a Beta's mean may lie: nearer no digit tells it from them."""

_TOTAL_MOST = 1e14


class Kernels(Protocol):
    """A distribution with two parameters, matched to a mean and a variance."""

    @property
    def most(self) -> float:
        """The largest value there is."""
        ...

    def matched(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Return the parameters with this mean and variance."""
        ...

    def below(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return P(θ <= x)."""
        ...

    def above(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return P(θ > x)."""
        ...

    def density(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return the density."""
        ...

    def quantile(self, probability: float, parameters: tuple[Floats, Floats]) -> Floats:
        """Return the quantile."""
        ...


class BetaKernels:
    """Beta(a, b)."""

    most = 1.0

    def matched(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Return a and b."""
        mean = np.clip(mean, _LEAST, 1 - _LEAST)
        total = mean * (1 - mean) / np.maximum(variance, mean * (1 - mean) / _TOTAL_MOST) - 1
        # Rounding of rates next to 1 can leave a variance that no distribution has.
        total = np.maximum(total, _LEAST)
        return mean * total, (1 - mean) * total

    def below(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return P(θ <= x)."""
        p: Floats = betainc(*parameters, x)
        return p

    def above(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return P(θ > x)."""
        p: Floats = betaincc(*parameters, np.clip(x, 0.0, 1.0))
        return p

    def density(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return the density."""
        a, b = parameters
        density: Floats = np.exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b))
        return density

    def quantile(self, probability: float, parameters: tuple[Floats, Floats]) -> Floats:
        """Return the quantile."""
        x: Floats = betaincinv(*parameters, probability)
        return x


class GammaKernels:
    """Gamma with a shape and a rate."""

    most = math.inf

    def matched(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Return shape and rate."""
        return mean**2 / variance, mean / variance

    def below(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return P(θ <= x)."""
        shape, rate = parameters
        p: Floats = gammainc(shape, rate * x)
        return p

    def above(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return P(θ > x)."""
        shape, rate = parameters
        p: Floats = gammaincc(shape, rate * np.maximum(x, 0.0))
        return p

    def density(self, x: Floats, parameters: tuple[Floats, Floats]) -> Floats:
        """Return the density."""
        shape, rate = parameters
        log = xlogy(shape, rate) + xlogy(shape - 1, x) - rate * x - gammaln(shape)
        density: Floats = np.exp(log)
        return density

    def quantile(self, probability: float, parameters: tuple[Floats, Floats]) -> Floats:
        """Return the quantile."""
        shape, rate = parameters
        x: Floats = gammaincinv(shape, probability) / rate
        return x


class Mixture(NamedTuple):
    """Kernels given by their moments, shape (rows, nodes), and the nodes' weights (nodes,)."""

    kernels: Kernels
    mean: Floats
    variance: Floats
    weight: Floats

    def moments(self) -> tuple[Floats, Floats]:
        """Return mean and sd by the law of total variance."""
        mean = self.mean @ self.weight
        between = (self.mean - mean[:, np.newaxis]) ** 2
        return mean, np.sqrt((self.variance + between) @ self.weight)

    def above(self, threshold: float) -> Floats:
        """Return each mixture's probability of lying above a value."""
        parameters = self.kernels.matched(self.mean, self.variance)
        inside: Floats = self.kernels.above(np.array(threshold), parameters) @ self.weight
        return inside

    def quantile(self, probability: float) -> Floats:
        """Return each mixture's quantile within 1e-7 sd: Newton's method, kept in a bracket.

        The start is the quantile of one kernel with the whole mixture's moments.
        """
        parameters = self.kernels.matched(self.mean, self.variance)
        mean, sd = self.moments()
        at = self.kernels.quantile(probability, self.kernels.matched(mean, sd**2))
        if len(self.weight) == 1:
            return at
        # A Gamma or Beta matched to a wide mixture has its lower quantiles at zero: not a start.
        log_sd = np.sqrt(np.log1p((sd / mean) ** 2))
        log_normal = mean * np.exp(float(ndtri(probability)) * log_sd - log_sd**2 / 2)
        at = np.where(at > 1e-3 * log_normal, at, np.minimum(log_normal, self.kernels.most))
        low, high = np.zeros_like(at), np.full_like(at, self.kernels.most)
        rows = np.arange(len(at))
        for _ in range(_STEPS_MAX):
            here, own = at[rows], (parameters[0][rows], parameters[1][rows])
            below = self.kernels.below(here[:, np.newaxis], own) @ self.weight
            density = self.kernels.density(here[:, np.newaxis], own) @ self.weight
            is_short = below <= probability
            low[rows] = np.where(is_short, here, low[rows])
            high[rows] = np.where(is_short, high[rows], here)
            at[rows] = _next(here, below, density, probability, low[rows], high[rows])
            # A step is small also where the density is huge and the quantile far: look at both.
            moving = np.abs(at[rows] - here) > _CLOSE * sd[rows]
            rows = rows[moving | (np.abs(below - probability) > _CLOSE)]
            if len(rows) == 0:
                break
        return at


def _next(
    here: Floats, below: Floats, density: Floats, probability: float, low: Floats, high: Floats
) -> Floats:
    """Take Newton's step where it stays in the bracket, else halve that (or double the point).

    In the lower half ln P is nearly linear in ln x, however far below the start lies.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if probability < 0.5:
            there = here * np.exp(np.log(probability / below) * below / (here * density))
        else:
            there = np.minimum(here - (below - probability) / density, 4 * here)
        middle = np.where(np.isinf(high), 2 * here, (low + high) / 2)
    bracketed = (there > low) & (there < high)
    out: Floats = np.where(bracketed, there, middle)
    return out
