"""What an observation makes of a prediction: its place in it, the log score and the CRPS.

Proper scores: Gneiting & Raftery (2007), doi:10.1198/016214506000001437. The log score here is the
log predictive density, which is higher the better; the CRPS, in units of the observation, lower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats

LEVELS = (0.5, 0.8, 0.95)
"""Probabilities of the central predictive intervals whose coverage is told."""

BINS = 20
"""Of the histogram of the PIT."""

PIT_EDGES = tuple(round(i / BINS, 10) for i in range(BINS + 1))


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of observations, one row a group.

    Attributes
    ----------
    below
        Predictive probability of less than what was observed.
    mass
        Predictive probability of just that; 0 of a continuous prediction.
    log_score
        Log predictive density (of counts: probability) of what was observed.
    crps
        Continuous ranked probability score, ∫(F(x) - 1{x ≥ y})² dx (of counts: the sum).
    """

    below: Floats
    mass: Floats
    log_score: Floats
    crps: Floats

    @classmethod
    def unknown(cls, size: int) -> Self:
        """Return room for so many: NaN until they are put."""
        return cls(*(np.full(size, np.nan) for _ in range(4)))

    def put(self, rows: Any, some: Self) -> None:
        """Write the scores of some rows."""
        self.below[rows], self.mass[rows] = some.below, some.mass
        self.log_score[rows], self.crps[rows] = some.log_score, some.crps

    def take(self, rows: Any) -> Self:
        """Return the scores of some rows."""
        columns = (self.below, self.mass, self.log_score, self.crps)
        return type(self)(*(column[rows] for column in columns))

    def finite(self) -> NDArray[np.bool_]:
        """Tell which rows are numbers."""
        columns = (self.below, self.mass, self.log_score, self.crps)
        sound: NDArray[np.bool_] = np.isfinite(sum(columns))
        return sound

    def pit(self, uniform: Floats) -> Floats:
        """Return the randomised PIT, F(y-) + v·p(y): uniform if the prediction is right.

        Without the randomisation (v = 1) counts would pile up above ½ even if it were.
        Czado, Gneiting & Held (2009), doi:10.1111/j.1541-0420.2009.01191.x.
        """
        inside: Floats = np.clip(self.below + uniform * self.mass, 0.0, 1.0)
        return inside


def covered(pit: Floats, levels: Sequence[float] = LEVELS) -> NDArray[np.bool_]:
    """Return whether central intervals hold the observations, shape (levels, groups).

    An interval of counts cannot have just its probability: an observation on one of its ends
    counts as inside with the probability that makes it so. Its randomised PIT is that draw.

    >>> covered(np.array([0.2, 0.5, 0.99])).astype(int)
    array([[0, 1, 0],
           [1, 1, 0],
           [1, 1, 0]])
    """
    away = np.abs(pit - 0.5)
    return np.stack([away <= level / 2 for level in levels])


def histogram(pit: Floats) -> Floats:
    """Count PITs in equal bins.

    >>> int(histogram(np.array([0.0, 0.049, 1.0]))[0])
    2
    """
    bins = np.minimum((pit * BINS).astype(np.intp), BINS - 1)
    return np.bincount(bins, minlength=BINS).astype(np.float64)
