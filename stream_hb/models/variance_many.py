"""Hyperparameters of thousands of groups with their own variances, by few looks at all of them.

Every look at the likelihood costs groups × nodes of σ_j². A sample of the groups says where τ lies;
there the log likelihood is a smooth function of τ, and a polynomial through few of its values
(Chebyshev points, doubled until the last coefficients are nothing) has it everywhere. Given τ that
many groups leave μ a normal, of which three points are all there is to know.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from stream_hb.models.hyperprior import Uniform
from stream_hb.models.normal_nodes import NormalNodes
from stream_hb.models.normal_quadrature import Line, Nodes, Resolved, spread_nodes
from stream_hb.statistics.columns import Floats

LogDensity = Callable[[Floats, Floats], Floats]
"""Of points μ (τ, points) at τ (τ,)."""

Start = Callable[[Floats], tuple[Floats, Floats]]
"""About the mean and sd of μ at each τ."""

_POINTS = (17, 33, 65)
_CLOSE_NATS = 1e-4
_WIDE = 2.0
"""In ln τ: a sample that leaves τ more than this may leave it 0 too."""

_PASSES_MAX = 4
_LOG_2PI = math.log(2 * math.pi)


class Curves(NamedTuple):
    """Chebyshev coefficients over τ from ``low`` to ``high``.

    log_marginal
        Log likelihood (and log prior of μ) with μ integrated out.
    mean, sd
        Of μ given τ.
    """

    low: float
    high: float
    log_marginal: Floats
    mean: Floats
    sd: Floats

    def at(self, tau: Floats) -> tuple[Floats, Floats, Floats]:
        """Return log marginal, mean and sd at spreads within."""
        x = (2 * tau - self.low - self.high) / (self.high - self.low)
        inside = np.clip(x, -1.0, 1.0)
        log_marginal, mean, sd = (
            np.asarray(chebyshev.chebval(inside, c), dtype=np.float64)
            for c in (self.log_marginal, self.mean, self.sd)
        )
        return log_marginal, mean, sd


def curves(log_density: LogDensity, start: Start, low: float, high: float) -> Curves | None:
    """Return the likelihood of τ between two spreads; None where 65 points do not do."""
    for count in _POINTS:
        x = chebyshev.chebpts2(count)
        tau = low + (high - low) * (1 + x) / 2
        columns = _located(log_density, start, tau)
        coefficients = [
            np.asarray(chebyshev.chebfit(x, column, count - 1), dtype=np.float64)
            for column in columns
        ]
        if np.abs(coefficients[0][-3:]).max() < _CLOSE_NATS:
            return Curves(low, high, *coefficients)
    return None


def _located(log_density: LogDensity, start: Start, tau: Floats) -> tuple[Floats, Floats, Floats]:
    """Return log marginal, mean and sd of μ at each τ, by the parabola through three points."""
    mean, step = start(tau)
    for _ in range(_PASSES_MAX):  # the first is enough unless μ lies elsewhere than thought
        value = log_density(mean[:, None] + step[:, None] * np.array([-1.0, 0.0, 1.0]), tau)
        bend = 2 * value[:, 1] - value[:, 0] - value[:, 2]
        away = (value[:, 2] - value[:, 0]) / (2 * bend)
        top = value[:, 1] + bend * away**2 / 2
        mean, near = mean + step * away, np.abs(away) < 1
        if near.all():
            break
    sd = step / np.sqrt(bend)
    return top + np.log(sd) + _LOG_2PI / 2, mean, sd


def range_of(sample: NormalNodes) -> tuple[float, float]:
    """Return where τ of all groups lies, from the nodes of a sample of them.

    Its nodes reach to 14 nats, about 5 of its sd. It may be off by as much, so twice as far.
    """
    tau = sample.concentration[:, 0]
    low, high = math.log(tau[0]), math.log(tau[-1])
    if high - low > _WIDE:
        return 0.0, min(2 * float(tau[-1]), sample.bound)
    more = (high - low) / 2
    return math.exp(low - more), min(math.exp(high + more), sample.bound)


def nodes_within(found: Curves, prior: Resolved, line: Line) -> Nodes:
    """Place the nodes of the spread by the curves."""
    within = _narrowed(line, prior, found)

    def log_density(t: Floats) -> Floats:
        tau = within.tau(t)
        log_prior = prior.log_spread(tau) + within.log_jacobian(t)
        return found.at(tau)[0] + log_prior

    return spread_nodes(log_density, within)


def _narrowed(line: Line, prior: Resolved, found: Curves) -> Line:
    bound = prior.spread.scale if isinstance(prior.spread, Uniform) else math.inf
    high = line.high if found.high >= bound else _coordinate(found.high, bound)
    low = line.low if found.low == 0 else _coordinate(found.low, bound)
    return Line(low, high, line.bound)


def _coordinate(tau: float, bound: float) -> float:
    return math.log(tau) if math.isinf(bound) else math.log(tau) - math.log(bound - tau)
