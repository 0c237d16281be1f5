"""The highest point of a likelihood in two variances that may be zero.

The scan covers the whole quadrant, both edges included; from each of its peaks a bounded climb
follows the analytic gradient, and Newton's method in the logarithms of the variances that stayed
above zero takes it to the last digits.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from stream_hb.models.profile import shape_of
from stream_hb.statistics.columns import Floats

ScanFunction = Callable[[Floats, Floats], Floats]
"""Values at many points: both variances, arrays of one length."""

PointFunction = Callable[[Floats], tuple[float, Floats]]
"""Value and gradient at one point of shape (2,)."""

_SCAN_POINTS = 14
_NEWTON_STEPS = 8
_WAY_POINTS = 17
_DIFFERENCE = 1e-4
_NEGLIGIBLE = 1e-9
"""A variance below this share of the smallest that is scanned is zero."""


class Summit(NamedTuple):
    """Where a likelihood in two variances is highest."""

    at: Floats
    bimodal: bool
    iterations: int


class Range(NamedTuple):
    """Where one variance is scanned: below ``lowest`` it is as good as zero."""

    lowest: float
    highest: float
    free: bool = True

    @property
    def points(self) -> Floats:
        """The scan: zero and a geometric grid; zero alone for a variance that is not free."""
        grid = np.geomspace(self.lowest, self.highest, _SCAN_POINTS)
        return np.concatenate(([0.0], grid if self.free else []))


def highest_summit(many: ScanFunction, one: PointFunction, ranges: tuple[Range, Range]) -> Summit:
    """Return the highest point of the quadrant."""
    first, second = (scanned.points for scanned in ranges)
    grid = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
    values = many(grid[:, 0], grid[:, 1]).reshape(len(first), len(second))
    starts = grid.reshape(len(first), len(second), 2)[_peaks(values)]
    ends: list[Floats] = []
    iterations = 0
    for start in starts:
        found, steps = _climb(one, start, ranges)
        ends += found
        iterations += steps
    heights = [one(end)[0] for end in ends]
    best = ends[int(np.argmax(heights))]
    distinct = [end for end in ends if np.abs(np.sqrt(end) - np.sqrt(best)).max() > _apart(ranges)]
    return Summit(best, bimodal=bool(distinct), iterations=iterations)


def _apart(ranges: tuple[Range, Range]) -> float:
    return 1e-2 * float(np.sqrt(min(scanned.lowest for scanned in ranges)))


def _peaks(values: Floats) -> Floats:
    """Mark the points of a grid that are as high as all of their neighbours."""
    padded = np.pad(values, 1, constant_values=-np.inf)
    rows, columns = values.shape
    around = [
        padded[1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    ]
    peaks: Floats = values >= np.max(around, axis=0)
    return peaks


def _climb(
    one: PointFunction, start: Floats, ranges: tuple[Range, Range]
) -> tuple[list[Floats], int]:
    """Return the end of the climb, and a higher edge besides if that is another mode's."""
    if not any(scanned.free for scanned in ranges):
        return [start], 0
    lowest = np.array([scanned.lowest for scanned in ranges])
    scale = np.maximum(start, lowest)
    bounds = [(0.0, None if scanned.free else 0.0) for scanned in ranges]

    def downhill(x: Floats) -> tuple[float, Floats]:
        value, gradient = one(x * scale)
        return -value, -gradient * scale

    found = minimize(
        downhill,
        start / scale,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 200},
    )
    end = np.where(found.x * scale > _NEGLIGIBLE * lowest, found.x * scale, 0.0)
    candidates = [_polish(one, end)]
    # An edge that is as high is the simpler answer: rounding may have kept the climb off it.
    candidates += [_polish(one, edge) for edge in _edges(end)]
    best = max(candidates, key=lambda point: one(point)[0])
    if _is_parted(one, candidates[0], best):
        return [candidates[0], best], int(found.nit)
    return [best], int(found.nit)


def _is_parted(one: PointFunction, end: Floats, edge: Floats) -> bool:
    """Return whether the way between two points goes through a valley."""
    if (end == edge).all():
        return False
    shares = np.linspace(0, 1, _WAY_POINTS)[:, np.newaxis]
    way = ((1 - shares) * np.sqrt(edge) + shares * np.sqrt(end)) ** 2
    return shape_of(np.array([one(point)[0] for point in way])).bimodal


def _edges(point: Floats) -> list[Floats]:
    """Return the point with each of its positive variances set to zero."""
    edges = [point * keep for keep in (np.array([0.0, 1.0]), np.array([1.0, 0.0]))]
    return [edge for edge in edges if (edge != point).any()]


def _polish(one: PointFunction, point: Floats) -> Floats:
    """Take Newton's steps in the logarithms of the positive variances while they help."""
    free = point > 0
    if not free.any():
        return point

    def log_gradient(logs: Floats) -> Floats:
        moved = point.copy()
        moved[free] = np.exp(logs)
        slope: Floats = (one(moved)[1] * moved)[free]
        return slope

    logs = np.log(point[free])
    here = log_gradient(logs)
    for _ in range(_NEWTON_STEPS):
        step = _newton_step(log_gradient, logs, here)
        there = log_gradient(logs + step)
        if not np.abs(there).max() < np.abs(here).max():
            break
        logs, here = logs + step, there
    out = point.copy()
    out[free] = np.exp(logs)
    return out


def _newton_step(gradient: Callable[[Floats], Floats], at: Floats, slope: Floats) -> Floats:
    """Return Newton's step, the Hessian by central differences; none where it is not concave."""
    shifts = _DIFFERENCE * np.eye(len(at))
    hessian = np.array([gradient(at + h) - gradient(at - h) for h in shifts]) / (2 * _DIFFERENCE)
    hessian = (hessian + hessian.T) / 2
    if np.linalg.eigvalsh(hessian).max() >= 0:
        return np.zeros_like(at)
    step: Floats = np.clip(-np.linalg.solve(hessian, slope), -0.5, 0.5)
    return step
