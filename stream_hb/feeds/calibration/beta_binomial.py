"""Successes to come out of so many trials: Beta-Binomial kernels."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import betainc, gammaln

from stream_hb.models.beta_kernels import BetaKernels
from stream_hb.models.special import rising_log
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class BetaBinomialKernels:
    """y ~ Bin(n, θ), θ ~ Beta(a, b).

    Attributes
    ----------
    a, b
        Parameters of what is believed of the rates, shape (kernels, groups).
    highest
        Trials n to come, shape (groups,).
    """

    a: Floats
    b: Floats
    highest: Floats

    @classmethod
    def of(cls, kernels: BetaKernels, trials: Floats) -> Self:
        """Return the predictives that beliefs of rates make."""
        return cls(kernels.a, kernels.b, trials)

    def take(self, columns: Any) -> Self:
        """Return the given groups."""
        return type(self)(self.a[:, columns], self.b[:, columns], self.highest[columns])

    def mean(self) -> Floats:
        """Return nm with m = a/(a + b), shape (kernels, groups)."""
        return self.highest * (self.a / (self.a + self.b))

    def variance(self) -> Floats:
        """Return nm(1-m)(s + n)/(s + 1) with s = a + b."""
        size = self.a + self.b
        inflated = (size + self.highest) / (size + 1)
        return self.mean() * (self.b / size) * inflated

    def tail_scale(self) -> Floats:
        """Return how far one nat of probability reaches in the exponential part of the tails."""
        return 1 / 3 + self.highest / (self.a + self.b)

    def log_mass(self, k: Floats) -> Floats:
        """Return ln p(k) at one count a group; statistics.md §2's form, which never cancels."""
        n, rest = self.highest, self.highest - k
        size = self.a + self.b
        ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(rest + 1)
        odds = k * np.log(self.a / size) + rest * np.log(self.b / size)
        rises = rising_log(k, self.a) + rising_log(rest, self.b) - rising_log(n, size)
        out: Floats = ways + odds + rises
        return out

    def ratios(self, k: Floats) -> Floats:
        """Return p(k + 1)/p(k) at counts (groups, W): shape (kernels, groups, W); 0 from n on."""
        rest = np.maximum(self.highest[:, np.newaxis] - k, 0.0)
        a, b = self.a[..., np.newaxis], self.b[..., np.newaxis]
        # From n on the numerator is 0: whatever the denominator, it must not be 0 too.
        below = (k + 1) * (b + np.maximum(rest - 1, 0.0))
        out: Floats = rest * (a + k) / below
        return out

    def smooth(self, x: Floats) -> tuple[Floats, Floats]:
        """Return P(X ≤ x) and E[X; X ≤ x] of the Beta on [0, n] with the same mean and variance.

        Points (groups, N) give shapes (kernels, groups, N).
        """
        size = self.a + self.b
        n = self.highest[:, np.newaxis]
        share = (self.a / size)[..., np.newaxis]
        matched = (size * np.maximum(self.highest - 1, 1e-300) / (size + self.highest))[..., None]
        at = np.clip(x / n, 0.0, 1.0)
        below = betainc(share * matched, (1 - share) * matched, at)
        part = n * share * betainc(share * matched + 1, (1 - share) * matched, at)
        return below, part
