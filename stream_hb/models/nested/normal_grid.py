"""Both spreads of means in regions in a chain, and σ², integrated by quadrature.

The chain's mean is integrated analytically, the spreads τ_store and τ_region by Gauss-Legendre
nodes where their posterior lies, ln σ² (flat) by a rule about what the observations within stores
say of it: even nodes where they are few, else as many of Gauss-Hermite's as its uncertainty needs.
"""

import math
from typing import NamedTuple

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.hyperprior import (
    Flat,
    JointPrior,
    NormalLocation,
    Prior,
    SpreadPrior,
    Uniform,
    half_normal_of_means,
)
from stream_hb.models.nested.box import Axis, LogDensity, SpreadNodes, spread_nodes
from stream_hb.models.nested.normal_fit import Means
from stream_hb.models.nested.normal_likelihood import chain, integrated, of_observations
from stream_hb.models.nested.shape import shape_of_both
from stream_hb.models.normal_fit import fit_tau2
from stream_hb.models.normal_sums import GroupSums
from stream_hb.models.profile import Shape
from stream_hb.statistics.columns import Floats

_NODES = (17, 21)
"""Nodes of τ_store and of τ_region."""

_FEW, _WIDE, _NARROW = 30.0, 41, 21
"""Degrees of freedom on σ² below which it has so many nodes (below 5, and from there on)."""

_NATS = 14.0
_ALONE = 500.0
"""From so many degrees of freedom on σ² has one node."""

_BLOCK_CELLS = 1_000_000
_NEGLIGIBLE = 1e-8
_REACH = 100.0
"""Spreads up to this many scales of the prior (or ranges of the means) are looked at."""


class Location(NamedTuple):
    """Normal prior of the chain's mean; a precision of 0 is flat."""

    mean: float
    precision: float


class Nodes(NamedTuple):
    """The posterior of the hyperparameters, arrays of one length; ``sigma2`` NaN where known."""

    tau_store: Floats
    tau_region: Floats
    sigma2: Floats
    weight: Floats
    log_prior: Floats
    log_evidence: float
    shape: Shape


def integrate(means: Means, prior: Prior) -> tuple[Nodes, Location]:
    """Return nodes of (τ_store, τ_region, σ²) and the prior of the chain's mean."""
    if isinstance(prior, JointPrior):
        raise FitError("a nested pool has two spreads: give a Hyperprior, not a JointPrior")
    spread, location = _spread_prior(means, prior), _location(means, prior)
    sigma2, log_sigma2 = _sigma2_nodes(means)

    def log_prior(store: Floats, region: Floats) -> Floats:
        both: Floats = spread.log_density(store) + spread.log_density(region)
        return both

    scans: list[tuple[Floats, Floats, Floats]] = []

    def likelihood(store: Floats, region: Floats) -> Floats:
        """Integrate σ²."""
        first, second, variance, log_share = _crossed(store, region, sigma2, log_sigma2)
        value = _log_evidence(means, first, second, variance, location) + log_share
        whole: Floats = np.logaddexp.reduce(value.reshape(-1, len(sigma2)), axis=1)
        return whole

    def log_density(store: Floats, region: Floats) -> Floats:
        scans.append((store, region, likelihood(store, region)))
        return log_prior(store, region) + scans[-1][-1]

    nodes = spread_nodes(log_density, *_axes(means, spread), _NODES)
    crossed = _crossed(nodes.first, nodes.second, sigma2, log_sigma2)
    store, region, variance, log_share = crossed
    log_weight = np.repeat(nodes.log_weight, len(sigma2)) + log_share
    priors = log_prior(store, region)
    evidence = _log_evidence(means, store, region, variance, location)
    inside = np.logaddexp.reduce((evidence + log_share).reshape(*_NODES, -1), axis=-1)
    shape = _shape(means, nodes, likelihood, inside)
    shape = shape._replace(bimodal=shape.bimodal or _of_scan(means, *scans[0]).bimodal)
    log_mass = log_weight + priors + evidence
    top = float(log_mass.max())
    mass = np.exp(log_mass - top)
    kept = mass > _NEGLIGIBLE * mass.sum()
    weight = mass / mass[kept].sum()
    log_evidence = top + math.log(float(mass.sum()))
    spreads = store[kept], region[kept], variance[kept]
    return Nodes(*spreads, weight[kept], priors[kept], log_evidence, shape), location


def _crossed(
    store: Floats, region: Floats, sigma2: Floats, log_weight: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return every pair of spreads with every σ² and the log of its weight."""
    count = len(sigma2)
    spreads = np.repeat(store, count), np.repeat(region, count)
    return *spreads, np.tile(sigma2, len(store)), np.tile(log_weight, len(store))


def _shape(means: Means, nodes: SpreadNodes, likelihood: LogDensity, inside: Floats) -> Shape:
    """Return the likelihood's shape, from the nodes and both edges beside them.

    What nodes lose beside the maximum they lose on the edge too.
    """
    store = np.append(0.0, nodes.first[:: _NODES[1]])
    region = np.append(0.0, nodes.second[: _NODES[1]])
    heights = np.empty((len(store), len(region)))
    heights[1:, 1:] = inside
    heights[0] = likelihood(np.zeros_like(region), region)
    heights[1:, 0] = likelihood(store[1:], np.zeros(len(store) - 1))
    return shape_of_both(store, region, heights, tells_apart=means.layout.tells_apart)


def _of_scan(means: Means, store: Floats, region: Floats, values: Floats) -> Shape:
    """Return the likelihood's shape over the whole range, from the first scan's grid."""
    both = np.unique(store), np.unique(region)
    heights = values.reshape(len(both[0]), len(both[1]))
    return shape_of_both(*both, heights, tells_apart=means.layout.tells_apart)


def _spread_prior(means: Means, prior: Prior) -> SpreadPrior:
    spread: SpreadPrior | None = getattr(prior, "spread", None)
    if spread is not None:
        return spread
    # The stores' whole spread, whether regions or stores make it: one prior serves both.
    sums = GroupSums(1 / means.unit, means.y)
    return half_normal_of_means(_median_se(means), fit_tau2(sums, "dl", _within(means)).tau2)


def _location(means: Means, prior: Prior) -> Location:
    location = getattr(prior, "location", None) or Flat()
    if not isinstance(location, NormalLocation):
        return Location(0.0, 0.0)
    weight = 1 / means.unit
    pooled = float((weight * means.y).sum() / weight.sum())
    centre = pooled if location.centre is None else location.centre
    return Location(centre, location.scale**-2)


def _within(means: Means) -> float:
    """Return σ² as the observations within stores have it; 1 with known variances.

    Where no store has two observations, the variance of them all: the likelihood cannot tell.
    """
    if means.n is None:
        return 1.0
    if means.degrees_within > 0:
        return means.m2 / means.degrees_within
    return max(float(means.y.var(ddof=1)) if len(means.y) > 1 else 0.0, means.m2)


def _median_se(means: Means) -> float:
    return math.sqrt(_within(means)) * float(np.median(np.sqrt(means.unit)))


def _sigma2_nodes(means: Means) -> tuple[Floats, Floats]:
    """Return nodes of σ² and the logs of their weights in ln σ².

    With few degrees of freedom σ² may be many times what the observations within stores say, and
    the differences between stores then say more of it than they: even nodes cover all of that.
    """
    centre, degrees = _within(means), means.degrees_within
    if means.n is None or degrees <= 0:
        return np.array([centre]), np.zeros(1)
    if degrees < _FEW:
        # ln σ² has the log density -½ degrees (e^-u + u - 1), u from its maximum.
        u = np.linspace(-14, 60, 2000)
        reach = u[degrees / 2 * (np.exp(-u) + u - 1) < _NATS]
        nodes = np.linspace(reach[0], reach[-1], _WIDE if degrees < 5 else _NARROW)
        return centre * np.exp(nodes), np.full(len(nodes), math.log(nodes[1] - nodes[0]))
    count = 1 if degrees > _ALONE else 3 if degrees > 50 else 7
    x, weight = np.polynomial.hermite.hermgauss(count)
    sd = math.sqrt(2 / degrees)
    return centre * np.exp(math.sqrt(2) * sd * x), np.log(math.sqrt(2) * sd * weight) + x**2


def degrees_alone(means: Means) -> float:
    """Return the degrees of freedom of σ² where one node stands for them, NaN elsewhere."""
    degrees = means.degrees_within
    return degrees if degrees > _ALONE else math.nan


def _axes(means: Means, spread: SpreadPrior) -> tuple[Axis, Axis]:
    variance = _within(means) * means.unit
    own = means.layout.sums(1 / (variance + float(np.median(variance))))
    highest = _REACH * spread.scale + 10 * means.spread
    if isinstance(spread, Uniform):
        highest = spread.scale
    scales = _median_se(means) / 2, 0.5 / math.sqrt(float(np.median(own)))
    store, region = (Axis.up_to(scale, highest) for scale in scales)
    return store, region


def _log_evidence(
    means: Means, store: Floats, region: Floats, sigma2: Floats, location: Location
) -> Floats:
    block = max(1, _BLOCK_CELLS // len(means.y))
    parts = []
    for i in range(0, len(store), block):
        rows = slice(i, i + block)
        variance = means.unit * sigma2[rows, np.newaxis]
        at = chain(means.y, variance, store[rows] ** 2, region[rows] ** 2, means.layout, *location)
        value = integrated(at, location.precision)
        if means.n is not None:
            value = of_observations(value, means.n, means.m2, sigma2[rows])
        parts.append(value)
    return np.concatenate(parts)
