"""Posteriors of means under integrated hyperparameters: one normal kernel per node and group."""

from typing import NamedTuple

import numpy as np

from stream_hb.models.distinct import once_each
from stream_hb.models.family import Posterior
from stream_hb.models.normal_mixture import Mixture
from stream_hb.models.normal_nodes import Kernels
from stream_hb.models.normal_shared import SharedMoments, shared_moments
from stream_hb.statistics.columns import Floats

_CELLS_MAX = 1 << 14
"""Kernels x groups held at once: their arrays stay in the processor's cache."""


class Variances(NamedTuple):
    """Sampling variances of the groups' means, as far as they are known.

    variance
        Shape (groups, 1): σ² is 1 at every kernel, or times the kernel's σ². Shape (groups, K):
        nodes of each group's own variance. Infinite where a group has no data.
    log_share
        Log prior weights of these nodes, shape (groups, K); None for a single one.
    """

    variance: Floats
    log_share: Floats | None = None

    def take(self, rows: slice) -> "Variances":
        """Return the given rows."""
        share = None if self.log_share is None else self.log_share[rows]
        return Variances(self.variance[rows], share)


class Shrunk(NamedTuple):
    """The groups' posteriors: what draws them, and the mixture that they are.

    pull
        Weight on the pooled mean at each kernel, shape (groups, kernels).
    toward
        μ at each kernel, of a shape that broadcasts to the same.
    mixture
        The posterior.
    """

    pull: Floats
    toward: Floats
    mixture: Mixture


def shrink(mean: Floats, variances: Variances, kernels: Kernels) -> Shrunk:
    """Return each group's posterior given each kernel; μ's own variance is in it."""
    if variances.log_share is not None:
        return _shrink_uncertain(mean, variances.variance, variances.log_share, kernels)
    variance = variances.variance * kernels.sigma2
    pull, centre, sd = _conditional(mean[:, None], variance, kernels)
    return Shrunk(pull, kernels.mu, Mixture(centre, sd, kernels.weight))


def _shrink_uncertain(
    mean: Floats, variance: Floats, log_share: Floats, kernels: Kernels
) -> Shrunk:
    """Weigh the nodes of each group's variance by what its mean says of them at each kernel."""
    variance = variance[:, None, :]
    columns = Kernels(*(column[:, None] for column in kernels))
    pull, centre, sd = _conditional(mean[:, None, None], variance, columns)
    total = variance + columns.tau**2 + columns.mu_sd**2
    finite = np.isfinite(total)
    total = np.where(finite, total, 1.0)
    away = mean[:, None, None] - columns.mu
    log_weight = log_share[:, None, :] - 0.5 * (np.log(total) + away**2 / total) * finite
    log_weight -= log_weight.max(axis=-1, keepdims=True)
    weight = np.exp(log_weight)
    weight *= columns.weight / weight.sum(axis=-1, keepdims=True)
    rows, shape = len(mean), pull.shape
    toward = np.broadcast_to(columns.mu, shape[1:]).reshape(-1)
    flat = (array.reshape(rows, -1) for array in (pull, centre, sd, weight))
    pull, centre, sd, weight = flat
    return Shrunk(pull, toward, Mixture(centre, sd, weight))


def _conditional(mean: Floats, variance: Floats, kernels: Kernels) -> tuple[Floats, Floats, Floats]:
    # B = v/(v + τ²) and (1-B)v = Bτ², in the form that an infinite v (no data) passes through.
    tau2 = kernels.tau**2
    pull = 1 / (1 + tau2 / variance)
    centre = kernels.mu + (1 - pull) * (mean - kernels.mu)
    return pull, centre, np.sqrt(pull * tau2 + (pull * kernels.mu_sd) ** 2)


def screen(mean: Floats, variances: Variances, kernels: Kernels) -> tuple[Floats, Floats]:
    """Return posterior mean and sd."""
    if variances.log_share is None:
        found = shared_moments(mean, variances.variance[:, 0], kernels)
        return found.mean, found.sd
    parts = [
        shrink(mean[rows], variances.take(rows), kernels).mixture.moments()
        for rows in _chunks(len(mean), variances, kernels)
    ]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def tail_probability(mean: Floats, variances: Variances, kernels: Kernels, above: float) -> Floats:
    """Return P(θ > above)."""
    parts = [
        shrink(mean[rows], variances.take(rows), kernels).mixture.above(above)
        for rows in _chunks(len(mean), variances, kernels)
    ]
    # The kernels' weights add up to 1 but for the last digit.
    return np.minimum(np.concatenate(parts), 1.0)


def posterior(
    mean: Floats, variances: Variances, kernels: Kernels, few: Kernels, level: float
) -> Posterior:
    """Return the groups' posteriors: moments by all kernels, the interval's shape by the few."""
    if variances.log_share is not None:
        found = _own_moments(mean, variances, kernels)
        return Posterior(*_posterior(mean, variances, found, few, level))

    def work(mean: Floats, variance: Floats) -> tuple[Floats, ...]:
        found = shared_moments(mean, variance, kernels)
        return _posterior(mean, Variances(variance[:, np.newaxis]), found, few, level)

    return Posterior(*once_each(work, mean, variances.variance[:, 0]))


def _posterior(
    mean: Floats, variances: Variances, found: SharedMoments, few: Kernels, level: float
) -> tuple[Floats, ...]:
    """Return the columns of a posterior: the moments, and the few kernels' interval about them."""
    parts = [
        interval(
            shrink(mean[rows], variances.take(rows), few).mixture,
            found.mean[rows],
            found.sd[rows],
            level,
        )
        for rows in _chunks(len(mean), variances, few)
    ]
    ends = (np.concatenate(end) for end in zip(*parts, strict=True))
    raw = np.where(np.isfinite(variances.variance[:, 0]), mean, np.nan)
    return raw, found.pooled, found.weight, found.mean, found.sd, *ends


def posterior_mean(mean: Floats, variances: Variances, kernels: Kernels) -> Floats:
    """Return the groups' posterior means alone."""
    return screen(mean, variances, kernels)[0]


def _own_moments(mean: Floats, variances: Variances, kernels: Kernels) -> SharedMoments:
    parts = [
        _moments(mean[rows], variances.take(rows), kernels)
        for rows in _chunks(len(mean), variances, kernels)
    ]
    return SharedMoments(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _moments(mean: Floats, variances: Variances, kernels: Kernels) -> SharedMoments:
    pull, toward, mixture = shrink(mean, variances, kernels)
    weight = np.minimum((mixture.weight * pull).sum(axis=-1), 1.0)
    origin = toward[0]
    share = mixture.weight * pull * (toward - origin)
    safe = np.where(weight > 0, weight, 1.0)
    pooled = origin + share.sum(axis=-1) / safe
    seen = np.isfinite(variances.variance[:, 0])
    estimate = np.where(seen, mean + weight * (pooled - mean), pooled)
    return SharedMoments(np.where(seen, weight, 1.0), pooled, estimate, mixture.moments()[1])


def interval(few: Mixture, mean: Floats, sd: Floats, level: float) -> tuple[Floats, Floats]:
    """Return the quantiles of a mixture, moved and scaled to the moments that it should have."""
    centre, spread = few.moments()
    ends = few.quantiles((1 - level) / 2, (1 + level) / 2)
    lo, hi = (mean + (end - centre) * (sd / spread) for end in ends)
    return lo, hi


def _chunks(rows: int, variances: Variances, kernels: Kernels) -> list[slice]:
    nodes = variances.variance.shape[1] * len(kernels.weight)
    step = max(1, _CELLS_MAX // nodes)
    return [slice(i, i + step) for i in range(0, max(rows, 1), step)]
