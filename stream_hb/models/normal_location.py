"""μ of a pool of means, integrated: what is left is a function of the spread alone.

Given the variances and τ the likelihood of μ is normal about its weighted mean, so that a flat or
a normal prior of μ is integrated in closed form, and any other one on a grid.
"""

import math
from typing import NamedTuple

import numpy as np

from stream_hb.models.hyperprior import Flat, JointPrior, NormalLocation
from stream_hb.models.normal_sums import Sums
from stream_hb.statistics.columns import Floats

_LOG_2PI = math.log(2 * math.pi)

_GRID = np.linspace(-8, 8, 129)
_PASSES = 3
_NARROWEST = 1e-3
_WINDOWS_REACH = 5.0
"""Windows that a density of μ is cut into lie within so many sds of its mean, 1.25 of their own
widths apart: cut by them a normal density is a sum of normal ones, to 1e-5."""


class Located(NamedTuple):
    """μ integrated at each of the arrays' points.

    log_marginal
        Log likelihood with μ integrated over its prior, all constants (a flat prior is 1); of the
        points' shape.
    mean, sd
        Normal pieces of μ's conditional posterior, the points' shape and one more axis for the
        pieces.
    share
        The pieces' weights, summing to 1 over that axis.
    """

    log_marginal: Floats
    mean: Floats
    sd: Floats
    share: Floats


def locate(
    pool: Sums, count: float, tau: Floats, prior: Flat | NormalLocation | JointPrior
) -> Located:
    """Integrate μ over its prior at each point.

    ``NormalLocation`` must have its centre. A joint prior is all of the prior: that of τ too.
    """
    height = 0.5 * (-pool.log_variance - pool.q - count * _LOG_2PI)
    match prior:
        case Flat():
            return _whole(height + 0.5 * (_LOG_2PI - np.log(pool.total)), pool.mu, 1 / pool.total)
        case NormalLocation(scale, centre):
            assert centre is not None
            return _under_normal(pool, height, scale, centre)
        case JointPrior():
            return _under_any(pool, height, tau, prior)


def _whole(log_marginal: Floats, mean: Floats, variance: Floats) -> Located:
    """One normal piece."""
    sd = np.sqrt(variance)[..., None]
    return Located(log_marginal, mean[..., None], sd, np.ones_like(sd))


def _under_normal(pool: Sums, height: Floats, scale: float, centre: float) -> Located:
    precision = pool.total + scale**-2
    pull = scale**-2 / precision
    away = (pool.mu - centre) ** 2 / (1 / pool.total + scale**2)
    log_marginal = height - 0.5 * (np.log1p(scale**2 * pool.total) + away)
    return _whole(log_marginal, pool.mu + pull * (centre - pool.mu), 1 / precision)


def _under_any(pool: Sums, height: Floats, tau: Floats, prior: JointPrior) -> Located:
    """Integrate on a grid that is centred anew on what the last one found."""
    mean, sd = pool.mu, 1 / np.sqrt(pool.total)
    for _ in range(_PASSES):
        mu = mean[..., None] + sd[..., None] * _GRID
        likelihood = -0.5 * pool.total[..., None] * (mu - pool.mu[..., None]) ** 2
        with np.errstate(divide="ignore"):
            log_density = prior.log_density(mu, np.broadcast_to(tau[..., None], mu.shape))
        log_density = log_density + likelihood
        top = log_density.max(axis=-1, keepdims=True)
        top = np.where(np.isfinite(top), top, 0.0)
        density = np.exp(log_density - top)
        mass = density.sum(axis=-1)
        step = (_GRID[1] - _GRID[0]) * sd
        with np.errstate(divide="ignore"):
            log_marginal = height + top[..., 0] + np.log(mass) + np.log(step)
        density /= np.where(mass > 0, mass, 1.0)[..., None]
        found = (density * mu).sum(axis=-1)
        mean = np.where(mass > 0, found, mean)
        narrow = np.sqrt((density * (mu - mean[..., None]) ** 2).sum(axis=-1))
        sd = np.where(mass > 0, np.maximum(narrow, 1e-3 * sd), sd)
    return Located(log_marginal, *windows(mu, density, mean, sd))


def windows(
    mu: Floats, density: Floats, mean: Floats, sd: Floats, count: int = 9
) -> tuple[Floats, Floats, Floats]:
    """Cut densities into overlapping windows, and put a normal of its moments for each piece.

    Parameters
    ----------
    mu, density
        Points and what of the mass lies there, summing to 1 over the last axis.
    mean, sd
        Of each density: the shape without the last axis.
    count
        Number of windows.

    Returns
    -------
    tuple
        Mean, sd and share of each piece, along a last axis of pieces.
    """
    # What lies beyond the outermost windows belongs to them.
    z = np.clip((mu - mean[..., None]) / sd[..., None], -_WINDOWS_REACH, _WINDOWS_REACH)
    centres = np.linspace(-_WINDOWS_REACH, _WINDOWS_REACH, count)
    width = (centres[1] - centres[0]) / 1.25
    window = np.exp(-0.5 * ((z[..., None] - centres) / width) ** 2)
    piece = density[..., None] * window / window.sum(axis=-1, keepdims=True)
    share = piece.sum(axis=-2)
    safe = np.where(share > 0, share, 1.0)
    centre = np.where(share > 0, (piece * mu[..., None]).sum(axis=-2) / safe, mean[..., None])
    spread = (piece * (mu[..., None] - centre[..., None, :]) ** 2).sum(axis=-2) / safe
    # A piece of nothing, or of one point, is a normal too.
    return centre, np.maximum(np.sqrt(spread), _NARROWEST * sd[..., None]), share
