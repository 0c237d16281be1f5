"""A pool of counts without its groups: what the Beta-Binomial likelihood reads."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.histogram import Histogram

_ROUNDING = 1e-9
"""Share of the trials by which successes may exceed them: decayed counts are rounded."""


class CountsTotals(NamedTuple):
    """Sums over the groups of a pool; y successes and f failures out of n trials.

    Attributes
    ----------
    groups_count
        Number of groups.
    successes, failures
        Σy and Σf.
    successes2, products, failures2
        Σy², Σyf and Σf². With the pooled mean m they give Σ(y - nm)² without loss, however near m
        is to 0 or 1.
    log_coefficients
        Σ ln C(n, y), what the likelihood has of constants.
    """

    groups_count: float
    successes: float
    failures: float
    successes2: float
    products: float
    failures2: float
    log_coefficients: float

    @classmethod
    def of(cls, groups: Counts) -> Self:
        """Sum over groups."""
        y, f = groups.successes, _failures(groups)
        coefficients = gammaln(groups.trials + 1) - gammaln(y + 1) - gammaln(f + 1)
        sums = (x.sum() for x in (y, f, y * y, y * f, f * f, coefficients))
        return cls(float(len(groups)), *map(float, sums))

    def add(self, other: Self, sign: float = 1.0) -> Self:
        """Return the sums over both, or, with a sign of -1, over what ``other`` leaves."""
        return type(self)(*(a + sign * b for a, b in zip(self, other, strict=True)))

    @property
    def trials(self) -> float:
        """Σn."""
        return self.successes + self.failures


@dataclass(frozen=True, slots=True)
class CountsSummary(BinnedSummary[Counts]):
    """Binned measures of a pool of counts.

    Attributes
    ----------
    successes, failures
        Values y and f.
    trials
        Values n, counted and weighted by y.
    totals
        Sums over the groups.

    Examples
    --------
    >>> stores = Counts(np.array([2.0, 0.0, 7.0]), np.array([20.0, 0.0, 30.0]))
    >>> summary = CountsSummary.of(stores)
    >>> summary.groups_count  # the store without a visit is not in it
    2
    >>> summary.exchange(stores.take([0]), stores.take([2])).successes.counting().x.round(6)
    array([7.])
    """

    successes: Histogram
    failures: Histogram
    trials: Histogram
    totals: CountsTotals

    @classmethod
    def empty(cls) -> Self:
        """Return the summary of no groups."""
        nothing = (Histogram.empty(), Histogram.empty(), Histogram.empty(2))
        return cls(*nothing, CountsTotals(*[0.0] * len(CountsTotals._fields)))

    @classmethod
    def have_data(cls, groups: Counts) -> NDArray[Any]:
        """Return which groups have trials."""
        return groups.trials > 0

    def exchange(self, old: Counts, new: Counts) -> Self:
        """Take out groups as they were and put them in as they are."""
        old, new = (groups.take(self.have_data(groups)) for groups in (old, new))
        return type(self)(
            self.successes.exchange(old.successes, new.successes),
            self.failures.exchange(_failures(old), _failures(new)),
            self.trials.exchange(old.trials, new.trials, [old.successes], [new.successes]),
            self.totals.add(CountsTotals.of(new)).add(CountsTotals.of(old), -1.0),
        )

    def add(self, other: Self) -> Self:
        """Return the summary of the union with another binned one."""
        return type(self)(
            self.successes.merge(other.successes),
            self.failures.merge(other.failures),
            self.trials.merge(other.trials),
            self.totals.add(other.totals),
        )

    @property
    def groups_count(self) -> int:
        """Number of groups summarised."""
        return round(self.totals.groups_count)


def _failures(groups: Counts) -> Floats:
    failures = groups.trials - groups.successes
    rounded = (failures < 0) & (failures > -_ROUNDING * groups.trials)
    return np.where(rounded, 0.0, failures)
