"""What counts, rates and values have in common: a chain's offset plus a store's relation to it.

On the link scale (log-odds, log rate, log value) a store's tick is expected at the chain's offset
of that tick plus the store's relation from its baseline.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stream_hb.feeds.drift.baseline import Baseline
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.tick import Cleaned, Kind
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Observed:
    """A tick in the family's own units, one place per store.

    Attributes
    ----------
    size
        Visits; exposure; precision of the mean log value.
    total
        What was counted; precision times mean log value.
    """

    size: Floats
    total: Floats


SHIFT_MAX = 10.0
"""On a logarithmic link: what is further off (twenty thousand times) is told as this."""


@dataclass(frozen=True, slots=True)
class Predictive:
    """What was predicted of every store's tick, against what came.

    Attributes
    ----------
    z
        Standardised innovation.
    score, information
        Derivative of the log density by the shift at none, and the information about it.
    log_density
        Log predictive density at a shift of each store: (shifts, 1) or (shifts, stores) to
        (shifts, stores), up to a term that no shift changes.
    """

    z: Floats
    score: Floats
    information: Floats
    log_density: Callable[[Floats], Floats]


class Family(Protocol):
    """The mathematics of one kind of metric."""

    kind: Kind
    noise_is_in_size: bool
    """The day's noise is part of the size, and not of what is unknown of the link."""

    def observed(
        self,
        tick: Cleaned,
        baseline: Baseline,
        hyper: DriftHyper,
        settings: DriftSettings,
        noise_variance: float,
    ) -> Observed:
        """Return the tick in the family's units."""

    def pooled(self, observed: Observed) -> float:
        """Return the link of the chain's pooled mean: where the search of the offset starts."""

    def mean_and_weight(self, size: Floats, link: Floats) -> tuple[Floats, Floats]:
        """Return the expected total and its derivative by the link."""

    def relation(self, baseline: Baseline, prior_size: float) -> tuple[Floats, Floats]:
        """Return each store's relation to its chain, shrunk to none, and its variance."""

    def contribution(self, tick: Cleaned, observed: Observed, offset: float) -> Baseline:
        """Return what a tick adds to the baselines."""

    def predictive(
        self, observed: Observed, link: Floats, variance: Floats, settings: DriftSettings
    ) -> Predictive:
        """Compare a tick with what the link and its variance predict."""

    def shift_of(self, link: Floats, ratio: Floats) -> tuple[Floats, Floats]:
        """Return the shift from the link whose score is ``ratio`` times the information there.

        And what of the information is left at the shift, 1 at most: what is more is not certain,
        as a store's day is noise too.
        """

    def natural(self, link: Floats) -> Floats:
        """Return the link on the scale that people read."""

    def rebuilt(self, baseline: Baseline, relation: Floats, information: Floats) -> Baseline:
        """Return baselines that say this relation with this information."""
