"""The weighted sums through which a Normal-Normal likelihood sees its groups, at many τ² at once.

Groups enter by their precision p = 1/v, or, where v = σ²/n with a σ² that is fitted, by p = n: then
v = σ²/p for any σ². The weights are w = 1/(v + τ²) = p/(σ² + pτ²), which a group without data
(p = 0) passes through.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.special import log1p

from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

_CELLS_MAX = 2**17
"""Weights held at once: more than these leave the processor's cache."""


class Sums(NamedTuple):
    """The sums at each pair (τ², σ²), arrays of the pairs' shape; w = 1/(v + τ²).

    Attributes
    ----------
    log_variance
        Σ ln(v + τ²).
    total
        Σw, the precision of mu.
    squares
        Σw².
    contrast
        Σw - Σw²/Σw: what is left of the sum once mu has been estimated.
    mu
        The weighted mean Σwy/Σw.
    q
        Σw(y - mu)² (Cochran's Q); about any other centre c it is q + total·(mu - c)².
    q_slope
        Σw²(y - mu)², the derivative of q in τ² with its sign turned.
    """

    log_variance: Floats
    total: Floats
    squares: Floats
    contrast: Floats
    mu: Floats
    q: Floats
    q_slope: Floats


class NormalSums(Protocol):
    """Groups, or a summary of them, as the Normal-Normal likelihood reads them."""

    @property
    def groups_count(self) -> float:
        """Number of groups with data."""
        ...

    @property
    def precision(self) -> Floats:
        """Precisions p of the groups, or of the nodes that stand for them."""
        ...

    def at(self, tau2: Any, sigma2: Any = 1.0) -> Sums:
        """Return the sums at arrays of τ² and σ², broadcast; v = σ²/p."""
        ...

    def log_inflation(self, ratio: Any) -> Floats:
        """Return Σ ln(1 + pρ) at an array of ratios ρ = τ²/σ²."""
        ...


@dataclass(frozen=True, slots=True)
class GroupSums:
    """Every group by itself.

    Attributes
    ----------
    precision
        p of each group, positive.
    mean
        Its mean.

    Examples
    --------
    A mean of 1e9 costs no digits of Q:

    >>> sums = GroupSums(np.array([1.0, 4.0]), 1e9 + np.array([0.0, 1.0]))
    >>> sums.at(np.array([0.0, 1.0])).q
    array([0.8       , 0.30769231])
    """

    precision: Floats
    mean: Floats

    @property
    def groups_count(self) -> float:
        """Number of groups."""
        return float(len(self.precision))

    def at(self, tau2: Any, sigma2: Any = 1.0) -> Sums:
        """Return the sums at arrays of τ² and σ², broadcast."""
        return in_blocks(self._at, len(self.precision), tau2, sigma2)

    def log_inflation(self, ratio: Any) -> Floats:
        """Return Σ ln(1 + pρ) at an array of ratios."""
        sums = [log1p(self.precision * r).sum() for r in np.ravel(ratio)]
        return np.reshape(sums, np.shape(ratio))

    def _at(self, tau2: Floats, sigma2: Floats) -> Sums:
        variance = sigma2 / self.precision + tau2
        weight = 1 / variance
        # The most precise group is the origin and is summed apart: nothing then cancels, whatever
        # the means' distance from zero and however much heavier than all others that group is.
        top = int(self.precision.argmax())
        heaviest = weight[:, top].copy()
        squares = (weight**2).sum(axis=-1)
        others = weight.copy()
        others[:, top] = 0.0
        rest = others.sum(axis=-1)
        total = rest + heaviest
        apart = (others * (total[:, np.newaxis] - others)).sum(axis=-1) + heaviest * rest
        away = self.mean - self.mean[top]
        offset = (weight * away).sum(axis=-1) / total
        deviation = away - offset[:, np.newaxis]
        return Sums(
            np.log(variance).sum(axis=-1),
            total,
            squares,
            apart / total,
            self.mean[top] + offset,
            (weight * deviation**2).sum(axis=-1),
            ((weight * deviation) ** 2).sum(axis=-1),
        )


@dataclass(frozen=True, slots=True)
class NodeSums:
    """Groups gathered on nodes of the precision: what a binned summary gives.

    Attributes
    ----------
    precision
        p of each node, positive.
    mass, first, second
        Σ1, Σz and Σz² of the groups that a node stands for, z = y - origin. They come from an
        interpolation, so single ones may be negative.
    origin
        The centre of z.
    groups_count
        Number of groups.
    log_precision
        Σ ln p over the groups, kept apart as it cannot be interpolated at σ² = 0.
    """

    precision: Floats
    mass: Floats
    first: Floats
    second: Floats
    origin: float
    groups_count: float
    log_precision: float

    def at(self, tau2: Any, sigma2: Any = 1.0) -> Sums:
        """Return the sums at arrays of τ² and σ², broadcast."""
        return in_blocks(self._at, len(self.precision), tau2, sigma2)

    def log_inflation(self, ratio: Any) -> Floats:
        """Return Σ ln(1 + pρ) at an array of ratios."""
        ratio = np.asarray(ratio, dtype=np.float64)
        inflation: Floats = (log1p(self.precision * ratio[..., np.newaxis]) * self.mass).sum(-1)
        return inflation

    def _at(self, tau2: Floats, sigma2: Floats) -> Sums:
        weight = 1 / (sigma2 / self.precision + tau2)
        weight2 = weight**2
        total, squares = (weight * self.mass).sum(-1), (weight2 * self.mass).sum(-1)
        offset = (weight * self.first).sum(-1) / total
        z = offset[:, np.newaxis]
        deviation2 = self.second - z * (2 * self.first - z * self.mass)
        log_variance = (
            self.log_inflation(tau2[:, 0] / sigma2[:, 0])
            + self.groups_count * np.log(sigma2[:, 0])
            - self.log_precision
        )
        return Sums(
            log_variance,
            total,
            squares,
            np.maximum(total - squares / total, 0.0),
            self.origin + offset,
            np.maximum((weight * deviation2).sum(-1), 0.0),
            np.maximum((weight2 * deviation2).sum(-1), 0.0),
        )


def sums_of(pool: Measured | Moments) -> NormalSums:
    """Return the sums of a pool; of observations they are to be asked with their σ²."""
    precision = 1 / pool.variance if isinstance(pool, Measured) else pool.weight
    known = precision > 0
    return GroupSums(precision[known], pool.mean[known])


def in_blocks(kernel: Callable[[Floats, Floats], Sums], width: int, tau2: Any, sigma2: Any) -> Sums:
    """Call a kernel with columns of τ² and σ², few enough at once that memory is bounded."""
    tau2, sigma2 = np.broadcast_arrays(
        np.asarray(tau2, dtype=np.float64), np.asarray(sigma2, dtype=np.float64)
    )
    flat, rows = (tau2.reshape(-1, 1), sigma2.reshape(-1, 1)), max(1, _CELLS_MAX // max(1, width))
    blocks = [
        kernel(flat[0][start : start + rows], flat[1][start : start + rows])
        for start in range(0, tau2.size, rows)
    ]
    return Sums(*(np.concatenate(parts).reshape(tau2.shape) for parts in zip(*blocks, strict=True)))
