"""Refits: from the pools' summaries to versioned hyperparameters.

A refit is a function of the summary: warm starts change its time, never its answer.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import msgspec

from stream_hb.errors import FitError
from stream_hb.feeds.estimates import HyperReference, encode_raw
from stream_hb.metrics import METRICS
from stream_hb.models.family import Fit
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.summary import ExactSummary

Pool = tuple[str, str]
"""(chain id, metric): the groups that share hyperparameters."""


@dataclass(frozen=True, slots=True)
class PoolFit:
    """A pool's hyperparameters and where they come from.

    Attributes
    ----------
    version
        Number of the refit that made them.
    fitted_at_ms
        Clock reading of that refit.
    fit
        The fit with its diagnostics.
    data_count
        Observations in the pool at that refit.
    """

    version: int
    fitted_at_ms: int
    fit: Fit[Any]
    data_count: float

    def reference(self, metric: str) -> msgspec.Raw:
        """Return the ``hyper`` object of the records made with this fit."""
        parameters = METRICS[metric].family.parameters(self.fit.hyper)
        params = {k: v if math.isfinite(v) else str(v) for k, v in parameters.items()}
        return encode_raw(
            HyperReference(
                self.version,
                self.fitted_at_ms,
                params,
                self.fit.groups_count,
                self.fit.converged,
            )
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
    fitted = {
        (chain, metric): _refit_pool(shards, chain, metric, current, settings)
        for metric in settings.methods
        for chain in chains
    }
    pools = {
        pool: PoolFit(version, now_ms, fit, data_count)
        for pool, (fit, data_count) in fitted.items()
        if fit is not None
    }
    return Refit(version, now_ms, pools)


def summarise(shards: Iterable[Shard], chain: str, metric: str) -> ExactSummary[Statistic]:
    """Merge the shards' summaries of one pool."""
    summaries = (
        ExactSummary(shard.table.read(metric, shard.table.rows_of_chain(chain))) for shard in shards
    )
    return reduce(lambda a, b: a.merge(b), summaries)


def _refit_pool(
    shards: list[Shard],
    chain: str,
    metric: str,
    current: Mapping[Pool, PoolFit],
    settings: EngineSettings,
) -> tuple[Fit[Any] | None, float]:
    groups = METRICS[metric].seen(summarise(shards, chain, metric).groups)
    data_count = METRICS[metric].data_count(groups)
    last = current.get((chain, metric))
    before = last.data_count if last else 0.0
    if abs(data_count - before) <= settings.refit_min_change * before:
        return None, data_count
    try:
        fit = METRICS[metric].family.fit(groups, settings.methods[metric])
    except FitError:
        return None, data_count
    return fit, data_count
