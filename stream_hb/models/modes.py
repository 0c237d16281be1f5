"""The modes of a marginal likelihood in two hyperparameters: a location and a log concentration.

Both families of counts have the same shape of problem: as the concentration grows the groups stop
differing and the likelihood tends to the limit of complete pooling, which may be the supremum. One
group much larger than the others can make the likelihood bimodal, so a climb from one start (or
from the last fit) can end on the wrong mode: the whole range is always scanned first.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple, Protocol, Self

import numpy as np

from stream_hb.statistics.columns import Floats

LOG_CONCENTRATIONS = np.linspace(math.log(1e-3), 16, 60)
"""Where the likelihood is scanned."""

_LOWEST, _HIGHEST = float(LOG_CONCENTRATIONS[0]), 25.0
"""Where climbs are stopped: below, groups have nothing in common; above, they do not differ."""

MOST_BY_MOMENTS = 1e12
"""A concentration beyond it is a rounding's: the groups vary exactly as chance alone makes them."""

_STEPS_MAX = 60
_STEP_LONGEST = 2.0
_RISE_ENOUGH = 1e-12
_RISE_UNSEEN = 1e-6
_RISE_CLOSE = 1e-3
"""Rises of the log-likelihood that a step promises, in nats: where climbs end, what rounding may
hide where counts are huge, and where a mode is close."""


class Surface(NamedTuple):
    """A function of two variables at one point: value, gradient and Hessian."""

    value: float
    gradient: Floats
    hessian: Floats


class Marginal(Protocol):
    """A marginal log-likelihood above complete pooling, in (link of the mean, log concentration).

    It is zero in the limit of an infinite concentration with the pooled mean.
    """

    @property
    def is_flat(self) -> bool:
        """Whether the data say nothing about the concentration."""
        ...

    @property
    def score_at_limit(self) -> float:
        """Derivative in 1/concentration where that is 0; positive means the groups differ."""
        ...

    def condensed(self) -> Self:
        """Return a copy of bounded cost that is about 1e-7 from the exact one."""
        ...

    def ridge(self, log_concentrations: Floats) -> tuple[Floats, Floats]:
        """Return a near-best location for each concentration, and the values there."""
        ...

    def values(self, location: Floats, log_concentration: Floats) -> Floats:
        """Return the values at nodes of any shapes, broadcast against each other.

        Arguments that differ only in some axes are cheaper left unbroadcast: what depends on the
        concentration alone is computed once for each.
        """
        ...

    def surface(self, point: Floats) -> Surface:
        """Return value and derivatives at a point."""
        ...


class Mode(NamedTuple):
    """Where a climb ended."""

    point: Floats
    value: float
    converged: bool
    iterations: int


class Best(NamedTuple):
    """The highest mode, or None where complete pooling is higher; and whether there are two."""

    mode: Mode | None
    bimodal: bool
    iterations: int


def best_mode(marginal: Marginal) -> Best:
    """Scan, climb from every local maximum of the scan, and compare with complete pooling."""
    if marginal.is_flat:
        return Best(None, bimodal=False, iterations=0)
    condensed = marginal.condensed()
    coarse = _distinct(climb(condensed, start) for start in _starts(condensed))
    climbs = [climb(marginal, mode.point) for mode in coarse]
    iterations = sum(mode.iterations for mode in (*coarse, *climbs))
    inside = [mode for mode in _distinct(climbs) if mode.point[1] < _HIGHEST]
    at_limit = marginal.score_at_limit <= 0
    best = max(inside, key=lambda mode: mode.value, default=None)
    if best is not None and best.value <= 0:
        best = None
    return Best(best, bimodal=len(inside) + at_limit > 1, iterations=iterations)


def climb(marginal: Marginal, start: Floats) -> Mode:
    """Climb to a mode by Newton's method; where the surface is not concave, its slope decides."""
    point, here = start, marginal.surface(start)
    step, rise = _ascent(point, here)
    for iteration in range(1, _STEPS_MAX + 1):
        # The step is taken before the stop: the last one doubles the number of correct digits.
        is_last = rise < _RISE_ENOUGH
        higher = _backtrack(marginal, point, here, step, rise)
        if higher is None:
            return Mode(point, here.value, rise < _RISE_UNSEEN, iteration)
        point, here = higher
        if is_last:
            return Mode(point, here.value, True, iteration)
        step, rise = _ascent(point, here)
    return Mode(point, here.value, False, _STEPS_MAX)


def _starts(marginal: Marginal) -> Iterable[Floats]:
    locations, values = marginal.ridge(LOG_CONCENTRATIONS)
    # Beyond the scan the likelihood goes down to the limit only if the score there is positive.
    above = -np.inf if marginal.score_at_limit > 0 else np.inf
    padded = np.concatenate(([-np.inf], values, [above]))
    peaks = (padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:])
    return [np.array([locations[i], LOG_CONCENTRATIONS[i]]) for i in np.flatnonzero(peaks)]


def _distinct(modes: Iterable[Mode]) -> list[Mode]:
    found: list[Mode] = []
    for mode in modes:
        if all(np.abs(mode.point - other.point).max() > 1e-3 for other in found):
            found.append(mode)
    return found


def _ascent(point: Floats, here: Surface) -> tuple[Floats, float]:
    """Return Newton's step with every curvature made positive, and the rise it promises."""
    gradient, hessian = here.gradient, here.hessian
    if _is_stopped(point, gradient):
        gradient, hessian = gradient * [1, 0], hessian * np.eye(2)
    curvature, axes = np.linalg.eigh(-hessian)
    curvature = np.maximum(np.abs(curvature), 1e-10 * np.abs(curvature).max() + 1e-300)
    step = axes @ ((axes.T @ gradient) / curvature)
    step *= min(1.0, _STEP_LONGEST / (np.abs(step).max() + 1e-300))
    return step, float(gradient @ step)


def _is_stopped(point: Floats, gradient: Floats) -> bool:
    """Whether the point is at an end of the range, and the slope leads out of it."""
    at_lowest = point[1] <= _LOWEST and gradient[1] < 0
    return bool(at_lowest or (point[1] >= _HIGHEST and gradient[1] > 0))


def _backtrack(
    marginal: Marginal, point: Floats, here: Surface, step: Floats, rise: float
) -> tuple[Floats, Surface] | None:
    """Halve the step until it leads higher; None where no part of it does.

    Close to a mode the value's own rounding hides what a step gains, and the gradient is the
    better witness: the step is good if from its end there is less left to gain.
    """
    while True:
        there = point + step
        there[1] = min(max(there[1], _LOWEST), _HIGHEST)
        surface = marginal.surface(there)
        if surface.value > here.value:
            return there, surface
        if rise < _RISE_CLOSE and _ascent(there, surface)[1] < rise:
            return there, surface
        step, rise = step / 2, rise / 2
        if rise < _RISE_ENOUGH / 16:
            return None
