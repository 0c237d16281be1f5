"""Posteriors that are mixtures of normal kernels: moments, tails and quantiles, many at once."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from stream_hb.statistics.columns import Floats

_STEPS_MAX = 60
_CLOSE = 1e-7
"""A quantile's largest error, in standard deviations."""

_POLISH = 3
"""Newton's steps to the root of a polynomial that is nearly a line."""

_FOURTH_MAX = 0.5506
"""Largest size of the third derivative of the normal density."""

_CELLS_MAX = 1 << 14
"""Kernels x groups held at once: their arrays stay in the processor's cache."""

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

        Each step solves the distribution function's third-order Taylor polynomial; it is the last
        where the polynomial's remainder has no more to say. Steps are kept between the smallest and
        the largest of the kernels' own quantiles, which bracket the mixture's.

        Examples
        --------
        Two equal kernels far apart have their median in the empty middle, where Newton's step
        alone would leave for infinity:

        >>> far = Mixture(np.array([[-10.0, 10.0]]), np.ones((1, 2)), np.array([0.5, 0.5]))
        >>> bool(abs(far.quantile(0.5)[0]) < 10)
        True
        """
        (found,) = self.quantiles(probability)
        return found

    def quantiles(self, *probabilities: float) -> tuple[Floats, ...]:
        """Return several quantiles of each mixture; see :meth:`quantile`."""
        step = max(1, _CELLS_MAX // self.mean.shape[1])
        weight = np.broadcast_to(self.weight, self.mean.shape)
        parts = []
        for start in range(0, max(len(weight), 1), step):
            rows = slice(start, start + step)
            chunk = Mixture(self.mean[rows], self.sd[rows], weight[rows])
            parts.append([*_quantiles(chunk, probabilities)])
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _quantiles(mixture: Mixture, probabilities: tuple[float, ...]) -> Iterator[Floats]:
    centre, spread = mixture.moments()
    kernels = _Kernels.of(mixture)
    for probability in probabilities:
        z = float(ndtri(probability))
        own = mixture.mean + z * mixture.sd
        low, high = own.min(axis=-1), own.max(axis=-1)
        start = np.clip(centre + z * spread, low, high)
        yield _solved(kernels, probability, start, low, high, _CLOSE * spread)


def _solved(
    kernels: "_Kernels", probability: float, at: Floats, low: Floats, high: Floats, close: Floats
) -> Floats:
    """Return the quantiles between two bounds each; the arrays are changed."""
    rows = np.arange(len(at))
    for _ in range(_STEPS_MAX):
        here = at[rows]
        local = kernels.around(here, probability)
        low[rows] = np.where(local.excess <= 0, here, low[rows])
        high[rows] = np.where(local.excess > 0, here, high[rows])
        step, error = local.root()
        there = here + step
        inside = (there >= low[rows]) & (there <= high[rows])
        at[rows] = np.where(inside, there, (low[rows] + high[rows]) / 2)
        going = ~(inside & (error <= close[rows]))
        going &= np.abs(at[rows] - here) > close[rows]
        if not going.any():
            break
        if not going.all():
            rows, kernels = rows[going], kernels.take(going)
    return at


class _Local(NamedTuple):
    """Mixtures' distribution functions near one point each: shape (rows,).

    excess
        Of the distribution function over the probability.
    slope, bend, twist
        Its first three derivatives.
    fourth
        Bound on the size of its fourth derivative, everywhere.
    """

    excess: Floats
    slope: Floats
    bend: Floats
    twist: Floats
    fourth: Floats

    def root(self) -> tuple[Floats, Floats]:
        """Return the step to the Taylor polynomial's root, and a bound on the step's error."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = -self.excess / self.slope
            step = newton
            for _ in range(_POLISH):
                value, slope = self._polynomial(step)
                step = np.where(slope > 0, step - value / slope, step)
            value, slope = self._polynomial(step)
            # The density on the way must not fall to nothing: then the error is not in proportion.
            error = (np.abs(value) + self.fourth * step**4 / 24) / slope
            sound = (slope > self.slope / 2) & (np.abs(step) <= 2 * np.abs(newton))
            return np.where(sound, step, newton), np.where(sound, error, np.inf)

    def _polynomial(self, step: Floats) -> tuple[Floats, Floats]:
        value = self.excess + step * (self.slope + step * (self.bend / 2 + step * self.twist / 6))
        return value, self.slope + step * (self.bend + step * self.twist / 2)


class _Kernels(NamedTuple):
    """Kernels of mixtures, shape (rows, kernels): mean, 1/sd, weight, and weight/sd of density."""

    mean: Floats
    precision: Floats
    weight: Floats
    height: Floats
    fourth: Floats

    @classmethod
    def of(cls, mixture: Mixture) -> "_Kernels":
        # In rows that lie together whatever they are views of: sums over others differ in a bit.
        mean, sd, weight = (np.ascontiguousarray(column) for column in mixture)
        precision = 1 / sd
        with np.errstate(over="ignore"):  # an infinite bound only takes another step
            bound = _FOURTH_MAX * np.einsum("rk,rk->r", weight, (precision * precision) ** 2)
        return cls(mean, precision, weight, weight * precision / _ROOT_2PI, bound)

    def take(self, rows: NDArray[np.bool_]) -> "_Kernels":
        return _Kernels(*(column[rows] for column in self))

    def around(self, at: Floats, probability: float) -> _Local:
        z = at[:, None] - self.mean
        z *= self.precision
        below = np.einsum("rk,rk->r", self.weight, ndtr(z))
        density = z * z
        density *= -0.5
        np.exp(density, out=density)
        density *= self.height
        z *= self.precision
        bend = -np.einsum("rk,rk->r", density, z)
        slope = density.sum(axis=-1)
        z *= z
        z -= self.precision**2
        twist = np.einsum("rk,rk->r", density, z)
        return _Local(below - probability, slope, bend, twist, self.fourth)
