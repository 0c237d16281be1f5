"""Normal-Normal with covariates: ȳ_j ~ N(θ_j, v_j), θ_j ~ N(x_j'β, τ²).

Each group is drawn to the prior mean of groups like it. The weight on it is still v/(v + τ²), where
τ² is only what the covariates leave unexplained.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.special import ndtr

from stream_hb.errors import UsageError
from stream_hb.models.covariates import normal_fit, regression_hyper
from stream_hb.models.covariates.design import Design, with_data
from stream_hb.models.covariates.normal_bayes import Believed, Integrated, integrate
from stream_hb.models.covariates.normal_fit import Within
from stream_hb.models.covariates.regression import ExactRegressionPool, RegressionPool
from stream_hb.models.covariates.regression_hyper import RegressionHyper, shrink
from stream_hb.models.covariates.regression_summary import (
    BinnedRegressionPool,
    design_of,
    within_of,
)
from stream_hb.models.described import Described
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.hyperprior import DEFAULT, Prior, half_normal_of_means
from stream_hb.models.normal_measured import precision_of
from stream_hb.models.normal_mixture import Mixture
from stream_hb.models.normal_observations_fit import as_measured
from stream_hb.models.pool import check_method
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.covariate_summary import CovariateSummary
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

METHODS = ("moments", "dl", "pm", "ml", "reml", "bayes")

_LOG_2PI = float(np.log(2 * np.pi))


class CovariateNormalKnownVariance:
    """Means with known sampling variances, a regression their prior mean.

    Examples
    --------
    Means that rise with a covariate differ, but not from stores like them:

    >>> stores = Measured(np.array([1.0, 2.1, 2.9, 4.0]), np.full(4, 0.1))
    >>> size = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> family = CovariateNormalKnownVariance()
    >>> fit = family.fit(Described.of(stores, size, names=("size",)), "reml")
    >>> {name: round(value, 3) for name, value in family.parameters(fit.hyper).items()}
    {'intercept': 0.05, 'size': 0.98, 'tau2': 0.0, 'se_intercept': 0.387, 'se_size': 0.141}
    >>> family.posterior(Described.of(stores, size), fit.hyper, level=0.95).pooled.round(2)
    array([1.03, 2.01, 2.99, 3.97])
    """

    name: ClassVar[str] = "normal"
    methods: ClassVar[tuple[str, ...]] = METHODS
    given_names: ClassVar[tuple[str, ...]] = ()

    def fit(
        self,
        groups: Described[Measured] | CovariateSummary,
        method: str,
        prior: Prior = DEFAULT,
    ) -> Fit[RegressionHyper]:
        """Fit β and τ², from groups or from their summary."""
        check_method(method, self.methods)
        design, pool, count = _measured_pool(groups)
        if method == "bayes":
            usual = pool.median_se
            default = half_normal_of_means(usual, normal_fit.fit_tau2(pool, "dl").tau2)
            believed = Believed.of(prior, pool, default)
            return _integrated_fit(integrate(pool, design, believed, usual), count)
        tau2, bimodal, iterations = normal_fit.fit_tau2(pool, method)
        value = (
            normal_fit.restricted_log_likelihood if method == "reml" else normal_fit.log_likelihood
        )(pool, tau2)
        hyper = _point(design, pool, tau2)
        return _fit(method, hyper, value, bimodal, iterations, count)

    def condition(self, given: Mapping[str, float]) -> RegressionHyper:
        """Refuse: coefficients are fitted."""
        return _refuse(given)

    def log_likelihood(self, groups: Described[Measured], hyper: RegressionHyper) -> float:
        """Return the marginal log-likelihood at point hyperparameters, with all its constants."""
        measured = groups.take(np.isfinite(groups.groups.variance))
        rows = hyper.design.rows(measured.covariates)
        variance = measured.groups.variance[:, np.newaxis] + hyper.tau2
        away = measured.groups.mean[:, np.newaxis] - rows @ hyper.beta.T
        each = -(_LOG_2PI + np.log(variance) + away**2 / variance).sum(axis=0) / 2
        return float(np.logaddexp.reduce(each + np.log(hyper.weight[:, 0])))

    def screen(self, groups: Described[Measured], hyper: RegressionHyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        return _mixture(groups.groups, hyper.design.rows(groups.covariates), hyper).moments()

    def posterior(
        self, groups: Described[Measured], hyper: RegressionHyper, level: float
    ) -> Posterior:
        """Return the posterior of every group; ``pooled`` is its own prior mean x'β."""
        rows = hyper.design.rows(groups.covariates)
        return regression_hyper.posterior(groups.groups, rows, hyper, level)

    def tail_probability(
        self, groups: Described[Measured], hyper: RegressionHyper, above: float
    ) -> Floats:
        """Return each group's P(θ > above)."""
        return _above(_mixture(groups.groups, hyper.design.rows(groups.covariates), hyper), above)

    def new_group(self, hyper: RegressionHyper, level: float) -> Posterior:
        """Return the predictive of a group never seen, of average covariates."""
        return regression_hyper.posterior(Measured.zeros(1), hyper.design.average, hyper, level)

    def parameters(self, hyper: RegressionHyper) -> dict[str, float]:
        """Return ``intercept``, the slopes by name, and ``tau2`` with ``se_``, or ``tau``."""
        return regression_hyper.parameters(hyper)

    def uncertainty(
        self, hyper: RegressionHyper, level: float
    ) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each parameter; nothing for a point fit."""
        return regression_hyper.uncertainty(hyper, level)


class CovariateNormalFromObservations:
    """Means of observations with one fitted variance, a regression their prior mean.

    It is lme4's ``y ~ x + (1 | group)`` with x the same for all observations of a group.
    """

    name: ClassVar[str] = "normal"
    methods: ClassVar[tuple[str, ...]] = METHODS
    given_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._known = CovariateNormalKnownVariance()

    def fit(
        self,
        groups: Described[Moments] | CovariateSummary,
        method: str,
        prior: Prior = DEFAULT,
    ) -> Fit[RegressionHyper]:
        """Fit β, τ² and σ², from groups or from their summary."""
        check_method(method, self.methods)
        design, pool, within = _observed_pool(groups)
        count = pool.groups_count
        if method == "bayes":
            tau2, sigma2, *_ = normal_fit.fit_components(pool, within, "dl")
            usual = math.sqrt(sigma2) * pool.median_se
            believed = Believed.of(prior, pool, half_normal_of_means(usual, tau2))
            return _integrated_fit(integrate(pool, design, believed, usual, within), count)
        tau2, sigma2, bimodal, iterations = normal_fit.fit_components(pool, within, method)
        if method == "reml":
            value = normal_fit.observations_restricted_log_likelihood(pool, within, tau2, sigma2)
            # lme4's criterion is that of the covariates as they are given.
            value -= float(np.log(design.scale).sum())
        else:
            value = normal_fit.observations_log_likelihood(pool, within, tau2, sigma2)
        hyper = _point(design, pool, tau2, sigma2)
        return _fit(method, hyper, value, bimodal, iterations, count)

    def condition(self, given: Mapping[str, float]) -> RegressionHyper:
        """Refuse: coefficients are fitted."""
        return _refuse(given)

    def log_likelihood(self, groups: Described[Moments], hyper: RegressionHyper) -> float:
        """Return the marginal log-likelihood of the observations, with all its constants."""
        seen = with_data(groups, groups.groups.weight)
        n, m2 = seen.groups.weight[:, np.newaxis], seen.groups.m2[:, np.newaxis]
        away = seen.groups.mean[:, np.newaxis] - hyper.design.rows(seen.covariates) @ hyper.beta.T
        log_det = n * (_LOG_2PI + np.log(hyper.sigma2)) + np.log1p(n * hyper.tau2 / hyper.sigma2)
        squares = m2 / hyper.sigma2 + n * away**2 / (hyper.sigma2 + n * hyper.tau2)
        each = -(log_det + squares).sum(axis=0) / 2
        return float(np.logaddexp.reduce(each + np.log(hyper.weight[:, 0])))

    def screen(self, groups: Described[Moments], hyper: RegressionHyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        rows = hyper.design.rows(groups.covariates)
        return _mixture(_measured(groups.groups, hyper), rows, hyper).moments()

    def posterior(
        self, groups: Described[Moments], hyper: RegressionHyper, level: float
    ) -> Posterior:
        """Return the posterior of every group; ``pooled`` is its own prior mean x'β."""
        rows = hyper.design.rows(groups.covariates)
        return regression_hyper.posterior(_measured(groups.groups, hyper), rows, hyper, level)

    def tail_probability(
        self, groups: Described[Moments], hyper: RegressionHyper, above: float
    ) -> Floats:
        """Return each group's P(θ > above)."""
        rows = hyper.design.rows(groups.covariates)
        return _above(_mixture(_measured(groups.groups, hyper), rows, hyper), above)

    def new_group(self, hyper: RegressionHyper, level: float) -> Posterior:
        """Return the predictive of a group never seen, of average covariates."""
        return self._known.new_group(hyper, level)

    def parameters(self, hyper: RegressionHyper) -> dict[str, float]:
        """Return what known variances have, and ``sigma2``."""
        return regression_hyper.parameters(hyper)

    def uncertainty(
        self, hyper: RegressionHyper, level: float
    ) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each parameter; nothing for a point fit."""
        return regression_hyper.uncertainty(hyper, level)


def _measured_pool(
    groups: Described[Measured] | CovariateSummary,
) -> tuple[Design, RegressionPool, int]:
    if isinstance(groups, CovariateSummary):
        design = design_of(groups)
        return design, BinnedRegressionPool.of(groups, design), groups.groups_count
    seen = with_data(groups, precision_of(groups.groups))
    design = Design.of(seen.covariates, seen.names)
    pool = ExactRegressionPool.of(seen.groups, design.rows(seen.covariates))
    return design, pool, len(seen)


def _observed_pool(
    groups: Described[Moments] | CovariateSummary,
) -> tuple[Design, RegressionPool, Within]:
    """Return the means with the variances 1/n, and what is known of σ²."""
    if isinstance(groups, CovariateSummary):
        design = design_of(groups)
        return design, BinnedRegressionPool.of(groups, design), within_of(groups)
    seen = with_data(groups, groups.groups.weight)
    unit = Described.of(as_measured(seen.groups, 1.0), seen.covariates, names=seen.names)
    design, pool, _ = _measured_pool(unit)
    return design, pool, Within.of(seen.groups)


def _point(
    design: Design, pool: RegressionPool, tau2: float, sigma2: float | None = None
) -> RegressionHyper:
    at = pool.at(tau2 / (sigma2 or 1.0))
    return RegressionHyper(
        design.names,
        design.centre,
        design.scale,
        at.beta[np.newaxis],
        at.covariance[np.newaxis] * (sigma2 or 1.0),
        np.array([tau2]),
        np.array([np.nan if sigma2 is None else sigma2]),
        np.ones((1, 1)),
    )


def _fit(
    method: str, hyper: RegressionHyper, value: float, bimodal: bool, iterations: int, count: int
) -> Fit[RegressionHyper]:
    return Fit(
        method,
        hyper,
        value,
        boundary=bool(hyper.tau2[0] == 0),
        bimodal=bimodal,
        converged=True,
        iterations=iterations,
        groups_count=count,
    )


def _integrated_fit(found: Integrated, count: int) -> Fit[RegressionHyper]:
    return Fit(
        "bayes",
        found.hyper,
        found.log_evidence,
        boundary=found.shape.boundary,
        bimodal=found.shape.bimodal,
        converged=True,
        iterations=0,
        groups_count=count,
        sensitivity=found.sensitivity,
    )


def _refuse(given: Mapping[str, float]) -> RegressionHyper:
    raise UsageError(
        f"{', '.join(given) or 'hyperparameters'}: a pool with covariates is fitted, not given"
    )


def _measured(groups: Moments, hyper: RegressionHyper) -> Measured:
    """Return the means with the variances σ²/n of every node, shape (groups, nodes)."""
    unit = as_measured(groups, 1.0)
    return Measured(unit.mean, unit.variance[:, np.newaxis] * hyper.sigma2)


def _mixture(groups: Measured, rows: Floats, hyper: RegressionHyper) -> Mixture:
    at = shrink(groups, rows, hyper)
    return Mixture(at.mean, at.sd, hyper.weight[:, 0])


def _above(mixture: Mixture, above: float) -> Floats:
    """Return P(θ > above); a kernel without width lies at its mean."""
    distance = mixture.mean - above
    with np.errstate(divide="ignore", invalid="ignore"):
        each = ndtr(np.where(distance == 0, 0.0, distance / mixture.sd))
    inside: Floats = each @ mixture.weight
    return inside
