"""Events over an exposure: Gamma-Poisson predictive, log rate."""

import numpy as np

from stream_hb.feeds.drift.baseline import Baseline
from stream_hb.feeds.drift.family import SHIFT_MAX, Observed, Predictive
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.tick import Cleaned, Kind
from stream_hb.statistics.columns import Floats


class Rates:
    """y events in an exposure t (visits, hours); the link is the log rate."""

    kind = Kind.RATES
    noise_is_in_size = False

    def observed(
        self,
        tick: Cleaned,
        _baseline: Baseline,
        _hyper: DriftHyper,
        _settings: DriftSettings,
        _noise_variance: float,
    ) -> Observed:
        """Return exposure and events."""
        return Observed(tick.size, tick.value)

    def pooled(self, observed: Observed) -> float:
        """Return the chain's log rate, of half an event more."""
        return float(np.log((observed.total.sum() + 0.5) / max(observed.size.sum(), 1e-300)))

    def mean_and_weight(self, size: Floats, link: Floats) -> tuple[Floats, Floats]:
        """Return t exp(link), twice: the Poisson's mean is its variance."""
        mean = size * np.exp(link)
        return mean, mean

    def relation(self, baseline: Baseline, prior_size: float) -> tuple[Floats, Floats]:
        """Return ln((O + a)/(E + a)) and its variance 1/(O + a)."""
        total = baseline.observed + prior_size
        return np.log(total / (baseline.expected + prior_size)), 1 / total

    def contribution(self, tick: Cleaned, observed: Observed, offset: float) -> Baseline:
        """Return events, and events expected of a store like the chain."""
        nothing = np.zeros_like(observed.total)
        expected = observed.size * np.exp(offset)
        return Baseline(observed.total, expected, nothing, nothing, tick.seen.astype(np.float64))

    def predictive(
        self, observed: Observed, link: Floats, variance: Floats, _settings: DriftSettings
    ) -> Predictive:
        """Compare with negative binomials: a Gamma of shape 1/v and mean t exp(link)."""
        y, mean = observed.total, observed.size * np.exp(link)
        shape = 1 / np.maximum(variance, 1e-12)
        inflation = 1 + mean * variance

        def log_density(shift: Floats) -> Floats:
            # No term with y! or the shape alone depends on the shift.
            rate = shape * np.exp(-shift) / np.maximum(mean, 1e-300)
            log_odds = np.log1p(rate)
            out: Floats = -y * log_odds - shape * (log_odds - np.log(rate))
            return out

        excess = y - mean
        scale = np.sqrt(np.maximum(mean * inflation, 1e-300))
        return Predictive(excess / scale, excess / inflation, mean / inflation, log_density)

    def shift_of(self, _link: Floats, ratio: Floats) -> tuple[Floats, Floats]:
        """Invert exp(shift) - 1.

        >>> Rates().shift_of(np.zeros(1), np.full(1, 0.5))[0].round(4)
        array([0.4055])
        """
        more = np.clip(1 + ratio, np.exp(-SHIFT_MAX), np.exp(SHIFT_MAX))
        return np.log(more), np.minimum(more, 1.0)

    def natural(self, link: Floats) -> Floats:
        """Return rates."""
        return np.exp(link)

    def rebuilt(self, baseline: Baseline, relation: Floats, information: Floats) -> Baseline:
        """Return as many events as there is information, and the exposure to suit."""
        nothing = np.zeros_like(information)
        expected = information * np.exp(-relation)
        return Baseline(information, expected, nothing, nothing, baseline.ticks)


def log_probability_of_none(mean: Floats, variance: Floats) -> Floats:
    """Return ln P(0) of a Gamma-Poisson with the given mean and variance of its log rate.

    >>> one = np.ones(1)
    >>> log_probability_of_none(14 * one, 1e-12 * one).round(4)
    array([-14.])
    """
    shape = 1 / np.maximum(variance, 1e-12)
    return -shape * np.log1p(mean / shape)
