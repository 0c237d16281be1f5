"""Full Bayes where each group's variance is its own, and uncertain.

Given θ_j a group's mean is a t, a mixture of normals over the nodes of its variance. So is its
marginal given (μ, τ); the pool's likelihood is the product, and μ is integrated on a grid.
"""

import math

import numpy as np
from numpy.typing import NDArray

from stream_hb.models.few_kernels import few_kernels
from stream_hb.models.hyperprior import Flat, JointPrior, NormalLocation, Prior
from stream_hb.models.moderation import VariancePrior
from stream_hb.models.normal_bayes import Integrated, integrate, log_prior_at
from stream_hb.models.normal_location import windows
from stream_hb.models.normal_nodes import NormalNodes
from stream_hb.models.normal_quadrature import (
    Line,
    Nodes,
    Pool,
    Resolved,
    line_of,
    resolve,
    spread_nodes,
)
from stream_hb.models.normal_shrinkage import Variances
from stream_hb.models.normal_sums import sums_of
from stream_hb.models.pool import to_fit
from stream_hb.models.sensitivity import Sensitivity
from stream_hb.models.variance_many import curves, nodes_within, range_of
from stream_hb.models.variance_nodes import sampling_variance, variance_nodes
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

_LOG_2PI = math.log(2 * math.pi)
_CELLS_MAX = 1 << 20
_GRID_FINE, _GRID = np.linspace(-5, 5, 41), np.linspace(-5, 5, 17)
_PASSES = 3
_PIECES = 33
_FEW_GROUPS, _SOME_GROUPS = 8, 30
"""Below so many groups μ given τ is not normal enough for one piece; below so many, one group whose
variance is small by accident must not narrow the first grid down to itself."""

EXACT_GROUPS_MAX = 2_000
"""Above, :mod:`~stream_hb.models.variance_many` looks at the groups less often."""

_SAMPLE = 500
SEEN_MAX = 100_000
"""Above, the hyperparameters are those of every second, third, … group in order of the means: they
are then known to a third of a percent, and a refit must not last minutes. The log evidence, which
would be of those groups only, is not a number then."""

_BLOCK = 1 << 14


class _Own:
    """The likelihood of a pool, to be integrated over μ at any spreads."""

    def __init__(self, mean: Floats, variances: Variances, rough: Pool, prior: Resolved) -> None:
        assert variances.log_share is not None
        self._mean, self._nodes = mean, variances.variance
        self._share = variances.log_share - 0.5 * _LOG_2PI
        self._rough, self._prior = rough, prior
        apart = float(np.ptp(mean)) + 4 * rough.median_se
        self._reach = apart / 5 if len(mean) < _SOME_GROUPS else 0.0

    def start(self, tau: Floats) -> tuple[Floats, Floats]:
        """Return mean and sd of μ at each τ if the variances were known."""
        pool = self._rough.sums.at(tau**2)
        return pool.mu, 1 / np.sqrt(pool.total)

    def roughly(self, tau: Floats) -> Floats:
        """Return about the log marginal at each τ, by one point of μ."""
        mu, sd = self.start(tau)
        return self.log_density(mu[:, None], tau)[:, 0] + np.log(sd) + 0.5 * _LOG_2PI

    def located(self, tau: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the log marginal at each τ; μ's mean, sd and share of each piece, (τ, pieces)."""
        mean, sd = self.start(tau)
        sd = np.maximum(2 * sd, self._reach)
        grid = _GRID_FINE if len(self._mean) < _SOME_GROUPS else _GRID
        for _ in range(_PASSES):
            mu = mean[:, None] + sd[:, None] * grid
            log_density = self.log_density(mu, tau)
            top = log_density.max(axis=1)
            density = np.exp(log_density - top[:, None])
            mass = density.sum(axis=1)
            density /= mass[:, None]
            log_marginal = top + np.log(mass * (grid[1] - grid[0]) * sd)
            mean = mean + (density * (mu - mean[:, None])).sum(axis=1)
            narrow = np.sqrt((density * (mu - mean[:, None]) ** 2).sum(axis=1))
            sd = np.maximum(narrow, 0.1 * sd)
        if len(self._mean) < _FEW_GROUPS:
            return (log_marginal, *windows(mu, density, mean, sd, _PIECES))
        return log_marginal, mean[:, None], sd[:, None], np.ones((len(tau), 1))

    def log_density(self, mu: Floats, tau: Floats) -> Floats:
        """Return log likelihood and log prior of μ at points μ (τ, points)."""
        return self.log_likelihood(mu, tau) + self.log_location(mu, tau)

    def log_likelihood(self, mu: Floats, tau: Floats) -> Floats:
        """Return the log likelihood at points μ (τ, points)."""
        step = max(1, _CELLS_MAX // (mu.shape[1] * self._nodes.size))
        parts = [
            self._log_likelihood(mu[i : i + step], tau[i : i + step])
            for i in range(0, len(tau), step)
        ]
        return np.concatenate(parts)

    def _log_likelihood(self, mu: Floats, tau: Floats) -> Floats:
        total = self._nodes + tau[:, None, None] ** 2
        inverse = 1 / total
        coefficient = np.exp(self._share - 0.5 * np.log(total))[:, None]
        # The widest node is taken out of the sum: the others then cannot overflow.
        widest = inverse[..., -1]
        extra = (inverse - widest[..., None])[:, None]
        away2 = (self._mean - mu[..., None]) ** 2
        mixed = (coefficient * np.exp(-0.5 * away2[..., None] * extra)).sum(axis=-1)
        log_density = np.log(mixed) - 0.5 * away2 * widest[:, None]
        return np.asarray(log_density.sum(axis=-1))

    def log_location(self, mu: Floats, tau: Floats) -> Floats:
        """Return the log prior of μ."""
        match self._prior.location:
            case Flat():
                return np.zeros_like(mu)
            case NormalLocation(scale, centre):
                assert centre is not None
                return -0.5 * ((mu - centre) / scale) ** 2 - 0.5 * _LOG_2PI - math.log(scale)
            case JointPrior(log_density):
                return log_density(mu, np.broadcast_to(tau[:, None], mu.shape))


def integrate_own(groups: Moments, variances: VariancePrior, prior: Prior) -> Integrated:
    """Integrate (μ, τ) over their posterior, each group's variance with them.

    To take the squeezed variances as known would be quicker, and wrong however many groups there
    are: with 3 to 5 observations a group τ then comes out too large.
    """
    rough = _rough(groups, variances)
    nodes = variance_nodes(groups.take(np.arange(min(len(groups), 1))), variances)
    if nodes.variance.shape[1] == 1:
        found = integrate(rough, prior)
    elif len(groups) > EXACT_GROUPS_MAX:
        found = _integrate_many(groups, variances, rough, prior)
    else:
        found = _integrate(groups, variance_nodes(groups, variances), rough, prior)
    return found._replace(nodes=found.nodes.with_variances(*variances))


def _rough(groups: Moments, variances: VariancePrior) -> Pool:
    measured = Measured(groups.mean, sampling_variance(groups, variances))
    return Pool(sums_of(to_fit(measured)))


def _integrate_many(
    groups: Moments, variances: VariancePrior, rough: Pool, prior: Prior
) -> Integrated:
    order = np.argsort(groups.mean, kind="stable")
    few = groups.take(_evenly(order, _SAMPLE))
    sample = _integrate(few, variance_nodes(few, variances), _rough(few, variances), prior)
    resolved = resolve(prior, rough)
    seen = groups.take(_evenly(order, SEEN_MAX))
    rough = _rough(seen, variances)
    parts = [
        _Own(part.mean, variance_nodes(part, variances), rough, resolved)
        for part in (seen.take(np.arange(*at)) for at in _blocks(len(seen)))
    ]

    def log_density(mu: Floats, tau: Floats) -> Floats:
        log_likelihood = sum(part.log_likelihood(mu, tau) for part in parts)
        return log_likelihood + parts[0].log_location(mu, tau)

    found = curves(log_density, parts[0].start, *range_of(sample.nodes))
    if found is None:  # a prior of one's own that is not smooth
        return integrate(rough, prior)
    line = line_of(resolved, rough)
    nodes = nodes_within(found, resolved, line)
    tau = line.tau(nodes.t)
    _, mu, sd = found.at(tau)
    one = np.ones((len(tau), 1))
    columns = tau, mu[:, None], sd[:, None], one
    result = _integrated(nodes, columns, resolved, line)
    return result if len(seen) == len(groups) else result._replace(log_evidence=math.nan)


def _evenly(order: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    every = -(-len(order) // most)
    return order[every // 2 :: every]


def _blocks(count: int) -> list[tuple[int, int]]:
    return [(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]


def _integrate(groups: Moments, nodes: Variances, rough: Pool, prior: Prior) -> Integrated:
    resolved = resolve(prior, rough)
    line = line_of(resolved, rough)
    model = _Own(groups.mean, nodes, rough, resolved)

    def log_prior(t: Floats) -> Floats:
        return resolved.log_spread(line.tau(t)) + line.log_jacobian(t)

    def log_density(t: Floats) -> Floats:
        return model.located(line.tau(t))[0] + log_prior(t)

    def rough_density(t: Floats) -> Floats:
        return model.roughly(line.tau(t)) + log_prior(t)

    found = spread_nodes(log_density, line, rough_density)
    tau = line.tau(found.t)
    _, mu, mu_sd, share = model.located(tau)
    return _integrated(found, (tau, mu, mu_sd, share), resolved, line)


def _integrated(
    found: Nodes, columns: tuple[Floats, Floats, Floats, Floats], prior: Resolved, line: Line
) -> Integrated:
    """Weigh nodes of τ; columns are τ, and μ's mean, sd and share of each piece, (τ, pieces)."""
    tau, mu, mu_sd, share = columns
    weight = np.exp(found.log_density - found.log_total)
    weight = (weight / weight.sum())[:, None] * share
    spread = np.broadcast_to(tau[:, None], weight.shape).copy()
    few = few_kernels(mu, mu_sd, spread, np.ones_like(weight), weight)
    return Integrated(
        NormalNodes(mu, mu_sd, spread, weight, None, line.bound, few),
        found.log_total,
        Sensitivity.of(spread, weight, log_prior_at(prior, mu, spread)),
    )
