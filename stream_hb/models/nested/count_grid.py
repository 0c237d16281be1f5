"""Location and both spreads of counts in regions in a chain, integrated by quadrature.

Outer Gauss-Legendre nodes of the spreads between stores (s) and between regions (ω) where their
posterior lies; at each, Gauss-Hermite nodes of the location about its mode. A table of the regions'
likelihoods is computed once per s.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.hyperprior import (
    Flat,
    HalfCauchy,
    HalfNormal,
    JointPrior,
    NormalLocation,
    Prior,
    SpreadPrior,
    Uniform,
)
from stream_hb.models.nested.box import Axis, spread_nodes
from stream_hb.models.nested.count_stores import CountModel
from stream_hb.models.nested.hyper import NestedHyper
from stream_hb.models.nested.layout import Layout
from stream_hb.models.nested.region_table import RegionTable
from stream_hb.models.nested.shape import shape_of_both
from stream_hb.models.profile import Shape
from stream_hb.statistics.columns import Floats

FINE_KNOTS, COARSE_KNOTS = 41, 17
_NODES = (15, 15)
"""Nodes of s and of ω."""

_LOCATION_NODES = 5
_LOCATION_STEPS = 12
_LOCATION_CLOSE = 1e-6
"""The last Newton step: the mode is then known to its square."""

_LEAST_CURVATURE = 0.1
"""Share of the curvature of normal regions that a location has at least."""

_LOCATION_SCALE = 2.5
_NEGLIGIBLE = 1e-7
_LOG_NOTHING = -1e6
_BLOCK_CELLS = 40_000


@dataclass(frozen=True, slots=True)
class CountPool:
    """Stores with data, sorted by region, and what is believed of the chain's location.

    Attributes
    ----------
    centre, precision
        Normal prior of the location; a precision of 0 is flat.
    """

    model: CountModel
    groups: Any
    layout: Layout
    centre: float
    precision: float

    def concentration(self, spread: float) -> float:
        """Return κ or a for a spread between stores, as it is at the pooled rate."""
        link = self.model.pooled_link(self.groups)
        return float(self.model.concentration(np.array(spread), link))

    def table(self, spread: float, knots: int) -> RegionTable:
        """Tabulate the regions' likelihoods for a spread between stores."""
        c = self.concentration(spread)
        return RegionTable.of(self.model, self.groups, self.layout, c, knots)


class Located(NamedTuple):
    """The location's mode, its width, and the log of its posterior's height, each of shape (P,)."""

    eta: Floats
    sd: Floats
    height: Floats


class Integral(NamedTuple):
    """Integrated hyperparameters, their log prior (up to the location's) and log evidence; and what
    the spreads' likelihood is like (profiled over the location).
    """

    hyper: NestedHyper
    log_prior: Floats
    log_evidence: float
    shape: Shape


def pool_of(model: CountModel, groups: Any, layout: Layout, prior: Prior) -> CountPool:
    """Return the pool with the prior of its location: normal(pooled, 2.5²) by default."""
    if isinstance(prior, JointPrior):
        raise FitError("a nested pool has two spreads: give a Hyperprior, not a JointPrior")
    location = prior.location or NormalLocation(_LOCATION_SCALE)
    pooled = model.pooled_link(groups)
    if isinstance(location, Flat):
        return CountPool(model, groups, layout, pooled, 0.0)
    centre = pooled if location.centre is None else location.centre
    return CountPool(model, groups, layout, centre, location.scale**-2)


def locate(
    pool: CountPool, table: RegionTable, omega: Floats, start: Floats | None = None
) -> Located:
    """Find the location's mode at each ω by Newton's method, from the pooled rate by default."""
    pooled = pool.model.pooled_link(pool.groups)
    eta = np.full(len(omega), pooled) if start is None else start
    slope, curve, height = _slopes(pool, table, eta, omega)
    least = _least_curvature(pool, table, omega)
    for _ in range(_LOCATION_STEPS):
        step = np.clip(slope / np.maximum(-curve, least), -1.0, 1.0)
        eta = eta + step
        slope, curve, height = _slopes(pool, table, eta, omega)
        if np.abs(step).max() < _LOCATION_CLOSE:
            break
    return Located(eta, 1 / np.sqrt(np.maximum(-curve, least)), height)


def _least_curvature(pool: CountPool, table: RegionTable, omega: Floats) -> Floats:
    """Return the least curvature of the location's log posterior to believe in, shape (P,).

    Far out in both spreads the effects' integrals are rough and the curvature may come out as
    none, or of the wrong sign: nodes of the location would then lie where no rate has a digit.
    """
    variance = table.error**2 + omega[:, np.newaxis] ** 2
    least: Floats = _LEAST_CURVATURE * (pool.precision + (1 / variance).sum(axis=-1))
    return least


def integrate(pool: CountPool, prior: Prior) -> Integral:
    """Return the nodes of (s, ω), the location collapsed at each to its mean and sd."""
    spread = getattr(prior, "spread", None) or HalfNormal(1.0)
    coarse: dict[float, RegionTable] = {}
    scans: list[tuple[Floats, Floats, Floats]] = []

    def log_density(store: Floats, region: Floats) -> Floats:
        out, height = np.empty(len(store)), np.empty(len(store))
        for s in np.unique(store):
            if float(s) not in coarse:
                coarse[float(s)] = pool.table(float(s), COARSE_KNOTS)
            rows = store == s
            at = locate(pool, coarse[float(s)], region[rows])
            log_prior = _log_prior(pool, spread, s, region[rows], at.eta)
            height[rows] = at.height
            out[rows] = at.height + np.log(at.sd) + log_prior
        scans.append((store, region, height))
        return out

    nodes = spread_nodes(log_density, *_axes(pool, spread), _NODES)
    without = np.append(0.0, nodes.second[: _NODES[1]])
    heights = [locate(pool, pool.table(0.0, FINE_KNOTS), without).height]
    parts = []
    for s in np.unique(nodes.first):
        rows = nodes.first == s
        table = pool.table(float(s), FINE_KNOTS)
        located = locate(pool, table, without)
        heights.append(located.height)
        at = Located(*(column[1:] for column in located))
        parts.append(_at_spread(pool, table, float(s), nodes.second[rows], at, spread))
        parts[-1] = (parts[-1][0] + nodes.log_weight[rows], *parts[-1][1:])
    log_mass, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    shape = _shape(pool, np.append(0.0, nodes.first[:: _NODES[1]]), without, np.stack(heights))
    store, region, height = scans[0]
    whole = _shape(pool, np.unique(store), np.unique(region), height)
    shape = shape._replace(bimodal=shape.bimodal or whole.bimodal)
    return _normalised(pool, log_mass, columns, shape)


def _shape(pool: CountPool, store: Floats, region: Floats, heights: Floats) -> Shape:
    heights = heights.reshape(len(store), len(region))
    return shape_of_both(store, region, heights, tells_apart=pool.layout.tells_apart)


def collapsed(
    pool: CountPool, table: RegionTable, omega: Floats, at: Located, log_weight: Floats
) -> tuple[Floats, list[Floats]]:
    """Integrate the location: its log mass (P,), and mean and sd with the regions' moments.

    ``log_weight``, of shape (P, nodes), is what besides the likelihood and the location's prior
    the nodes of the location weigh.
    """
    x, weight = np.polynomial.hermite.hermgauss(_LOCATION_NODES)
    eta = at.eta[:, np.newaxis] + math.sqrt(2) * at.sd[:, np.newaxis] * x
    log_mass = log_weight + np.log(weight) + x**2 + np.log(math.sqrt(2) * at.sd)[:, np.newaxis]
    effects = [table.effects(node, omega) for node in eta.T]
    for i, effect in enumerate(effects):
        log_mass[:, i] += effect.log_integral.sum(axis=-1) + _log_location(pool, eta[:, i])
    top = log_mass.max(axis=-1, keepdims=True)
    mass = np.exp(log_mass - top)
    total = mass.sum(axis=-1, keepdims=True)
    mass /= total
    location = (mass * eta).sum(axis=-1)
    sd = np.sqrt((mass * (eta - location[:, np.newaxis]) ** 2).sum(axis=-1))
    known = slice(0, len(pool.layout.codes))
    means = np.stack([effect.mean[:, known] for effect in effects], axis=-1)
    own = np.stack([effect.variance[:, known] for effect in effects], axis=-1)
    share = mass[:, np.newaxis, :]
    mean, variance = (share * means).sum(axis=-1), (share * own).sum(axis=-1)
    between = (share * (means - mean[..., np.newaxis]) ** 2).sum(axis=-1)
    moments = [location, sd, mean, variance + between, variance]
    return (top + np.log(total))[:, 0], moments


def located_nodes(at: Located) -> Floats:
    """Return the nodes of the location at each mode, shape (P, nodes)."""
    x, _ = np.polynomial.hermite.hermgauss(_LOCATION_NODES)
    return at.eta[:, np.newaxis] + math.sqrt(2) * at.sd[:, np.newaxis] * x


def _at_spread(
    pool: CountPool,
    table: RegionTable,
    s: float,
    omega: Floats,
    at: Located,
    spread: SpreadPrior,
) -> tuple[Floats, ...]:
    eta = located_nodes(at)
    log_prior = _log_prior(pool, spread, s, omega[:, np.newaxis], eta)
    log_mass, moments = collapsed(pool, table, omega, at, log_prior)
    concentration = np.full(len(omega), pool.concentration(s))
    return (log_mass, omega, concentration, log_prior[:, _LOCATION_NODES // 2], *moments)


def _normalised(pool: CountPool, log_mass: Floats, columns: list[Floats], shape: Shape) -> Integral:
    omega, concentration, log_prior, location, sd, mean, variance, own = columns
    top = float(log_mass.max())
    mass = np.exp(log_mass - top)
    kept = mass > _NEGLIGIBLE * mass.sum()
    evidence = top + math.log(float(mass.sum())) + pool.model.constant(pool.groups)
    hyper = NestedHyper(
        mass[kept] / mass[kept].sum(),
        location[kept],
        sd[kept],
        omega[kept],
        concentration[kept],
        np.full(int(kept.sum()), np.nan),
        pool.layout.codes,
        mean[kept],
        variance[kept],
        own[kept],
        pool.layout.known_sizes,
    )
    return Integral(hyper, log_prior[kept], evidence, shape)


def _log_prior(
    pool: CountPool, spread: SpreadPrior, s: float, omega: Floats, eta: Floats
) -> Floats:
    """Return the log prior of both spreads, in the spread that s is at the pooled rate."""
    ratio = pool.model.spread_ratio(eta, pool.model.pooled_link(pool.groups))
    value = spread.log_density(s * ratio) + np.log(ratio) + spread.log_density(omega)
    # Finite, that a node whose locations are all out of the prior's reach still has moments.
    floored: Floats = np.maximum(value, _LOG_NOTHING)
    return floored


def _log_location(pool: CountPool, eta: Floats) -> Floats:
    """Return the log prior density of the location; 0 if flat."""
    if pool.precision == 0:
        return np.zeros_like(eta)
    constant = math.log(pool.precision / (2 * math.pi)) / 2
    value: Floats = constant - pool.precision * (eta - pool.centre) ** 2 / 2
    return value


def _slopes(
    pool: CountPool, table: RegionTable, eta: Floats, omega: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return slope and curvature of the location's log posterior, and its value."""
    block = max(1, _BLOCK_CELLS // pool.layout.regions_count)
    parts = []
    for i in range(0, len(eta), block):
        effects = table.effects(eta[i : i + block], omega[i : i + block])
        columns = effects.slope, effects.curvature, effects.log_integral
        parts.append([column.sum(axis=-1) for column in columns])
    slope, curve, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    slope = slope - pool.precision * (eta - pool.centre)
    return slope, curve - pool.precision, value + _log_location(pool, eta)


def _axes(pool: CountPool, spread: SpreadPrior) -> tuple[Axis, Axis]:
    model, link = pool.model, pool.model.pooled_link(pool.groups)
    rate = model.natural(np.array(link))
    own = model.information(pool.groups, rate, pool.concentration(0.0))
    usual = model.information(pool.groups, rate, pool.concentration(0.3))
    highest = spread.scale * _reach(spread)
    scales = [
        min(0.5 / math.sqrt(float(np.median(known))), spread.scale)
        for known in (own, pool.layout.sums(usual))
    ]
    store, region = (Axis.up_to(scale, highest) for scale in scales)
    return store, region


def _reach(spread: SpreadPrior) -> float:
    """Return how many scales of the prior are looked at."""
    if isinstance(spread, Uniform):
        return 1.0
    return 30.0 if isinstance(spread, HalfCauchy) else 8.0
