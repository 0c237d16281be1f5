"""Which stores make a region: the pool sorted by region, so that sums over regions are slices."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import FitError
from stream_hb.models.described import Described
from stream_hb.models.refused import checked, consistent
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each region begins among stores sorted by region.

    Attributes
    ----------
    codes
        The known regions, ascending: the first ``len(codes)`` regions. The others are stores of
        unknown region, each a region of its own.
    starts
        First store of each region.
    stores_count
        Number of stores.
    """

    codes: NDArray[np.intp]
    starts: NDArray[np.intp]
    stores_count: int

    @property
    def regions_count(self) -> int:
        """Number of regions, stores of unknown region included."""
        return len(self.starts)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Stores in each region."""
        return np.diff(self.starts, append=self.stores_count)

    @property
    def known_sizes(self) -> Floats:
        """Stores in each region of ``codes``."""
        return self.sizes[: len(self.codes)].astype(np.float64)

    @property
    def tells_apart(self) -> bool:
        """Whether the data can tell differences between regions from those between stores.

        Not with one region, nor where every region has one store.
        """
        return 1 < self.regions_count < self.stores_count

    def sums(self, values: Floats) -> Floats:
        """Sum over each region's stores: shape (..., stores) to (..., regions)."""
        totals: Floats = np.add.reduceat(values, self.starts, axis=-1)
        return totals

    def spread_out(self, values: Floats) -> Floats:
        """Give each store its region's value: shape (..., regions) to (..., stores)."""
        return np.repeat(values, self.sizes, axis=-1)


def by_region(described: Described[Any]) -> tuple[Any, Layout]:
    """Return the groups sorted by region, those of unknown region last, and their layout.

    Examples
    --------
    Two stores of unknown region are not one region:

    >>> from stream_hb.statistics.counts import Counts
    >>> regions = np.array([7, -1, 3, 7, -1])
    >>> _, layout = by_region(Described.of(Counts.zeros(5), regions=regions))
    >>> layout.codes, layout.sizes
    (array([3, 7]), array([1, 2, 1, 1]))
    """
    regions = described.regions
    known = np.flatnonzero(regions >= 0)
    known = known[np.argsort(regions[known], kind="stable")]
    unknown = np.flatnonzero(regions < 0)
    codes, starts = np.unique(regions[known], return_index=True)
    alone = np.arange(len(known), len(regions))
    order = np.concatenate((known, unknown))
    layout = Layout(codes, np.concatenate((starts, alone)).astype(np.intp), len(order))
    return described.groups.take(order), layout


def seen(described: Described[Any], size: Floats) -> Described[Any]:
    """Return the stores that have any data; a pool without one cannot be fitted."""
    described, there = replace(described, groups=consistent(checked(described.groups))), size > 0
    if not there.any():
        raise FitError("no group has data yet: there is nothing to fit")
    return described.take(there)
