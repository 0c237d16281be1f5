"""Events to come in so much exposure: negative-binomial kernels."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import gammainc, gammaln

from stream_hb.models.gamma_kernels import GammaKernels
from stream_hb.models.special import rising_log
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class NegativeBinomialKernels:
    """y ~ Poisson(tθ), θ ~ Gamma(shape a, rate b).

    Attributes
    ----------
    shape, rate
        Parameters of what is believed of the rates, shape (kernels, groups).
    exposure
        t to come, shape (groups,).
    """

    shape: Floats
    rate: Floats
    exposure: Floats

    @classmethod
    def of(cls, kernels: GammaKernels, exposure: Floats) -> Self:
        """Return the predictives that beliefs of rates make."""
        return cls(kernels.shape, kernels.rate, exposure)

    @property
    def highest(self) -> Floats:
        """The most events there can be: no bound."""
        return np.full(len(self.exposure), np.inf)

    def take(self, columns: Any) -> Self:
        """Return the given groups."""
        return type(self)(self.shape[:, columns], self.rate[:, columns], self.exposure[columns])

    def mean(self) -> Floats:
        """Return ta/b, shape (kernels, groups)."""
        return self.exposure * (self.shape / self.rate)

    def variance(self) -> Floats:
        """Return (ta/b)(1 + t/b)."""
        return self.mean() * (1 + self.exposure / self.rate)

    def tail_scale(self) -> Floats:
        """Return how far one nat of probability reaches in the exponential part of the tails."""
        return 1 / 3 + self.exposure / self.rate

    def log_mass(self, k: Floats) -> Floats:
        """Return ln p(k) at one count a group; statistics.md §2's form, which never cancels."""
        odds = k * np.log(self.mean()) - (self.shape + k) * np.log1p(self.exposure / self.rate)
        out: Floats = rising_log(k, self.shape) + odds - gammaln(k + 1)
        return out

    def ratios(self, k: Floats) -> Floats:
        """Return p(k + 1)/p(k) at counts (groups, W): shape (kernels, groups, W)."""
        share = (self.exposure / (self.rate + self.exposure))[..., np.newaxis]
        out: Floats = (self.shape[..., np.newaxis] + k) / (k + 1) * share
        return out

    def smooth(self, x: Floats) -> tuple[Floats, Floats]:
        """Return P(X ≤ x) and E[X; X ≤ x] of the Gamma with the same mean and variance.

        Points (groups, N) give shapes (kernels, groups, N).
        """
        share = (1 / (self.rate + self.exposure))[..., np.newaxis]
        shape = self.shape[..., np.newaxis] * self.exposure[:, np.newaxis] * share
        at = np.maximum(x, 0.0) * self.rate[..., np.newaxis] * share
        mean = self.mean()[..., np.newaxis]
        return gammainc(shape, at), mean * gammainc(shape + 1, at)
