"""Full Bayes where each group's variance is its own, and uncertain.

Given θ_j a group's mean is a t, a mixture of normals over the nodes of its variance. So is its
marginal given (μ, τ); the pool's likelihood is the product, and μ is integrated on a grid.
"""

import math

import numpy as np

from stream_hb.models.few_kernels import few_kernels
from stream_hb.models.hyperprior import Flat, JointPrior, NormalLocation, Prior
from stream_hb.models.moderation import VariancePrior
from stream_hb.models.normal_bayes import Integrated, integrate, log_prior_at
from stream_hb.models.normal_location import windows
from stream_hb.models.normal_nodes import NormalNodes
from stream_hb.models.normal_quadrature import Pool, Resolved, line_of, resolve, spread_nodes
from stream_hb.models.normal_shrinkage import Variances
from stream_hb.models.normal_sums import sums_of
from stream_hb.models.pool import to_fit
from stream_hb.models.sensitivity import Sensitivity
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
"""Above, the squeezed variances are taken as known for the hyperparameters (not for the groups)."""


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
        step = max(1, _CELLS_MAX // (mu.shape[1] * self._nodes.size))
        parts = [
            self._log_likelihood(mu[i : i + step], tau[i : i + step])
            for i in range(0, len(tau), step)
        ]
        return np.concatenate(parts) + self._log_location(mu, tau)

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

    def _log_location(self, mu: Floats, tau: Floats) -> Floats:
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

    Above 2,000 groups the squeezed variances count as known here: the posterior of the pool's
    hyperparameters is narrow then, while that of a group integrates its variance all the same.
    """
    rough = Pool(sums_of(to_fit(Measured(groups.mean, sampling_variance(groups, variances)))))
    nodes = variance_nodes(groups, variances)
    is_known = nodes.variance.shape[1] == 1
    if is_known or len(groups) > EXACT_GROUPS_MAX:
        found = integrate(rough, prior)
    else:
        found = _integrate(groups, nodes, rough, prior)
    return found._replace(nodes=found.nodes.with_variances(*variances))


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
    weight = np.exp(found.log_density - found.log_total)
    weight = (weight / weight.sum())[:, None] * share
    spread = np.broadcast_to(tau[:, None], weight.shape).copy()
    few = few_kernels(mu, mu_sd, spread, np.ones_like(weight), weight)
    return Integrated(
        NormalNodes(mu, mu_sd, spread, weight, None, line.bound, few),
        found.log_total,
        Sensitivity.of(spread, weight, log_prior_at(resolved, mu, spread)),
    )
