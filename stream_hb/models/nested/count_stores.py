"""What the two families of counts need of a store: its likelihood given its region's rate.

Both are written in the link of the region's rate m (logit or log), the place η + u of the chain's
location and the region's effect, and leave out the constants, which ``constant`` has.
"""

from typing import Any, Protocol

import numpy as np
from scipy.special import expit, gammaln, log_expit, logit

from stream_hb.models.special import rising_log
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure

LEAST_SPREAD = 1e-5
"""A spread below this is none."""

CONCENTRATION_MOST = 1e12
"""What an infinite concentration is where a number is needed."""

_LOG_RATIO_MOST = 100.0
"""Of two spreads: what is larger is as good as infinite, and its square is not."""


class CountModel(Protocol):
    """One family of counts. ``c`` is what a store's prior weighs: κ in trials, or the shape a."""

    def size(self, groups: Any) -> Floats:
        """Return trials or exposure."""
        ...

    def events(self, groups: Any) -> Floats:
        """Return successes or events."""
        ...

    def is_extreme(self, groups: Any) -> bool:
        """Whether the pool has seen nothing, or nothing but, successes."""
        ...

    def natural(self, link: Floats) -> Floats:
        """Return the rate at a link."""
        ...

    def link(self, rate: Floats) -> Floats:
        """Return the link of a rate."""
        ...

    def slope(self, link: Floats) -> Floats:
        """Return the derivative of the rate in its link."""
        ...

    def pooled_link(self, groups: Any) -> float:
        """Return the link of the pooled rate, half an event added so that it is finite."""
        ...

    def concentration(self, spread: Floats, link: float) -> Floats:
        """Return c for a spread between stores on the link scale."""
        ...

    def spread_ratio(self, link: Floats, at: float) -> Floats:
        """Return the spread at a link over that at another, c being the same."""
        ...

    def log_likelihood(self, groups: Any, link: Floats, c: float) -> Floats:
        """Return every store's log-likelihood by broadcasting over links (..., stores)."""
        ...

    def constant(self, groups: Any) -> float:
        """Return the sum of what the likelihood leaves out."""
        ...

    def information(self, groups: Any, rate: Floats, c: float) -> Floats:
        """Return about how well each store knows the link of its region's rate."""
        ...

    def sampling_variance(self, groups: Any, rate: Floats, c: Floats) -> Floats:
        """Return the variance of raw rates about the region's; infinite without data."""
        ...


class BetaStores:
    """Successes in trials; θ ~ Beta(mκ, (1-m)κ), logit link, spread 1/√(κm(1-m))."""

    def size(self, groups: Counts) -> Floats:
        """Return trials."""
        return groups.trials

    def events(self, groups: Counts) -> Floats:
        """Return successes."""
        return groups.successes

    def is_extreme(self, groups: Counts) -> bool:
        """Whether no trial, or every one, was a success."""
        return not 0 < float(groups.successes.sum()) < float(groups.trials.sum())

    def natural(self, link: Floats) -> Floats:
        """Return expit(link)."""
        rate: Floats = expit(link)
        return rate

    def link(self, rate: Floats) -> Floats:
        """Return logit(rate)."""
        link: Floats = logit(rate)
        return link

    def slope(self, link: Floats) -> Floats:
        """Return m(1-m)."""
        slope: Floats = expit(link) * expit(-link)
        return slope

    def pooled_link(self, groups: Counts) -> float:
        """Return the logit of (Σy + ½)/(Σn + 1)."""
        return float(logit((groups.successes.sum() + 0.5) / (groups.trials.sum() + 1)))

    def concentration(self, spread: Floats, link: float) -> Floats:
        """Return κ = 1/(s²m(1-m))."""
        return 1 / (np.maximum(spread, LEAST_SPREAD) ** 2 * self.slope(np.array(link)))

    def spread_ratio(self, link: Floats, at: float) -> Floats:
        """Return √(m₀(1-m₀)/m(1-m)), finite however far the link is."""
        log_slope = log_expit(link) + log_expit(-link)
        log_ratio = (log_expit(at) + log_expit(-at) - log_slope) / 2
        ratio: Floats = np.exp(np.minimum(log_ratio, _LOG_RATIO_MOST))
        return ratio

    def log_likelihood(self, groups: Counts, link: Floats, c: float) -> Floats:
        """Return y ln m + f ln(1-m) + R(y, mκ) + R(f, (1-m)κ) - R(n, κ)."""
        y, f = groups.successes, groups.trials - groups.successes
        binomial = y * log_expit(link) + f * log_expit(-link)
        differing = rising_log(y, expit(link) * c) + rising_log(f, expit(-link) * c)
        value: Floats = binomial + differing - rising_log(groups.trials, c)
        return value

    def constant(self, groups: Counts) -> float:
        """Return Σ ln C(n, y)."""
        y, n = groups.successes, groups.trials
        return float((gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)).sum())

    def information(self, groups: Counts, rate: Floats, c: float) -> Floats:
        """Return m(1-m)/(1/n + 1/κ)."""
        known: Floats = rate * (1 - rate) / (1 / groups.trials + 1 / c)
        return known

    def sampling_variance(self, groups: Counts, rate: Floats, c: Floats) -> Floats:
        """Return m(1-m)(1/n + 1/κ)/(1 + 1/κ)."""
        with np.errstate(divide="ignore"):
            per_trial = 1 / groups.trials[:, np.newaxis]
        variance: Floats = rate * (1 - rate) * (per_trial + 1 / c) / (1 + 1 / c)
        return variance


class GammaStores:
    """Events over an exposure; θ ~ Gamma(shape a, mean m), log link, spread 1/√a."""

    def size(self, groups: Exposure) -> Floats:
        """Return exposures."""
        return groups.exposure

    def events(self, groups: Exposure) -> Floats:
        """Return events."""
        return groups.events

    def is_extreme(self, groups: Exposure) -> bool:
        """Whether there was no event at all."""
        return float(groups.events.sum()) <= 0

    def natural(self, link: Floats) -> Floats:
        """Return exp(link)."""
        rate: Floats = np.exp(link)
        return rate

    def link(self, rate: Floats) -> Floats:
        """Return ln(rate)."""
        link: Floats = np.log(rate)
        return link

    def slope(self, link: Floats) -> Floats:
        """Return m."""
        return self.natural(link)

    def pooled_link(self, groups: Exposure) -> float:
        """Return ln((Σy + ½)/Σt)."""
        return float(np.log((groups.events.sum() + 0.5) / groups.exposure.sum()))

    def concentration(self, spread: Floats, link: float) -> Floats:
        """Return a = 1/s²."""
        shape: Floats = np.maximum(spread, LEAST_SPREAD) ** -2.0 * np.ones_like(link)
        return shape

    def spread_ratio(self, link: Floats, at: float) -> Floats:  # noqa: ARG002
        """Return 1: the coefficient of variation does not depend on the mean."""
        return np.ones_like(link)

    def log_likelihood(self, groups: Exposure, link: Floats, c: float) -> Floats:
        """Return y ln m + R(y, a) - (a + y) ln(1 + tm/a)."""
        y, t = groups.events, groups.exposure
        value: Floats = y * link + rising_log(y, c) - (c + y) * np.log1p(t * np.exp(link) / c)
        return value

    def constant(self, groups: Exposure) -> float:
        """Return Σ y ln t - ln y!."""
        y, t = groups.events, groups.exposure
        return float((y * np.log(t) - gammaln(y + 1)).sum())

    def information(self, groups: Exposure, rate: Floats, c: float) -> Floats:
        """Return 1/(1/tm + 1/a)."""
        known: Floats = 1 / (1 / (groups.exposure * rate) + 1 / c)
        return known

    def sampling_variance(self, groups: Exposure, rate: Floats, c: Floats) -> Floats:
        """Return m/t + m²/a."""
        with np.errstate(divide="ignore"):
            per_exposure = 1 / groups.exposure[:, np.newaxis]
        variance: Floats = rate * per_exposure + rate**2 / c
        return variance
