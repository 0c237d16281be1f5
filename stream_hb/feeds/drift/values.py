"""Mean log order values: Student-t predictive, log value."""

import numpy as np

from stream_hb.feeds.drift.baseline import Baseline
from stream_hb.feeds.drift.family import Observed, Predictive
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.tick import Cleaned, Kind
from stream_hb.statistics.columns import Floats


class Values:
    """The mean log value of n orders; the link is the log value itself."""

    kind = Kind.VALUES
    noise_is_in_size = True

    def observed(
        self,
        tick: Cleaned,
        baseline: Baseline,
        hyper: DriftHyper,
        settings: DriftSettings,
        noise_variance: float,
    ) -> Observed:
        """Return the means' precision, with the stores' own moderated variances, times the means.

        A store's variance is (d σ² + M2)/(d + df): its own where it has many orders, the pool's
        where it has few (limma's moderation with a given prior).
        """
        df = settings.variance_df
        sigma2 = (df * hyper.sigma2 + baseline.squares) / (df + baseline.trials)
        precision = tick.size / (sigma2 + tick.size * noise_variance)
        return Observed(precision, precision * tick.value)

    def pooled(self, observed: Observed) -> float:
        """Return the chain's weighted mean."""
        return float(observed.total.sum() / max(observed.size.sum(), 1e-300))

    def mean_and_weight(self, size: Floats, link: Floats) -> tuple[Floats, Floats]:
        """Return precision times link, and the precision."""
        return size * link, size

    def relation(self, baseline: Baseline, prior_size: float) -> tuple[Floats, Floats]:
        """Return the mean deviation from the chain, shrunk to none, and its variance."""
        precision = baseline.expected + prior_size
        return baseline.observed / precision, 1 / precision

    def contribution(self, tick: Cleaned, observed: Observed, offset: float) -> Baseline:
        """Return the weighted deviation from the chain, its weight, and the variance's sums."""
        return Baseline(
            observed.total - observed.size * offset,
            observed.size,
            np.maximum(tick.size - 1, 0) * tick.seen,
            tick.m2,
            tick.seen.astype(np.float64),
        )

    def predictive(
        self, observed: Observed, link: Floats, variance: Floats, settings: DriftSettings
    ) -> Predictive:
        """Compare with Student-t's of that variance; what is far off is drawn in (winsorised).

        The precision already holds the day's noise, so ``variance`` is what is not known of the
        link.
        """
        size = np.maximum(observed.size, 1e-300)
        total = 1 / size + variance
        scale = np.sqrt(total)
        limit, away = settings.winsor_sd, observed.total / size - link
        z = np.clip(away / scale, -limit, limit)
        # A shift that lasts may be larger than one day is believed to be: measured by what is drawn
        # in, it would be told too small, and accepted so, and told anew.
        reach = limit * scale + 2 * max(settings.shifts)
        df = settings.value_df
        spread = scale * np.sqrt((df - 2) / df)  # of a Student-t with standard deviation ``scale``

        def log_density(shift: Floats) -> Floats:
            out: Floats = -(df + 1) / 2 * np.log1p(((z * scale - shift) / spread) ** 2 / df)
            return out

        return Predictive(z, np.clip(away, -reach, reach) / total, 1 / total, log_density)

    def shift_of(self, _link: Floats, ratio: Floats) -> tuple[Floats, Floats]:
        """Return the ratio: the score is linear."""
        return ratio, np.ones_like(ratio)

    def natural(self, link: Floats) -> Floats:
        """Return geometric means."""
        return np.exp(link)

    def rebuilt(self, baseline: Baseline, relation: Floats, information: Floats) -> Baseline:
        """Return sums of that mean deviation and precision; the variance's stay."""
        return Baseline(
            relation * information,
            information,
            baseline.trials,
            baseline.squares,
            baseline.ticks,
        )
