"""Beta-Binomial and Gamma-Poisson in regions: the region's effect on the link scale.

θ | u ~ Beta(mκ, (1-m)κ) with logit m = η + u (or Gamma with shape a and ln m = η + u),
u ~ N(0, ω²) for each region. Given (η, ω, κ) a region's stores are independent but for u, which is
integrated by an adaptive Gauss-Hermite rule.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import FitError
from stream_hb.models.described import Described
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.given import take_given
from stream_hb.models.hyperprior import DEFAULT, Flat, Hyperprior, Prior
from stream_hb.models.nested.count_fit import Maximum, maximise
from stream_hb.models.nested.count_grid import (
    FINE_KNOTS,
    CountPool,
    collapsed,
    integrate,
    located_nodes,
    pool_of,
)
from stream_hb.models.nested.count_mixture import BetaKernels, GammaKernels, Kernels, Mixture
from stream_hb.models.nested.count_posterior import (
    StoreNodes,
    centred,
    chain_rate,
    chain_rate_sd,
    predictive,
    store_nodes,
)
from stream_hb.models.nested.count_stores import (
    CONCENTRATION_MOST,
    LEAST_SPREAD,
    BetaStores,
    CountModel,
    GammaStores,
)
from stream_hb.models.nested.hyper import NestedHyper
from stream_hb.models.nested.layout import by_region, seen
from stream_hb.models.nested.normal_stores import heaviest
from stream_hb.models.nested.region_table import RegionTable
from stream_hb.models.nested.summary import mean_and_sd, sensitivity_of
from stream_hb.models.normal_mixture import Mixture as NormalMixture
from stream_hb.models.pool import check_method, ratio
from stream_hb.models.quadrature_quantile import interval_of_nodes
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure

_BLOCK_CELLS = 200_000


class _NestedCounts:
    """What both families share: they differ in the stores' likelihood and in the kernels."""

    name: ClassVar[str]
    methods: ClassVar[tuple[str, ...]] = ("ml", "bayes")
    given_names: ClassVar[tuple[str, ...]]
    _model: ClassVar[CountModel]
    _kernels: ClassVar[Kernels]
    _statistic: ClassVar[type[Statistic]]
    _log_name: ClassVar[str]

    def fit(self, groups: Described[Any], method: str, prior: Prior = DEFAULT) -> Fit[NestedHyper]:
        """Fit the location and both spreads, and learn every region's rate.

        ``ml`` takes location and spreads at the likelihood's maximum as known, as the plain family
        does, and like it integrates the location where neither regions nor stores differ; ω is 0
        where the data cannot tell regions from stores, and a pool with nothing, or nothing but,
        successes has the location's prior of ``bayes`` (there would be no maximum).
        """
        check_method(method, self.methods)
        pool_groups, layout = by_region(seen(groups, self._model.size(groups.groups)))
        if method == "bayes":
            return _integrated(pool_of(self._model, pool_groups, layout, prior), prior)
        flat = Hyperprior(location=None if self._model.is_extreme(pool_groups) else Flat())
        return _maximum(pool_of(self._model, pool_groups, layout, flat))

    def condition(self, given: Mapping[str, float]) -> NestedHyper:
        """Take the chain's mean rate, the concentration (or shape) and ω as given.

        A posterior then learns the regions from the groups that it is asked about.
        """
        mean, c, omega = take_given(given, self.given_names, may_be_zero=self.given_names[2:])
        link = float(self._model.link(np.array(mean)))
        if not math.isfinite(link):
            raise FitError(f"mean = {mean}: expected a rate below 1")
        return NestedHyper.point(link, 0.0, omega, c)

    def log_likelihood(self, groups: Described[Any], hyper: NestedHyper) -> float:
        """Return the marginal log-likelihood at point hyperparameters, with all its constants."""
        if len(hyper.weight) > 1:
            raise FitError("integrated hyperparameters have no likelihood of their own")
        pool = self._pool(groups)
        table = _table(pool, hyper, 0)
        effects = table.effects(hyper.location, hyper.spread_region)
        return float(effects.log_integral.sum()) + self._model.constant(pool.groups)

    def screen(self, groups: Described[Any], hyper: NestedHyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        parts = [self._mixture(at, hyper).moments() for _, at in self._blocks(groups, hyper)]
        mean, sd = (np.concatenate(column) for column in zip(*parts, strict=True))
        return mean, sd

    def posterior(self, groups: Described[Any], hyper: NestedHyper, level: float) -> Posterior:
        """Return the posterior of every store (``count_posterior`` says what pooled is)."""
        parts = []
        for part, at in self._blocks(groups, hyper):
            raw = ratio(self._model.events(part.groups), self._model.size(part.groups))
            weight = at.draw @ hyper.weight
            pooled = (at.towards @ hyper.weight) / weight
            mean = np.where(np.isnan(raw), pooled, pooled + (1 - weight) * (raw - pooled))
            _, sd = self._mixture(at, hyper).moments()
            few = self._few(at, hyper)
            new = self._is_new(part, hyper)
            ends = []
            for probability in ((1 - level) / 2, (1 + level) / 2):
                end = few.quantile(probability)
                if new.any():
                    end[new] = self._predictive(hyper).quantile(probability)
                ends.append(end)
            parts.append((raw, pooled, weight, mean, sd, *ends))
        return Posterior(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def tail_probability(self, groups: Described[Any], hyper: NestedHyper, above: float) -> Floats:
        """Return each store's P(θ > above)."""
        blocks = self._blocks(groups, hyper)
        out = np.concatenate([self._mixture(at, hyper).above(above) for _, at in blocks])
        new = self._is_new(groups, hyper)
        if new.any():
            out[new] = self._predictive(hyper).above(above)
        return out

    def new_group(self, hyper: NestedHyper, level: float, region: int = -1) -> Posterior:
        """Return the predictive of a store never seen, of a new region or of one of the fit."""
        nothing: Any = self._statistic.zeros(1)
        where = np.array([region], dtype=np.intp)
        return self.posterior(Described.of(nothing, regions=where), hyper, level)

    def parameters(self, hyper: NestedHyper) -> dict[str, float]:
        """Return the chain's mean rate, the log of κ (or a), and ``tau_region``: ω."""
        return {
            "mean": self._mean_rate(hyper),
            self._log_name: float(hyper.weight @ np.log(hyper.spread_store)),
            "tau_region": float(hyper.weight @ hyper.spread_region),
        }

    def _mean_rate(self, hyper: NestedHyper) -> float:
        return float(hyper.weight @ chain_rate(self._model, hyper.location, hyper.location_sd))

    def uncertainty(
        self, hyper: NestedHyper, level: float
    ) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each hyperparameter; nothing where they are taken as known."""
        if len(hyper.weight) == 1:
            return {}
        location = NormalMixture(
            hyper.location[np.newaxis], hyper.location_sd[np.newaxis], hyper.weight
        )
        tails = (1 - level) / 2, (1 + level) / 2
        low, high = self._model.natural(np.concatenate([location.quantile(p) for p in tails]))
        rate_sd = chain_rate_sd(self._model, hyper.location, hyper.location_sd, hyper.weight)
        found = {"mean": (rate_sd, float(low), float(high))}
        # Nodes are smooth in the spread, and their concentrations have no bound.
        spread = hyper.spread_store**-0.5
        least, most = interval_of_nodes(spread, hyper.weight, level)
        _, sd = mean_and_sd(np.log(hyper.spread_store), hyper.weight)
        found[self._log_name] = (sd, -2 * math.log(most), -2 * math.log(least))
        _, sd = mean_and_sd(hyper.spread_region, hyper.weight)
        ends = interval_of_nodes(hyper.spread_region, hyper.weight, level)
        found["tau_region"] = (sd, *ends)
        return found

    def _pool(self, groups: Described[Any]) -> CountPool:
        pool_groups, layout = by_region(seen(groups, self._model.size(groups.groups)))
        return pool_of(self._model, pool_groups, layout, Hyperprior(location=Flat()))

    def _blocks(
        self, groups: Described[Any], hyper: NestedHyper
    ) -> Iterator[tuple[Described[Any], StoreNodes]]:
        hyper = self._learnt(groups, hyper)
        block = max(1, _BLOCK_CELLS // len(hyper.weight))
        for start in range(0, max(len(groups), 1), block):
            part = groups.take(slice(start, start + block))
            yield part, store_nodes(self._model, part.groups, part.regions, hyper)

    def _learnt(self, groups: Described[Any], hyper: NestedHyper) -> NestedHyper:
        """Return the hyperparameters with regions: if they have none, those of the groups."""
        size = self._model.size(groups.groups) > 0
        if len(hyper.regions) or not size.any() or (groups.regions[size] < 0).all():
            return hyper
        pool = self._pool(groups)
        found = []
        for i in range(len(hyper.weight)):
            node = slice(i, i + 1)
            table = _table(pool, hyper, i)
            effects = table.effects(hyper.location[node], hyper.spread_region[node])
            known = slice(0, len(pool.layout.codes))
            found.append((effects.mean[0, known], effects.variance[0, known]))
        mean, own = (np.stack(column) for column in zip(*found, strict=True))
        return replace(
            hyper,
            regions=pool.layout.codes,
            region_mean=mean,
            region_variance=own,
            region_own=own,
            region_stores=pool.layout.known_sizes,
        )

    def _mixture(self, at: StoreNodes, hyper: NestedHyper) -> Mixture:
        return Mixture(self._kernels, at.mean, at.variance, hyper.weight)

    def _is_new(self, groups: Described[Any], hyper: NestedHyper) -> NDArray[np.bool_]:
        """Mark stores without data whose region is not known either."""
        learnt = self._learnt(groups, hyper)
        _, known = learnt.columns(groups.regions)
        new: NDArray[np.bool_] = (self._model.size(groups.groups) == 0) & ~known
        return new

    def _predictive(self, hyper: NestedHyper) -> Mixture:
        mean, variance, weight = predictive(self._model, hyper)
        return Mixture(self._kernels, mean[np.newaxis], variance[np.newaxis], weight)

    def _few(self, at: StoreNodes, hyper: NestedHyper) -> Mixture:
        kept, weight = heaviest(hyper.weight)
        return Mixture(self._kernels, at.mean[:, kept], at.variance[:, kept], weight)


class NestedBetaBinomial(_NestedCounts):
    """Rates of successes in trials, stores in regions in a chain.

    Examples
    --------
    Two stores without a sale in 200 visits: one in a region that converts 20 %, one alone in its
    region, which is drawn to the chain's 10 %:

    >>> family = NestedBetaBinomial()
    >>> hyper = family.condition({"mean": 0.1, "concentration": 50, "tau_region": 0.5})
    >>> stores = Counts(np.array([40.0, 40, 40, 0, 0]), np.full(5, 200.0))
    >>> chain = Described.of(stores, regions=np.array([1, 1, 1, 1, 2]))
    >>> family.posterior(chain, hyper, level=0.95).pooled.round(2)[3:]
    array([0.15, 0.11])
    """

    name: ClassVar[str] = "beta-binomial"
    given_names: ClassVar[tuple[str, ...]] = ("mean", "concentration", "tau_region")
    _model: ClassVar[CountModel] = BetaStores()
    _kernels: ClassVar[Kernels] = BetaKernels()
    _statistic: ClassVar[type[Statistic]] = Counts
    _log_name: ClassVar[str] = "log_concentration"


class NestedGammaPoisson(_NestedCounts):
    """Rates of events per exposure, stores in regions in a chain."""

    name: ClassVar[str] = "gamma-poisson"
    given_names: ClassVar[tuple[str, ...]] = ("mean", "shape", "tau_region")
    _model: ClassVar[CountModel] = GammaStores()
    _kernels: ClassVar[Kernels] = GammaKernels()
    _statistic: ClassVar[type[Statistic]] = Exposure
    _log_name: ClassVar[str] = "log_shape"


def _table(pool: CountPool, hyper: NestedHyper, node: int) -> RegionTable:
    c = min(float(hyper.spread_store[node]), CONCENTRATION_MOST)
    return RegionTable.of(pool.model, pool.groups, pool.layout, c, FINE_KNOTS)


def _integrated(pool: CountPool, prior: Prior) -> Fit[NestedHyper]:
    found = integrate(pool, prior)
    # The spread between stores on the link scale, as it is at the chain's own location.
    c, link = found.hyper.spread_store, found.hyper.location
    unit = pool.model.concentration(np.array(1.0), float(link[0]))
    spread = np.sqrt(unit / c) * pool.model.spread_ratio(link, float(link[0]))
    return Fit(
        "bayes",
        found.hyper,
        found.log_evidence,
        boundary=found.shape.boundary,
        bimodal=found.shape.bimodal,
        converged=True,
        iterations=0,
        groups_count=pool.layout.stores_count,
        sensitivity=sensitivity_of(spread, found.hyper.weight, found.log_prior),
    )


def _maximum(pool: CountPool) -> Fit[NestedHyper]:
    best = maximise(pool)
    omega = np.array([best.spread_region])
    c = np.array([_concentration(pool, best)])
    eta, sd, mean, variance, own = _regions_at(pool, best, omega, alike=bool(np.isinf(c[0])))
    return Fit(
        "ml",
        NestedHyper(
            np.ones(1),
            eta,
            sd,
            omega,
            c,
            np.array([math.nan]),
            pool.layout.codes,
            mean,
            variance,
            own,
            pool.layout.known_sizes,
        ),
        float(best.located.height[0]) + pool.model.constant(pool.groups),
        boundary=best.spread_region == 0 or bool(np.isinf(c[0])),
        bimodal=best.bimodal,
        converged=True,
        iterations=best.iterations,
        groups_count=pool.layout.stores_count,
    )


def _regions_at(
    pool: CountPool, best: Maximum, omega: Floats, *, alike: bool
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return the location, its sd and the regions' moments at the maximum.

    The location is known there, but where ``alike`` stores are in regions that are alike too: what
    all have in common is then all that there is to know, and only so well.
    """
    known = slice(0, len(pool.layout.codes))
    if not alike or best.spread_region > 0:
        effects = best.table.effects(best.located.eta, omega)
        own = effects.variance[:, known]
        return best.located.eta, np.zeros(1), effects.mean[:, known], own, own
    nothing = np.zeros_like(located_nodes(best.located))
    _, (eta, sd, mean, variance, own) = collapsed(pool, best.table, omega, best.located, nothing)
    if len(pool.layout.codes):
        eta = centred(pool.model, mean[:, 0], sd)
    return eta, sd, mean, variance, own


def _concentration(pool: CountPool, best: Maximum) -> float:
    return pool.concentration(best.spread_store) if best.spread_store > LEAST_SPREAD else math.inf
