"""Quadrature over the spread τ of a pool of means: nodes where its posterior lies, no others.

The rule is the trapezoid in ln τ (in ln of τ/(S - τ) where the prior ends at S), which for a
smooth density that falls off on both sides converges faster than any power of the step.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.hyperprior import (
    Flat,
    Hyperprior,
    JointPrior,
    NormalLocation,
    Prior,
    SpreadPrior,
    Uniform,
    half_normal_of_means,
)
from stream_hb.models.normal_fit import fit_tau2
from stream_hb.models.normal_sums import NodeSums, NormalSums
from stream_hb.statistics.columns import Floats

Density = Callable[[Floats], Floats]

_NODES = 31
_NODES_MAX = 121
_SCAN_NODES = 161
_ZOOMS_MAX = 20
_NATS = 14.0
"""How far below its maximum the posterior of ln τ is cut: what is cut off is below 1e-6."""

_ENDS_BELOW = 6.0
_HALVES_AGREE = 0.002
"""Sums over odd and over even nodes: where they agree to .2 %, the sum over both errs by 1e-5 or
less (the error is about squared when the step is halved)."""


class Resolved(NamedTuple):
    """Hyperpriors with everything that the data had to fill in.

    Attributes
    ----------
    spread
        Of τ; None: in ``location``, which is then a joint prior.
    location
        Of μ; a normal one has its centre.
    scale
        A usual τ.
    """

    spread: SpreadPrior | None
    location: Flat | NormalLocation | JointPrior
    scale: float

    def log_spread(self, tau: Floats) -> Floats:
        """Return the log density of τ, 0 where the joint prior holds it."""
        return np.zeros_like(tau) if self.spread is None else self.spread.log_density(tau)


class Pool(NamedTuple):
    """A pool's sums at a usual σ²: what a prior that looks at the data looks at.

    Attributes
    ----------
    sums
        Sums over the groups.
    sigma2
        Variance of one observation, roughly; 1 where sampling variances are known.
    """

    sums: NormalSums
    sigma2: float = 1.0

    @property
    def median_se(self) -> float:
        """Median standard error of the groups' means; of two middle ones their mean."""
        sums = self.sums
        if not isinstance(sums, NodeSums):
            return math.sqrt(self.sigma2) * float(np.median(sums.precision**-0.5))
        # A bin's nodes have masses of both signs, which only together are its groups.
        order = np.argsort(sums.precision)
        below = np.cumsum(sums.mass[order])
        middle = int(np.argmax(below >= below[-1] / 2))
        return math.sqrt(self.sigma2 / float(sums.precision[order][middle]))

    @property
    def least_se(self) -> float:
        """Least standard error of the groups' means."""
        return math.sqrt(self.sigma2 / float(self.sums.precision.max()))


def resolve(prior: Prior, pool: Pool) -> Resolved:
    """Fill in the family's own: a half-normal τ (:func:`half_normal_of_means`), a flat μ."""
    default = half_normal_of_means(pool.median_se, fit_tau2(pool.sums, "dl", pool.sigma2).tau2)
    if isinstance(prior, JointPrior):
        return Resolved(None, prior, default.scale)
    assert isinstance(prior, Hyperprior)
    spread, location = prior.spread or default, prior.location or Flat()
    if isinstance(location, NormalLocation) and location.centre is None:
        location = NormalLocation(location.scale, float(pool.sums.at(0.0, pool.sigma2).mu))
    return Resolved(spread, location, spread.scale)


class Line(NamedTuple):
    """The coordinate t of τ in which the trapezoid rule runs.

    Attributes
    ----------
    low, high
        Where to look for the posterior.
    bound
        Where the prior of τ ends.
    """

    low: float
    high: float
    bound: float

    def tau(self, t: Floats) -> Floats:
        """Return τ(t)."""
        if math.isinf(self.bound):
            return np.exp(t)
        return self.bound / (1 + np.exp(-t))

    def log_jacobian(self, t: Floats) -> Floats:
        """Return ln dτ/dt."""
        if math.isinf(self.bound):
            return t
        return math.log(self.bound) - np.logaddexp(0, -t) - np.logaddexp(0, t)


def line_of(prior: Resolved, pool: Pool) -> Line:
    """Return where τ can lie: from far below the least standard error to far above all else."""
    far = (1e6 * (prior.scale + pool.median_se)) ** 2
    apart = math.sqrt(float(pool.sums.at(far, pool.sigma2).q) * far)
    low = math.log(1e-9 * min(prior.scale, pool.least_se))
    high = math.log(1e8 * max(prior.scale, apart, pool.median_se))
    if not isinstance(prior.spread, Uniform):
        return Line(low, high, math.inf)
    bound = prior.spread.scale
    return Line(low - math.log(bound), 20.0, bound)


class Nodes(NamedTuple):
    """Nodes t, equally spaced, and the log density there."""

    t: Floats
    log_density: Floats

    @property
    def log_total(self) -> float:
        """Log of the integral."""
        top = float(self.log_density.max())
        step = float(self.t[1] - self.t[0])
        return top + math.log(step * float(np.exp(self.log_density - top).sum()))


def spread_nodes(log_density: Density, line: Line, rough: Density | None = None) -> Nodes:
    """Place nodes over the range within 14 nats of the maximum.

    Parameters
    ----------
    log_density
        Of t.
    line
        Where to look for its maximum.
    rough
        About the same, but cheaper, to look where it falls off; None: the same.

    Raises
    ------
    FitError
        The density does not fall off within the line: the posterior is improper.
    """
    low, high = _range(rough or log_density, line)
    count = _NODES
    while True:
        t = np.linspace(low, high, count)
        nodes = Nodes(t, log_density(t))
        if count >= _NODES_MAX or _halves_agree(nodes.log_density):
            return nodes
        count = 2 * count - 1


def _range(log_density: Density, line: Line) -> tuple[float, float]:
    t = np.linspace(line.low, line.high, _SCAN_NODES)
    value = log_density(t)
    if not max(value[0], value[-1]) < value.max() - _ENDS_BELOW:
        raise FitError(
            "the posterior of the spread does not fall off: it needs a proper prior, or more groups"
            if math.isinf(line.bound)
            else f"the groups lie too far apart for a spread of {line.bound:g} or less: expected a "
            "prior that ends later"
        )
    for _ in range(_ZOOMS_MAX):
        first, last = _inside(value)
        if last - first >= _NODES // 3:
            break
        t = np.linspace(t[first - 1], t[last + 1], _NODES)
        value = log_density(t)
    return _crossings(t, value, *_inside(value))


def _inside(value: Floats) -> tuple[int, int]:
    """Return the first and the last node near the maximum, neither of them at an end."""
    inside = np.flatnonzero(value >= value.max() - _NATS)
    return max(int(inside[0]), 1), min(int(inside[-1]), len(value) - 2)


def _crossings(t: Floats, value: Floats, first: int, last: int) -> tuple[float, float]:
    """Return where the line between two nodes crosses the cut, at both ends."""
    cut = float(value.max()) - _NATS

    def crossing(outer: int, inner: int) -> float:
        if not value[outer] < cut < value[inner] or np.isinf(value[outer]):
            return float(t[outer])
        share = (cut - value[outer]) / (value[inner] - value[outer])
        return float(t[outer] + share * (t[inner] - t[outer]))

    return crossing(first - 1, first), crossing(last + 1, last)


def _halves_agree(log_density: Floats) -> bool:
    density = np.exp(log_density - log_density.max())
    odd, even = float(density[1::2].sum()), float(density[::2].sum())
    return abs(odd - even) <= _HALVES_AGREE * (odd + even)
