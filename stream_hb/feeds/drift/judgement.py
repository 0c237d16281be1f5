"""What a tick says of every alert: the conditions that their lifecycles run on."""

from dataclasses import dataclass, replace
from math import log

import numpy as np

from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.detector import Change, change, log_statistics
from stream_hb.feeds.drift.expectation import Expectation
from stream_hb.feeds.drift.family import Family
from stream_hb.feeds.drift.level import Level, level
from stream_hb.feeds.drift.multiplicity import firing
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.sign_rate import bayesian_fdr_set
from stream_hb.feeds.drift.state import DriftState
from stream_hb.statistics.columns import Floats

RAW_SIZE = 0.5
"""Prior size for a relation that is to be all but raw: without it none of none has no logarithm."""

HALF_WIDTH = 1.959964
"""Of a 95 % interval, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Drifting:
    """The change detector's judgement.

    Attributes
    ----------
    log_statistic, log_threshold
        Of each store, and what it had to reach in this tick.
    fires, clear
        It is reached; it is left far below, and the current offset may be within the dead band.
    up
        Direction with more evidence.
    leans_up, leans_down
        There is some evidence: a chain of such stores has shifted.
    change
        Estimated time and size.
    """

    log_statistic: Floats
    log_threshold: float
    fires: Bools
    clear: Bools
    up: Bools
    leans_up: Bools
    leans_down: Bools
    change: Change

    @property
    def leans(self) -> Bools:
        """Tell which lean either way."""
        return self.leans_up | self.leans_down


@dataclass(frozen=True, slots=True)
class Levelled:
    """The level's judgement.

    Attributes
    ----------
    level
        Of each store.
    margin
        That it was judged by.
    valid
        Stores that were judged.
    far, near
        Told of with an expected share of false ones; more likely within the margin than not.
    """

    level: Level
    margin: float
    valid: Bools
    far: Bools
    near: Bools


def drifting(
    state: DriftState, family: Family, seen: Expectation, settings: DriftSettings
) -> Drifting:
    """Judge every store's evidence."""
    upward, downward = log_statistics(state.evidence)
    statistic = np.logaddexp(upward, downward) - log(2)
    up, down = _leans(upward, downward, settings), _leans(downward, upward, settings)
    # S also counts ticks that say nothing: after five years of them every store would fire at once.
    shown = np.where(up | down, statistic, -np.inf)
    fires, threshold = firing(shown, settings.log_threshold, settings.peers_max)
    low = settings.log_threshold + log(settings.clear_ratio / settings.peers_max)
    information = np.maximum(state.known.information, 1e-300)
    offset = state.known.score / information
    sd = np.sqrt(1 / information + seen.relation_variance)
    within = np.abs(offset) <= settings.dead_band + HALF_WIDTH * sd
    return Drifting(
        statistic,
        threshold,
        fires,
        (statistic < low) & within,
        upward >= downward,
        up,
        down,
        _on_the_link(change(state.evidence, seen.relation_variance), family, seen),
    )


def _on_the_link(found: Change, family: Family, seen: Expectation) -> Change:
    """Return the change with its effect on the link scale, of which a score is only a tangent.

    Taken for the effect itself, a shift by .8 at a rate of 5 % was told as 1.1, and a store whose
    level was accepted there fell back from it by .3 in the next weeks: an alert of nothing.
    """
    effect, left = family.shift_of(seen.link, found.effect)
    information = found.information * left
    sd = np.sqrt(1 / (information + 1) + seen.relation_variance)
    return replace(found, effect=effect, sd=sd, information=information)


def _leans(one: Floats, other: Floats, settings: DriftSettings) -> Bools:
    """Tell which stores have some evidence for one direction, and far more than for the other.

    Where a tick says next to nothing (an order a day), S counts ticks, in both directions alike.
    """
    leans: Bools = one - np.maximum(other, 0.0) >= log(settings.shift_evidence)
    return leans


def levelled(
    state: DriftState,
    family: Family,
    seen: Expectation,
    settings: DriftSettings,
    hyper: DriftHyper,
) -> Levelled:
    """Judge every store's level."""
    raw, variance = family.relation(state.level, RAW_SIZE)
    valid = seen.ready & (state.level.ticks >= settings.baseline_ticks_min)
    margin = settings.level_margin or 2 * max(hyper.spread, 1e-6)
    found = level(raw, variance, hyper.spread, margin, valid)
    far = bayesian_fdr_set(1 - found.beyond, settings.level_fdr) & valid
    return Levelled(found, margin, valid, far, (found.beyond < 0.5) & valid)
