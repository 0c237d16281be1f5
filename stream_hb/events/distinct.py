"""The distinct keys of a batch."""

import numpy as np

from stream_hb.events.batch import Hashes
from stream_hb.events.id_table import Slots


def distinct(keys: Hashes) -> tuple[Hashes, Slots]:
    """Return the distinct keys, ascending, and each key's place among them.

    As :func:`numpy.unique` does with ``return_inverse``, in half the time where keys are few.

    >>> distinct(np.array([7, 3, 7], np.uint64))
    (array([3, 7], dtype=uint64), array([1, 0, 1]))
    """
    order = keys.argsort()
    ascending = keys[order]
    first = np.ones(len(keys), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    places = np.empty(len(keys), np.int64)
    places[order] = first.cumsum() - 1
    return ascending[first], places
