"""Successes of visits: Beta-Binomial predictive, log-odds."""

import numpy as np
from scipy.special import expit, gammaln, logit

from stream_hb.feeds.drift.baseline import Baseline
from stream_hb.feeds.drift.family import SHIFT_MAX, Observed, Predictive
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.tick import Cleaned, Kind
from stream_hb.statistics.columns import Floats

PRECISION_MIN = 2.0

LINK_MAX = 30.0
"""One success in ten million million; further off no precision is finite."""


class Counts:
    """y of n visits; the link is the log-odds."""

    kind = Kind.COUNTS
    noise_is_in_size = False

    def observed(
        self,
        tick: Cleaned,
        _baseline: Baseline,
        _hyper: DriftHyper,
        _settings: DriftSettings,
        _noise_variance: float,
    ) -> Observed:
        """Return visits and successes."""
        return Observed(tick.size, tick.value)

    def pooled(self, observed: Observed) -> float:
        """Return the chain's log-odds, of half a success more and half a failure more."""
        total, size = observed.total.sum(), observed.size.sum()
        return float(np.log((total + 0.5) / (size - total + 0.5)))

    def mean_and_weight(self, size: Floats, link: Floats) -> tuple[Floats, Floats]:
        """Return n p and n p (1 - p)."""
        share = expit(link)
        return size * share, size * share * (1 - share)

    def relation(self, baseline: Baseline, prior_size: float) -> tuple[Floats, Floats]:
        r"""Return the log odds ratio of a store to its chain and its variance.

        With O successes of N visits, E expected and a prior successes at the chain's own rate,

        .. math:: \ln\frac{O+a}{E+a} - \ln\frac{N-O+a'}{N-E+a'}, \quad a' = a\frac{N-E}{E},

        and variance 1/(O + a). The first term alone, a ratio of rates, is not what is added to
        log-odds: at a rate of 5 % and stores .3 apart it puts a store of two standard deviations
        off by .04 for ever, and doubles the false alerts; at 50 % every store would be one.

        >>> one = np.ones(1)
        >>> half = Baseline(600 * one, 500 * one, 1000 * one, 0 * one, 9 * one)
        >>> ratio, _ = Counts().relation(half, prior_size=1e-9)
        >>> ratio.round(6), np.log(600 / 400 * one).round(6)
        (array([0.405465]), array([0.405465]))
        """
        expected = np.maximum(baseline.expected, 1e-300)
        failures = baseline.trials - baseline.observed
        failures_expected = np.maximum(baseline.trials - baseline.expected, 1e-300)
        prior_failures = prior_size * failures_expected / expected
        ratio = np.log((baseline.observed + prior_size) / (expected + prior_size)) - np.log(
            (failures + prior_failures) / (failures_expected + prior_failures)
        )
        known = (baseline.expected > 0) & (baseline.trials > baseline.expected)
        return np.where(known, ratio, 0.0), 1 / (baseline.observed + prior_size)

    def contribution(self, tick: Cleaned, observed: Observed, offset: float) -> Baseline:
        """Return successes, successes expected of a store like the chain, and visits."""
        expected = observed.size * expit(offset)
        nothing = np.zeros_like(expected)
        return Baseline(
            observed.total, expected, observed.size, nothing, tick.seen.astype(np.float64)
        )

    def predictive(
        self, observed: Observed, link: Floats, variance: Floats, _settings: DriftSettings
    ) -> Predictive:
        """Compare with Beta-Binomials of mean p and precision M = 1/(p(1-p)v) - 1."""
        n, y = observed.size, observed.total
        link = np.clip(link, -LINK_MAX, LINK_MAX)
        share = expit(link)
        binomial = share * expit(-link)
        precision = np.maximum(1 / np.maximum(binomial * variance, 1e-12) - 1, PRECISION_MIN)
        inflation = np.maximum(1 + (n - 1) / (precision + 1), 1.0)

        def log_density(shift: Floats) -> Floats:
            # Each from its own tail: where all visits convert, M - alpha would be 0, and both log
            # gammas of it infinite.
            alpha = precision * expit(link + shift)
            beta = precision * expit(-link - shift)
            top: Floats = gammaln(y + alpha) + gammaln(n - y + beta)
            top -= gammaln(alpha) + gammaln(beta)
            return top

        excess = y - n * share
        scale = np.sqrt(np.maximum(n * binomial * inflation, 1e-300))
        return Predictive(excess / scale, excess / inflation, n * binomial / inflation, log_density)

    def shift_of(self, link: Floats, ratio: Floats) -> tuple[Floats, Floats]:
        """Invert (p' - p)/p(1 - p): at a rate of 5 % it is 1.15 of a shift by .8.

        >>> shift, left = Counts().shift_of(logit(np.full(1, 0.05)), np.full(1, -0.566262))
        >>> shift.round(4), left.round(4)
        (array([-0.8]), array([0.4751]))
        """
        least = np.exp(-SHIFT_MAX)
        more = np.maximum(1 + expit(-link) * ratio, least)
        less = np.maximum(1 - expit(link) * ratio, least)
        return np.clip(np.log(more / less), -SHIFT_MAX, SHIFT_MAX), np.minimum(more * less, 1.0)

    def natural(self, link: Floats) -> Floats:
        """Return shares."""
        out: Floats = expit(link)
        return out

    def rebuilt(self, baseline: Baseline, relation: Floats, information: Floats) -> Baseline:
        """Return counts of the given log odds ratio whose n p (1 - p) is the information."""
        usual = np.clip(baseline.expected / np.maximum(baseline.trials, 1e-300), 1e-9, 1 - 1e-9)
        share = expit(logit(usual) + relation)
        trials = information / (share * (1 - share))
        return Baseline(
            share * trials, usual * trials, trials, np.zeros_like(trials), baseline.ticks
        )
