"""Maximum marginal likelihood of a regression on the link scale, boundary and second modes found.

As without covariates, the likelihood in the concentration may have two modes or its supremum at
infinity: its profile is scanned over the whole range first, every local maximum is climbed jointly
in (β, log concentration), and the best is compared with the limit (a logistic or a Poisson
regression).
"""

from typing import NamedTuple

import numpy as np

from stream_hb.models.covariates.ascent import Modes, Surfaces, ascend
from stream_hb.models.covariates.link_likelihood import LinkLikelihood, limit_surfaces, surfaces
from stream_hb.models.modes import LOG_CONCENTRATIONS
from stream_hb.statistics.columns import Floats

FARTHEST = 30.0
"""Coefficients end here: beyond, a rate is 0 or 1 to rounding (the data separate the groups)."""

_HIGHEST = 25.0


class Maximum(NamedTuple):
    """The maximum of the likelihood.

    beta, covariance
        Coefficients, and the inverse of the information about them (the concentration fitted too).
    log_concentration
        ``inf`` at the boundary.
    value
        The log-likelihood without its constant.
    """

    beta: Floats
    covariance: Floats
    log_concentration: float
    value: float
    bimodal: bool
    converged: bool
    iterations: int


def maximise(likelihood: LinkLikelihood) -> Maximum:
    """Return the highest mode, or the limit where that is higher."""
    if likelihood.is_extreme:
        return _all_alike(likelihood)
    limit = pooled_regression(likelihood)
    profile = at_concentrations(likelihood, LOG_CONCENTRATIONS, limit.point[0])
    score = likelihood.score_at_limit(limit.point @ likelihood.rows.T)
    starts = _peaks(profile, score)
    iterations = limit.iterations + profile.iterations
    found: list[Maximum] = []
    if len(starts):
        modes = climb(likelihood, starts)
        iterations += modes.iterations
        found = _interior(modes)
    best = max(found, key=lambda mode: mode.value, default=None)
    bimodal = len(found) + (score <= 0) > 1
    if best is None or best.value <= limit.surface.value[0]:
        best = _at_limit(limit)
    return best._replace(bimodal=bimodal, iterations=iterations)


def pooled_regression(likelihood: LinkLikelihood) -> Modes:
    """Return the logistic or Poisson regression: what an infinite concentration leaves."""
    size = likelihood.rows.shape[1]
    start = np.zeros((1, size))
    start[0, 0] = likelihood.pooled_link
    edge = np.full(size, FARTHEST)
    return ascend(lambda points: limit_surfaces(likelihood, points), start, -edge, edge)


def at_concentrations(likelihood: LinkLikelihood, logs: Floats, start: Floats) -> Modes:
    """Return the best coefficients at each of these log concentrations; points hold both."""
    fixed = logs[:, np.newaxis]

    def function(beta: Floats) -> Surfaces:
        at = surfaces(likelihood, np.hstack([beta, fixed]))
        return Surfaces(at.value, at.gradient[:, :-1], at.hessian[:, :-1, :-1])

    edge = np.full(len(start), FARTHEST)
    modes = ascend(function, np.tile(start, (len(logs), 1)), -edge, edge)
    return modes._replace(point=np.hstack([modes.point, fixed]))


def climb(likelihood: LinkLikelihood, starts: Floats) -> Modes:
    """Climb in (β, log concentration) from each start."""
    low = np.full(starts.shape[1], -FARTHEST)
    high = -low
    low[-1], high[-1] = LOG_CONCENTRATIONS[0], _HIGHEST
    return ascend(lambda points: surfaces(likelihood, points), starts, low, high)


def covariance_of(information: Floats) -> Floats:
    """Invert information matrices; where the data do not tell, the variance is large, not wrong."""
    curvature, axes = np.linalg.eigh(information)
    least = 1e-12 * np.abs(curvature).max(axis=-1, keepdims=True) + 1e-300
    variance = 1 / np.maximum(curvature, least)
    inverse: Floats = np.einsum("...ij,...j,...kj->...ik", axes, variance, axes)
    return inverse


def _peaks(profile: Modes, score_at_limit: float) -> Floats:
    values = profile.surface.value
    # Beyond the scan the likelihood goes down to the limit only if the score there is positive.
    above = -np.inf if score_at_limit > 0 else np.inf
    padded = np.concatenate(([-np.inf], values, [above]))
    peaks = (padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:])
    return profile.point[peaks]


def _interior(modes: Modes) -> list[Maximum]:
    found: list[Maximum] = []
    for i, point in enumerate(modes.point):
        same = any(abs(point[-1] - other.log_concentration) < 1e-3 for other in found)
        if point[-1] >= _HIGHEST or same:
            continue
        covariance = covariance_of(-modes.surface.hessian[i])[:-1, :-1]
        value = float(modes.surface.value[i])
        converged = bool(modes.converged[i]) and _is_finite(point[:-1])
        found.append(Maximum(point[:-1], covariance, float(point[-1]), value, False, converged, 0))
    return found


def _at_limit(limit: Modes) -> Maximum:
    covariance = covariance_of(-limit.surface.hessian[0])
    converged = bool(limit.converged[0]) and _is_finite(limit.point[0])
    value = float(limit.surface.value[0])
    return Maximum(limit.point[0], covariance, np.inf, value, False, converged, 0)


def _is_finite(beta: Floats) -> bool:
    """Whether the maximum is where it was found, not beyond: data may separate the groups."""
    return bool(np.abs(beta).max() < FARTHEST / 2)


def _all_alike(likelihood: LinkLikelihood) -> Maximum:
    """Return complete pooling at the rate that Jeffreys' half count gives, with no slopes."""
    size = likelihood.rows.shape[1]
    beta = np.eye(1, size)[0] * likelihood.pooled_link
    eta = likelihood.rows @ beta
    information = -float(likelihood.at_limit(eta)[2].sum())
    covariance = np.zeros((size, size))
    covariance[0, 0] = 1 / information
    return Maximum(beta, covariance, np.inf, 0.0, False, True, 0)
