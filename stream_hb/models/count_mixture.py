"""Posteriors of groups of counts when the hyperparameters are nodes with weights.

Given a node, a group's posterior is conjugate: its mean lies between raw and prior mean with the
weight B = c/(c + size) on the latter, c the prior's size. A row of nodes is one kernel of the
mixture, the one with the row's own mean and variance; rows of one node are exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from stream_hb.models.distinct import once_each
from stream_hb.models.family import Posterior
from stream_hb.models.mixture import CELLS_MAX, Kernels, down, mixture_quantile
from stream_hb.models.pool import ratio
from stream_hb.statistics.columns import Floats

K = TypeVar("K", bound=Kernels)


@dataclass(frozen=True, slots=True)
class Moments:
    """What integration says of every group without any root: one row per group.

    Attributes
    ----------
    weight, pooled, mean, sd
        As in the posterior.
    kernel_mean, kernel_variance
        Of each row of nodes, shape (rows, groups).
    """

    weight: Floats
    pooled: Floats
    mean: Floats
    sd: Floats
    kernel_mean: Floats
    kernel_variance: Floats


@dataclass(frozen=True, slots=True)
class CountMixture(Generic[K]):
    """A family's nodes.

    Attributes
    ----------
    location, size, weight
        Prior mean, prior size c (trials or exposure) and weight of each node, shape (rows, I).
    variance
        Variance of a group's parameter given its posterior mean and size.
    match
        The kernels with given means and variances.
    """

    location: Floats
    size: Floats
    weight: Floats
    variance: Callable[[Floats, Floats], Floats]
    match: Callable[[Floats, Floats], K]

    def moments(self, total: Floats, size: Floats) -> Moments:
        """Return the moments of groups with these totals (successes, events) and sizes."""
        shape = (self.weight.size, 1)
        weight, location, prior = (
            values.reshape(shape) for values in (self.weight, self.location, self.size)
        )
        given_weight = prior / (prior + size)
        given_mean = (prior * location + total) / (prior + size)
        given_variance = self.variance(given_mean, prior + size)
        on_pool = down(weight * given_weight)
        pooled = down(weight * given_weight * location) / on_pool
        on_pool = np.where(size > 0, np.minimum(on_pool, 1.0), 1.0)
        raw = np.divide(total, size, out=pooled.copy(), where=size > 0)
        mean = (1 - on_pool) * raw + on_pool * pooled
        kernel_mean, kernel_variance = self._rows(given_mean, given_variance)
        share = self.weight.sum(axis=1)[:, np.newaxis]
        variance = down(share * (kernel_variance + (kernel_mean - mean) ** 2))
        return Moments(on_pool, pooled, mean, np.sqrt(variance), kernel_mean, kernel_variance)

    def posterior(
        self, total: Floats, size: Floats, level: float, natural: Callable[[Floats], Floats]
    ) -> Posterior:
        """Return every group's posterior; ``natural`` undoes the kernels' scale."""

        def work(total: Floats, size: Floats) -> Iterator[Floats]:
            parts = [
                self._part(total[some], size[some], level, natural)
                for some in self._chunks(len(total))
            ]
            return (np.concatenate(column) for column in zip(*parts, strict=True))

        return Posterior(ratio(total, size), *once_each(work, total, size))

    def screen(self, total: Floats, size: Floats) -> tuple[Floats, Floats]:
        """Return posterior means and sds."""

        def work(total: Floats, size: Floats) -> tuple[Floats, Floats]:
            parts = [self.moments(total[some], size[some]) for some in self._chunks(len(total))]
            return np.concatenate([m.mean for m in parts]), np.concatenate([m.sd for m in parts])

        mean, sd = once_each(work, total, size)
        return mean, sd

    def tail_probability(self, total: Floats, size: Floats, above: float) -> Floats:
        """Return each group's probability above a value on the kernels' scale."""
        share = self.weight.sum(axis=1)[:, np.newaxis]
        parts = []
        for some in self._chunks(len(total)):
            at = np.full(len(total[some]), above)
            parts.append(down(share * self.kernels(total[some], size[some]).tail(at, True)))
        # The kernels' weights add up to 1 but for the last digit.
        return np.minimum(np.concatenate(parts), 1.0)

    def kernels(self, total: Floats, size: Floats) -> K:
        """Return every group's kernels, one per row of nodes."""
        moments = self.moments(total, size)
        return self.match(moments.kernel_mean, moments.kernel_variance)

    def ends(self, total: Floats, size: Floats, level: float) -> tuple[Floats, Floats]:
        """Return both ends of every group's interval on the kernels' scale."""
        return self._ends(self.moments(total, size), level)

    def _ends(self, moments: Moments, level: float) -> tuple[Floats, Floats]:
        share, tail = self.weight.sum(axis=1), (1 - level) / 2
        matched = self.match(moments.mean[np.newaxis], moments.sd[np.newaxis] ** 2)
        if len(share) == 1:
            return matched.quantile(tail, False)[0], matched.quantile(tail, True)[0]
        kernels = self.match(moments.kernel_mean, moments.kernel_variance)
        return (
            mixture_quantile(kernels, share, matched, tail, False),
            mixture_quantile(kernels, share, matched, tail, True),
        )

    def _part(
        self, total: Floats, size: Floats, level: float, natural: Callable[[Floats], Floats]
    ) -> tuple[Floats, ...]:
        moments = self.moments(total, size)
        lo, hi = self._ends(moments, level)
        return moments.pooled, moments.weight, moments.mean, moments.sd, natural(lo), natural(hi)

    def _rows(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Return mean and variance of each row's mixture of nodes."""
        rows, columns = self.weight.shape
        if columns == 1:
            return mean, variance
        share = self.weight / self.weight.sum(axis=1, keepdims=True)
        share = share[:, :, np.newaxis]
        means, variances = (v.reshape(rows, columns, -1) for v in (mean, variance))
        centre = down(share * means, axis=1)
        away = means - centre[:, np.newaxis]
        return centre, down(share * (variances + away**2), axis=1)

    def _chunks(self, length: int) -> Iterator[slice]:
        step = max(1, CELLS_MAX // self.weight.size)
        for start in range(0, max(length, 1), step):
            yield slice(start, start + step)
