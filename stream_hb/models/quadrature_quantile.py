"""Quantiles of a parameter that is known at the nodes of a quadrature only.

A rule's few nodes integrate a density, but they are no picture of it: straight lines between the
sums of their weights put the ends of an interval up to a sixth of its width too far out. Along the
nodes, though, both a node's place and its weight are smooth: equally spaced nodes and Gauss's are
smooth functions of a node's number, whatever the density. So the logarithms of the weights, nearly
a parabola, and the places are interpolated by cubics, and the weights are integrated over numbers.
"""

import numpy as np

from stream_hb.statistics.columns import Floats

_FEWEST = 5
"""Nodes from which on weights have a shape to speak of."""

_PARTS = 64
"""Points between two nodes."""

_BEYOND = 3 / 8
"""Of an end node's weight what lies beyond it: Gauss-Legendre's weights begin from nothing three
quarters of a step before the first one. (Even nodes end where next to nothing is left.)"""

_LEAST = 1e-16
"""Weights below this share of the largest are taken for it."""


def interval_of_nodes(values: Floats, weight: Floats, level: float) -> tuple[float, float]:
    """Return the ends of the equal-tailed interval.

    Parameters
    ----------
    values, weight
        Of the nodes, arrays of one shape, in any order; equal values are one node. Take values on
        a scale on which they are smooth in their number: the one that the rule is in.
    level
        Probability inside, in (0, 1).

    Examples
    --------
    Nine nodes of a standard normal, whose quantile is 1.96:

    >>> x = np.linspace(-5.2, 5.2, 9)
    >>> weight = np.exp(-(x**2) / 2)
    >>> lo, hi = interval_of_nodes(x, weight / weight.sum(), 0.95)
    >>> round(lo, 2), round(hi, 2)
    (-1.96, 1.96)
    """
    nodes, below = _distribution(values, weight)
    lo, hi = np.interp([(1 - level) / 2, (1 + level) / 2], below, nodes)
    return float(lo), float(hi)


def interval_of_rows(values: Floats, weight: Floats, level: float) -> tuple[float, float]:
    """Return the ends of the equal-tailed interval, each row the nodes of a rule of its own.

    Examples
    --------
    Nine nodes each of two standard normals, a thousand apart:

    >>> x = np.linspace(-5.2, 5.2, 9)
    >>> weight = np.exp(-(x**2) / 2) / np.exp(-(x**2) / 2).sum() / 2
    >>> lo, hi = interval_of_rows(np.stack([x, x + 1000]), np.stack([weight, weight]), 0.95)
    >>> round(lo, 2), round(hi, 2)  # the 5 % quantile of the one, the 95 % one of the other
    (-1.65, 1001.65)
    """
    rows = [_distribution(*row) for row in zip(values, weight, strict=True)]
    points = np.concatenate([(nodes[1:] + nodes[:-1]) / 2 for nodes, _ in rows])
    mass = np.concatenate([np.diff(below) for _, below in rows])
    order = np.argsort(points)
    below = np.cumsum(mass[order]) - mass[order] / 2
    tails = np.array([(1 - level) / 2, (1 + level) / 2]) * mass.sum()
    lo, hi = np.interp(tails, below, points[order])
    return float(lo), float(hi)


def _distribution(values: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return points, ascending, and the probability below each."""
    nodes, rows = np.unique(values, return_inverse=True)
    mass: Floats = np.bincount(rows.ravel(), weights=np.ravel(weight)).astype(np.float64)
    return _finer(nodes, mass) if len(nodes) >= _FEWEST else (nodes, np.cumsum(mass) - mass / 2)


def _finer(nodes: Floats, mass: Floats) -> tuple[Floats, Floats]:
    """Return more points, ascending, and the probability below each."""
    # Not with the module, which every engine loads: it costs as much as all the rest.
    from scipy.interpolate import CubicSpline

    number = np.arange(len(nodes), dtype=np.float64)
    at = np.linspace(0, number[-1], _PARTS * (len(nodes) - 1) + 1)
    log_density = CubicSpline(number, np.log(np.maximum(mass, _LEAST * mass.max())))(at)
    density = np.exp(np.minimum(log_density, 1.0))
    inside = np.append(0.0, np.cumsum(density[1:] + density[:-1]))
    ends = _BEYOND * mass[0], mass.sum() - _BEYOND * mass[-1]
    below = ends[0] + (ends[1] - ends[0]) * inside / inside[-1]
    # Between the neighbours, whatever the cubics make of a gap between two modes.
    left = np.minimum(at.astype(np.intp), len(nodes) - 2)
    return np.clip(CubicSpline(number, nodes)(at), nodes[left], nodes[left + 1]), below
