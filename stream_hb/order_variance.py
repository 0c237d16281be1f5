"""The variance of one order's log value, of each store: how far a mean order lies above exp(θ)."""

import math

import numpy as np

from stream_hb.pool_fit import PoolFit
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.moments import Moments


def order_variance(pool_fit: PoolFit, groups: Moments) -> tuple[Floats, Floats]:
    """Return σ² of each group and its degrees of freedom.

    Where the variance is common it is the pool's, with as many degrees of freedom as it has
    orders less its groups. Where each group has its own it is drawn to the others' as the model
    says, s² = (d0 s0² + M2)/(d0 + d).
    """
    hyper, size = pool_fit.fit.hyper, len(groups)
    own = getattr(hyper, "prior_variance", math.nan)
    if math.isnan(own):
        sigma2 = pool_fit.family.parameters(hyper)["sigma2"]
        degrees = max(pool_fit.data_count - pool_fit.fit.groups_count, 1.0)
        return np.full(size, sigma2), np.full(size, degrees)
    told = np.maximum(groups.weight - 1, 0.0)
    if math.isinf(hyper.prior_degrees):
        return np.full(size, own), np.full(size, hyper.pooled_degrees)
    total = hyper.prior_degrees + told
    squares = hyper.prior_degrees * own + groups.m2
    sigma2 = np.divide(squares, total, out=np.full(size, own), where=total > 0)
    degrees = np.where(total > 0, total, hyper.pooled_degrees)
    return sigma2, np.minimum(degrees, hyper.pooled_degrees)
