"""What a check of a pool found: plain values, and warnings of one line each."""

from dataclasses import dataclass

RARE = 0.01
FAR_SD = 3.0
"""A warning needs both: none or hardly any of the simulated pools as extreme (few are simulated,
so one tail alone would cry too often), and a distance from them that means something."""


@dataclass(frozen=True, slots=True)
class Check:
    """One statistic of the pool, observed and as the fitted model predicts it.

    Attributes
    ----------
    observed
        Its value in the data.
    predicted, predicted_sd
        Mean and standard deviation over the simulated pools.
    distance_sd
        How far the observed value lies above the prediction, in standard deviations; of the
        logarithms where the statistic is a scale (it is then skewed).
    p_above, p_below
        Share of pools, this one among them, in which it is as large (small) as observed, or more
        so. Never 0: the least is 1/(draws + 1).
    """

    observed: float
    predicted: float
    predicted_sd: float
    distance_sd: float
    p_above: float
    p_below: float

    @property
    def p_value(self) -> float:
        """Two-sided predictive p-value.

        Where the hyperparameters were fitted to the same groups it is conservative (it crowds
        about 1 for what the fit has matched, the variance above all): small is alarming, large is
        no praise.
        """
        return min(1.0, 2 * min(self.p_above, self.p_below))

    @property
    def too_large(self) -> bool:
        """Whether it is larger than the model can explain."""
        return self.p_above <= RARE and self.distance_sd > FAR_SD

    @property
    def too_small(self) -> bool:
        """Whether it is smaller than the model can explain."""
        return self.p_below <= RARE and self.distance_sd < -FAR_SD


@dataclass(frozen=True, slots=True)
class CovariateCheck:
    """What one covariate explains of the groups' deviations.

    Attributes
    ----------
    name
        The covariate.
    share
        Share of the variance of the standardised deviations that a line in it explains (sampling
        noise is a part of that variance, so even a perfect covariate does not reach 1).
    p_value
        Share of pools in which *any* of the covariates explains as much: corrected for how many
        were looked at (Westfall & Young's maxT).
    """

    name: str
    share: float
    p_value: float


@dataclass(frozen=True, slots=True)
class PoolCheck:
    """Posterior predictive checks of one pool.

    Attributes
    ----------
    groups_count
        Groups that were looked at: those with data, or a sample of them in a large pool.
    draws
        Pools that were simulated.
    variance
        Variance of the groups' raw estimates, weighted by the precision that the model gives
        them. Above the prediction: the pool is over-pooled, its groups differ more than the prior
        allows. Below: under-pooled.
    largest
        Largest absolute deviation from the pooled mean in standard deviations of the prediction.
    zeros
        Share of groups without any success or event; None for means, which have no zero.
    shape
        Distance of the sorted deviations (studentised, so that their variance plays no part) from
        the sorted deviations of simulated pools: a mean square, 1 where the model is right. Large
        where the groups are not exchangeable: two kinds of stores, or a few of another kind.
    covariates
        What each covariate explains, the most first.
    """

    groups_count: int
    draws: int
    variance: Check
    largest: Check
    zeros: Check | None
    shape: Check
    covariates: tuple[CovariateCheck, ...]

    @property
    def exchangeable(self) -> bool:
        """Whether nothing says that some groups are of another kind than others."""
        return not (self.shape.too_large or self.largest.too_large or self._explaining())

    @property
    def overdispersed(self) -> bool:
        """Whether the groups differ more than the fit allows: all of them, or the farthest one."""
        return self.variance.too_large or self.largest.too_large

    def warnings(self) -> tuple[str, ...]:
        """Return one line for everything that the model cannot explain."""
        found = [*_of_variance(self.variance), *_of_largest(self.largest)]
        if self.zeros is not None:
            found += _of_zeros(self.zeros)
        if self.shape.too_large:
            found.append(
                "not exchangeable: the groups' deviations are not distributed as the model says "
                f"(distance {self.shape.observed:.3g}, predicted {self.shape.predicted:.3g}, "
                f"p {self.shape.p_value:.2g})"
            )
        found += [
            f"not exchangeable: {covariate.name} explains {covariate.share:.0%} of the groups' "
            f"deviations (p {covariate.p_value:.2g})"
            for covariate in self._explaining()
        ]
        return tuple(found)

    def _explaining(self) -> tuple[CovariateCheck, ...]:
        """Return the covariate that explains most, if it is not by chance."""
        return tuple(c for c in self.covariates[:1] if c.p_value <= RARE)


def _of_variance(check: Check) -> list[str]:
    figures = (
        f"(variance {check.observed:.3g}, predicted {check.predicted:.3g}, p {check.p_value:.2g})"
    )
    if check.too_large:
        return [f"over-pooled: the groups differ more than the fit allows {figures}"]
    if check.too_small:
        return [f"under-pooled: the groups differ less than the fit says {figures}"]
    return []


def _of_largest(check: Check) -> list[str]:
    if not check.too_large:
        return []
    return [
        f"an outlier: one group lies {check.observed:.3g} sd from the pool, the largest predicted "
        f"is {check.predicted:.3g} (p {check.p_value:.2g})"
    ]


def _of_zeros(check: Check) -> list[str]:
    if not (check.too_large or check.too_small):
        return []
    side = "more" if check.too_large else "fewer"
    return [
        f"{side} groups without any event than predicted: {check.observed:.1%}, predicted "
        f"{check.predicted:.1%} (p {check.p_value:.2g})"
    ]
