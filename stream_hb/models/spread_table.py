"""Marginal posteriors of the hyperparameters themselves, as tables of quantiles."""

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
from scipy.special import ndtr, ndtri

from stream_hb.models.count_quadrature import Nodes
from stream_hb.statistics.columns import Floats

SCORES = np.linspace(-3.5, 3.5, 29)
"""Normal scores of the probabilities at which quantiles are kept."""

_SHARES = ndtr(SCORES)

_PARTS = 8
"""Points per distance of a row's nodes: between them its log density is nearly a parabola."""

_LOCATION_SCORES = np.linspace(-3.3, 3.3, 12)
_GOLDEN = (5**0.5 - 1) / 2
_LEAST = 1e-30


def location_table(nodes: Nodes) -> Floats:
    """Return the location's quantiles at the scores.

    A few nodes a row integrate its density, but they are no picture of it: each taken for its
    neighbourhood they would widen the interval by up to a sixteenth.
    """
    return _quantiles(*_finer(nodes))


def concentration_table(
    nodes: Nodes, log_concentration: Callable[[Floats, Floats], Floats]
) -> Floats:
    """Return the quantiles of the log concentration, a function of (location, log spread).

    At every spread of the scan the location stands at some of its quantiles. Each takes another
    place in the spread's cell, so that not all of a cell's mass lies at its middle.
    """
    t, mass = nodes.scan.fine()
    place = np.arange(1, len(_LOCATION_SCORES) + 1) * _GOLDEN % 1 - 0.5
    spread = t[:, np.newaxis] + np.gradient(t)[:, np.newaxis] * place
    row = _Row.of(nodes)
    location = np.stack(
        [
            np.interp(at, row.log_spread, quantiles)
            for at, quantiles in zip(spread.T, row.locations.T, strict=True)
        ],
        axis=1,
    )
    mass *= np.exp(np.interp(t, row.log_spread, row.log_lacking))
    share = np.exp(-(_LOCATION_SCORES**2) / 2)
    return _quantiles(log_concentration(location, spread), mass[:, np.newaxis] * share)


class _Row(NamedTuple):
    """What is known at the nodes' spreads without Laplace's approximation; one entry each.

    locations
        The location's quantiles at ``_LOCATION_SCORES``.
    log_lacking
        Log of the mass over that of the scan.
    """

    log_spread: Floats
    locations: Floats
    log_lacking: Floats

    @classmethod
    def of(cls, nodes: Nodes) -> Self:
        there = nodes.weight.sum(axis=1) > _LEAST
        columns = (column[there] for column in _finer(nodes))
        share = ndtr(_LOCATION_SCORES)
        locations = [_quantiles(x, mass, share) for x, mass in zip(*columns, strict=True)]
        lacking = np.log(nodes.weight[there].sum(axis=1) / nodes.scan_mass[there])
        return cls(nodes.log_spread[there, 0], np.array(locations), lacking)


def _finer(nodes: Nodes) -> tuple[Floats, Floats]:
    """Return more points of each row and their weights, by cubics through the log density."""
    count = nodes.location.shape[1]
    log_weight = np.log(np.maximum(nodes.weight, _LEAST))
    slope = np.gradient(log_weight, axis=1, edge_order=2)
    at = np.linspace(0, count - 1, _PARTS * (count - 1) + 1)
    i = np.minimum(at.astype(np.intp), count - 2)
    u = at - i
    rise = log_weight[:, i + 1] - log_weight[:, i]
    bend = (1 - u) * (slope[:, i] - rise) - u * (slope[:, i + 1] - rise)
    weight = np.exp(log_weight[:, i] + u * rise + u * (1 - u) * bend)
    weight *= (nodes.weight.sum(axis=1) / weight.sum(axis=1))[:, np.newaxis]
    first, step = nodes.location[:, :1], np.diff(nodes.location[:, :2], axis=1)
    return first + step * at, weight


def interval_of(table: Floats, level: float) -> tuple[float, float]:
    """Return both ends of an equal-tailed interval, by the cubics through four quantiles each."""
    score = float(ndtri((1 + level) / 2))
    lo, hi = (_cubic(table, min(max(z, SCORES[0]), SCORES[-1])) for z in (-score, score))
    return lo, hi


def _cubic(table: Floats, score: float) -> float:
    first = min(max(int(np.searchsorted(SCORES, score)) - 2, 0), len(SCORES) - 4)
    x, y = SCORES[first : first + 4], table[first : first + 4]
    away = score - x
    shares = [np.prod(np.delete(away, i)) / np.prod(np.delete(x[i] - x, i)) for i in range(len(x))]
    # Between the neighbours, whatever the cubic makes of a tail that grows by powers of ten.
    at = min(max(int(np.searchsorted(SCORES, score)), 1), len(SCORES) - 1)
    return float(np.clip(np.dot(shares, y), table[at - 1], table[at]))


def mean_and_sd(values: Floats, weight: Floats) -> tuple[float, float]:
    """Return mean and sd of weighted nodes."""
    mean = float((weight * values).sum())
    return mean, float(np.sqrt((weight * (values - mean) ** 2).sum()))


def _quantiles(x: Floats, mass: Floats, share: Floats = _SHARES) -> Floats:
    """Return the quantiles of dense points of any shape, each with its mass."""
    order = np.argsort(x, axis=None)
    ordered = mass.ravel()[order]
    below = np.cumsum(ordered) - ordered / 2
    out: Floats = np.interp(share * ordered.sum(), below, x.ravel()[order])
    return out
