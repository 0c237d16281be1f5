"""What weighted statistics share: Kish's effective size, ageing, and scales that lose no digit.

Observation i has the weight wᵢ = 2^((tᵢ - L)/H) with half-life H and landmark L (forward decay:
Cormode et al. 2009, doi:10.1109/ICDE.2009.65); the weights come with the data, so sums stay plain
sums that merge in any order. The sums are **not** a sample of size Σw: under exponential decay Σwy
varies only half as much as a binomial count out of Σwn, the groups look more alike than chance
allows, and intervals fitted to the sums cover next to nothing. The sample that has the same
estimate with the same variance is that of Kish's size (Σw)²/Σw² (Kish 1965, Survey Sampling, §8.2);
:meth:`Decayed.effective` returns it as the ordinary statistic, which every model takes unchanged.
"""

from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats, Statistic

Exponent = int | NDArray[np.int64]
"""One for all columns, or one for each half-life on their second axis."""

S_co = TypeVar("S_co", bound=Statistic, covariant=True)

_ROUNDING = 2.0**-48


class Decayed(Statistic, Generic[S_co]):
    """Base of the statistics whose observations have weights."""

    __slots__ = ()

    def effective(self, age_in_half_lives: Floats | float = 0.0) -> S_co:
        """Return the ordinary statistic that says as much: what models and summaries take.

        Parameters
        ----------
        age_in_half_lives
            How long each group has been silent, in half-lives, at least 0. Kish's size does not
            shrink while nothing comes (every weight falls alike), but the posterior has to widen:
            it sees the size times 2^-age, with the same estimate. A refit takes age 0.
        """
        raise NotImplementedError

    def rescaled(self, exponent: Exponent) -> Self:
        """Return the statistic with every weight times 2^-exponent: a later landmark.

        By a whole power of two, so no digit changes and no effective size (but for weights that
        would fall below float64's 2^-1022, which are long forgotten).
        """
        raise NotImplementedError


def kish_scale(total: Floats, squares: Floats) -> Floats:
    """Return Σw/Σw², which turns weighted sums into those of Kish's size; 0 without data.

    Ten observations of weight .3 are ten observations, not three:

    >>> weights = np.full(10, 0.3)
    >>> total, squares = np.array([weights.sum()]), np.array([(weights**2).sum()])
    >>> (kish_scale(total, squares) * total).round(12)
    array([10.])
    """
    scale = np.zeros(len(total))
    np.divide(total, squares, out=scale, where=(total > 0) & (squares > 0))
    return scale


def faded(age_in_half_lives: Floats | float) -> Floats:
    """Return 2^-age: the share of its effective size that a silent group keeps."""
    return np.exp2(-np.asarray(age_in_half_lives, dtype=np.float64))


def rescaled(
    columns: tuple[Floats, ...], squares: Floats, exponent: Exponent
) -> tuple[Floats, ...]:
    """Return weighted sums and squared weights times 2^-exponent and 2^-(2 exponent).

    Where no square is left, no sum is either: what has weight has an effective size.
    """
    smaller = np.ldexp(squares, -2 * exponent)
    alive = (smaller > 0) | (squares == 0)  # without exposure there is no square to lose
    return *(np.ldexp(column, -exponent) * alive for column in columns), smaller


def left(before: Floats, after: Floats) -> Floats:
    """Return 1 where a removal left any weight, 0 where only the sums' rounding is left.

    A residue of rounding is not an observation, yet Kish's size of it could be any number.
    """
    return (after > _ROUNDING * before).astype(np.float64)
