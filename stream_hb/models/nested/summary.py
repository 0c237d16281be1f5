"""What is said of hyperparameters that are nodes with weights."""

import math

import numpy as np

from stream_hb.models.sensitivity import Sensitivity
from stream_hb.statistics.columns import Floats


def mean_and_sd(values: Floats, weight: Floats) -> tuple[float, float]:
    """Return the weighted mean and standard deviation."""
    mean = float(weight @ values)
    return mean, math.sqrt(float(weight @ (values - mean) ** 2))


def nodes_interval(values: Floats, weight: Floats, level: float) -> tuple[float, float]:
    """Return the equal-tailed interval, half of each distinct value's mass below it.

    >>> nodes_interval(np.array([1.0, 3.0, 2.0]), np.array([0.25, 0.25, 0.5]), 0.5)
    (1.3333333333333333, 2.6666666666666665)
    """
    distinct, rows = np.unique(values, return_inverse=True)
    mass = np.bincount(rows, weights=weight)
    below = np.cumsum(mass) - mass / 2
    low, high = np.interp([(1 - level) / 2, (1 + level) / 2], below, distinct)
    return float(low), float(high)


def sensitivity_of(spread: Floats, weight: Floats, log_prior: Floats) -> Sensitivity:
    """Return what scaling the hyperprior does to the spread between stores."""
    return Sensitivity.of(spread, weight, log_prior)
