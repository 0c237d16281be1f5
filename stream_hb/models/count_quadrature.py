"""Full Bayes for pools of counts: nodes of the two hyperparameters that carry their posterior.

Coordinates: the location η (logit or log of the prior mean) and the spread s. The outer rule is the
Gauss rule of the posterior of s itself, so that few nodes do wherever it lies and however narrow it
is; the inner one is uniform in η about its centre given s, which for smooth densities converges
faster than any power (Trefethen & Weideman 2014, doi:10.1137/130932132).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.gauss_rule import gauss_rule
from stream_hb.models.hyperprior import (
    Flat,
    HalfNormal,
    Hyperprior,
    JointPrior,
    NormalLocation,
    SpreadPrior,
    Uniform,
)
from stream_hb.models.spread_scan import SPREAD_MAX, Scan, scan_spread
from stream_hb.statistics.columns import Floats

_NATS = 12.5
"""The inner nodes reach to where the density has fallen by this much."""

_ROUNDS = 4
_REACH = math.sqrt(2 * _NATS)

_KEPT = 3
"""Nodes kept of each row, by its Gauss rule: they have its first five moments."""

_WEIGHT_MIN = 1e-6
"""Rows with less are dropped."""

_LEAST_SHARE = 1e-3
"""Spreads below this share of what the prior takes for usual have a thousandth of its mass."""

_ROUNDING = 1e-12
_FAR, _WALL = 100.0, 10.0
"""A flat prior of the location falls off, softly, where rates are e^100 times the pooled one: as
the spread grows the likelihood is ever flatter in the location, and its powers overflow."""

SPREAD = HalfNormal(1.0)
LOCATION_SCALE = 2.5
"""The default hyperpriors: s ~ half-normal(1), location ~ Normal(pooled, 2.5²)."""


class CountPool(Protocol):
    """What the quadrature asks of a pool of counts."""

    @property
    def link_pooled(self) -> float:
        """The pooled mean on the link scale, finite."""
        ...

    @property
    def is_flat_in_location(self) -> bool:
        """Whether the likelihood tends to a constant at one end of the link scale."""
        ...

    @property
    def spread_min(self) -> float:
        """A spread that the data cannot tell from none."""
        ...

    def condensed(self) -> "CountPool":
        """Return a copy of bounded cost, about 1e-6 from the exact one."""
        ...

    def start(self, log_spread: Floats) -> tuple[Floats, Floats]:
        """Guess the location's centre and its precision by the data at each spread."""
        ...

    def values(self, location: Floats, log_spread: Floats) -> Floats:
        """Return the log marginal likelihood above complete pooling."""
        ...

    def log_joint_prior(self, prior: JointPrior, location: Floats, log_spread: Floats) -> Floats:
        """Return the log density in the family's own two hyperparameters."""
        ...

    def log_jacobian(self, location: Floats, log_spread: Floats) -> Floats:
        """Return ln |∂(own two hyperparameters)/∂(location, log spread)|."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """How many nodes.

    Attributes
    ----------
    outer
        Nodes of the spread.
    inner
        Nodes of the location at each spread.
    rows
        Kernels that these become, at most.
    """

    outer: int
    inner: int
    rows: int = 15

    @property
    def edges(self) -> tuple[float, ...]:
        """Where the locations are parted into rows, in their sds from the centre."""
        return tuple(np.linspace(-_REACH, _REACH, self.rows + 1)[1:-1])


WIDEST = Rule(outer=21, inner=91, rows=40)
"""Without any success the location is known to a logit or two only: fewer kernels are lumps, and
interval ends are off by many times what is allowed."""

WIDE, USUAL, NARROW = (
    Rule(outer=21, inner=91, rows=30),
    Rule(outer=21, inner=15),
    Rule(outer=15, inner=9),
)

_SD_WIDE, _SD_USUAL, _SD_NARROW = 1.0, 0.35, 0.1

_SPREADS_ENOUGH = 2.0
"""Spreads from so many sds of the location on let kernels overlap."""

_SD_WIDEST, _TIMES_MAX = 2.5, 4
"""Of the default location. A prior that leaves more takes as many times the nodes, up to 4."""


def rule_for(scan: Scan) -> Rule:
    """Return as many nodes as the location's sd given the spread asks for.

    Kernels are not normal where the location is uncertain by much, and the mixture of few of them
    is lumpy; where it is well known all at one spread are one kernel. Lumpy it is, too, where the
    groups differ by less than the location is uncertain: no kernel reaches the next one then.
    """
    t, mass = scan.fine()
    sd = float((scan.at(t, scan.sd) * mass).sum() / mass.sum())
    usual = math.exp(float((t * mass).sum() / mass.sum()))
    if sd > _SD_WIDE:
        rows = WIDEST.rows * max(1, min(math.ceil(sd / _SD_WIDEST), _TIMES_MAX))
        return Rule(WIDEST.outer, 2 * rows + 11, rows)
    if sd > _SD_USUAL or usual < _SPREADS_ENOUGH * sd:
        return WIDE
    return USUAL if sd > _SD_NARROW else NARROW


@dataclass(frozen=True, slots=True)
class Nodes:
    """The posterior of a pool's hyperparameters on nodes.

    Attributes
    ----------
    location, log_spread, weight
        Shape (outer, inner); the weights sum to 1.
    log_evidence
        Log of the integral of likelihood (above complete pooling) × prior.
    scan
        The posterior of the log spread from which the nodes were made.
    scan_mass
        What it gives each row, shape (outer,), up to a factor.
    """

    location: Floats
    log_spread: Floats
    weight: Floats
    log_evidence: float
    scan: Scan
    scan_mass: Floats

    def rows(self, edges: tuple[float, ...]) -> tuple[Floats, Floats, Floats]:
        """Return rows of few nodes, each to be one kernel: location, log spread, weight.

        Parameters
        ----------
        edges
            Where the locations at each spread are parted into rows, in their sds from the centre;
            without any, all locations at a spread make one row.
        """
        z = np.linspace(-_REACH, _REACH, self.location.shape[1])
        part = np.searchsorted(edges, z) == np.arange(len(edges) + 1)[:, np.newaxis]
        weight = np.where(part, self.weight[:, np.newaxis], 0.0).reshape(-1, len(z))
        location, log_spread = (
            np.repeat(values, len(part), axis=0) for values in (self.location, self.log_spread)
        )
        there = weight.sum(axis=1) > _WEIGHT_MIN
        location, weight = gauss_rule(_KEPT, location[there], weight[there])
        return location, log_spread[there, :_KEPT], weight / weight.sum()


@dataclass(frozen=True, slots=True)
class Posterior:
    """Likelihood × prior of (location, log spread) of one pool.

    Attributes
    ----------
    pool
        The pool.
    prior
        The hyperprior, complete.
    """

    pool: CountPool
    prior: "LogPrior"

    def condensed(self) -> "Posterior":
        """Return a copy of bounded cost."""
        return Posterior(self.pool.condensed(), self.prior)

    def __call__(self, location: Floats, log_spread: Floats) -> Floats:
        """Return the log density in (location, log spread)."""
        with np.errstate(over="ignore", invalid="ignore"):
            density: Floats = self._log_density(location, log_spread)
        beyond = np.maximum(np.abs(location - self.pool.link_pooled) - _FAR, 0.0) / _WALL
        return np.where(np.isnan(density), -np.inf, density) - beyond**2 / 2

    def _log_density(self, location: Floats, log_spread: Floats) -> Floats:
        return (
            self.pool.values(location, log_spread)
            + self.prior.log_density(location, log_spread)
            + self.prior.log_jacobian(location, log_spread)
        )


@dataclass(frozen=True, slots=True)
class LogPrior:
    """A hyperprior as two functions of (location, log spread).

    Attributes
    ----------
    log_density
        In the prior's own coordinates: what power-scaling scales.
    log_jacobian
        From these to (location, log spread).
    centre, sd
        Of the location alone; sd infinite where the prior does not say.
    spread_min, spread_max
        Where the prior says next to nothing of the spread, and where it ends.
    """

    log_density: Callable[[Floats, Floats], Floats]
    log_jacobian: Callable[[Floats, Floats], Floats]
    centre: float
    sd: float
    spread_min: float = math.inf
    spread_max: float = SPREAD_MAX

    @classmethod
    def of(cls, prior: Hyperprior | JointPrior, pool: CountPool) -> "LogPrior":
        """Complete a prior with the family's defaults and the pool's centre."""
        if isinstance(prior, JointPrior):
            return cls(
                lambda location, t: pool.log_joint_prior(prior, location, t),
                pool.log_jacobian,
                0.0,
                math.inf,
            )
        spread = prior.spread or SPREAD
        ends = _ends(spread)
        location = prior.location or NormalLocation(LOCATION_SCALE)
        if isinstance(location, Flat):
            if pool.is_flat_in_location:
                raise FitError(
                    "a flat prior of the location has no posterior in a pool without any success "
                    "(or without any failure): expected normal:S"
                )
            return cls(
                lambda _, t: spread.log_density(np.exp(t)), lambda _, t: t, 0.0, math.inf, *ends
            )
        centre = pool.link_pooled if location.centre is None else location.centre
        scale = location.scale
        constant = math.log(scale) + 0.5 * math.log(2 * math.pi)
        return cls(
            lambda eta, t: (
                spread.log_density(np.exp(t)) - 0.5 * ((eta - centre) / scale) ** 2 - constant
            ),
            lambda _, t: t,
            centre,
            scale,
            *ends,
        )


def _ends(spread: SpreadPrior) -> tuple[float, float]:
    """Return the ends of the range in which a spread is looked for.

    The density at a uniform prior's own end is taken a rounding error below it, where it is not
    nothing: the scan's last point bears the mass of its neighbourhood.
    """
    bound = spread.scale * (1 - _ROUNDING) if isinstance(spread, Uniform) else math.inf
    return _LEAST_SHARE * spread.scale, min(SPREAD_MAX, bound)


def scan_pool(pool: CountPool, prior: Hyperprior | JointPrior) -> Scan:
    """Scan the spread by the condensed pool: where to look need not be known to seven digits."""
    condensed = pool.condensed()
    log_prior = LogPrior.of(prior, pool)

    def start(t: Floats) -> tuple[Floats, Floats]:
        centre, precision = condensed.start(t)
        prior_precision = 1 / log_prior.sd**2
        total = precision + prior_precision
        return (centre * precision + log_prior.centre * prior_precision) / total, total**-0.5

    lowest = min(pool.spread_min, log_prior.spread_min)
    return scan_spread(Posterior(condensed, log_prior), start, lowest, log_prior.spread_max)


def nodes_of(posterior: Posterior, scan: Scan, rule: Rule) -> Nodes:
    """Put nodes where the scan found the posterior, weighted by the exact density there."""
    points, masses = scan.fine()
    t, mass = outer_rule(rule.outer, points, masses)
    location, log_width = _inner(posterior, scan, t, rule.inner)
    spreads = np.broadcast_to(t[:, np.newaxis], location.shape)
    # The rule is exact for (density of the scan) × polynomial; the ratio corrects the scan.
    log_mass = np.log(mass) - scan.at(t, scan.log_density)
    log_weight = posterior(location, spreads) + (log_mass + log_width)[:, np.newaxis]
    highest = float(log_weight.max())
    if not math.isfinite(highest):
        raise FitError("the hyperprior leaves no place where this pool's data are possible")
    weight = np.exp(log_weight - highest)
    total = float(weight.sum())
    log_evidence = highest + math.log(total) + float(scan.log_density.max())
    weight /= total
    return Nodes(
        location,
        spreads.copy(),
        weight,
        log_evidence,
        scan,
        mass,
    )


def outer_rule(count: int, log_spread: Floats, mass: Floats) -> tuple[Floats, Floats]:
    """Return the Gauss rule of the spread in x = s/(s + its geometric mean)."""
    middle = (log_spread * mass).sum() / mass.sum()
    x = 1 / (1 + np.exp(middle - log_spread))
    node, weight = gauss_rule(count, x, mass)
    there = weight > 1e-9 * mass.sum()
    node, weight = node[there], weight[there]
    return middle + np.log(node / (1 - node)), weight


def _inner(posterior: Posterior, scan: Scan, t: Floats, count: int) -> tuple[Floats, Floats]:
    """Return uniform nodes of the location at each spread, and the log of their distance."""
    centre, sd = scan.location(t)
    below, above = _reach(posterior.condensed(), t, centre, sd)
    part = np.linspace(0.0, 1.0, count)
    step = (below + above) / (count - 1)
    start = (centre - below)[:, np.newaxis]
    return start + (below + above)[:, np.newaxis] * part, np.log(step)


def _reach(posterior: Posterior, t: Floats, centre: Floats, sd: Floats) -> Floats:
    """Return how far below and above its centre the location's density has fallen away.

    Five sds where it is normal; without any success its lower tail is the prior's, its upper one a
    wall.
    """
    sides = np.array([-1.0, 1.0])[:, np.newaxis]
    highest = posterior(centre, t)
    reach = np.tile(_REACH * sd, (2, 1))
    for _ in range(_ROUNDS):
        fall = highest - posterior(centre + sides * reach, np.broadcast_to(t, reach.shape))
        reach = reach * np.clip(np.sqrt(_NATS / np.maximum(fall, 0.1)), 0.3, 2.0)
    return reach
