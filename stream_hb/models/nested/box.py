"""Quadrature over two spreads: where their posterior lies, and Gauss-Legendre nodes in there."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats

LogDensity = Callable[[Floats, Floats], Floats]
"""Log density of two spreads at many points, arrays of one length."""

_DEPTH_NATS = 14.0
_FIRST_SCAN, _SCAN = 25, 11
_ENOUGH_LIVE = 6
_ZOOMS_MAX = 12


class Axis(NamedTuple):
    """One spread's coordinate: s = scale·sinh(u), linear near zero and logarithmic far out."""

    scale: float
    lowest: float
    highest: float

    def spread(self, u: Floats) -> Floats:
        """Return the spread at a coordinate."""
        s: Floats = self.scale * np.sinh(u)
        return s

    def log_jacobian(self, u: Floats) -> Floats:
        """Return ln ds/du."""
        log: Floats = np.log(self.scale * np.cosh(u))
        return log

    @classmethod
    def up_to(cls, scale: float, highest: float) -> "Axis":
        """Return the whole axis from zero to a spread."""
        return cls(scale, 0.0, float(np.arcsinh(highest / scale)))


class SpreadNodes(NamedTuple):
    """Nodes of two spreads with the log of their quadrature weights, arrays of one length."""

    first: Floats
    second: Floats
    log_weight: Floats


def spread_nodes(
    log_density: LogDensity, first: Axis, second: Axis, counts: tuple[int, int]
) -> SpreadNodes:
    """Return Gauss-Legendre nodes over the box within 14 nats of the density's maximum."""
    box = _zoom(log_density, first, second)
    u, log_u = _legendre(box[0], counts[0])
    v, log_v = _legendre(box[1], counts[1])
    first_u, second_v = (grid.ravel() for grid in np.meshgrid(u, v, indexing="ij"))
    log_weight = (log_u[:, np.newaxis] + log_v).ravel()
    return SpreadNodes(box[0].spread(first_u), box[1].spread(second_v), log_weight)


def _legendre(axis: Axis, count: int) -> tuple[Floats, Floats]:
    x, weight = np.polynomial.legendre.leggauss(count)
    half = (axis.highest - axis.lowest) / 2
    u = axis.lowest + half * (1 + x)
    return u, np.log(half * weight) + axis.log_jacobian(u)


def _zoom(log_density: LogDensity, first: Axis, second: Axis) -> tuple[Axis, Axis]:
    """Narrow the box until enough of each side's grid is within reach of the maximum."""
    points = _FIRST_SCAN
    for _ in range(_ZOOMS_MAX):
        sides = [np.linspace(axis.lowest, axis.highest, points) for axis in (first, second)]
        u, v = (grid.ravel() for grid in np.meshgrid(*sides, indexing="ij"))
        values = log_density(first.spread(u), second.spread(v))
        values = values + first.log_jacobian(u) + second.log_jacobian(v)
        live = (values > values.max() - _DEPTH_NATS).reshape(points, points)
        spans = [np.flatnonzero(live.any(axis=1 - side)) for side in (0, 1)]
        first, second = (
            _around(axis, side, span)
            for axis, side, span in zip((first, second), sides, spans, strict=True)
        )
        if min(len(span) for span in spans) >= _ENOUGH_LIVE:
            break
        points = _SCAN
    return first, second


def _around(axis: Axis, side: Floats, span: NDArray[np.intp]) -> Axis:
    """Keep what is live and one step on both sides."""
    low, high = max(int(span[0]) - 1, 0), min(int(span[-1]) + 1, len(side) - 1)
    return axis._replace(lowest=float(side[low]), highest=float(side[high]))
