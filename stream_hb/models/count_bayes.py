"""Full Bayes fits of pools of counts, the same for both families."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from stream_hb.models.count_mixture import CountMixture
from stream_hb.models.count_quadrature import (
    CountPool,
    LogPrior,
    Nodes,
    Posterior,
    Rule,
    nodes_of,
    rule_for,
    scan_pool,
)
from stream_hb.models.few_rows import fewest_rows
from stream_hb.models.hyperprior import Prior
from stream_hb.models.sensitivity import Sensitivity
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measure import Measure

_FEWER = (3, 5, 8, 12)
"""Nodes of the spread to try before all of them."""

_THREE, _FIVE = (-0.7, 0.7), (-1.3, -0.5, 0.5, 1.3)
"""Where the locations at each spread are parted into kernels, in sds."""

_DISTANCES = np.array([-2.0, 2.0])
_SHARES = np.array([0.05, 0.5, 1.0])


class MixedPool(CountPool, Protocol):
    """What choosing the kernels asks of a pool of counts besides."""

    @property
    def sizes(self) -> Measure:
        """The groups' sizes (trials, exposure)."""
        ...

    def natural(self, t: Floats) -> Floats:
        """Undo the link."""
        ...

    def mixture(self, location: Floats, log_spread: Floats, weight: Floats) -> CountMixture[Any]:
        """Return the mixture that nodes are."""
        ...

    def coordinates(self, location: Floats, size: Floats) -> tuple[Floats, Floats]:
        """Return (location, log spread) of prior means and sizes."""
        ...

    def sd_given(self, mean: Floats, size: Floats, spread: float) -> Floats:
        """Return the sd of a group's raw rate about the prior mean."""
        ...


class Integrated(NamedTuple):
    """Nodes for the posteriors of groups.

    Attributes
    ----------
    nodes
        As computed, all of them: what the pool's own parameters are told from.
    mixture
        Of as few kernels as do.
    error
        Of an interval end by that choice, in widths of the interval.
    sensitivity
        What scaling the hyperprior does, on the mixture's nodes.
    """

    nodes: Nodes
    mixture: CountMixture[Any]
    error: float
    sensitivity: Sensitivity


def integrate(pool: MixedPool, prior: Prior, audit: bool = False) -> Integrated:
    """Integrate a pool's hyperparameters; an audit keeps every node as a kernel of its own."""
    scan = scan_pool(pool, prior)
    posterior = Posterior(pool, LogPrior.of(prior, pool))
    rule = rule_for(scan)
    nodes = nodes_of(posterior, scan, rule)
    whole = pool.mixture(*nodes.rows(rule.edges))
    mixture, error = whole, 0.0
    if not audit:
        candidates = _candidates(pool, posterior, nodes)
        mixture, error = fewest_rows(whole, candidates, *_probes(pool, nodes), pool.natural)
    return Integrated(nodes, mixture, error, _sensitivity(pool, posterior, mixture))


def _sensitivity(pool: MixedPool, posterior: Posterior, mixture: CountMixture[Any]) -> Sensitivity:
    location, log_spread = pool.coordinates(mixture.location, mixture.size)
    log_prior = posterior.prior.log_density(location, log_spread)
    return Sensitivity.of(np.exp(log_spread), mixture.weight, log_prior)


def _candidates(
    pool: MixedPool, posterior: Posterior, nodes: Nodes
) -> list[Callable[[], CountMixture[Any]]]:
    """Return makers of mixtures, the fewest kernels first."""
    inner = nodes.weight.shape[1]

    def fewer(outer: int, edges: tuple[float, ...] = ()) -> tuple[Floats, Floats, Floats]:
        return nodes_of(posterior, nodes.scan, Rule(outer, inner)).rows(edges)

    def one() -> CountMixture[Any]:
        return pool.mixture(*(values.reshape(1, -1) for values in fewer(_FEWER[0])))

    def some(outer: int, edges: tuple[float, ...]) -> CountMixture[Any]:
        return pool.mixture(*fewer(outer, edges))

    def parted(edges: tuple[float, ...]) -> CountMixture[Any]:
        return pool.mixture(*nodes.rows(edges))

    return [
        one,
        *(partial(some, outer, ()) for outer in _FEWER),
        *(partial(some, outer, _THREE) for outer in _FEWER[1:]),
        *(partial(parted, edges) for edges in (_THREE, _FIVE)),
    ]


def _probes(pool: MixedPool, nodes: Nodes) -> tuple[Floats, Floats]:
    """Return totals and sizes of groups to try: new, small, usual, large; low, usual, high."""
    sizes, weight = pool.sizes.x, np.cumsum(pool.sizes.weight)
    rows = np.searchsorted(weight, _SHARES * weight[-1] * (1 - 1e-12))
    size = np.unique(sizes[np.minimum(rows, len(sizes) - 1)])
    size = np.repeat(size, len(_DISTANCES))
    mean = pool.natural(np.array((nodes.weight * nodes.location).sum()))
    spread = math.sqrt((nodes.weight * np.exp(2 * nodes.log_spread)).sum())
    distance = np.tile(_DISTANCES, len(size) // len(_DISTANCES))
    rate = mean + distance * pool.sd_given(mean, size, min(spread, 1.0))
    rate = np.clip(rate, 0.0, pool.natural(np.array(700.0)))
    return np.append(rate * size, 0.0), np.append(size, 0.0)
