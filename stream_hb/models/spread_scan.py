"""Where the posterior of a pool's spread lies: its whole range is scanned, then refined.

A pool may have two modes (one group far larger than the others), one mode at zero spread, or, with
many groups, one mode a thousandth wide: points are added only where the density is not yet known.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stream_hb.statistics.columns import Floats

LogDensity = Callable[[Floats, Floats], Floats]
"""Log posterior density of (location, log spread), arrays of one shape, up to a constant."""

SPREAD_MAX = 50.0
"""Spreads beyond are left out: on the link scale they say that groups have nothing in common."""

_POINTS = 28
_NATS = 18.0
"""Densities this far below the highest weigh nothing."""

_NATS_FLOOR = 60.0
"""Densities further below are taken for this: they may be -∞, and lines are drawn between them."""

_NATS_APART = 1.2
_LOGS_APART = 0.4
"""Neighbouring points may differ by this much where the density weighs anything."""

_ROUNDS_MAX = 30
_STEPS_MAX = 60
_SD_MAX = 50.0
"""Of the location given the spread, where the density is all but flat."""

_GRID_POINTS, _GRID_ZOOMS = 301, 3
_GRID_REACH, _GRID_LEAST = 5.0, 150.0
"""Of a grid of the location: sds and more that it reaches from the last step's end."""

_STEP_ENOUGH = 0.2
"""Of the climb to the location's mode, in sds: the nodes' weights make up for the rest."""

_FINE = 8
"""Points per interval of the scan when it is integrated."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The posterior of the log spread, with the location's centre and sd at each.

    Attributes
    ----------
    log_spread
        Ascending.
    centre, sd
        Mode of the location given the spread, and its sd by the curvature.
    log_density
        Log density of the log spread with the location integrated (Laplace), up to a constant.
    """

    log_spread: Floats
    centre: Floats
    sd: Floats
    log_density: Floats

    def fine(self) -> tuple[Floats, Floats]:
        """Return points of log spread and their masses (up to a factor) by cubic interpolation."""
        edges = self.log_spread
        near = self.log_density > self.log_density.max() - _NATS
        inside = np.flatnonzero(near[:-1] | near[1:])
        part = (np.arange(_FINE) + 0.5) / _FINE
        width = np.diff(edges)[inside]
        points = (edges[inside, np.newaxis] + width[:, np.newaxis] * part).ravel()
        above = self.at(points, self.log_density) - self.log_density.max()
        density = np.exp(np.minimum(above, _NATS_APART))
        return points, density * np.repeat(width / _FINE, _FINE)

    def location(self, log_spread: Floats) -> tuple[Floats, Floats]:
        """Return the location's centre and sd by lines: the sd then stays between its ends."""
        x = self.log_spread
        sd: Floats = np.exp(np.interp(log_spread, x, np.log(self.sd)))
        return np.interp(log_spread, x, self.centre), sd

    def at(self, log_spread: Floats, values: Floats) -> Floats:
        """Interpolate values at the scan's points by cubics with slopes from the neighbours."""
        x = self.log_spread
        slopes = np.gradient(values, x)
        i = np.clip(np.searchsorted(x, log_spread) - 1, 0, len(x) - 2)
        h = x[i + 1] - x[i]
        u = (log_spread - x[i]) / h
        rise = values[i + 1] - values[i]
        bend = (1 - u) * (h * slopes[i] - rise) - u * (h * slopes[i + 1] - rise)
        out: Floats = values[i] + u * rise + u * (1 - u) * bend
        return out


def scan_spread(
    log_density: LogDensity,
    start: Callable[[Floats], tuple[Floats, Floats]],
    spread_min: float,
    spread_max: float = SPREAD_MAX,
) -> Scan:
    """Scan the spread's whole range and refine where the posterior lies.

    Parameters
    ----------
    log_density
        Log posterior density of (location, log spread).
    start
        A guess of the location's centre and sd at given log spreads.
    spread_min
        The data cannot tell this spread from none.
    spread_max
        Where the prior ends, or what is left out begins.
    """
    t = np.linspace(math.log(spread_min), math.log(spread_max), _POINTS)
    centre, sd = start(t)
    scan = _floored(t, *_climb(log_density, t, centre, sd))
    for _ in range(_ROUNDS_MAX):
        between = _unknown(scan)
        if not len(between):
            break
        scan = _refined(log_density, scan, between)
    return scan


def _floored(log_spread: Floats, centre: Floats, sd: Floats, log_density: Floats) -> Scan:
    floor = log_density.max() - _NATS_FLOOR
    return Scan(log_spread, centre, sd, np.maximum(log_density, floor))


def _unknown(scan: Scan) -> Floats:
    """Return the middles of intervals where the density weighs, and is not yet known."""
    values, t = scan.log_density, scan.log_spread
    ends = np.maximum(values[:-1], values[1:])
    steps, widths = np.abs(np.diff(values)), np.diff(t)
    weighs = ends > values.max() - _NATS
    coarse = ((steps > _NATS_APART) | (widths > _LOGS_APART)) & (widths > 1e-9)
    here = np.flatnonzero(weighs & coarse)
    middles: Floats = (t[here] + t[here + 1]) / 2
    return middles


def _refined(log_density: LogDensity, scan: Scan, t: Floats) -> Scan:
    x = scan.log_spread
    centre, sd, value = _climb(log_density, t, *scan.location(t))
    order = np.argsort(np.concatenate((x, t)))
    return _floored(
        *(
            np.concatenate((old, new))[order]
            for old, new in (
                (x, t),
                (scan.centre, centre),
                (scan.sd, sd),
                (scan.log_density, value),
            )
        )
    )


def _climb(
    log_density: LogDensity, t: Floats, centre: Floats, sd: Floats
) -> tuple[Floats, Floats, Floats]:
    """Step to the location's mode at every spread until no step is long."""
    centre, sd, value = centre.copy(), sd.copy(), np.empty_like(t)
    going = np.arange(len(t))
    for _ in range(_STEPS_MAX):
        moved, new_sd, value[going] = _newton(log_density, t[going], centre[going], sd[going])
        steps = np.abs(moved - centre[going]) / np.maximum(sd[going], new_sd)
        scalings = np.abs(np.log(new_sd / sd[going]))
        centre[going], sd[going] = moved, new_sd
        going = going[np.maximum(steps, scalings) >= _STEP_ENOUGH]
        if not len(going):
            break
    else:
        start = centre[going], sd[going]
        centre[going], sd[going], value[going] = _summed(log_density, t[going], *start)
    return centre, sd, value


def _summed(
    log_density: LogDensity, t: Floats, centre: Floats, sd: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the location's mean, sd and log integral by a grid, where no parabola fits.

    A few events, and a spread under which most groups have none, leave a plateau with a cliff.
    """
    low, high = centre - _GRID_REACH * sd - _GRID_LEAST, centre + _GRID_REACH * sd + _GRID_LEAST
    part = np.linspace(0.0, 1.0, _GRID_POINTS)[:, np.newaxis]
    column = np.arange(len(t))
    for _ in range(_GRID_ZOOMS):
        at = low + (high - low) * part
        value = log_density(at, np.broadcast_to(t, at.shape))
        highest = np.maximum(value.max(axis=0), -np.finfo(np.float64).max)
        near = value > highest - _NATS
        first, last = near.argmax(axis=0), _GRID_POINTS - 1 - near[::-1].argmax(axis=0)
        low = at[np.maximum(first - 1, 0), column]
        high = at[np.minimum(last + 1, _GRID_POINTS - 1), column]
    density = np.exp(value - highest)
    mass = density.sum(axis=0)
    mean = (density * at).sum(axis=0) / mass
    spread = np.sqrt((density * (at - mean) ** 2).sum(axis=0) / mass)
    return mean, spread, highest + np.log(mass * (at[1] - at[0]))


def _newton(
    log_density: LogDensity, t: Floats, centre: Floats, sd: Floats
) -> tuple[Floats, Floats, Floats]:
    """Take one step to the location's mode by a parabola through three points, one sd apart.

    Returns the mode, its sd, and the log of the location's integral by Laplace.
    """
    offsets = np.array([-1.0, 0.0, 1.0])[:, np.newaxis] * sd
    values = log_density(centre + offsets, np.broadcast_to(t, offsets.shape))
    highest = values.max(axis=0)
    nowhere = np.isneginf(highest)
    below, here, above = np.maximum(values, np.where(nowhere, 0.0, highest - _NATS_FLOOR))
    slope, drop = (above - below) / 2, 2 * here - above - below
    # Not concave, or flatter than the guess by far: trust the slope, not the curve.
    drop = np.where(drop > 0.05, drop, 0.05)
    step = np.clip(slope / drop, -3.0, 3.0)
    new_sd = np.minimum(sd / np.sqrt(np.clip(drop, 0.05, 50.0)), _SD_MAX)
    gain = step * slope - step**2 * drop / 2
    value = here + gain + np.log(new_sd) + 0.5 * math.log(2 * math.pi)
    return centre + step * sd, new_sd, np.where(nowhere, -np.inf, value)
