"""Refits: from the pools' summaries to versioned hyperparameters.

A refit is a function of the summary: warm starts change its time, never its answer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from types import MappingProxyType
from typing import Any

from stream_hb.errors import FitError
from stream_hb.feeds import refits
from stream_hb.feeds.estimates import OutRecord
from stream_hb.findings import affected, check, sample
from stream_hb.metrics import METRICS, MODELS
from stream_hb.models.family import Fit
from stream_hb.models.hyperprior import BDA, Hyperprior, Prior, location_named, spread_named
from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.pool_parts import Asked, PoolParts, all_chains
from stream_hb.pool_summaries import Summarised
from stream_hb.settings import EngineSettings, ModelSettings

CHECK_MIN_CHANGE = 0.1
"""Share of a pool's data that must be new before it is checked again: a check is half a fit."""


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
    whole
        Whether all pools were looked at; if not, the pass goes on with the next call.
    """

    version: int
    at_ms: int
    pools: dict[Pool, PoolFit]
    whole: bool = True

    def records(self, level: float) -> Iterator[OutRecord]:
        """Yield a record per pool; ``level`` is that of the hyperparameters' intervals."""
        for (chain, metric), pool_fit in self.pools.items():
            value = refits.encode(pool_fit.record((chain, metric), level))
            yield OutRecord(f"{chain}|{metric}".encode(), value)


def refit(
    parts: Iterable[PoolParts],
    current: Mapping[Pool, PoolFit],
    settings: EngineSettings,
    version: int,
    now_ms: int,
    begun_ms: int | None = None,
    enough: Callable[[], bool] = lambda: False,
    half_lives_ms: Mapping[Pool, int | None] = MappingProxyType({}),
) -> Refit:
    """Refit every pool whose data have changed enough since its last fit.

    Parameters
    ----------
    parts
        What the shards know.
    current
        The hyperparameters so far.
    settings
        The engine's.
    version, now_ms
        Of this refit.
    begun_ms
        Pools that were fitted since then are done with; None: none is.
    enough
        Asked after every fit: whether the rest is left to the next call.
    half_lives_ms
        Where several half-lives are kept side by side, the one that the fit is to be of; otherwise
        the first is. A pool for which another is named now is refitted whatever changed.
    """
    parts = list(parts)
    chains = all_chains(parts)
    pools: dict[Pool, PoolFit] = {}
    for pool in [(chain, metric) for metric in settings.methods for chain in chains]:
        last = current.get(pool)
        if last and begun_ms is not None and last.fitted_at_ms >= begun_ms:
            continue
        if pools and enough():
            return Refit(version, now_ms, pools, whole=False)
        half_life_ms = settings.half_life_ms(pool[1], half_lives_ms.get(pool))
        data = pool_data(parts, Asked(*pool, now_ms, half_life_ms))
        if _is_due(data.data_count, half_life_ms, last, settings):
            fit = _fit(data.summary, pool[1], settings)
            if fit is not None:
                name = METRICS[pool[1]].model_name(settings.model(pool[1]))
                made = PoolFit(
                    version, now_ms, name, fit, data.data_count, half_life_ms=half_life_ms
                )
                pools[pool] = _examined(made, last, parts, pool, settings)
    return Refit(version, now_ms, pools)


def _examined(
    made: PoolFit,
    last: PoolFit | None,
    parts: list[PoolParts],
    pool: Pool,
    settings: EngineSettings,
) -> PoolFit:
    some = sample(parts, Asked(*pool, made.fitted_at_ms, made.half_life_ms))
    made = replace(made, affected=affected(made, some))
    before = last.checked_count if last else 0.0
    if last and abs(made.data_count - before) <= CHECK_MIN_CHANGE * before:
        return replace(made, check=last.check, checked_count=before)
    found = check(pool, made, some, settings)
    return replace(made, check=found, checked_count=made.data_count)


def pool_data(parts: Iterable[PoolParts], asked: Asked) -> Summarised:
    """Merge what the shards know of one pool, without the retired stores."""
    known = (part.data(asked) for part in parts)
    return reduce(Summarised.merge, (data for data in known if data is not None))


def _is_due(
    data_count: float, half_life_ms: int | None, last: PoolFit | None, settings: EngineSettings
) -> bool:
    if last and last.half_life_ms != half_life_ms:
        return True
    before = last.data_count if last else 0.0
    return abs(data_count - before) > settings.refit_min_change * before


def _fit(data: Any, metric: str, settings: EngineSettings) -> Fit[Any] | None:
    """Fit one pool; None where its data do not tell anything yet."""
    model = settings.model(metric)
    family = MODELS[METRICS[metric].model_name(model)]
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
