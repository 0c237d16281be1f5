"""Spread of a parameter that is known at weighted nodes only."""

import numpy as np

from stream_hb.statistics.columns import Floats


def interval_of_nodes(values: Floats, weight: Floats, level: float) -> tuple[float, float, float]:
    """Return sd and the ends of the equal-tailed interval.

    The distribution function passes half of each node's weight at the node and is linear between
    nodes; equal values are one node.

    >>> interval_of_nodes(np.array([2.0, 1.0, 3.0]), np.array([0.5, 0.25, 0.25]), 0.5)[1:]
    (1.3333333333333333, 2.6666666666666665)
    """
    mean = float(values @ weight)
    sd = float(np.sqrt(weight @ (values - mean) ** 2))
    nodes, rows = np.unique(values, return_inverse=True)
    mass = np.bincount(rows.ravel(), weights=weight.ravel())
    passed = np.cumsum(mass) - mass / 2
    lo, hi = np.interp([(1 - level) / 2, (1 + level) / 2], passed, nodes)
    return sd, float(lo), float(hi)
