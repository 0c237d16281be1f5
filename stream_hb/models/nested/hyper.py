"""What a fit of a nested pool knows: the chain's hyperparameters and every region's mean."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats

_NO_CODES = np.zeros(0, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class NestedHyper:
    """Nodes of the hyperparameters with weights; a point fit has one node.

    Region means are on the natural scale (rates, or means), with one column for each of
    ``regions``. Where ``regions`` is empty (hyperparameters that were given) no region has been
    learnt yet: a posterior then learns the regions from the groups that it is asked about.

    Attributes
    ----------
    weight
        Posterior weight of each node, shape (O,); sums to 1.
    location, location_sd
        Mean and standard deviation of the chain's location at each node, on the link scale (logit,
        log, identity), shape (O,).
    spread_region
        Standard deviation between regions on the link scale, shape (O,).
    spread_store
        What says how much the stores of a region differ, shape (O,): the concentration κ, the
        shape a (both infinite where they do not), or τ_store of ``normal``.
    sigma2
        Variance of one observation, shape (O,); NaN where the family has none.
    regions
        Codes of the regions, ascending, shape (R,).
    region_mean, region_variance
        Posterior mean and variance of each region's mean at each node, shape (O, R).
    region_own
        The part of that variance that is left if the chain's location were known, shape (O, R).
    region_stores
        Stores that each region's mean was learnt from, shape (R,).
    sigma2_degrees
        Degrees of freedom of σ² where one node stands for them; NaN where the nodes have its
        spread.
    """

    weight: Floats
    location: Floats
    location_sd: Floats
    spread_region: Floats
    spread_store: Floats
    sigma2: Floats
    regions: NDArray[np.intp]
    region_mean: Floats
    region_variance: Floats
    region_own: Floats
    region_stores: Floats
    sigma2_degrees: float = float("nan")

    @classmethod
    def point(
        cls,
        location: float,
        location_sd: float,
        spread_region: float,
        spread_store: float,
        sigma2: float = float("nan"),
    ) -> "NestedHyper":
        """Return one node that has learnt no region yet."""
        given = np.array([[location], [location_sd], [spread_region], [spread_store], [sigma2]])
        return cls.bare(np.ones(1), *given)

    @classmethod
    def bare(
        cls,
        weight: Floats,
        location: Floats,
        location_sd: Floats,
        spread_region: Floats,
        spread_store: Floats,
        sigma2: Floats,
    ) -> "NestedHyper":
        """Return nodes that have learnt no region yet."""
        nothing = np.zeros((len(weight), 0))
        nodes = weight, location, location_sd, spread_region, spread_store, sigma2
        return cls(*nodes, _NO_CODES, nothing, nothing, nothing, np.zeros(0))

    def alone(self, regions: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Mark the stores whose region knows no other store."""
        at, known = self.columns(regions)
        stores = np.append(self.region_stores, 0.0)[at]
        alone: NDArray[np.bool_] = ~known | (stores <= 1)
        return alone

    def columns(self, regions: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return each store's column among ``regions`` (0 if none) and whether it has one."""
        if len(self.regions) == 0:
            return np.zeros(len(regions), dtype=np.intp), np.zeros(len(regions), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self.regions, regions), len(self.regions) - 1)
        return at, self.regions[at] == regions
