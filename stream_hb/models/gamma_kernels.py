"""Gamma distributions as the kernels of mixtures, on the log scale."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import gammainc, gammaincc, gammainccinv, gammaincinv, gammaln

from stream_hb.models.mixture import FARTHEST
from stream_hb.statistics.columns import Floats, Rows


@dataclass(frozen=True, slots=True)
class GammaKernels:
    """Gamma(shape, rate), shape (kernels, groups).

    Attributes
    ----------
    shape, rate
        Parameters, positive.
    """

    shape: Floats
    rate: Floats

    @classmethod
    def matched(cls, mean: Floats, variance: Floats) -> Self:
        """Return the Gammas with these means and variances."""
        rate = mean / np.maximum(variance, 1e-300)
        return cls(np.maximum(mean * rate, 1e-300), np.maximum(rate, 1e-300))

    def take(self, columns: Rows) -> Self:
        """Return the given groups."""
        # Not by indexing, which would turn the arrays about: a kernel's groups then lie apart.
        return type(self)(self.shape.take(columns, axis=1), self.rate.take(columns, axis=1))

    def tail(self, t: Floats, upper: bool) -> Floats:
        """Return the probability below (or above) a log rate."""
        tail: Floats = (gammaincc if upper else gammainc)(self.shape, _product(self.rate, t))
        return tail

    def slope(self, t: Floats) -> Floats:
        """Return the density of the log rate."""
        log_product = np.log(self.rate) + t
        product = _product(self.rate, t)
        log_density = self.shape * log_product - product - gammaln(self.shape)
        slope: Floats = np.exp(np.minimum(log_density, FARTHEST))
        return slope

    def quantile(self, probability: float, upper: bool) -> Floats:
        """Return the log rate with this probability below (or above) it."""
        x = (gammainccinv if upper else gammaincinv)(self.shape, probability)
        with np.errstate(divide="ignore"):
            inside: Floats = np.clip(np.log(x) - np.log(self.rate), -FARTHEST, FARTHEST)
        return inside


def _product(rate: Floats, t: Floats) -> Floats:
    """Return rate·eᵗ, far out of the distribution's reach where it would overflow."""
    product: Floats = np.exp(np.minimum(np.log(rate) + t, FARTHEST))
    return product
