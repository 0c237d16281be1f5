"""Full Bayes for Normal-Normal with known sampling variances."""

from typing import NamedTuple

import numpy as np

from stream_hb.models.few_kernels import few_kernels
from stream_hb.models.hyperprior import JointPrior, NormalLocation, Prior
from stream_hb.models.normal_location import Located, locate
from stream_hb.models.normal_nodes import NormalNodes
from stream_hb.models.normal_quadrature import Pool, Resolved, line_of, resolve, spread_nodes
from stream_hb.models.profile import shape_of
from stream_hb.models.sensitivity import Sensitivity
from stream_hb.statistics.columns import Floats

_THINNED = 4
"""Every fourth node is near enough to a mode."""


class Integrated(NamedTuple):
    """Hyperparameters integrated: nodes, log evidence, and how much of them is the prior's."""

    nodes: NormalNodes
    log_evidence: float
    sensitivity: Sensitivity


def is_likeliest_without_spread(pool: Pool, nodes: NormalNodes) -> bool:
    """Return whether the restricted likelihood is highest at τ = 0, not at one of the nodes."""
    tau2 = np.append(0.0, nodes.concentration[::_THINNED, 0] ** 2)
    at = pool.sums.at(tau2, pool.sigma2)
    return shape_of(-(at.log_variance + np.log(at.total) + at.q) / 2).boundary


def integrate(pool: Pool, prior: Prior) -> Integrated:
    """Integrate (μ, τ) over their posterior, σ² being the pool's."""
    sums, sigma2 = pool
    resolved, count = resolve(prior, pool), sums.groups_count
    line = line_of(resolved, pool)

    def located(tau: Floats) -> Located:
        return locate(sums.at(tau**2, sigma2), count, tau, resolved.location)

    def log_density(t: Floats) -> Floats:
        tau = line.tau(t)
        log_prior = resolved.log_spread(tau) + line.log_jacobian(t)
        return located(tau).log_marginal + log_prior

    nodes = spread_nodes(log_density, line)
    tau = line.tau(nodes.t)
    found = located(tau)
    weight = np.exp(nodes.log_density - nodes.log_total)
    weight = (weight / weight.sum())[:, None] * found.share
    spread = np.broadcast_to(tau[:, None], weight.shape)
    few = few_kernels(found.mean, found.sd, spread, np.ones_like(weight), weight)
    return Integrated(
        NormalNodes(found.mean, found.sd, spread.copy(), weight, None, line.bound, few),
        nodes.log_total,
        Sensitivity.of(spread, weight, log_prior_at(resolved, found.mean, spread)),
    )


def log_prior_at(prior: Resolved, mu: Floats, tau: Floats) -> Floats:
    """Return the log of the hyperprior at the nodes, up to a constant."""
    match prior.location:
        case JointPrior():
            return prior.location.log_density(mu, tau)
        case NormalLocation(scale, centre):
            assert centre is not None
            return prior.log_spread(tau) - 0.5 * ((mu - centre) / scale) ** 2
        case _:
            return prior.log_spread(tau)
