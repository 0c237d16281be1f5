"""The weighted sums through which a Normal-Normal likelihood sees its groups, at many τ² at once.

Groups enter by their precision p = 1/v, or, where v = σ²/n with a σ² that is fitted, by p = n: then
v = σ²/p for any σ². The weights are w = 1/(v + τ²) = p/(σ² + pτ²), which a group without data
(p = 0) passes through.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from scipy.special import log1p

from stream_hb.models.normal_measured import precision_of
from stream_hb.models.pool import groups_of
from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.centred import CentredMeans
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.measured_summary import MeasuredSummary
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.moments_summary import MomentsSummary
from stream_hb.statistics.summary import ExactSummary

MeasuredPool = Measured | ExactSummary[Measured] | BinnedSummary[Measured]
ObservedPool = Moments | ExactSummary[Moments] | BinnedSummary[Moments]
"""Groups, or a summary of them."""

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

    @property
    def reciprocal(self) -> float:
        """Σ1/p: times σ², the sum of the sampling variances."""
        ...

    @property
    def squares(self) -> float:
        """Σ(y - ȳ)² about the plain mean of the means."""
        ...

    @property
    def farthest2(self) -> float:
        """A bound on τ²: no score of a likelihood is positive above 10 times this."""
        ...

    @property
    def largest(self) -> float:
        """About how far from zero the means reach."""
        ...

    def at(self, tau2: Any, sigma2: Any = 1.0) -> Sums:
        """Return the sums at arrays of τ² and σ², broadcast; v = σ²/p."""
        ...

    def log_inflation(self, ratio: Any) -> Floats:
        """Return Σ ln(1 + pρ) at an array of ratios ρ = τ²/σ²."""
        ...


class _Kinds(NamedTuple):
    """Groups of the same precision, which have the same weight at any (τ², σ²).

    Where observations are few, thousands of groups are of a few kinds; else each is its own.

    precision
        p of each kind.
    groups
        Number of groups of it.
    away
        Distance of their plain mean from the origin.
    squares
        Σ(y - their mean)².
    origin, top
        The mean and the position of the most precise kind.
    """

    precision: Floats
    groups: Floats
    away: Floats
    squares: Floats
    origin: float
    top: int

    @classmethod
    def of(cls, precision: Floats, mean: Floats) -> Self:
        kinds, which = np.unique(precision, return_inverse=True)
        # About a group of the most precise kind, so that the means' distance takes no digits.
        middle = float(mean[precision.argmax()])
        groups = np.bincount(which).astype(np.float64)
        centre: Floats = np.bincount(which, mean - middle) / groups
        apart = (mean - middle - centre[which]) ** 2
        squares = np.bincount(which, apart).astype(np.float64)
        top = len(kinds) - 1
        return cls(kinds, groups, centre - centre[top], squares, middle + float(centre[top]), top)

    def at(self, tau2: Floats, sigma2: Floats) -> Sums:
        """Return the sums at columns of τ² and σ²."""
        variance = sigma2 / self.precision + tau2
        weight = 1 / variance
        # One of the most precise groups is summed apart, and their mean is the origin: nothing then
        # cancels, however much heavier than all others that group is.
        heaviest = weight[:, self.top]
        all_weight = weight * self.groups
        others = all_weight.copy()
        others[:, self.top] = heaviest * (self.groups[self.top] - 1)
        rest = others.sum(axis=-1)
        total = rest + heaviest
        apart = (others * (total[:, np.newaxis] - weight)).sum(axis=-1) + heaviest * rest
        offset = (all_weight * self.away).sum(axis=-1) / total
        squares = self.groups * (self.away - offset[:, np.newaxis]) ** 2 + self.squares
        squares *= weight
        return Sums(
            (self.groups * np.log(variance)).sum(axis=-1),
            total,
            (all_weight * weight).sum(axis=-1),
            apart / total,
            self.origin + offset,
            squares.sum(axis=-1),
            (weight * squares).sum(axis=-1),
        )


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
    _kinds: _Kinds = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Gather the groups of the same precision."""
        object.__setattr__(self, "_kinds", _Kinds.of(self.precision, self.mean))

    @property
    def groups_count(self) -> float:
        """Number of groups."""
        return float(len(self.precision))

    @property
    def reciprocal(self) -> float:
        """Σ1/p."""
        return float((1 / self.precision).sum())

    @property
    def squares(self) -> float:
        """Σ(y - ȳ)² about the plain mean of the means."""
        return float(((self.mean - self.mean.mean()) ** 2).sum())

    @property
    def farthest2(self) -> float:
        """The squared range of the means."""
        return float(self.mean.max() - self.mean.min()) ** 2

    @property
    def largest(self) -> float:
        """The largest mean, its sign aside."""
        return float(np.abs(self.mean).max())

    def at(self, tau2: Any, sigma2: Any = 1.0) -> Sums:
        """Return the sums at arrays of τ² and σ², broadcast."""
        return in_blocks(self._kinds.at, len(self._kinds.precision), tau2, sigma2)

    def log_inflation(self, ratio: Any) -> Floats:
        """Return Σ ln(1 + pρ) at an array of ratios."""
        kinds = self._kinds
        sums = [(kinds.groups * log1p(kinds.precision * r)).sum() for r in np.ravel(ratio)]
        return np.reshape(sums, np.shape(ratio))


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
        Σ ln p over the groups: no polynomial, as the rest of ln(σ²/p + τ²) nearly is.
    reciprocal
        Σ1/p over the groups.
    farthest2
        See :class:`NormalSums`.
    """

    precision: Floats
    mass: Floats
    first: Floats
    second: Floats
    origin: float
    groups_count: float
    log_precision: float
    reciprocal: float
    farthest2: float

    @classmethod
    def of(cls, means: CentredMeans, log_precision: float, reciprocal: float) -> Self:
        """Put binned means on nodes."""
        # The plain mean's own distance from the centre is taken out: it cancels nowhere below.
        count, away, _ = means.histogram.totals()
        centred = means.about(means.origin + away / count)
        precision, weights = centred.histogram.weighing()
        mass, first, second = weights
        return cls(
            precision,
            mass,
            first,
            second,
            centred.origin,
            count,
            log_precision,
            reciprocal,
            # Where a score is positive, the squares about mu of some bin exceed τ² on average.
            4 * centred.histogram.largest_mean(2),
        )

    @property
    def squares(self) -> float:
        """Σ(y - ȳ)² about the plain mean of the means."""
        return max(0.0, float(self.second.sum() - self.first.sum() ** 2 / self.groups_count))

    @property
    def largest(self) -> float:
        """The centre, and how far the means reach from it."""
        return abs(self.origin) + math.sqrt(self.farthest2)

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


def sums_of(pool: MeasuredPool | ObservedPool) -> NormalSums:
    """Return the sums of a pool; of observations they are to be asked with their σ²."""
    if isinstance(pool, MeasuredSummary):
        return NodeSums.of(pool.means, pool.totals.log_precision, pool.totals.variance)
    if isinstance(pool, MomentsSummary):
        return NodeSums.of(pool.means, pool.totals.log_weight, pool.totals.reciprocal_weight)
    kept: Any = pool
    groups: Any = groups_of(kept)
    precision = precision_of(groups) if isinstance(groups, Measured) else groups.weight
    known = precision > 0
    return GroupSums(precision[known], groups.mean[known])


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
