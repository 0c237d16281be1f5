"""Posteriors that are mixtures of normal kernels: moments, tails and quantiles, many at once."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from stream_hb.statistics.columns import Floats

_STEPS_MAX = 60
_CLOSE = 1e-7
"""A quantile's last step, in standard deviations."""

_ROOT_2PI = float(np.sqrt(2 * np.pi))


class Mixture(NamedTuple):
    """One mixture of normal kernels per row.

    mean, sd
        Of the kernels, shape (rows, kernels).
    weight
        Of the kernels, shape (rows, kernels) or (kernels,); sums to 1.
    """

    mean: Floats
    sd: Floats
    weight: Floats

    def moments(self) -> tuple[Floats, Floats]:
        """Return each mixture's mean and sd, by the law of total variance."""
        # About one kernel's mean, so that a large common mean takes no digits.
        origin = self.mean[:, :1]
        away = self.mean - origin
        offset = (self.weight * away).sum(axis=-1)
        spread = away - offset[:, None]
        variance = (self.weight * (self.sd**2 + spread**2)).sum(axis=-1)
        return origin[:, 0] + offset, np.sqrt(variance)

    def above(self, threshold: float) -> Floats:
        """Return each mixture's probability of lying above a value."""
        inside: Floats = (self.weight * ndtr((self.mean - threshold) / self.sd)).sum(axis=-1)
        return inside

    def quantile(self, probability: float) -> Floats:
        """Return each mixture's quantile, within 1e-7 sd.

        Newton's method on the distribution function, kept between the smallest and the largest of
        the kernels' own quantiles, which bracket the mixture's.

        Examples
        --------
        Two equal kernels far apart have their median in the empty middle, where Newton's step
        alone would leave for infinity:

        >>> far = Mixture(np.array([[-10.0, 10.0]]), np.ones((1, 2)), np.array([0.5, 0.5]))
        >>> bool(abs(far.quantile(0.5)[0]) < 10)
        True
        """
        z = float(ndtri(probability))
        own = self.mean + z * self.sd
        low, high = own.min(axis=-1), own.max(axis=-1)
        mean, sd = self.moments()
        at = np.clip(mean + z * sd, low, high)
        weight = np.broadcast_to(self.weight, self.mean.shape)
        rows = np.arange(len(at))
        for _ in range(_STEPS_MAX):
            kernels = self.mean[rows], self.sd[rows], weight[rows]
            here = at[rows]
            excess, density = _distribution(here, *kernels)
            excess -= probability
            low[rows] = np.where(excess <= 0, here, low[rows])
            high[rows] = np.where(excess > 0, here, high[rows])
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                there = here - excess / density
            bracketed = (there >= low[rows]) & (there <= high[rows])
            at[rows] = np.where(bracketed, there, (low[rows] + high[rows]) / 2)
            rows = rows[np.abs(at[rows] - here) > _CLOSE * sd[rows]]
            if len(rows) == 0:
                break
        return at


def _distribution(at: Floats, mean: Floats, sd: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return each mixture's distribution function and density at one point per row."""
    z = (at[:, None] - mean) / sd
    density = (weight * np.exp(-0.5 * z**2) / sd).sum(axis=-1) / _ROOT_2PI
    return (weight * ndtr(z)).sum(axis=-1), density
