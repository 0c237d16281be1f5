"""What a tick says of every alert: the conditions that their lifecycles run on."""

from dataclasses import dataclass
from math import log

import numpy as np

from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.detector import Change, change, is_upward, log_statistic
from stream_hb.feeds.drift.expectation import Expectation
from stream_hb.feeds.drift.family import Family
from stream_hb.feeds.drift.level import Level, level
from stream_hb.feeds.drift.multiplicity import firing
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.shift import Shift, shift
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
    change
        Estimated time and size.
    """

    log_statistic: Floats
    log_threshold: float
    fires: Bools
    clear: Bools
    up: Bools
    change: Change


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


def drifting(state: DriftState, seen: Expectation, settings: DriftSettings) -> Drifting:
    """Judge every store's evidence."""
    statistic = log_statistic(state.evidence)
    fires, threshold = firing(statistic, settings.log_threshold, settings.peers_max)
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
        is_upward(state.evidence),
        change(state.evidence, seen.relation_variance),
    )


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


def shifts(judged: Drifting, seen: Expectation, settings: DriftSettings) -> tuple[Shift, Shift]:
    """Judge the chain upward and downward."""
    up, down = judged.fires & judged.up, judged.fires & ~judged.up
    return shift(up, seen.ready, settings), shift(down, seen.ready, settings)
