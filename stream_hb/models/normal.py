"""Normal-Normal: means of groups that share a Normal prior.

ȳ ~ N(θ, v), θ ~ N(μ, τ²). Given both, the posterior weighs by precision: the weight on the pooled
mean is B = v/(v + τ²), the mean Bμ + (1-B)ȳ and the variance (1-B)v, to which a fitted μ adds
B²se²(μ). Two families share it: the sampling variance v is known, or is σ²/n with a fitted σ².
Under ``bayes`` the hyperparameters are nodes of a quadrature, and the posterior a mixture of these.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from stream_hb.errors import FitError
from stream_hb.models import normal_fit, normal_observations_fit, normal_shrinkage
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.given import take_given
from stream_hb.models.hyperprior import DEFAULT, Prior
from stream_hb.models.normal_bayes import Integrated, integrate, is_likeliest_without_spread
from stream_hb.models.normal_nodes import NormalNodes
from stream_hb.models.normal_observations_fit import Observed, as_measured
from stream_hb.models.normal_quadrature import Pool
from stream_hb.models.normal_shrinkage import Variances
from stream_hb.models.normal_sums import MeasuredPool, ObservedPool, sums_of
from stream_hb.models.pool import check_method, to_fit
from stream_hb.models.variance_common import integrate_common
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

POINT_METHODS = ("moments", "dl", "pm", "ml", "reml")
METHODS = (*POINT_METHODS, "bayes")


@dataclass(frozen=True, slots=True)
class NormalHyper:
    """Hyperparameters of a pool of means.

    Attributes
    ----------
    mu
        Mean of the groups' means.
    tau2
        Variance between groups; 0 where they do not differ.
    se_mu
        Standard error of mu, 0 where it is given.
    sigma2
        Variance of one observation within its group; None where sampling variances are known.
    """

    mu: float
    tau2: float
    se_mu: float
    sigma2: float | None = None


AnyHyper = NormalHyper | NormalNodes
"""Hyperparameters taken as known, or integrated."""


class NormalKnownVariance:
    """Means with known sampling variances.

    Examples
    --------
    Two stores with 10 and 2 orders of variance 9, in a chain of mean 10 and variance 4:

    >>> family = NormalKnownVariance()
    >>> stores = Measured(mean=np.array([12.0, 8.0]), variance=9 / np.array([10.0, 2.0]))
    >>> posterior = family.posterior(stores, family.condition({"mu": 10, "tau2": 4}), level=0.95)
    >>> posterior.mean.round(3), (posterior.sd**2).round(4)
    (array([11.633,  9.059]), array([0.7347, 2.1176]))
    """

    name: ClassVar[str] = "normal"
    methods: ClassVar[tuple[str, ...]] = METHODS
    given_names: ClassVar[tuple[str, ...]] = ("mu", "tau2")

    def fit(
        self,
        groups: MeasuredPool,
        method: str,
        prior: Prior = DEFAULT,
    ) -> Fit[Any]:
        """Fit μ and τ²."""
        check_method(method, self.methods)
        pool = to_fit(groups)
        sums = sums_of(pool)
        if method == "bayes":
            found = integrate(Pool(sums), prior)
            is_flat = is_likeliest_without_spread(Pool(sums), found.nodes)
            return bayes_fit(found, pool.groups_count, boundary=is_flat)
        tau2, bimodal, iterations = normal_fit.fit_tau2(sums, method)
        at = sums.at(tau2)
        value = (
            normal_fit.restricted_log_likelihood(sums, tau2)
            if method == "reml"
            else normal_fit.log_likelihood(sums, float(at.mu), tau2)
        )
        hyper = NormalHyper(float(at.mu), tau2, 1 / math.sqrt(at.total))
        return _fit(method, hyper, value, bimodal, iterations, pool.groups_count)

    def condition(self, given: Mapping[str, float]) -> NormalHyper:
        """Take ``mu`` and ``tau2`` as given."""
        mu, tau2 = take_given(given, self.given_names, may_be_zero=("tau2",), real=("mu",))
        return NormalHyper(mu, tau2, 0.0)

    def log_likelihood(self, groups: MeasuredPool, hyper: AnyHyper) -> float:
        """Return the marginal log-likelihood at any hyperparameters, with all its constants."""
        hyper = _at_a_point(hyper)
        return normal_fit.log_likelihood(sums_of(groups), hyper.mu, hyper.tau2)

    def screen(self, groups: Measured, hyper: AnyHyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        if isinstance(hyper, NormalNodes):
            return normal_shrinkage.screen(groups.mean, _variances(groups), hyper.kernels())
        _, mean, sd = _shrink(groups, hyper)
        return mean, sd

    def posterior(self, groups: Measured, hyper: AnyHyper, level: float) -> Posterior:
        """Return the posterior of every group."""
        if isinstance(hyper, NormalNodes):
            kernels = hyper.kernels(), hyper.few_kernels()
            return normal_shrinkage.posterior(groups.mean, _variances(groups), *kernels, level)
        weight, mean, sd = _shrink(groups, hyper)
        half_width = float(ndtri((1 + level) / 2)) * sd
        return Posterior(
            raw=np.where(np.isinf(groups.variance), np.nan, groups.mean),
            pooled=np.full(len(groups), hyper.mu),
            weight=weight,
            mean=mean,
            sd=sd,
            lo=mean - half_width,
            hi=mean + half_width,
        )

    def tail_probability(self, groups: Measured, hyper: AnyHyper, above: float) -> Floats:
        """Return each group's P(θ > above)."""
        if isinstance(hyper, NormalNodes):
            kernels = hyper.kernels()
            return normal_shrinkage.tail_probability(
                groups.mean, _variances(groups), kernels, above
            )
        _, mean, sd = _shrink(groups, hyper)
        distance = mean - above
        with np.errstate(divide="ignore", invalid="ignore"):
            inside: Floats = ndtr(np.where(distance == 0, 0.0, distance / sd))
        return inside

    def new_group(self, hyper: AnyHyper, level: float) -> Posterior:
        """Return the predictive of a group never seen: N(μ, τ² + se²(μ))."""
        return self.posterior(Measured.zeros(1), hyper, level)

    def parameters(self, hyper: AnyHyper) -> dict[str, float]:
        """Return ``mu``, ``tau2`` and ``se_mu``; integrated, the means of ``mu`` and ``tau``."""
        if isinstance(hyper, NormalNodes):
            return hyper.means()
        return {"mu": hyper.mu, "tau2": hyper.tau2, "se_mu": hyper.se_mu}

    def uncertainty(self, hyper: AnyHyper, level: float) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each hyperparameter; nothing where they are taken as known."""
        return hyper.uncertainty(level) if isinstance(hyper, NormalNodes) else {}


class NormalFromObservations:
    """Means of observations whose variance is common to all groups and fitted with the rest.

    Examples
    --------
    Means 9, 11, 10 of five observations with variance 4, between stores .2 (by moments):

    >>> family = NormalFromObservations()
    >>> n, mean = np.full(3, 5.0), np.array([9.0, 11.0, 10.0])
    >>> stores = Moments(weight=n, mean=mean, m2=4 * (n - 1))
    >>> round(family.fit(stores, "moments").hyper.tau2, 12)
    0.2
    """

    name: ClassVar[str] = "normal"
    methods: ClassVar[tuple[str, ...]] = METHODS
    given_names: ClassVar[tuple[str, ...]] = ("mu", "tau2", "sigma2")

    def __init__(self) -> None:
        self._known = NormalKnownVariance()

    def fit(
        self,
        groups: ObservedPool,
        method: str,
        prior: Prior = DEFAULT,
    ) -> Fit[Any]:
        """Fit μ, τ² and σ²."""
        check_method(method, self.methods)
        pool = to_fit(groups)
        observed = Observed.of(pool)
        if method == "bayes":
            tau2 = normal_observations_fit.fit_components(observed, "reml").tau2
            found = integrate_common(pool, prior)
            return bayes_fit(found, pool.groups_count, boundary=tau2 == 0)
        tau2, sigma2, bimodal, iterations = normal_observations_fit.fit_components(observed, method)
        at = observed.sums.at(tau2, sigma2)
        value = (
            normal_observations_fit.restricted_log_likelihood(observed, tau2, sigma2)
            if method == "reml"
            else normal_observations_fit.log_likelihood(observed, float(at.mu), tau2, sigma2)
        )
        hyper = NormalHyper(float(at.mu), tau2, 1 / math.sqrt(at.total), sigma2)
        return _fit(method, hyper, value, bimodal, iterations, pool.groups_count)

    def condition(self, given: Mapping[str, float]) -> NormalHyper:
        """Take ``mu``, ``tau2`` and ``sigma2`` as given."""
        mu, tau2, sigma2 = take_given(given, self.given_names, may_be_zero=("tau2",), real=("mu",))
        return NormalHyper(mu, tau2, 0.0, sigma2)

    def log_likelihood(self, groups: ObservedPool, hyper: AnyHyper) -> float:
        """Return the marginal log-likelihood at any hyperparameters, with all its constants."""
        hyper, sigma2 = _at_a_point(hyper), _sigma2(hyper)
        observed = Observed.of(groups)
        return normal_observations_fit.log_likelihood(observed, hyper.mu, hyper.tau2, sigma2)

    def screen(self, groups: Moments, hyper: AnyHyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        return self._known.screen(_measured(groups, hyper), hyper)

    def posterior(self, groups: Moments, hyper: AnyHyper, level: float) -> Posterior:
        """Return the posterior of every group."""
        return self._known.posterior(_measured(groups, hyper), hyper, level)

    def tail_probability(self, groups: Moments, hyper: AnyHyper, above: float) -> Floats:
        """Return each group's P(θ > above)."""
        return self._known.tail_probability(_measured(groups, hyper), hyper, above)

    def new_group(self, hyper: AnyHyper, level: float) -> Posterior:
        """Return the predictive of a group never seen: N(μ, τ² + se²(μ))."""
        return self._known.new_group(hyper, level)

    def parameters(self, hyper: AnyHyper) -> dict[str, float]:
        """Return ``mu``, ``tau2``, ``se_mu`` and ``sigma2``; integrated, the means."""
        if isinstance(hyper, NormalNodes):
            return hyper.means()
        return {**self._known.parameters(hyper), "sigma2": _sigma2(hyper)}

    def uncertainty(self, hyper: AnyHyper, level: float) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each hyperparameter; nothing where they are taken as known."""
        return self._known.uncertainty(hyper, level)


def bayes_fit(found: Integrated, count: int, *, boundary: bool) -> Fit[Any]:
    """Return the fit that an integration makes.

    ``boundary`` says that restricted maximum likelihood finds no difference between the groups: the
    posterior of the spread is then highest near zero, and no weight is 1.
    """
    return Fit(
        "bayes",
        found.nodes,
        found.log_evidence,
        boundary=boundary,
        bimodal=found.nodes.bimodal,
        converged=True,
        iterations=0,
        groups_count=count,
        sensitivity=found.sensitivity,
    )


def _fit(
    method: str, hyper: NormalHyper, value: float, bimodal: bool, iterations: int, count: int
) -> Fit[Any]:
    return Fit(
        method,
        hyper,
        value,
        boundary=hyper.tau2 == 0,
        bimodal=bimodal,
        converged=True,
        iterations=iterations,
        groups_count=count,
    )


def _shrink(groups: Measured, hyper: NormalHyper) -> tuple[Floats, Floats, Floats]:
    """Return weight on the pooled mean, posterior mean and posterior sd."""
    # B = v/(v + τ²) and (1-B)v = Bτ², in the form that an infinite v (no data) passes through.
    weight = 1 / (1 + hyper.tau2 / groups.variance)
    mean = hyper.mu + (1 - weight) * (groups.mean - hyper.mu)
    return weight, mean, np.sqrt(weight * hyper.tau2 + (weight * hyper.se_mu) ** 2)


def _variances(groups: Measured) -> Variances:
    return Variances(groups.variance[:, np.newaxis])


def _at_a_point(hyper: AnyHyper) -> NormalHyper:
    if isinstance(hyper, NormalNodes):
        raise FitError("integrated hyperparameters are many: the fit has their log evidence")
    return hyper


def _measured(groups: Moments, hyper: AnyHyper) -> Measured:
    if isinstance(hyper, NormalNodes) and hyper.sigma2 is not None:
        return as_measured(groups, 1.0)  # each node brings its own σ²
    return as_measured(groups, _sigma2(hyper))


def _sigma2(hyper: AnyHyper) -> float:
    if isinstance(hyper, NormalNodes) or hyper.sigma2 is None:
        raise FitError("these hyperparameters have no sigma2: they belong to known variances")
    return hyper.sigma2
