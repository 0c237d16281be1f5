"""A mean drawn to what is known beforehand, as a river statistic."""

from river.stats.base import Univariate

from stream_hb.models.normal_update import NormalBelief, update
from stream_hb.river.pooled import Moments


class ShrunkMean(Univariate[float]):
    """Mean of a normal sample under a normal prior, whose weight the sample's variance decides.

    ``stats.BayesianMean`` counts the prior as a fixed number of values; here it counts for less,
    the less the values vary: σ²/τ² of them.

    Parameters
    ----------
    prior, prior_sd
        Where means of such samples lie, and how far they differ (τ).
    variance, variance_df
        Of the values about their mean, before any is seen, and for how many it counts.

    Examples
    --------
    >>> from stream_hb.river import ShrunkMean
    >>> mean = ShrunkMean(prior=10.0, prior_sd=2.0, variance=9.0)
    >>> mean.get()
    10.0
    >>> for x in (13.0, 14.0, 15.0):
    ...     mean.update(x)
    >>> round(mean.get(), 3)
    13.064
    """

    def __init__(
        self,
        prior: float = 0.0,
        prior_sd: float = 1.0,
        variance: float = 1.0,
        variance_df: float = 1.0,
    ) -> None:
        self.prior = prior
        self.prior_sd = prior_sd
        self.variance = variance
        self.variance_df = variance_df
        self._moments = Moments()

    @property
    def name(self) -> str:
        """Name in a feature."""
        return "shrunk_mean"

    def update(self, x: float) -> None:
        """Add one value."""
        self._moments.update(x)

    def get(self) -> float:
        """Return the posterior mean."""
        own = self._moments
        df = self.variance_df + max(own.n - 1, 0)
        sigma2 = (self.variance_df * self.variance + own.m2) / df
        belief = update(NormalBelief(self.prior, self.prior_sd**2), own.mean, sigma2, own.n)
        return float(belief.mean)
