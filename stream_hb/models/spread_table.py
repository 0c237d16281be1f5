"""Marginal posteriors of the hyperparameters themselves, as tables of quantiles."""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from stream_hb.models.count_quadrature import Nodes
from stream_hb.models.spread_scan import Scan
from stream_hb.statistics.columns import Floats

SCORES = np.linspace(-3.5, 3.5, 29)
"""Normal scores of the probabilities at which quantiles are kept."""

_POINTS = 300


def location_table(nodes: Nodes) -> Floats:
    """Return the location's quantiles at the scores: each node stands for its neighbourhood."""
    step = np.diff(nodes.location, axis=1)[:, :1]
    sd = np.broadcast_to(step / math.sqrt(12), nodes.location.shape)
    there = nodes.weight > 1e-9
    return _quantiles(nodes.location[there], sd[there], nodes.weight[there])


def concentration_table(
    scan: Scan, log_concentration: Callable[[Floats, Floats], Floats]
) -> Floats:
    """Return the quantiles of the log concentration, a function of (location, log spread)."""
    t, mass = scan.fine()
    centre, sd = scan.location(t)
    here = log_concentration(centre, t)
    by_location = (log_concentration(centre + sd, t) - log_concentration(centre - sd, t)) / 2
    # Each point stands for its neighbourhood: uniform over the distance to the next.
    distance = np.abs(np.gradient(here))
    return _quantiles(here, np.sqrt(by_location**2 + distance**2 / 12), mass)


def interval_of(table: Floats, level: float) -> tuple[float, float]:
    """Return both ends of an equal-tailed interval by linear interpolation in the score."""
    score = float(ndtri((1 + level) / 2))
    lo, hi = np.interp([-score, score], SCORES, table)
    return float(lo), float(hi)


def mean_and_sd(values: Floats, weight: Floats) -> tuple[float, float]:
    """Return mean and sd of weighted nodes."""
    mean = float((weight * values).sum())
    return mean, float(np.sqrt((weight * (values - mean) ** 2).sum()))


def _quantiles(mean: Floats, sd: Floats, mass: Floats) -> Floats:
    """Return the quantiles of a mixture of normals at the scores."""
    share = mass / mass.sum()
    x = np.linspace((mean - 5 * sd).min(), (mean + 5 * sd).max(), _POINTS)
    for _ in range(2):
        below = (share * ndtr((x[:, np.newaxis] - mean) / sd)).sum(axis=1)
        lo, hi = np.interp([ndtr(-3.8), ndtr(3.8)], below, x)
        x = np.linspace(lo, hi, _POINTS)
    below = (share * ndtr((x[:, np.newaxis] - mean) / sd)).sum(axis=1)
    out: Floats = np.interp(ndtr(SCORES), below, x)
    return out
