"""Normal-Normal in regions: lme4's ``y ~ 1 + (1 | region/store)``, and metafor's with known v.

ȳ ~ N(θ, v), θ ~ N(m_r, τ²_store), m_r ~ N(μ, τ²_region), with v known or σ²/n.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.described import Described
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.given import take_given
from stream_hb.models.hyperprior import DEFAULT, Prior
from stream_hb.models.nested import normal_stores
from stream_hb.models.nested.hyper import NestedHyper
from stream_hb.models.nested.layout import by_region, seen
from stream_hb.models.nested.normal_fit import Means, fit_variances, rounding
from stream_hb.models.nested.normal_grid import degrees_alone, integrate
from stream_hb.models.nested.normal_likelihood import (
    Chain,
    chain,
    integrated,
    log_likelihood,
    of_observations,
)
from stream_hb.models.nested.summary import mean_and_sd, sensitivity_of
from stream_hb.models.normal_measured import precision_of
from stream_hb.models.normal_mixture import Mixture
from stream_hb.models.pool import check_method
from stream_hb.models.quadrature_quantile import interval_of_nodes
from stream_hb.models.variance_interval import variance_interval
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

S = TypeVar("S", bound=Statistic)

METHODS = ("ml", "reml", "bayes")


class _NestedNormal(Generic[S]):
    """What both families share: they differ in how a statistic becomes means."""

    name: ClassVar[str] = "normal"
    methods: ClassVar[tuple[str, ...]] = METHODS
    given_names: ClassVar[tuple[str, ...]] = ("mu", "tau_region", "tau_store")
    _statistic: ClassVar[type[Statistic]]

    def fit(self, groups: Described[S], method: str, prior: Prior = DEFAULT) -> Fit[NestedHyper]:
        """Fit μ, τ_region and τ_store (and σ²), and learn every region's mean.

        ``ml`` and ``reml`` take τ_region to be 0 where the data cannot tell it from τ_store: with
        one region, or where every region has one store. ``bayes`` then leaves it to the prior,
        which is the same for both spreads.
        """
        check_method(method, self.methods)
        means = self._sorted(seen(groups, self._size(groups.groups)))
        if method == "bayes":
            return _integrate(means, prior)
        return _point(means, method)

    def condition(self, given: Mapping[str, float]) -> NestedHyper:
        """Take ``mu`` and the spreads as given; a posterior then learns the regions by itself."""
        spreads = ("tau_region", "tau_store")
        values = take_given(given, self.given_names, may_be_zero=spreads, real=("mu",))
        mu, tau_region, tau_store, *sigma2 = values
        return NestedHyper.point(mu, 0.0, tau_region, tau_store, *sigma2)

    def log_likelihood(self, groups: Described[S], hyper: NestedHyper) -> float:
        """Return the marginal log-likelihood at point hyperparameters, with all its constants."""
        if len(hyper.weight) > 1:
            raise FitError("integrated hyperparameters have no likelihood of their own")
        means = self._sorted(seen(groups, self._size(groups.groups)))
        at = _chain(means, hyper)
        off = at.total[0] * (hyper.location[0] - at.mu[0]) ** 2 / 2
        return float(_of_data(means, log_likelihood(at), hyper.sigma2)[0] - off)

    def screen(self, groups: Described[S], hyper: NestedHyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        return normal_stores.screen(*self._columns(groups), self._learnt(groups, hyper))

    def posterior(self, groups: Described[S], hyper: NestedHyper, level: float) -> Posterior:
        """Return the posterior of every store (``normal_stores`` says what pooled is)."""
        columns = self._columns(groups)
        return normal_stores.posterior(*columns, self._learnt(groups, hyper), level)

    def tail_probability(self, groups: Described[S], hyper: NestedHyper, above: float) -> Floats:
        """Return each store's P(θ > above)."""
        columns = self._columns(groups)
        return normal_stores.tail_probability(*columns, self._learnt(groups, hyper), above)

    def new_group(self, hyper: NestedHyper, level: float, region: int = -1) -> Posterior:
        """Return the predictive of a store never seen, of a new region or of one of the fit."""
        nothing: Any = self._statistic.zeros(1)
        where = np.array([region], dtype=np.intp)
        return self.posterior(Described.of(nothing, regions=where), hyper, level)

    def parameters(self, hyper: NestedHyper) -> dict[str, float]:
        """Return ``mu``, ``tau_region``, ``tau_store`` (and ``sigma2``): posterior means."""
        names = {"mu": hyper.location, **_spreads(hyper)}
        return {name: float(hyper.weight @ values) for name, values in names.items()}

    def uncertainty(
        self, hyper: NestedHyper, level: float
    ) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each hyperparameter; nothing where they are taken as known."""
        if len(hyper.weight) == 1:
            return {}
        mu = Mixture(hyper.location[np.newaxis], hyper.location_sd[np.newaxis], hyper.weight)
        lo, hi = (float(mu.quantile(p)[0]) for p in ((1 - level) / 2, (1 + level) / 2))
        found: dict[str, tuple[float, float, float]] = {"mu": (float(mu.moments()[1][0]), lo, hi)}
        for name, values in _spreads(hyper).items():
            _, sd = mean_and_sd(values, hyper.weight)
            found[name] = (sd, *interval_of_nodes(values, hyper.weight, level))
        if "sigma2" in found:
            nodes = hyper.sigma2, hyper.weight
            found["sigma2"] = variance_interval(*nodes, hyper.sigma2_degrees, level, one_rule=True)
        return found

    def _learnt(self, groups: Described[S], hyper: NestedHyper) -> NestedHyper:
        """Return the hyperparameters with regions: if they have none, those of the groups."""
        size = self._size(groups.groups) > 0
        if len(hyper.regions) or not size.any() or (groups.regions[size] < 0).all():
            return hyper
        means = self._sorted(groups.take(size))
        return normal_stores.with_regions(hyper, _chain(means, hyper), means.layout)

    def _columns(self, groups: Described[S]) -> tuple[Floats, Floats, Any]:
        means = self._means(groups.groups, None)
        return means.y, means.unit, groups.regions

    def _sorted(self, groups: Described[S]) -> Means:
        return self._means(*by_region(groups))

    def _size(self, groups: S) -> Floats:
        raise NotImplementedError

    def _means(self, groups: S, layout: Any) -> Means:
        raise NotImplementedError


class NestedNormalKnownVariance(_NestedNormal[Measured]):
    """Means with known sampling variances, stores in regions in a chain.

    Examples
    --------
    Region 1 has three stores about 20, region 2 a single store at 16: what that store is drawn to
    is the chain's mean, and not its own measurement once more.

    >>> family = NestedNormalKnownVariance()
    >>> stores = Measured(np.array([19.0, 20.0, 21.0, 16.0]), np.ones(4))
    >>> chain = Described.of(stores, regions=np.array([1, 1, 1, 2]))
    >>> hyper = family.condition({"mu": 10, "tau_region": 3, "tau_store": 1})
    >>> posterior = family.posterior(chain, hyper, level=0.95)
    >>> posterior.pooled.round(2)
    array([19.45, 19.  , 18.55, 10.  ])
    >>> posterior.mean.round(2)
    array([19.16, 19.66, 20.16, 15.45])
    """

    _statistic = Measured

    def _size(self, groups: Measured) -> Floats:
        return precision_of(groups)

    def _means(self, groups: Measured, layout: Any) -> Means:
        return Means(groups.mean, groups.variance, None, 0.0, layout)


class NestedNormalFromObservations(_NestedNormal[Moments]):
    """Means of observations with a common fitted variance, stores in regions in a chain."""

    given_names: ClassVar[tuple[str, ...]] = ("mu", "tau_region", "tau_store", "sigma2")
    _statistic = Moments

    def _size(self, groups: Moments) -> Floats:
        return groups.weight

    def _means(self, groups: Moments, layout: Any) -> Means:
        unit = np.full(len(groups), np.inf)
        np.divide(1.0, groups.weight, out=unit, where=groups.weight > 0)
        least = rounding(groups.mean) * max(float(groups.weight.sum()), 1.0)
        m2 = max(float(groups.m2.sum()), least)
        return Means(groups.mean, unit, groups.weight, m2, layout)


def _point(means: Means, method: str) -> Fit[NestedHyper]:
    restricted = method == "reml"
    tau2, sigma2, summit = fit_variances(means, restricted=restricted)
    tau_store, tau_region = np.sqrt(tau2)
    at = _chain(means, NestedHyper.point(0.0, 0.0, tau_region, tau_store, sigma2))
    location = float(at.mu[0]), 1 / math.sqrt(float(at.total[0]))
    hyper = NestedHyper.point(*location, float(tau_region), float(tau_store), sigma2)
    value = _of_data(means, integrated(at) if restricted else log_likelihood(at), hyper.sigma2)[0]
    if restricted and means.n is None:
        # metafor's restricted likelihood has ½ ln |X'X|, lme4's has not.
        value += math.log(len(means.y)) / 2
    return Fit(
        method,
        normal_stores.with_regions(hyper, at, means.layout),
        float(value),
        boundary=bool((tau2 == 0).any()),
        bimodal=summit.bimodal,
        converged=True,
        iterations=summit.iterations,
        groups_count=len(means.y),
    )


def _integrate(means: Means, prior: Prior) -> Fit[NestedHyper]:
    nodes, location = integrate(means, prior)
    sigma2 = nodes.sigma2 if means.n is not None else np.full_like(nodes.weight, np.nan)
    zero = np.zeros_like(nodes.weight)
    spreads = nodes.tau_region, nodes.tau_store, sigma2
    at = _chain(means, NestedHyper.bare(nodes.weight, zero, zero, *spreads), *location)
    hyper = NestedHyper.bare(nodes.weight, at.mu, 1 / np.sqrt(at.total), *spreads)
    hyper = replace(hyper, sigma2_degrees=degrees_alone(means))
    return Fit(
        "bayes",
        normal_stores.with_regions(hyper, at, means.layout),
        nodes.log_evidence,
        boundary=nodes.shape.boundary,
        bimodal=nodes.shape.bimodal,
        converged=True,
        iterations=0,
        groups_count=len(means.y),
        sensitivity=sensitivity_of(nodes.tau_store, nodes.weight, nodes.log_prior),
    )


def _chain(means: Means, hyper: NestedHyper, *location: float) -> Chain:
    """Return both levels at the hyperparameters' nodes."""
    sigma2 = np.where(np.isnan(hyper.sigma2), 1.0, hyper.sigma2)
    variance = means.unit * sigma2[:, np.newaxis]
    tau2 = hyper.spread_store**2, hyper.spread_region**2
    return chain(means.y, variance, *tau2, means.layout, *location)


def _of_data(means: Means, value: Floats, sigma2: Floats) -> Floats:
    if means.n is None:
        return value
    return of_observations(value, means.n, means.m2, sigma2)


def _spreads(hyper: NestedHyper) -> dict[str, Floats]:
    found = {"tau_region": hyper.spread_region, "tau_store": hyper.spread_store}
    return found if np.isnan(hyper.sigma2).all() else {**found, "sigma2": hyper.sigma2}
