"""The stores that are known before their first event: region, covariates, and when they retire."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats, Rows
from stream_hb.statistics.table import GroupKey

UNKNOWN = -1
NEVER_MS = 2**62
UTC = "UTC"


@dataclass(frozen=True, slots=True)
class Stores:
    """A table of stores, one row each; made by :meth:`of`.

    Attributes
    ----------
    keys
        (chain id, store id) of each store, all different.
    regions
        Whole number of each store's region within the table; -1 where none is told.
    retired_ms
        From when on a store is retired; :data:`NEVER_MS` where it is not.
    zones
        Whole number of each store's time zone among ``zone_names``.
    zone_names
        IANA names; the first one is UTC, the zone of stores of which none is told.
    covariates
        The columns that a model may use. A column of texts is here as one indicator for each text
        but the first, called ``format=express``. Where a cell was empty: the mean of its chain.
    columns_of
        Which names in ``covariates`` each column of the file became.
    means
        Of each covariate, the mean over the stores of each chain; under "" over all.

    Examples
    --------
    A store that the table does not know has the covariates of the average one of its chain:

    >>> stores = Stores.of([("c", "a"), ("c", "b")], covariates={"size": np.array([1.0, 3.0])})
    >>> places = stores.places([("c", "b"), ("c", "unknown")])
    >>> stores.covariates_at(places, "c", ["size"])
    array([[3.],
           [2.]])
    """

    keys: Sequence[GroupKey]
    regions: NDArray[np.intp]
    retired_ms: NDArray[np.int64]
    zones: NDArray[np.intp]
    zone_names: Sequence[str]
    covariates: Mapping[str, Floats]
    columns_of: Mapping[str, Sequence[str]]
    means: Mapping[str, Mapping[str, float]]
    _index: Mapping[GroupKey, int] = field(repr=False)

    @classmethod
    def of(
        cls,
        keys: Sequence[GroupKey],
        regions: NDArray[np.intp] | None = None,
        retired_ms: NDArray[np.int64] | None = None,
        covariates: Mapping[str, Floats] | None = None,
        columns_of: Mapping[str, Sequence[str]] | None = None,
        zones: Sequence[str] | None = None,
    ) -> Self:
        """Make a table of at least one store; what is left out, or NaN, is not known."""
        chains = np.array([chain for chain, _ in keys])
        told = covariates or {}
        means = {name: _means(values, chains) for name, values in told.items()}
        names = list(dict.fromkeys([UTC, *(zones or [])]))
        numbers = [names.index(zone) for zone in zones or [UTC] * len(keys)]
        return cls(
            keys,
            np.full(len(keys), UNKNOWN, dtype=np.intp) if regions is None else regions,
            np.full(len(keys), NEVER_MS) if retired_ms is None else retired_ms,
            np.array(numbers, np.intp),
            names,
            {name: _filled(values, chains, means[name]) for name, values in told.items()},
            columns_of or {name: (name,) for name in told},
            means,
            {key: place for place, key in enumerate(keys)},
        )

    def places(self, keys: Iterable[GroupKey]) -> Rows:
        """Return each group's row in the table, -1 where it has none."""
        return np.array([self._index.get(key, UNKNOWN) for key in keys], dtype=np.intp)

    def covariates_at(self, places: Rows, chain: str, names: Iterable[str]) -> Floats:
        """Return the covariates of groups of one chain, shape (groups, p)."""
        columns = [column for name in names for column in self.columns_of[name]]
        values = np.column_stack([self.covariates[column] for column in columns])
        usual = [self.means[column].get(chain, self.means[column][""]) for column in columns]
        known: Floats = np.where((places >= 0)[:, None], values[places], np.array(usual))
        return known

    def regions_at(self, places: Rows) -> NDArray[np.intp]:
        """Return the groups' regions, -1 where not known."""
        return np.where(places >= 0, self.regions[places], UNKNOWN)

    def zones_at(self, places: Rows) -> NDArray[np.intp]:
        """Return the numbers of the groups' time zones; 0, which is UTC, where none is known."""
        return np.where(places >= 0, self.zones[places], 0)

    def retired_at(self, places: Rows, now_ms: int) -> NDArray[np.bool_]:
        """Tell which groups are retired by now."""
        gone: NDArray[np.bool_] = (places >= 0) & (self.retired_ms[places] <= now_ms)
        return gone


def _means(values: Floats, chains: NDArray[np.str_]) -> dict[str, float]:
    told = ~np.isnan(values)
    overall = float(values[told].mean()) if told.any() else 0.0
    mine = {str(chain): told & (chains == chain) for chain in np.unique(chains)}
    means = {chain: float(values[some].mean()) for chain, some in mine.items() if some.any()}
    return {"": overall, **means}


def _filled(values: Floats, chains: NDArray[np.str_], means: Mapping[str, float]) -> Floats:
    usual = np.array([means.get(chain, means[""]) for chain in chains.tolist()])
    filled: Floats = np.where(np.isnan(values), usual, values)
    return filled
