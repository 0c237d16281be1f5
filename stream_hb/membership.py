"""Where a shard's groups stand in the stores table, and who of them has retired."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Rows
from stream_hb.statistics.table import GroupKey
from stream_hb.stores import UNKNOWN, Stores


class Membership:
    """One place in the stores table a group, in the order of the shard's rows.

    Parameters
    ----------
    stores
        The table; None: no store is registered and none retires.
    """

    def __init__(self, stores: Stores | None) -> None:
        self._stores = stores
        self._places = np.empty(0, dtype=np.intp)

    def append(self, keys: Sequence[GroupKey]) -> None:
        """Take further groups."""
        self._places = self.places_with(keys)

    def places_with(self, new: Sequence[GroupKey]) -> Rows:
        """Return each group's place, -1 where it has none, as if ``new`` were appended."""
        if not new:
            return self._places
        more = self._stores.places(new) if self._stores else np.full(len(new), UNKNOWN)
        return np.concatenate([self._places, more])

    def zones_with(self, new: Sequence[GroupKey]) -> Rows:
        """Return the number of each group's time zone, as if ``new`` were appended."""
        return self._zones_at(self.places_with(new))

    def zones_of(self, keys: Sequence[GroupKey]) -> Rows:
        """Return the number of the time zone of stores, whether they are groups or not."""
        places = self._stores.places(keys) if self._stores else np.full(len(keys), UNKNOWN)
        return self._zones_at(places)

    def _zones_at(self, places: Rows) -> Rows:
        return self._stores.zones_at(places) if self._stores else np.zeros(len(places), np.intp)

    def places(self, rows: Rows) -> Rows:
        """Return the places of some groups."""
        return self._places[rows]

    def retired(self, rows: Rows, now_ms: int) -> NDArray[np.bool_]:
        """Tell which groups are of stores that are retired by now."""
        if self._stores is None:
            return np.zeros(len(rows), dtype=bool)
        return self._stores.retired_at(self._places[rows], now_ms)

    def changes(self, before_ms: int, now_ms: int) -> bool:
        """Tell whether any store retires between two clock readings, the second one included."""
        if self._stores is None:
            return False
        retired_ms = self._stores.retired_ms
        return bool(((before_ms < retired_ms) & (retired_ms <= now_ms)).any())
