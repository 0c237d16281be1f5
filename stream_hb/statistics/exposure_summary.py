"""A pool of events over exposures without its groups: what the Gamma-Poisson likelihood reads."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.histogram import Histogram


class ExposureTotals(NamedTuple):
    """Sums over the groups of a pool; y events in an exposure t.

    Attributes
    ----------
    groups_count
        Number of groups.
    events, exposure
        Σy and Σt.
    events2, products, exposure2
        Σy², Σyt and Σt².
    log_coefficients
        Σ(y ln t - ln y!), what the likelihood has of constants.
    """

    groups_count: float
    events: float
    exposure: float
    events2: float
    products: float
    exposure2: float
    log_coefficients: float

    @classmethod
    def of(cls, groups: Exposure) -> Self:
        """Sum over groups."""
        y, t = groups.events, groups.exposure
        coefficients = xlogy(y, t) - gammaln(y + 1)
        sums = (x.sum() for x in (y, t, y * y, y * t, t * t, coefficients))
        return cls(float(len(groups)), *map(float, sums))

    def add(self, other: Self, sign: float = 1.0) -> Self:
        """Return the sums over both, or, with a sign of -1, over what ``other`` leaves."""
        return type(self)(*(a + sign * b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class ExposureSummary(BinnedSummary[Exposure]):
    """Binned measures of a pool of events over exposures.

    Attributes
    ----------
    events
        Values y.
    exposure
        Values t, counted and weighted by y: without that weight fits err by a hundredth.
    totals
        Sums over the groups.

    Examples
    --------
    >>> hours = Exposure(np.array([2.0, 0.0]), np.array([8.0, 1.0]))
    >>> ExposureSummary.of(hours).totals.products
    16.0
    """

    events: Histogram
    exposure: Histogram
    totals: ExposureTotals

    @classmethod
    def empty(cls) -> Self:
        """Return the summary of no groups."""
        totals = ExposureTotals(*[0.0] * len(ExposureTotals._fields))
        return cls(Histogram.empty(), Histogram.empty(2), totals)

    @classmethod
    def have_data(cls, groups: Exposure) -> NDArray[Any]:
        """Return which groups have an exposure."""
        return np.asarray(groups.exposure > 0)

    def exchange(self, old: Exposure, new: Exposure) -> Self:
        """Take out groups as they were and put them in as they are."""
        old, new = (groups.take(self.have_data(groups)) for groups in (old, new))
        return type(self)(
            self.events.exchange(old.events, new.events),
            self.exposure.exchange(old.exposure, new.exposure, [old.events], [new.events]),
            self.totals.add(ExposureTotals.of(new)).add(ExposureTotals.of(old), -1.0),
        )

    def add(self, other: Self) -> Self:
        """Return the summary of the union with another binned one."""
        return type(self)(
            self.events.merge(other.events),
            self.exposure.merge(other.exposure),
            self.totals.add(other.totals),
        )

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        return round(self.totals.groups_count)
