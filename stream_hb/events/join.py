"""Which visits have converted: the first purchase of a visit counts, later ones do not.

The memory holds a 64-bit hash per converted visit in buckets by day of the purchase, and as many
of the newest days as the horizon asks for; older ones are dropped as newer ones come. A purchase
whose visit's first one was in a dropped day counts again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.batch import Int64s

DAY_MS = 86_400_000
HORIZON_DAYS = 7

_PERSON = b"stream_hb.visit"


def stable_hash(text: str) -> int:
    """64-bit BLAKE2b of the text: the same in every process, unlike ``hash``.

    With 5 million ids the chance that any two share a hash is 7e-7.

    >>> stable_hash("chain|store-01|v1") == stable_hash("chain|store-01|v1")
    True
    """
    digest = blake2b(text.encode(), digest_size=8, person=_PERSON).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True, slots=True)
class Additions:
    """Converted visits to remember: their hashes, and the day of the first purchase of each."""

    hashes: NDArray[np.uint64]
    days: Int64s


class Conversions:
    """The visits that have converted; changed only by :meth:`publish` and :meth:`restore`.

    Parameters
    ----------
    horizon_days
        How long a visit is remembered. The days are counted from the newest purchases, those of
        the day under way come on top.

    Examples
    --------
    >>> conversions = Conversions()
    >>> first, additions = conversions.probe(["v1", "v2", "v1"], np.zeros(3, np.int64))
    >>> first
    array([ True,  True, False])
    >>> conversions.publish(additions)
    >>> conversions.probe(["v2"], np.zeros(1, np.int64))[0]
    array([False])
    """

    def __init__(self, horizon_days: int = HORIZON_DAYS) -> None:
        self._days_kept = horizon_days + 1
        self._days: dict[int, set[int]] = {}

    def __len__(self) -> int:
        """Return the number of visits remembered."""
        return sum(map(len, self._days.values()))

    def probe(self, visits: Sequence[str], times_ms: Int64s) -> tuple[NDArray[np.bool_], Additions]:
        """Find the purchases that are the first of their visit; nothing is changed.

        Parameters
        ----------
        visits
            Of each purchase the full key of its visit (chain, store and visit id as one text).
        times_ms
            Event time of each purchase, epoch milliseconds.

        Returns
        -------
        first
            True where neither an earlier batch nor an earlier place of this one has the visit.
        additions
            What to :meth:`publish` when the batch becomes the state.
        """
        hashes = list(map(stable_hash, visits))
        seen = set().union(*(day.intersection(hashes) for day in self._days.values()))
        _, earliest = np.unique(np.array(hashes, np.uint64), return_index=True)
        first = np.zeros(len(hashes), np.bool_)
        first[earliest] = True
        if seen:
            first &= [visit not in seen for visit in hashes]
        return first, Additions(np.array(hashes, np.uint64)[first], times_ms[first] // DAY_MS)

    def publish(self, additions: Additions) -> None:
        """Remember the visits, and drop the days that are then beyond the horizon."""
        for day in np.unique(additions.days).tolist():
            hashes = additions.hashes[additions.days == day]
            self._days.setdefault(day, set()).update(hashes.tolist())
        for day in sorted(self._days)[: -self._days_kept]:
            del self._days[day]

    def snapshot(self) -> dict[str, Any]:
        """Return the memory as two columns, sorted: equal memories have equal snapshots."""
        days = sorted(self._days)
        hashes = [visit for day in days for visit in sorted(self._days[day])]
        sizes = [len(self._days[day]) for day in days]
        return {
            "hashes": np.array(hashes, np.uint64),
            "days": np.repeat(np.array(days, np.int64), sizes),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the memory of a :meth:`snapshot`."""
        self._days = {}
        self.publish(Additions(state["hashes"], state["days"]))
