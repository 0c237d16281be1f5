"""How the records of one chain and metric are made: from one pool, or from several."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.estimate_record import HyperReference
from stream_hb.metrics import METRICS
from stream_hb.models.family import Posterior
from stream_hb.models.product import mean_and_sd, revenue
from stream_hb.order_variance import order_variance
from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.settings import EngineSettings
from stream_hb.statistics.columns import Floats, Rows
from stream_hb.view import View


class Estimator(Protocol):
    """What an emission asks of a chain and metric."""

    @property
    def metric(self) -> str:
        """The metric's name."""
        ...

    @property
    def base_metric(self) -> str:
        """The metric whose observations count as the group's size."""
        ...

    @property
    def half_life_ms(self) -> int | None:
        """The base metric's half-life, of those that are kept side by side; None: it has one."""
        ...

    @property
    def record_model(self) -> str:
        """The model's name in the records."""
        ...

    def read(self, view: View, rows: Rows) -> Any:
        """Return the groups' data."""
        ...

    def joined(self, parts: Sequence[Any]) -> Any:
        """Return the groups of all parts, in their order; there is at least one."""
        ...

    def take(self, groups: Any, chosen: Any) -> Any:
        """Return some of the groups."""
        ...

    def screen(self, groups: Any) -> tuple[Floats, Floats]:
        """Return something that moves when mean and sd do: cheap, to decide who has changed."""
        ...

    def posterior(self, groups: Any, level: float) -> Posterior:
        """Return the posterior; its weight is NaN where the metric is made of others."""
        ...

    def is_known(self, posterior: Posterior) -> NDArray[np.bool_]:
        """Tell of which groups enough is known for a record."""
        ...

    def sizes(self, groups: Any) -> Floats:
        """Return how much data each group has."""
        ...

    def reference(self) -> HyperReference:
        """Return what the records say of the hyperparameters."""
        ...

    def flags(self) -> tuple[str, ...]:
        """Return the flags of every record."""
        ...


def estimator_of(
    chain: str, metric: str, pools: Mapping[Pool, PoolFit], settings: EngineSettings
) -> Estimator | None:
    """Return what makes the records of a chain and metric; None before its pools are fitted."""
    parts = parts_of(metric, settings)
    if not all((chain, part) in pools for part in parts):
        return None
    first, *others = (PoolEstimator(chain, part, pools[chain, part]) for part in parts)
    return RevenueEstimator(first, others[0]) if others else first


def parts_of(metric: str, settings: EngineSettings) -> tuple[str, ...]:
    """Return the metrics whose pools a metric's records are made from."""
    return (metric,) if metric in settings.methods else PARTS[metric]


@dataclass(frozen=True, slots=True)
class PoolEstimator:
    """Records of one pool.

    Attributes
    ----------
    chain, metric
        The pool.
    pool_fit
        Its hyperparameters.
    """

    chain: str
    metric: str
    pool_fit: PoolFit

    @property
    def base_metric(self) -> str:
        """The metric itself."""
        return self.metric

    @property
    def half_life_ms(self) -> int | None:
        """That of the statistics that the pool was fitted to."""
        return self.pool_fit.half_life_ms

    @property
    def record_model(self) -> str:
        """The family's name in the records."""
        return METRICS[self.metric].record_model

    def read(self, view: View, rows: Rows) -> Any:
        """Return the groups as the model takes them."""
        return view.seen(self.metric, self.chain, rows, self.half_life_ms)

    def joined(self, parts: Sequence[Any]) -> Any:
        """Return the groups of all parts, in their order."""
        return reduce(lambda some, more: some.concatenate(more), parts)

    def take(self, groups: Any, chosen: Any) -> Any:
        """Return some of the groups."""
        return groups.take(chosen)

    def screen(self, groups: Any) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        return self.pool_fit.family.screen(groups, self.pool_fit.fit.hyper)

    def posterior(self, groups: Any, level: float) -> Posterior:
        """Return the posterior."""
        return self.pool_fit.family.posterior(groups, self.pool_fit.fit.hyper, level)

    def is_known(self, posterior: Posterior) -> NDArray[np.bool_]:
        """Return that all groups have a record: a model that cannot tell has not been fitted."""
        return np.ones(len(posterior.mean), dtype=bool)

    def sizes(self, groups: Any) -> Floats:
        """Return visits, or orders with a value."""
        return METRICS[self.metric].sizes(getattr(groups, "groups", groups))

    def reference(self) -> HyperReference:
        """Return what the records say of the hyperparameters."""
        return self.pool_fit.reference()

    def flags(self) -> tuple[str, ...]:
        """Return the flags of every record."""
        return self.pool_fit.flags()


PARTS: Mapping[str, tuple[str, ...]] = {"revenue_per_visit": ("conversion", "log_order_value")}
"""The metrics that are made of others, and of which."""


@dataclass(frozen=True, slots=True)
class RevenueEstimator:
    """Revenue per visit: conversion times order value.

    Attributes
    ----------
    conversion, value
        The two factors; the value is the mean of its logarithm.
    """

    conversion: PoolEstimator
    value: PoolEstimator

    @property
    def metric(self) -> str:
        """The metric's name."""
        return "revenue_per_visit"

    @property
    def base_metric(self) -> str:
        """Conversion: the group's size are its visits."""
        return self.conversion.metric

    @property
    def half_life_ms(self) -> int | None:
        """That of conversion."""
        return self.conversion.half_life_ms

    @property
    def record_model(self) -> str:
        """The model's name in the records."""
        return "composite"

    def read(self, view: View, rows: Rows) -> Any:
        """Return the groups' data for both factors."""
        return self.conversion.read(view, rows), self.value.read(view, rows)

    def joined(self, parts: Sequence[Any]) -> Any:
        """Return the groups of all parts, in their order."""
        return self.conversion.joined([own for own, _ in parts]), self.value.joined(
            [own for _, own in parts]
        )

    def take(self, groups: Any, chosen: Any) -> Any:
        """Return some of the groups."""
        return tuple(factor.take(chosen) for factor in groups)

    def screen(self, groups: Any) -> tuple[Floats, Floats]:
        """Return mean and sd of the product of the two factors as they are screened.

        With the variance of the orders, which a refit changes for the whole pool.
        """
        rate, log_value = (factor.screen(own) for factor, own in self._with(groups))
        return mean_and_sd(rate, log_value, *self._order_variance(groups))

    def posterior(self, groups: Any, level: float) -> Posterior:
        """Return the posterior of the product; it has no weight on its pooled value."""
        conversion, log_value = (factor.posterior(own, level) for factor, own in self._with(groups))
        product = revenue(conversion, log_value, *self._order_variance(groups), level)
        return replace(
            conversion,
            raw=product.raw,
            pooled=product.pooled,
            weight=np.full_like(product.mean, np.nan),
            mean=product.mean,
            sd=product.sd,
            lo=product.lo,
            hi=product.hi,
        )

    def _order_variance(self, groups: Any) -> tuple[Floats, Floats]:
        return order_variance(self.value.pool_fit, getattr(groups[1], "groups", groups[1]))

    def _with(self, groups: Any) -> Iterator[tuple[PoolEstimator, Any]]:
        return zip((self.conversion, self.value), groups, strict=True)

    def is_known(self, posterior: Posterior) -> NDArray[np.bool_]:
        """Leave out the groups whose mean order is infinite: too little is known of it."""
        ends = posterior.mean, posterior.sd, posterior.lo, posterior.hi, posterior.pooled
        known: NDArray[np.bool_] = np.isfinite(ends).all(axis=0) & ~np.isinf(posterior.raw)
        return known

    def sizes(self, groups: Any) -> Floats:
        """Return visits."""
        return self.conversion.sizes(groups[0])

    def reference(self) -> HyperReference:
        """Return the newer of the two refits, the hyperparameters of both under their metric."""
        parts = {part.metric: part.reference() for part in (self.conversion, self.value)}
        params = {f"{m}.{k}": v for m, hyper in parts.items() for k, v in hyper.params.items()}
        one, other = parts.values()
        return HyperReference(
            max(one.version, other.version),
            max(one.fitted_at_ms, other.fitted_at_ms),
            params,
            one.groups,
            one.converged and other.converged,
        )

    def flags(self) -> tuple[str, ...]:
        """Return the flags of either factor, each once."""
        return tuple(dict.fromkeys(self.conversion.flags() + self.value.flags()))
