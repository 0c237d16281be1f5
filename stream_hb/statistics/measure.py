"""A measure on the line: the values a likelihood sums over, each with its weight, once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.statistics.columns import Floats, sum_by_row
from stream_hb.statistics.quadrature import two_nodes

_BINS_PER_DECADE = 16
_ENOUGH = 128
_ONE_WITHIN = 1e-9
"""A node of a histogram that stands for ones may be this far from them, by rounding."""

_CELLS_MAX = 2**17
"""Function values held at once: more than these leave the processor's cache."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Positive values, ascending and distinct, with weights.

    Attributes
    ----------
    x
        The values.
    weight
        How often (or with what weight) each occurs.

    Examples
    --------
    >>> Measure.of(np.array([2.0, 0.0, 5.0, 2.0]))
    Measure(x=array([2., 5.]), weight=array([2., 1.]))
    """

    x: Floats
    weight: Floats

    @classmethod
    def of(cls, x: Floats, weight: Floats | None = None) -> Self:
        """Gather equal values; those at zero or without weight add nothing and are left out."""
        weight = np.ones(len(x)) if weight is None else weight
        counts = (x > 0) & (weight > 0)
        values, rows = np.unique(x[counts], return_inverse=True)
        return cls(values, sum_by_row(rows, weight[counts], len(values)))

    def total(self, values: Floats) -> Floats:
        """Integrate a function given by its values along the last axis."""
        # Not `@`: the sum is as fast, loses fewer digits and starts no threads.
        total: Floats = (values * self.weight).sum(axis=-1)
        return total

    def integrals(self, function: Callable[[Floats, Floats], Floats], at: Floats) -> Floats:
        """Integrate ``function(x, c)`` over x for every c of an array of any shape.

        Memory is bounded: few c are taken at once where the measure is large.

        >>> Measure.of(np.array([2.0, 5.0])).integrals(lambda x, c: x * c, np.array([[1.0], [3.0]]))
        array([[ 7.],
               [21.]])
        """
        flat, rows = np.ravel(at), max(1, _CELLS_MAX // max(1, len(self.x)))
        out = np.empty(len(flat))
        for start in range(0, len(flat), rows):
            some = slice(start, start + rows)
            out[some] = self.total(function(self.x, flat[some, np.newaxis]))
        return out.reshape(np.shape(at))

    def condensed(self) -> Self:
        """Return a measure of bounded size with the same moments 0 to 3 in each of many bins.

        In each bin (16 a decade) the two nodes of the Gauss rule stand for all values: sums of
        smooth functions then err by about 1e-6. Good for finding a mode, not for reporting it.
        Small measures, and those with weights of both signs, are kept as they are.
        """
        if len(self.x) <= _ENOUGH or self.weight.min() < 0:
            return self
        bins = np.floor(_BINS_PER_DECADE * np.log10(self.x))
        start = np.flatnonzero(np.diff(bins, prepend=-np.inf))
        width = np.diff(start, append=len(bins))
        mass = np.add.reduceat(self.weight, start)
        mean = np.add.reduceat(self.weight * self.x, start) / mass
        away = self.x / np.repeat(mean, width) - 1
        variance = np.add.reduceat(self.weight * away**2, start) / mass
        third = np.add.reduceat(self.weight * away**3, start) / mass
        nodes, weights = two_nodes(mass, np.ones_like(mass), variance, third)
        return type(self).of((nodes * mean[:, np.newaxis]).ravel(), weights.ravel())

    def without_ones(self) -> Self:
        """Leave out the values at 1, where R(x, c) is 0 for every c."""
        others = np.abs(self.x - 1) > _ONE_WITHIN
        return self if others.all() else type(self)(self.x[others], self.weight[others])
