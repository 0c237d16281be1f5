"""As few kernels as the error of the interval ends allows.

Many groups know their hyperparameters well, and one kernel is then as good as dozens; few groups,
or two modes, need dozens, and then there are few intervals to compute. How many is not guessed from
the number of groups: each candidate's ends are looked up in the distribution of all nodes.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from stream_hb.models.count_mixture import CountMixture
from stream_hb.models.mixture import Kernels
from stream_hb.statistics.columns import Floats

K = TypeVar("K", bound=Kernels)

ERROR_MAX = 3.5e-3
"""Of an interval end, in widths of the interval."""

LEVEL = 0.95


def fewest_rows(
    whole: CountMixture[K],
    candidates: Sequence[Callable[[], CountMixture[K]]],
    total: Floats,
    size: Floats,
    natural: Callable[[Floats], Floats],
) -> tuple[CountMixture[K], float]:
    """Return the cheapest candidate that errs little, else the whole; and its error.

    Found by halving: a candidate with more kernels is taken not to err more.

    Parameters
    ----------
    whole
        All nodes, one a row.
    candidates
        From the cheapest on.
    total, size
        Groups to try.
    natural
        Undoes the kernels' scale.
    """
    reference = whole.kernels(total, size)
    best, best_error = whole, 0.0
    first, last = 0, len(candidates)
    while first < last:
        middle = (first + last) // 2
        candidate = candidates[middle]()
        error = _largest_error(whole, reference, candidate, total, size, natural)
        if error <= ERROR_MAX:
            best, best_error, last = candidate, error, middle
        else:
            first = middle + 1
    return best, best_error


def _largest_error(
    whole: CountMixture[K],
    reference: K,
    candidate: CountMixture[K],
    total: Floats,
    size: Floats,
    natural: Callable[[Floats], Floats],
) -> float:
    """Return the largest error of an end: the excess of its tail over the density there."""
    tail = (1 - LEVEL) / 2
    share = whole.weight.sum(axis=1)[:, np.newaxis]
    ends, errors = [], []
    for upper, end in zip((False, True), candidate.ends(total, size, LEVEL), strict=True):
        excess = (share * reference.tail(end, upper)).sum(axis=0) - tail
        slope = (share * reference.slope(end)).sum(axis=0)
        ends.append(natural(end))
        moved = end + np.clip(excess, -slope, slope) / np.maximum(slope, 1e-300)
        errors.append(np.abs(natural(moved) - ends[-1]))
    # An interval of no width in float64 (all of it rounds to 0 or 1) has no error to speak of.
    width = np.maximum(ends[1] - ends[0], 1e-200)
    return float((np.maximum(*errors) / width).max())
