"""Refits: from the pools' summaries to versioned hyperparameters.

A refit is a function of the summary: warm starts change its time, never its answer.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from stream_hb.description import described
from stream_hb.errors import FitError
from stream_hb.feeds.estimates import HyperReference
from stream_hb.metrics import METRICS
from stream_hb.models.described import Described
from stream_hb.models.family import Family, Fit
from stream_hb.models.hyperprior import BDA, Hyperprior, Prior, location_named, spread_named
from stream_hb.models.registry import FAMILIES
from stream_hb.pool_summaries import Summarised
from stream_hb.settings import EngineSettings, ModelSettings
from stream_hb.shard import Shard
from stream_hb.statistics.columns import Statistic

Pool = tuple[str, str]
"""(chain id, metric): the groups that share hyperparameters."""

FROM_SUMMARY = frozenset({"beta-binomial", "gamma-poisson"})
"""The models whose fits read a summary, and so cost the same for any number of groups."""


@dataclass(frozen=True, slots=True)
class PoolFit:
    """A pool's hyperparameters and where they come from.

    Attributes
    ----------
    version
        Number of the refit that made them.
    fitted_at_ms
        Clock reading of that refit.
    model
        Name of the family in :data:`stream_hb.models.registry.FAMILIES`.
    fit
        The fit with its diagnostics.
    data_count
        Observations in the pool at that refit.
    """

    version: int
    fitted_at_ms: int
    model: str
    fit: Fit[Any]
    data_count: float

    @property
    def family(self) -> Family[Any, Any]:
        """The family that the fit belongs to."""
        return FAMILIES[self.model]

    def parameters(self) -> dict[str, float | str]:
        """Return the hyperparameters as JSON can hold them: what is infinite is a text."""
        values = self.family.parameters(self.fit.hyper)
        return {k: v if math.isfinite(v) else str(v) for k, v in values.items()}

    def reference(self) -> HyperReference:
        """Return what the records made with this fit say of it."""
        return HyperReference(
            self.version,
            self.fitted_at_ms,
            self.parameters(),
            self.fit.groups_count,
            self.fit.converged,
        )

    def flags(self) -> tuple[str, ...]:
        """Return the flags of the records made with this fit."""
        raised = {
            "plug_in": self.fit.plug_in,
            "boundary_tau0": self.fit.boundary,
            "bimodal": self.fit.bimodal,
            "not_converged": not self.fit.converged,
        }
        return tuple(flag for flag, on in raised.items() if on)


@dataclass(frozen=True, slots=True)
class Refit:
    """One pass over the pools.

    Attributes
    ----------
    version
        Number of this refit.
    at_ms
        Clock reading.
    pools
        The pools whose data had changed enough, with their new hyperparameters.
    """

    version: int
    at_ms: int
    pools: dict[Pool, PoolFit]


def refit(
    shards: Iterable[Shard],
    current: Mapping[Pool, PoolFit],
    settings: EngineSettings,
    version: int,
    now_ms: int,
) -> Refit:
    """Refit every pool whose data have changed enough since its last fit."""
    shards = list(shards)
    chains = sorted({chain for shard in shards for chain in shard.table.chains})
    pools = {}
    for pool in [(chain, metric) for metric in settings.methods for chain in chains]:
        data = pool_data(shards, *pool, settings, now_ms)
        if _is_due(data.data_count, current.get(pool), settings):
            fit = _fit(data.summary, pool[1], settings)
            if fit is not None:
                name = METRICS[pool[1]].model_name(settings.model(pool[1]))
                pools[pool] = PoolFit(version, now_ms, name, fit, data.data_count)
    return Refit(version, now_ms, pools)


def pool_data(
    shards: Iterable[Shard], chain: str, metric: str, settings: EngineSettings, now_ms: int
) -> Summarised:
    """Merge what the shards know of one pool, without the retired stores.

    A model that asks more of its groups than their numbers, or that no summary serves, is given
    the groups themselves.
    """
    if METRICS[metric].model_name(settings.model(metric)) in FROM_SUMMARY:
        return reduce(Summarised.merge, (s.summaries.of(chain, metric, now_ms) for s in shards))
    parts = [_described(shard, chain, metric, settings, now_ms) for shard in shards]
    groups = reduce(lambda a, b: a.concatenate(b), parts)
    count = METRICS[metric].data_count(getattr(groups, "groups", groups))
    return Summarised(groups, count)


def _described(
    shard: Shard, chain: str, metric: str, settings: EngineSettings, now_ms: int
) -> Statistic | Described[Any]:
    rows = shard.summaries.rows(chain, now_ms)
    groups = METRICS[metric].seen(shard.table.read(metric, rows))
    return described(groups, chain, metric, shard.membership.places(rows), settings)


def _is_due(data_count: float, last: PoolFit | None, settings: EngineSettings) -> bool:
    before = last.data_count if last else 0.0
    return abs(data_count - before) > settings.refit_min_change * before


def _fit(data: Any, metric: str, settings: EngineSettings) -> Fit[Any] | None:
    """Fit one pool; None where its data do not tell anything yet."""
    model = settings.model(metric)
    family = FAMILIES[METRICS[metric].model_name(model)]
    try:
        return family.fit(data, settings.methods[metric], prior_of(model))
    except FitError:
        return None


def prior_of(model: ModelSettings) -> Prior:
    """Return the hyperprior that a model's settings name.

    >>> prior_of(ModelSettings(prior="half-cauchy:0.5", location="flat"))
    Hyperprior(spread=HalfCauchy(scale=0.5), location=Flat())
    """
    if model.prior == "bda":
        return BDA
    spread = spread_named(model.prior) if model.prior else None
    return Hyperprior(spread, location_named(model.location) if model.location else None)
