"""Quantiles of many mixtures at once: each a few kernels with weights that all groups share."""

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats, Rows

CELLS_MAX = 2**16
"""Kernels × groups held at once."""

FARTHEST = 700.0
"""No t lies beyond: logarithms and logits there are not told from it in natural units."""

_STEPS_MAX = 60
_STEPS_SHORT, _STEP_MAX = 8, 4.0
"""So many steps are of this length at most, each further one may be twice as long as the last: a
kernel with the mixture's moments starts far off where these are those of its tail alone."""

_STEP_ENOUGH = 0.02
"""Newton's last step, in units of the tail's own scale; the error left is about its square."""


class Kernels(Protocol):
    """Distributions of one kind, shape (kernels, groups), on a scale t where they have tails."""

    def take(self, columns: Rows) -> Self:
        """Return the given groups."""
        ...

    def tail(self, t: Floats, upper: bool) -> Floats:
        """Return each kernel's probability below (or above) t, one t per group."""
        ...

    def slope(self, t: Floats) -> Floats:
        """Return each kernel's density in t."""
        ...

    def quantile(self, probability: float, upper: bool) -> Floats:
        """Return the t with this probability below (or above) it."""
        ...


def down(values: Floats, axis: int = 0) -> Floats:
    """Return the sum over kernels of arrays whose last axis is the groups.

    NumPy adds up one group's kernels in pairs and many groups' one after the other: here a group
    alone has the same bits as beside others.
    """
    total: Floats
    if values.shape[-1] > 1:
        total = np.add.reduce(values, axis=axis)
    else:
        total = np.add.accumulate(values, axis=axis).take(-1, axis=axis)
    return total


def mixture_quantile(
    kernels: Kernels, weight: Floats, matched: Kernels, probability: float, upper: bool
) -> Floats:
    """Return each group's t with the given probability below (or above) it.

    Newton's method on the logarithm of the tail, which is nearly concave in t, between brackets
    that close; it starts at the quantile of one kernel with the mixture's mean and variance.

    Parameters
    ----------
    kernels
        Shape (kernels, groups).
    weight
        Of the kernels, sum 1.
    matched
        One kernel per group, shape (1, groups).
    probability
        Of the tail, in (0, 1).
    upper
        Whether the tail lies above.
    """
    out: Floats = matched.quantile(probability, upper)[0]
    below, above = np.full(len(out), -np.inf), np.full(len(out), np.inf)
    active = np.arange(len(out))
    column = weight[:, np.newaxis]
    for count in range(_STEPS_MAX):
        t = out[active]
        longest = _STEP_MAX * 2.0 ** max(0, count - _STEPS_SHORT)
        tail = down(column * kernels.tail(t, upper))
        slope = down(column * kernels.slope(t))
        short = (tail > probability) if upper else (tail < probability)
        below[active] = np.where(short, t, below[active])
        above[active] = np.where(short, above[active], t)
        ends = below[active], above[active]
        out[active], is_last = _newton(t, tail, slope, probability, upper, longest, *ends)
        going = np.flatnonzero(~is_last)
        if not len(going):
            break
        active, kernels = active[going], kernels.take(going)
    return out


def _newton(
    t: Floats,
    tail: Floats,
    slope: Floats,
    probability: float,
    upper: bool,
    longest: float,
    below: Floats,
    above: Floats,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the next points, inside their brackets, and whether each is the last."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rise = np.log(probability) - np.log(tail)
        newton = tail / slope * (-rise if upper else rise)
        # In units of the tail's own scale, where its logarithm changes by one.
        is_close = np.abs(rise) <= _STEP_ENOUGH * np.minimum(1.0, (1 - tail) / tail)
        middle = (below + above) / 2
    outward = np.where((tail < probability) != upper, longest, -longest)
    step = np.clip(np.where(np.isfinite(newton), newton, outward), -longest, longest)
    moved = t + step
    # Where no float64 lies between, or one side was never seen, the point is as good as any.
    middle = np.where(np.isfinite(middle), middle, t)
    is_outside = (moved <= below) | (moved >= above)
    moved = np.clip(np.where(is_outside, middle, moved), -FARTHEST, FARTHEST)
    # Between kernels that lie apart no slope tells where to: the point is close, and stays.
    moved = np.where(is_close & (is_outside | (step != newton)), t, moved)
    return moved, is_close | (moved == t)
