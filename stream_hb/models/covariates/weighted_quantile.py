"""Spread of a parameter that is known at weighted nodes only."""

import numpy as np

from stream_hb.models import quadrature_quantile
from stream_hb.statistics.columns import Floats


def interval_of_nodes(values: Floats, weight: Floats, level: float) -> tuple[float, float, float]:
    """Return sd and the ends of the equal-tailed interval, of nodes of one rule.

    >>> interval_of_nodes(np.array([2.0, 1.0, 3.0]), np.array([0.5, 0.25, 0.25]), 0.5)[1:]
    (1.3333333333333333, 2.6666666666666665)
    """
    mean = float(values @ weight)
    sd = float(np.sqrt(weight @ (values - mean) ** 2))
    return sd, *quadrature_quantile.interval_of_nodes(values, weight, level)
