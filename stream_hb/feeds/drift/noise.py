"""What a store's day deviates by beyond sampling, learnt from the chain.

A store's day is never quite its relation: weather, staff, the weekday's own customers. Taken for
too small, every such day is evidence of a drift, and the promised rate of false alerts is broken.
"""

from dataclasses import dataclass

import numpy as np

from stream_hb.feeds.drift.columns import Bools
from stream_hb.statistics.columns import Floats

PRIOR_WEIGHT = 100.0
"""Store-days that the configured value counts for."""

VARIANCE_MIN = 1e-4
VARIANCE_MAX = 1.0
Z_MAX = 4.0


@dataclass(frozen=True, slots=True)
class Noise:
    """Running moments of the deviations.

    Attributes
    ----------
    excess
        Decayed sum of weighted squared deviations less what sampling and the baseline explain.
    weight
        Decayed sum of the weights.
    """

    excess: float = 0.0
    weight: float = 0.0


def noise_variance(noise: Noise, noise_sd: float) -> float:
    """Return the variance of a store's day on the link scale beyond sampling.

    >>> round(noise_variance(Noise(), noise_sd=0.07), 6)
    0.0049
    """
    prior = noise_sd**2
    estimate = (noise.excess + PRIOR_WEIGHT * prior) / (noise.weight + PRIOR_WEIGHT)
    return float(np.clip(estimate, VARIANCE_MIN, VARIANCE_MAX))


def learnt(
    noise: Noise,
    z: Floats,
    information: Floats,
    known_variance: Floats,
    total_variance: Floats,
    chosen: Bools,
    factor: float,
) -> Noise:
    r"""Return the moments with one tick's deviations of the chosen stores.

    With sampling variance s of a store's deviation on the link scale, its square has the mean
    s + known + noise: each gives :math:`z^2 (s + v) - s - known` of noise, with weight
    :math:`(v/(s + v))^2`, in store-days of a store that has no sampling variance.

    Parameters
    ----------
    information
        1/(s + v), v the whole variance beyond sampling.
    known_variance
        What of v is the baseline's and the chain's.
    factor
        What a tick's age leaves of the earlier ones.
    """
    whole = 1 / np.maximum(information[chosen], 1e-300)
    square = np.minimum(z[chosen] ** 2, Z_MAX**2)
    beyond = total_variance[chosen]
    weight = np.minimum(beyond / whole, 1.0) ** 2
    excess = (square - 1) * whole + beyond - known_variance[chosen]
    return Noise(
        noise.excess * factor + float((weight * excess).sum()),
        noise.weight * factor + float(weight.sum()),
    )
