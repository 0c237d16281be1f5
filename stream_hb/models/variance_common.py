"""Full Bayes where σ² is common to all groups and known only from their observations.

The sums of squares within groups and the groups' means are sufficient: Σm2/σ² is χ² with Σ(n - 1)
degrees of freedom, and ȳ_j ~ N(μ, τ² + σ²/n_j). σ² has the prior 1/σ² and is integrated at each
node of the spread, over as many nodes as its degrees of freedom ask for.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from stream_hb.models.few_kernels import few_kernels
from stream_hb.models.hyperprior import Prior
from stream_hb.models.moderation import degrees_of
from stream_hb.models.normal_bayes import Integrated, integrate, log_prior_at
from stream_hb.models.normal_location import Located, locate
from stream_hb.models.normal_nodes import NormalNodes
from stream_hb.models.normal_observations_fit import Observed, pooled_variance
from stream_hb.models.normal_quadrature import Pool, Resolved, line_of, resolve, spread_nodes
from stream_hb.models.normal_sums import NormalSums, ObservedPool, sums_of
from stream_hb.models.pool import groups_of
from stream_hb.models.sensitivity import Sensitivity
from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.moments import Moments

_LOG_2PI = math.log(2 * math.pi)
_NEWTON_STEPS_MAX, _STEP_MAX, _STEP_ENOUGH = 40, 2.0, 1e-3
_PROBE = 0.05
"""Step in ln σ² of the differences that find its mode, where its sd is no less: with a million
observations a mode that is off by a third of the step's square is off by sds."""

_TRAPEZOID = np.linspace(-5, 5, 13)
_HERMITE_COUNTS = ((200.0, 5), (2_000.0, 3), (20_000.0, 1))
"""From so many degrees of freedom on, so many Gauss-Hermite nodes of ln σ²; below, 13 others."""


class Within(NamedTuple):
    """What the observations say of σ² by themselves.

    Attributes
    ----------
    squares
        Σm2 over the groups with more than one observation.
    degrees
        Σ(n - 1).
    log_sizes
        Σ ln n over all groups: with it the likelihood is that of the observations.
    """

    squares: float
    degrees: float
    log_sizes: float

    @classmethod
    def of(cls, pool: ObservedPool) -> "Within":
        """Sum over the groups; squares are never below what rounding leaves of equal values.

        Of a binned summary Σ(n - 1) is Σn less the groups, also where some n is below 1.
        """
        observed = Observed.of(pool)
        at = observed.sums.at(0.0, 1.0)
        squares, degrees = observed.m2, max(observed.weight - observed.groups_count, 0.0)
        if not isinstance(pool, BinnedSummary):
            groups = groups_of(pool)
            own = degrees_of(groups)
            squares, degrees = float(groups.m2[own > 0].sum()), float(own.sum())
        least = degrees * _rounding(float(at.mu))
        return cls(max(squares, least), degrees, -float(at.log_variance))

    def log_likelihood(self, log_sigma2: Floats) -> Floats:
        """Return the log density of the observations about their groups' means."""
        squares = self.degrees * (_LOG_2PI + log_sigma2) + self.squares * np.exp(-log_sigma2)
        return -0.5 * (squares + self.log_sizes)


class _Inner(NamedTuple):
    """Nodes of ln σ² at each τ: shape (τ, K), pieces of μ one axis more; the log of each's mass."""

    log_sigma2: Floats
    log_mass: Floats
    located: Located


class _Common:
    """The likelihood of a pool, to be integrated over σ² and μ at any spreads."""

    def __init__(self, sums: NormalSums, within: Within, prior: Resolved) -> None:
        self._sums, self._within, self._prior = sums, within, prior
        self._start = math.log(within.squares / within.degrees)

    def inner(self, tau: Floats) -> _Inner:
        """Place nodes of ln σ² about its mode at each τ, and integrate μ at each of them."""
        mode, sd = self._mode(tau)
        offset, log_weight = _rule(self._within.degrees)
        at = mode[:, None] + sd[:, None] * offset
        located, value = self._value(np.broadcast_to(tau[:, None], at.shape), at)
        return _Inner(at, value + log_weight + np.log(sd[:, None]), located)

    def _value(self, tau: Floats, log_sigma2: Floats) -> tuple[Located, Floats]:
        sigma2 = np.exp(log_sigma2)
        located = locate(
            self._sums.at(tau**2, sigma2), self._sums.groups_count, tau, self._prior.location
        )
        return located, located.log_marginal + self._within.log_likelihood(log_sigma2)

    def _mode(self, tau: Floats) -> tuple[Floats, Floats]:
        """Return mode and sd of ln σ² at each τ, by Newton's method on differences."""
        at = np.full(len(tau), self._start)
        least = self._within.degrees / 4
        probe = min(_PROBE, math.sqrt(2 / self._within.degrees))
        spreads = np.broadcast_to(tau[:, None], (len(tau), 3))
        for _ in range(_NEWTON_STEPS_MAX):
            _, value = self._value(spreads, at[:, None] + probe * np.array([-1.0, 0.0, 1.0]))
            slope = (value[:, 2] - value[:, 0]) / (2 * probe)
            bend = (2 * value[:, 1] - value[:, 0] - value[:, 2]) / probe**2
            curvature = np.maximum(np.nan_to_num(bend), least)
            step = np.clip(np.nan_to_num(slope / curvature), -_STEP_MAX, _STEP_MAX)
            at = at + step
            if np.all(np.abs(step) * np.sqrt(curvature) < _STEP_ENOUGH):
                break
        return at, 1 / np.sqrt(curvature)


def _rule(degrees: float) -> tuple[Floats, Floats]:
    """Return offsets from the mode in sds, and the logs of their weights."""
    counts = [count for least, count in _HERMITE_COUNTS if degrees >= least]
    if counts:
        offset, weight = np.polynomial.hermite_e.hermegauss(counts[-1])
        return offset, np.log(weight) + 0.5 * offset**2
    # With few degrees of freedom ln σ² has a long tail to the right and a shorter one to the left:
    # the nodes stand wider the farther they are out.
    stretch = 1 / math.sqrt(degrees + 4)
    step = math.log(_TRAPEZOID[1] - _TRAPEZOID[0])
    return np.sinh(stretch * _TRAPEZOID) / stretch, step + np.log(np.cosh(stretch * _TRAPEZOID))


def integrate_common(pool: ObservedPool, prior: Prior) -> Integrated:
    """Integrate (μ, τ, σ²) over their posterior.

    Where no group has two observations σ² cannot be told from τ²; it is then taken to be the
    variance of all observations, and the answer is the prior's.
    """
    within = Within.of(pool)
    rough = Pool(sums_of(pool), pooled_variance(pool))
    if within.degrees <= 0:
        return _with_known(integrate(rough, prior), rough.sigma2)
    return _integrate(rough, within, prior)


def least_variance(groups: Moments) -> float:
    """Return the least variance to believe in: equal prices are only equal to the last digit."""
    return _rounding(float(np.abs(groups.mean).max()))


def _rounding(mean: float) -> float:
    return (2.0**-52 * (abs(mean) or 1.0)) ** 2


def _integrate(pool: Pool, within: Within, prior: Prior) -> Integrated:
    resolved = resolve(prior, pool)
    line = line_of(resolved, pool)
    model = _Common(pool.sums, within, resolved)

    def log_density(t: Floats) -> Floats:
        tau = line.tau(t)
        log_prior = resolved.log_spread(tau) + line.log_jacobian(t)
        log_mass: Floats = logsumexp(model.inner(tau).log_mass, axis=-1)
        return log_prior + log_mass

    nodes = spread_nodes(log_density, line)
    tau = line.tau(nodes.t)
    inner = model.inner(tau)
    log_share = inner.log_mass - logsumexp(inner.log_mass, axis=-1, keepdims=True)
    weight = np.exp(nodes.log_density - nodes.log_total)[:, None] * np.exp(log_share)
    weight = (weight / weight.sum())[..., None] * inner.located.share
    shape = weight.shape

    def flat(values: Floats) -> Floats:
        return np.ascontiguousarray(np.broadcast_to(values, shape)).reshape(shape[0], -1)

    columns = [
        flat(inner.located.mean),
        flat(inner.located.sd),
        flat(tau[:, None, None]),
        flat(weight),
        flat(np.exp(inner.log_sigma2)[..., None]),
    ]
    mu, mu_sd, spread, weight, sigma2 = columns
    few = few_kernels(mu, mu_sd, spread, sigma2, weight)
    alone = within.degrees if inner.log_sigma2.shape[-1] == 1 else math.nan
    hyper = NormalNodes(mu, mu_sd, spread, weight, sigma2, line.bound, few)
    return Integrated(
        replace(hyper, sigma2_degrees=alone),
        nodes.log_total,
        Sensitivity.of(spread, weight, log_prior_at(resolved, mu, spread)),
    )


def _with_known(found: Integrated, sigma2: float) -> Integrated:
    nodes = found.nodes
    few = nodes.few.copy()
    few[3] = sigma2
    known = replace(nodes, sigma2=np.full_like(nodes.weight, sigma2), few=few)
    return found._replace(nodes=known)
