"""Posteriors of stores whose regions' means are known up to a normal error.

Given the variances, the region's mean m ~ N(M, V) from all data and its own data, a store with mean
y and sampling variance v is θ ~ N((1-B)y + BM, Bτ²_store + B²V), B = v/(v + τ²_store). M has seen y
too: to first order y's share in M is h = V₀/(v + τ²_store), V₀ the part of V left when the chain's
mean is known. What the store is drawn to is the rest: pooled = (M - hy)/(1-h), the mean of its
region as its other stores and the chain have it, and weight = B(1-h). A store that is alone in its
region is thus drawn to the chain, and (1-B)y + BM = (1-weight)·y + weight·pooled.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from stream_hb.models.family import Posterior
from stream_hb.models.nested.hyper import NestedHyper
from stream_hb.models.nested.layout import Layout
from stream_hb.models.nested.normal_likelihood import Chain
from stream_hb.models.normal_mixture import Mixture
from stream_hb.statistics.columns import Floats

_BLOCK_CELLS = 500_000
_LEFT_OUT = 1e-5
"""Mass of the lightest nodes that quantiles do without."""


class Kernels(NamedTuple):
    """Every store's posterior at every node: arrays of shape (stores, O), and the nodes' weight."""

    mean: Floats
    sd: Floats
    draw: Floats
    towards: Floats
    weight: Floats


def with_regions(hyper: NestedHyper, at: Chain, layout: Layout) -> NestedHyper:
    """Return the hyperparameters with the posteriors of the known regions.

    ``at`` is the chain at the hyperparameters' nodes; the chain's mean is the hyperparameters'.
    """
    known = slice(0, len(layout.codes))
    # The chain's share in a region's mean, 1 where regions do not differ.
    share = 1 / (1 + at.tau2_region * at.precision[:, known])
    mu, sd = hyper.location[:, np.newaxis], hyper.location_sd[:, np.newaxis]
    own = at.tau2_region * share
    return replace(
        hyper,
        regions=layout.codes,
        region_mean=mu + (1 - share) * (at.mean[:, known] - mu),
        region_variance=own + (share * sd) ** 2,
        region_own=own,
        region_stores=layout.known_sizes,
    )


def kernels(y: Floats, unit: Floats, regions: NDArray[np.intp], hyper: NestedHyper) -> Kernels:
    """Return the stores' posteriors at every node.

    Parameters
    ----------
    y, unit
        The stores' means and sampling variances (or 1/n), infinite without data.
    """
    columns, known = hyper.columns(regions)
    v = unit[:, np.newaxis] * np.where(np.isnan(hyper.sigma2), 1.0, hyper.sigma2)
    tau2_region, raw = hyper.spread_region**2, y[:, np.newaxis]

    def of(region: Floats, chain: Floats) -> Floats:
        if len(hyper.regions) == 0:
            return np.broadcast_to(chain, v.shape)
        return np.where(known[:, np.newaxis], region.T[columns], chain)

    mean = of(hyper.region_mean, hyper.location)
    variance = of(hyper.region_variance, hyper.location_sd**2)
    tau2 = hyper.spread_store**2 + np.where(known, 0.0, 1.0)[:, np.newaxis] * tau2_region
    draw = 1 / (1 + tau2 / v)
    # The second bound holds for the data of the fit; it matters where a store has grown since.
    own = of(hyper.region_own, np.zeros_like(tau2_region))
    share = np.minimum(own / (v + tau2), tau2_region / (v + tau2 + tau2_region))
    return Kernels(
        mean + (1 - draw) * (raw - mean),
        np.sqrt(draw * tau2 + draw**2 * variance),
        draw * (1 - share),
        (mean - share * raw) * draw,
        hyper.weight,
    )


def posterior(
    y: Floats, unit: Floats, regions: NDArray[np.intp], hyper: NestedHyper, level: float
) -> Posterior:
    """Return the posterior of every store; interval ends are quantiles of the mixture."""
    parts = []
    for rows in _blocks(len(y), len(hyper.weight)):
        at = kernels(y[rows], unit[rows], regions[rows], hyper)
        weight = (at.draw * at.weight).sum(axis=-1)
        pooled = (at.towards * at.weight).sum(axis=-1) / weight
        mean = pooled + (1 - weight) * (y[rows] - pooled)
        _, sd = Mixture(at.mean, at.sd, at.weight).moments()
        raw = np.where(np.isinf(unit[rows]), np.nan, y[rows])
        parts.append((raw, pooled, weight, mean, sd, *_interval(at, level)))
    return Posterior(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def screen(
    y: Floats, unit: Floats, regions: NDArray[np.intp], hyper: NestedHyper
) -> tuple[Floats, Floats]:
    """Return posterior mean and sd."""
    parts = []
    for rows in _blocks(len(y), len(hyper.weight)):
        at = kernels(y[rows], unit[rows], regions[rows], hyper)
        parts.append(Mixture(at.mean, at.sd, at.weight).moments())
    mean, sd = (np.concatenate(column) for column in zip(*parts, strict=True))
    return mean, sd


def tail_probability(
    y: Floats, unit: Floats, regions: NDArray[np.intp], hyper: NestedHyper, above: float
) -> Floats:
    """Return each store's P(θ > above)."""
    parts = []
    for rows in _blocks(len(y), len(hyper.weight)):
        at = kernels(y[rows], unit[rows], regions[rows], hyper)
        distance = at.mean - above
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(distance == 0, 0.0, distance / at.sd)
        parts.append((at.weight * ndtr(z)).sum(axis=-1))
    return np.concatenate(parts)


def heaviest(weight: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the nodes that hold all but 1e-5 of the mass, and their weights, summing to 1."""
    order = np.argsort(weight)[::-1]
    count = int(np.searchsorted(np.cumsum(weight[order]), 1 - _LEFT_OUT)) + 1
    kept = order[:count]
    return kept, weight[kept] / weight[kept].sum()


def _interval(at: Kernels, level: float) -> tuple[Floats, Floats]:
    if len(at.weight) == 1:
        half_width = float(ndtri((1 + level) / 2)) * at.sd[:, 0]
        return at.mean[:, 0] - half_width, at.mean[:, 0] + half_width
    kept, weight = heaviest(at.weight)
    mixture = Mixture(at.mean[:, kept], at.sd[:, kept], weight)
    return mixture.quantile((1 - level) / 2), mixture.quantile((1 + level) / 2)


def _blocks(stores: int, nodes: int) -> Iterator[slice]:
    block = max(1, _BLOCK_CELLS // nodes)
    for start in range(0, max(stores, 1), block):
        yield slice(start, start + block)
