"""Predictions of counts: mixtures over what a fit leaves open, summed over the counts themselves.

Where probability lies, within 18 nats of it, every count's mass follows from its neighbour's; what
is left out is less than 1e-6. Where that would be more than 2,048 counts, the mixture's kernels are
taken for continuous ones with their mean and variance, with half a count's correction. The log
score stays exact; from .3 prior successes on the PIT errs by less than .001, the CRPS by .5 %, and
quantiles by two counts (tests/feeds/calibration/test_lattice.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from scipy.special import logsumexp

from stream_hb.feeds.calibration.scores import Scores
from stream_hb.statistics.columns import Floats, Rows

WIDEST = 2_048
"""Counts that are summed one by one."""

_CELLS_MAX = 1 << 13
_NATS = 18.0
_FAR_BELOW = -600.0
"""A kernel's log mass at the window's start under which products from there would be 0."""

_LEAST_WEIGHT = 1e-7
_POINTS = 193
_STEPS = np.linspace(0.0, 1.0, _POINTS)
_DENSE_AT_ENDS = _STEPS**3 * (10 - 15 * _STEPS + 6 * _STEPS**2)
"""Where distribution functions are looked at: of less than one prior success, steepest at 0."""

_BISECTIONS = 60

_FEW = 128
"""Counts below it are summed one by one in any window: where a kernel has less than one prior
success, a continuous one is off by .016 at a count of 1 (its density is infinite at 0)."""


class CountKernels(Protocol):
    """Distributions of counts, shape (kernels, groups)."""

    @property
    def highest(self) -> Floats:
        """The most there can be, shape (groups,)."""
        ...

    def take(self, columns: Any) -> Self:
        """Return the given groups."""
        ...

    def mean(self) -> Floats:
        """Return the means."""
        ...

    def variance(self) -> Floats:
        """Return the variances."""
        ...

    def tail_scale(self) -> Floats:
        """Return how far one nat of probability reaches in the exponential part of the tails."""
        ...

    def log_mass(self, k: Floats) -> Floats:
        """Return the log mass at one count a group."""
        ...

    def ratios(self, k: Floats) -> Floats:
        """Return p(k + 1)/p(k) at counts (groups, W), shape (kernels, groups, W)."""
        ...

    def smooth(self, x: Floats) -> tuple[Floats, Floats]:
        """Return P(X ≤ x) and E[X; X ≤ x] of a continuous stand-in, shape (kernels, groups, N)."""
        ...


class Window(NamedTuple):
    """Where some groups' counts are summed.

    rows
        The groups.
    start
        The first count of each.
    log_start
        The kernels' log masses there, shape (kernels, groups).
    width
        How many counts, of all of them; more than ``WIDEST``: they are not summed.
    """

    rows: Rows
    start: Floats
    log_start: Floats
    width: int


@dataclass(frozen=True, slots=True)
class CountPredictive:
    """One mixture of counts a group.

    Attributes
    ----------
    kernels
        Shape (kernels, groups).
    weight
        Of the kernels, sum 1.
    """

    kernels: CountKernels
    weight: Floats

    def __len__(self) -> int:
        return len(self.kernels.highest)

    def mean(self) -> Floats:
        """Return the expected counts."""
        mean: Floats = self.weight @ self.kernels.mean()
        return mean

    def log_score(self, y: Floats) -> Floats:
        """Return ln p(y) of every group's count."""
        log_mass = self.kernels.log_mass(y)
        if len(self.weight) == 1:
            only: Floats = log_mass[0]
            return only
        with np.errstate(divide="ignore"):
            log_weight = np.log(self.weight)[:, np.newaxis]
        out: Floats = logsumexp(log_weight + log_mass, axis=0)
        return out

    def scores(self, y: Floats) -> Scores:
        """Score every group's count."""
        out = Scores.unknown(len(self))
        log_score = self.log_score(y)
        for window in self._windows():
            rows = window.rows
            some = CountPredictive(self.kernels.take(rows), self.weight)
            if window.width > WIDEST:
                below, crps = some._smoothly(y[rows])
            else:
                below, crps = some._summed(y[rows], window)
            mass = np.minimum(np.exp(log_score[rows]), 1 - below)
            out.put(rows, Scores(below, mass, log_score[rows], crps))
        return out

    def distribution(self, k: Floats) -> Floats:
        """Return P(Y ≤ k)."""
        return self.scores(k + 1.0).below

    def quantile(self, probability: float) -> Floats:
        """Return the least count that is not exceeded with at least this probability."""
        out = np.zeros(len(self))
        for window in self._windows():
            some = CountPredictive(self.kernels.take(window.rows), self.weight)
            if window.width > WIDEST:
                out[window.rows] = some._smooth_quantile(probability)
            else:
                out[window.rows] = some._summed_quantile(probability, window)
        return out

    def _range(self) -> tuple[Floats, Floats]:
        """Return the first count and the number of counts that hold all but 1e-6 of each group.

        Bernstein's inequality with the tails' own scale, of every kernel that weighs anything.
        """
        some = self.weight > _LEAST_WEIGHT
        mean = self.kernels.mean()[some]
        reach = np.sqrt(2 * _NATS * self.kernels.variance()[some])
        reach += _NATS * self.kernels.tail_scale()[some]
        low = np.maximum(np.floor((mean - reach).min(axis=0)), 0.0)
        high = np.minimum(np.ceil((mean + reach).max(axis=0)), self.kernels.highest)
        return low, high - low + 1

    def _windows(self) -> Iterator[Window]:
        """Yield groups with ranges of about one width together."""
        start, widths = self._range()
        # Of all groups at once: called for every window it would cost more than the sums.
        log_start = self.kernels.log_mass(start)
        order = np.argsort(widths, kind="stable")
        # What predicts nothing (a belief of NaN) has no window, and its scores stay unknown.
        order = order[np.isfinite(widths[order])]
        sorted_widths = widths[order]
        first = 0
        while first < len(order):
            # Narrow ones first: as many as fit with the width of the last of them.
            widest = min(float(sorted_widths[first]) * 1.25 + 8, WIDEST)
            wide = sorted_widths[first] > WIDEST
            cells = len(self.weight) * (_POINTS if wide else widest)
            last = min(first + max(1, int(_CELLS_MAX // cells)), len(order))
            if not wide:
                last = min(last, int(np.searchsorted(sorted_widths, widest, side="right")))
            rows = order[first:last]
            width = WIDEST + 1 if wide else int(sorted_widths[last - 1])
            yield Window(rows, start[rows], log_start[:, rows], width)
            first = last

    def _cells(self, window: Window) -> Floats:
        """Return the mixture's masses from each group's start on, shape (groups, width)."""
        log_start, width = window.log_start, window.width
        k = window.start[:, np.newaxis] + np.arange(width - 1.0)
        ratios = self.kernels.ratios(k)
        cells = np.empty((*log_start.shape, width))
        if log_start.min(initial=0.0) < _FAR_BELOW:
            cells[..., 0] = log_start
            with np.errstate(divide="ignore"):
                np.log(ratios, out=cells[..., 1:])
            np.exp(np.cumsum(cells, axis=-1, out=cells), out=cells)
        else:
            cells[..., 0] = np.exp(log_start)
            cells[..., 1:] = ratios
            np.multiply.accumulate(cells, axis=-1, out=cells)
        if len(self.weight) == 1:
            only: Floats = cells[0]
            return only
        mixed: Floats = np.einsum("k,kgw->gw", self.weight, cells)
        return mixed

    def _summed(self, y: Floats, window: Window) -> tuple[Floats, Floats]:
        """Return P(Y < y) and the CRPS by summation."""
        cumulative, width = self._cells(window).cumsum(axis=-1), window.width
        place = y - window.start
        last = np.clip(place - 1, 0, width - 1).astype(np.intp)[:, np.newaxis]
        below = np.where(place > 0, np.take_along_axis(cumulative, last, axis=-1)[:, 0], 0.0)
        cumulative -= np.arange(width) >= place[:, np.newaxis]
        crps = np.einsum("gw,gw->g", cumulative, cumulative)
        outside = np.maximum(-place, 0.0) + np.maximum(place - width, 0.0)
        return np.minimum(below, 1.0), crps + outside

    def _summed_quantile(self, probability: float, window: Window) -> Floats:
        cumulative = self._cells(window).cumsum(axis=-1)
        # What lies outside of the window is not there to be found.
        wanted = np.minimum(probability, cumulative[:, -1] * (1 - 1e-12))
        short = (cumulative < wanted[:, np.newaxis]).sum(axis=-1)
        found: Floats = np.minimum(window.start + short, self.kernels.highest)
        return found

    def _smoothly(self, y: Floats) -> tuple[Floats, Floats]:
        """Return P(Y < y) and the CRPS of the continuous stand-ins.

        CRPS = E|Y - y| - ∫F(1 - F), the first from partial means, the second by trapezoids.
        """
        at = y[:, np.newaxis]
        below, part = (self._mixed(values)[:, 0] for values in self.kernels.smooth(at))
        less = self._mixed(self.kernels.smooth(at - 0.5)[0])[:, 0]
        apart = y * (2 * below - 1) + self.mean() - 2 * part
        low, width = self._range()
        x = low[:, np.newaxis] + (width - 1)[:, np.newaxis] * _DENSE_AT_ENDS
        f = self._mixed(self.kernels.smooth(x)[0])
        spread = np.trapezoid(f * (1 - f), x, axis=-1)
        return self._summed_where_few(y, less), np.maximum(apart - spread, 0.0)

    def _summed_where_few(self, y: Floats, less: Floats) -> Floats:
        """Return P(Y < y), by summation where y is a few."""
        few = np.flatnonzero(y <= _FEW)
        if not len(few):
            return less
        some = CountPredictive(self.kernels.take(few), self.weight)
        start = np.zeros(len(few))
        cells = some._cells(Window(few, start, some.kernels.log_mass(start), _FEW))
        fewer = np.arange(_FEW) < y[few, np.newaxis]
        out = less.copy()
        out[few] = np.where(fewer, cells, 0.0).sum(axis=-1)
        return out

    def _smooth_quantile(self, probability: float) -> Floats:
        low, width = self._range()
        high = low + width
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            f = self._mixed(self.kernels.smooth(middle[:, np.newaxis])[0])[:, 0]
            low, high = (
                np.where(f < probability, middle, low),
                np.where(f < probability, high, middle),
            )
        return np.ceil(high - 0.5)

    def _mixed(self, values: Floats) -> Floats:
        mixed: Floats = np.tensordot(self.weight, values, axes=(0, 0))
        return mixed
