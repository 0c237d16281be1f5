"""Beta distributions as the kernels of mixtures, on the logit scale."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import betainc, betaln, expit, logit

from stream_hb.models.mixture import FARTHEST
from stream_hb.models.special import beta_quantile
from stream_hb.statistics.columns import Floats, Rows


@dataclass(frozen=True, slots=True)
class BetaKernels:
    """Beta(a, b), shape (kernels, groups).

    Attributes
    ----------
    a, b
        Parameters, positive.
    """

    a: Floats
    b: Floats

    @classmethod
    def matched(cls, mean: Floats, variance: Floats) -> Self:
        """Return the Betas with these means and variances."""
        total = np.maximum(mean * (1 - mean) / np.maximum(variance, 1e-300) - 1, 1e-300)
        return cls(np.maximum(mean * total, 1e-300), np.maximum((1 - mean) * total, 1e-300))

    def take(self, columns: Rows) -> Self:
        """Return the given groups."""
        # Not by indexing, which would turn the arrays about: a kernel's groups then lie apart.
        return type(self)(self.a.take(columns, axis=1), self.b.take(columns, axis=1))

    def tail(self, t: Floats, upper: bool) -> Floats:
        """Return the probability below (or above) a logit."""
        # Not betaincc, which takes ten times as long: the upper tail is the mirrored lower one.
        tail: Floats = (
            betainc(self.b, self.a, expit(-t)) if upper else betainc(self.a, self.b, expit(t))
        )
        return tail

    def slope(self, t: Floats) -> Floats:
        """Return the density of the logit."""
        log_density = -self.a * np.logaddexp(0, -t) - self.b * np.logaddexp(0, t)
        slope: Floats = np.exp(log_density - betaln(self.a, self.b))
        return slope

    def quantile(self, probability: float, upper: bool) -> Floats:
        """Return the logit with this probability below (or above) it."""
        x = beta_quantile(self.a, self.b, probability, upper=upper)
        with np.errstate(divide="ignore"):
            inside: Floats = np.clip(logit(x), -FARTHEST, FARTHEST)
        return inside
