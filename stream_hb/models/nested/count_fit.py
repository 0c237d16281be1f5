"""Maximum marginal likelihood of counts in regions in a chain.

The likelihood is profiled: over the location by Newton's method, over the spread between regions ω
and, outermost, over the spread between stores s by bounded searches from the best points of scans
that include zero. No other program known to us has this model (glmer's and glmmTMB's random effects
are both on the link scale), so its reference is the dense likelihood.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from stream_hb.models.nested.count_grid import COARSE_KNOTS, FINE_KNOTS, CountPool, Located, locate
from stream_hb.models.nested.count_stores import LEAST_SPREAD
from stream_hb.models.nested.region_table import RegionTable
from stream_hb.statistics.columns import Floats

_SCAN = np.concatenate(([0.0], np.geomspace(1e-3, 10.0, 17)))
_CLOSE = 1e-5
_FLAT = 1e-9
"""A maximum that is no higher than this above zero spread is the boundary."""


class Maximum(NamedTuple):
    """Where the marginal likelihood is highest, and the table there."""

    spread_store: float
    spread_region: float
    located: Located
    table: RegionTable
    bimodal: bool
    iterations: int


class _Profile(NamedTuple):
    omega: float
    height: float


def maximise(pool: CountPool) -> Maximum:
    """Return the maximum over the location and both spreads; a spread of 0 is a boundary."""
    steps = 0

    def depth(log_spread: float) -> float:
        nonlocal steps
        steps += 1
        return -_over_regions(pool, pool.table(math.exp(log_spread), FINE_KNOTS)).height

    scanned = np.array([_scan_regions(pool, pool.table(s, COARSE_KNOTS)).max() for s in _SCAN])
    peaks = _peaks(scanned)
    ends = [_bounded(depth, i) for i in peaks]
    best, top = max(ends, key=lambda end: end[1])
    none = pool.table(0.0, FINE_KNOTS)
    if top <= _over_regions(pool, none).height + _FLAT:
        best = 0.0
    table = pool.table(best, FINE_KNOTS) if best > 0 else none
    omega = _over_regions(pool, table).omega
    located = locate(pool, table, np.array([omega]))
    return Maximum(best, omega, located, table, len(peaks) > 1, steps)


def _scan_regions(pool: CountPool, table: RegionTable) -> Floats:
    return locate(pool, table, _omegas(pool)).height


def _omegas(pool: CountPool) -> Floats:
    """Return the scan of ω; 0 alone where regions cannot be told from stores."""
    return _SCAN if pool.layout.tells_apart else _SCAN[:1]


def _over_regions(pool: CountPool, table: RegionTable) -> _Profile:
    """Maximise over ω."""
    scanned = locate(pool, table, _omegas(pool))
    best = int(scanned.height.argmax())
    if best == 0:
        return _Profile(0.0, float(scanned.height[0]))
    start = scanned.eta[best : best + 1]

    def depth(log_omega: float) -> float:
        return -float(locate(pool, table, np.array([math.exp(log_omega)]), start).height[0])

    omega, height = _bounded(depth, best)
    if height <= scanned.height[0] + _FLAT:
        return _Profile(0.0, float(scanned.height[0]))
    return _Profile(omega, height)


def _bounded(depth: Callable[[float], float], index: int) -> tuple[float, float]:
    """Minimise over the logarithm of a spread between a scan's neighbours of its best point."""
    low = math.log(_SCAN[index - 1]) if index > 1 else math.log(LEAST_SPREAD)
    high = math.log(_SCAN[min(index + 1, len(_SCAN) - 1)])
    found = minimize_scalar(depth, bounds=(low, high), method="bounded", options={"xatol": _CLOSE})
    return math.exp(float(found.x)), -float(found.fun)


def _peaks(values: Floats) -> list[int]:
    """Return the points of a scan that are higher than both of their neighbours."""
    padded = np.concatenate(([-np.inf], values, [-np.inf]))
    rises, falls = values > padded[:-2] + _FLAT, values >= padded[2:] - _FLAT
    rises[0] = True
    return [int(i) for i in np.flatnonzero(rises & falls)]
