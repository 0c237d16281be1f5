"""Groups with what is known of them beforehand: covariates, and the region they belong to."""

from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats, Statistic

S = TypeVar("S", bound=Statistic)


@dataclass(frozen=True, slots=True)
class Described(Generic[S]):
    """A family's statistic with, for each group, covariates and a region.

    Attributes
    ----------
    groups
        The statistic, one row per group.
    covariates
        What shifts the groups' prior mean, shape (groups, p); p may be 0. As given: the families
        centre and scale them by themselves and answer on the given scale.
    regions
        Whole number of each group's region; -1 where it is not known (a region of its own).
    names
        The covariates' names, in the order of their columns; empty: they go by their positions.
    """

    groups: S
    covariates: Floats
    regions: NDArray[np.intp]
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        groups: S,
        covariates: Floats | None = None,
        regions: NDArray[np.intp] | None = None,
        names: tuple[str, ...] = (),
    ) -> Self:
        """Describe groups; what is left out is unknown."""
        nothing = np.zeros((len(groups), 0))
        nowhere = np.full(len(groups), -1, dtype=np.intp)
        return cls(
            groups,
            nothing if covariates is None else covariates,
            nowhere if regions is None else regions,
            names,
        )

    def take(self, rows: Any) -> Self:
        """Return the given rows (an index array, a mask or a slice)."""
        return type(self)(
            self.groups.take(rows), self.covariates[rows], self.regions[rows], self.names
        )

    def concatenate(self, other: Self) -> Self:
        """Return the groups of both, this one's first."""
        return type(self)(
            self.groups.concatenate(other.groups),
            np.concatenate([self.covariates, other.covariates]),
            np.concatenate([self.regions, other.regions]),
            self.names,
        )

    def __len__(self) -> int:
        return len(self.groups)
