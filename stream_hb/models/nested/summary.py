"""What is said of hyperparameters that are nodes with weights."""

import math

from stream_hb.models.sensitivity import Sensitivity
from stream_hb.statistics.columns import Floats


def mean_and_sd(values: Floats, weight: Floats) -> tuple[float, float]:
    """Return the weighted mean and standard deviation."""
    mean = float(weight @ values)
    return mean, math.sqrt(float(weight @ (values - mean) ** 2))


def sensitivity_of(spread: Floats, weight: Floats, log_prior: Floats) -> Sensitivity:
    """Return what scaling the hyperprior does to the spread between stores."""
    return Sensitivity.of(spread, weight, log_prior)
