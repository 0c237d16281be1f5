"""Which of what is remembered a batch changes."""

from typing import Any

from stream_hb.events.batch import Bools
from stream_hb.field_names import field_names


def differing(before: Any, after: Any, first: str) -> Bools:
    """Tell which rows of two dataclasses of columns differ; ``first`` is the likeliest column.

    >>> import numpy as np
    >>> from stream_hb.events.clock import SourceClock as Columns
    >>> a, b = np.array([1, 2]), np.array([1, 3])
    >>> differing(Columns(a, a, a), Columns(a, b, a), "newest_ms")
    array([False,  True])
    """
    differ: Bools = getattr(before, first) != getattr(after, first)
    if differ.all():  # most batches have what is new only
        return differ
    for name in field_names(type(before)):
        differ |= getattr(before, name) != getattr(after, name)
    return differ
