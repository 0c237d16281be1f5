"""Posteriors of stores with counts, whose regions' rates are known by their moments.

Given the concentration and its region's rate m a store's posterior is a Beta or Gamma kernel whose
mean lies between its raw rate and m with the weight B on m. Over the posterior of m, mean M and
variance V from all data and its own data, mean and variance follow by the law of total
variance, and one kernel per node is matched to them. To first order the store's own share in M is
h = V₀/s, V₀ the part of V left when the chain's location is known and s the variance of the raw
rate about m; what the store is drawn to is the rest: pooled = (M - h·raw)/(1-h), and weight =
B(1-h). For a store alone in its region the rest is the chain, and h such that pooled is its mean.
With others in the region h is of first order: the mean is right whatever h is, but where rates near
zero bend the link, pooled may be off by a third of its distance from raw.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_hb.models.nested.count_stores import CONCENTRATION_MOST, BetaStores, CountModel
from stream_hb.models.nested.hyper import NestedHyper
from stream_hb.statistics.columns import Floats

_LOCATION_NODES, _EFFECT_NODES, _RATE_NODES = 3, 9, 5
_SD_NODES, _GRID_NODES = 21, 61
_CENTRE_STEPS = 12
_SHARE_MOST = 0.999
_APART = 1e-3


class StoreNodes(NamedTuple):
    """Every store at every node: arrays of shape (stores, O).

    mean, variance
        Of the store's posterior.
    draw
        Weight on what it is drawn to.
    towards
        That weight times it.
    """

    mean: Floats
    variance: Floats
    draw: Floats
    towards: Floats


class Predictive(NamedTuple):
    """Kernels of a store never seen in a region never seen: arrays of one length."""

    mean: Floats
    variance: Floats
    weight: Floats


def predictive(model: CountModel, hyper: NestedHyper) -> Predictive:
    """Return the predictive of a new region's store, the region's effect on a fine grid.

    One matched kernel per node would not do: a log-normal with a wide tail that is matched by a
    Gamma has nearly all of its lower half at zero.
    """
    z = np.linspace(-6.0, 6.0, _GRID_NODES)
    density = np.exp(-(z**2) / 2)
    sd = np.hypot(hyper.spread_region, hyper.location_sd)[:, np.newaxis]
    link = hyper.location[:, np.newaxis] + sd * z
    rate, c = model.natural(link), _finite(hyper.spread_store)[:, np.newaxis]
    within = rate * (1 - rate) / (c + 1) if isinstance(model, BetaStores) else rate**2 / c
    # Each node stands for its cell of the grid, which leaves no gaps where stores do not differ.
    cell = (sd * (z[1] - z[0]) * model.slope(link)) ** 2 / 12
    weight = hyper.weight[:, np.newaxis] * density / density.sum()
    return Predictive(rate.ravel(), (within + cell).ravel(), weight.ravel())


class RegionMoments(NamedTuple):
    """What each store's region is believed to be at every node, shape (stores, O)."""

    mean: Floats
    variance: Floats
    own: Floats


def store_nodes(
    model: CountModel, groups: Any, regions: NDArray[np.intp], hyper: NestedHyper
) -> StoreNodes:
    """Return the stores' posteriors at every node."""
    region = _region_moments(model, groups, regions, hyper)
    size, events = model.size(groups)[:, np.newaxis], model.events(groups)[:, np.newaxis]
    raw = np.divide(events, size, out=np.zeros_like(events), where=size > 0)
    kernel = _beta_kernel if isinstance(model, BetaStores) else _gamma_kernel
    draw, drawn, mean, variance = kernel(raw, size, region, hyper.spread_store)
    share = _own_share(model, groups, raw, region, hyper)
    alone = hyper.alone(regions) & (size[:, 0] > 0)
    share[alone] = _share_alone(model, raw[alone], region.mean[alone], share[alone], hyper)
    return StoreNodes(mean, variance, draw * (1 - share), drawn - draw * share * raw)


def _beta_kernel(
    raw: Floats, n: Floats, region: RegionMoments, concentration: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    draw = 1 / (1 + n / concentration)
    mean = raw + draw * (region.mean - raw)
    between = draw**2 * region.variance
    within = (mean * (1 - mean) - between) / (concentration + n + 1)
    return draw, draw * region.mean, mean, within + between


def _gamma_kernel(
    raw: Floats, t: Floats, region: RegionMoments, shape: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    # The weight depends on the rate itself: nodes of a log-normal with its moments.
    x, weight = np.polynomial.hermite_e.hermegauss(_RATE_NODES)
    weight = weight / weight.sum()
    sd = np.sqrt(np.log1p(region.variance / region.mean**2))[..., np.newaxis]
    rate = region.mean[..., np.newaxis] * np.exp(sd * x - sd**2 / 2)
    prior_exposure = shape[:, np.newaxis] / rate
    draw = 1 / (1 + t[..., np.newaxis] / prior_exposure)
    means = raw[..., np.newaxis] + draw * (rate - raw[..., np.newaxis])
    mean = means @ weight
    within = (means / (prior_exposure + t[..., np.newaxis])) @ weight
    between = ((means - mean[..., np.newaxis]) ** 2) @ weight
    return draw @ weight, (draw * rate) @ weight, mean, within + between


def _own_share(
    model: CountModel, groups: Any, raw: Floats, region: RegionMoments, hyper: NestedHyper
) -> Floats:
    """Return each store's own share in its region's mean, 0 without data."""
    noise = model.sampling_variance(groups, region.mean, hyper.spread_store)
    link = model.slope(model.link(region.mean))
    prior = (hyper.spread_region * link) ** 2
    # The second bound matters where a store has grown since the fit; the last keep pooled a rate.
    share = np.minimum(region.own / noise, prior / (noise + prior))
    with np.errstate(divide="ignore"):
        share = np.minimum(share, _SHARE_MOST * region.mean / raw)
        if isinstance(model, BetaStores):
            share = np.minimum(share, _SHARE_MOST * (1 - region.mean) / (1 - raw))
    return np.minimum(share, _SHARE_MOST)


def _share_alone(
    model: CountModel, raw: Floats, mean: Floats, first_order: Floats, hyper: NestedHyper
) -> Floats:
    """Return the share of a region's only store: what is not its own is the chain's, exactly.

    Where the mean does not lie between the two (the link bends, and the chain's location is itself
    uncertain) no share makes the rest the chain's: pooled would be thrown far off, below zero too.
    """
    sd = np.hypot(hyper.spread_region, hyper.location_sd)
    chain = chain_rate(model, hyper.location, sd)
    apart = np.abs(raw - chain) > _APART * chain
    share = np.divide(mean - chain, raw - chain, out=first_order.copy(), where=apart)
    return np.where(share < _SHARE_MOST, np.maximum(share, 0.0), first_order)


def _region_moments(
    model: CountModel, groups: Any, regions: NDArray[np.intp], hyper: NestedHyper
) -> RegionMoments:
    columns, known = hyper.columns(regions)
    shape = (len(regions), len(hyper.weight))
    out = RegionMoments(*(np.empty(shape) for _ in range(3)))
    learnt = hyper.region_mean, hyper.region_variance, hyper.region_own
    for target, source in zip(out, learnt, strict=True):
        target[known] = source.T[columns[known]]
    if not known.all():
        alone = _alone(model, groups.take(~known), hyper)
        for target, values in zip(out, alone, strict=True):
            target[~known] = values
    return out


def _alone(model: CountModel, groups: Any, hyper: NestedHyper) -> RegionMoments:
    """Return the moments of a region known from one store: its effect integrated at every node."""
    e, e_weight = np.polynomial.hermite_e.hermegauss(_LOCATION_NODES)
    u, u_weight = np.polynomial.hermite_e.hermegauss(_EFFECT_NODES)
    e_weight = e_weight / e_weight.sum()
    columns = []
    concentration = _finite(hyper.spread_store)
    nodes = zip(hyper.location, hyper.location_sd, hyper.spread_region, concentration, strict=True)
    for location, sd, omega, c in nodes:
        link = location + sd * e[:, np.newaxis] + omega * u
        value = model.log_likelihood(groups, link[..., np.newaxis], c)
        mass = np.exp(value - value.max(axis=1, keepdims=True)) * u_weight[:, np.newaxis]
        mass /= mass.sum(axis=1, keepdims=True)
        rate = model.natural(link)[..., np.newaxis]
        means = (mass * rate).sum(axis=1)
        own = e_weight @ (mass * (rate - means[:, np.newaxis]) ** 2).sum(axis=1)
        mean = e_weight @ means
        columns.append((mean, own + e_weight @ (means - mean) ** 2, own))
    return RegionMoments(*(np.stack(column, axis=-1) for column in zip(*columns, strict=True)))


def chain_rate(model: CountModel, location: Floats, sd: Floats) -> Floats:
    """Return the mean rate where the link is normal, at every node."""
    x, weight = np.polynomial.hermite_e.hermegauss(_EFFECT_NODES)
    links = location[:, np.newaxis] + sd[:, np.newaxis] * x
    rate: Floats = model.natural(links) @ (weight / weight.sum())
    return rate


def chain_rate_sd(model: CountModel, location: Floats, sd: Floats, weight: Floats) -> float:
    """Return the standard deviation of the chain's rate, over all nodes.

    By the slope of the link it would be right only where the location is nearly known.
    """
    x, share = np.polynomial.hermite_e.hermegauss(_SD_NODES)
    rates = model.natural(location[:, np.newaxis] + sd[:, np.newaxis] * x)
    mass = weight[:, np.newaxis] * share / share.sum()
    mean = float((mass * rates).sum())
    return math.sqrt(float((mass * (rates - mean) ** 2).sum()))


def centred(model: CountModel, rate: Floats, sd: Floats) -> Floats:
    """Return the location at which :func:`chain_rate` is a rate: the inverse, by a few steps."""
    location = model.link(rate)
    for _ in range(_CENTRE_STEPS):
        found = chain_rate(model, location, sd)
        location = location + model.link(rate) - model.link(found)
    return location


def _finite(concentration: Floats) -> Floats:
    return np.minimum(concentration, CONCENTRATION_MOST)
