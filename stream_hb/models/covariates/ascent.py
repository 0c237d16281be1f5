"""Newton's method from many starts at once: modes of smooth functions of a few variables."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats

_STEPS_MAX = 100
_STEP_LONGEST = 2.0
_RISE_ENOUGH = 1e-12
_RISE_CLOSE = 1e-3
_SHORTEST = 1e-9
"""Rises in nats that a step promises: where a climb ends, and where a mode is close; and the part
of a step below which no more is tried."""


class Surfaces(NamedTuple):
    """A function at many points: values (n,), gradients (n, d) and Hessians (n, d, d)."""

    value: Floats
    gradient: Floats
    hessian: Floats


class Modes(NamedTuple):
    """Where the climbs ended, shape (n, d), with the surface there."""

    point: Floats
    surface: Surfaces
    converged: NDArray[np.bool_]
    iterations: int


def ascend(
    function: Callable[[Floats], Surfaces], start: Floats, low: Floats, high: Floats
) -> Modes:
    """Climb from every start, shape (n, d), within bounds of shape (d,).

    Curvatures of the wrong sign are turned round, and a step that does not lead higher is halved.
    Close to a mode, where rounding hides what a step gains, a step is good if from its end there
    is less left to gain. The last step is taken after the rise is small enough: it doubles the
    number of correct digits.
    """
    point, here = start, function(start)
    step, rise = _newton(point, here, low, high)
    part = np.ones(len(start))
    going = np.ones(len(start), dtype=bool)
    converged = np.zeros(len(start), dtype=bool)
    iterations = 0
    while going.any() and iterations < _STEPS_MAX:
        iterations += 1
        is_last = rise < _RISE_ENOUGH
        there_point = np.clip(point + (part * going)[:, np.newaxis] * step, low, high)
        there = function(there_point)
        there_step, there_rise = _newton(there_point, there, low, high)
        close = (rise < _RISE_CLOSE) & (there_rise < rise)
        better = going & ((there.value > here.value) | close)
        point, here = _where(better, there_point, point), _merge(better, there, here)
        step, rise = _where(better, there_step, step), np.where(better, there_rise, rise)
        part = np.where(better, 1.0, part / 2)
        stuck = part < _SHORTEST
        converged |= going & (is_last | (stuck & (rise < _RISE_CLOSE)))
        going &= ~(is_last | stuck)
    return Modes(point, here, converged, iterations)


def _newton(point: Floats, here: Surfaces, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return steps with every curvature made positive, and the rises they promise."""
    stopped = ((point <= low) & (here.gradient < 0)) | ((point >= high) & (here.gradient > 0))
    gradient = np.where(stopped, 0.0, here.gradient)
    free = ~stopped[:, :, np.newaxis] & ~stopped[:, np.newaxis, :]
    hessian = np.where(free, -here.hessian, np.eye(point.shape[1]))
    curvature, axes = np.linalg.eigh(hessian)
    size = np.abs(curvature)
    size = np.maximum(size, 1e-10 * size.max(axis=1, keepdims=True) + 1e-300)
    along = np.einsum("nij,ni->nj", axes, gradient) / size
    step = np.einsum("nij,nj->ni", axes, along)
    longest = np.abs(step).max(axis=1, keepdims=True) + 1e-300
    step = step * np.minimum(1.0, _STEP_LONGEST / longest)
    return step, (gradient * step).sum(axis=1)


def _where(rows: NDArray[np.bool_], new: Floats, old: Floats) -> Floats:
    shape = (-1,) + (1,) * (new.ndim - 1)
    return np.where(rows.reshape(shape), new, old)


def _merge(rows: NDArray[np.bool_], new: Surfaces, old: Surfaces) -> Surfaces:
    return Surfaces(*(_where(rows, *pair) for pair in zip(new, old, strict=True)))
