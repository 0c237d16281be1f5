"""What was expected of every store in a tick, against what came."""

from dataclasses import dataclass, replace

import numpy as np

from stream_hb.feeds.drift.baseline import due, entered
from stream_hb.feeds.drift.chain_offset import ChainOffset, chain_offset
from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.family import Family, Observed, Predictive
from stream_hb.feeds.drift.noise import learnt, noise_variance
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.state import NEVER, DriftState
from stream_hb.feeds.drift.tick import Cleaned
from stream_hb.statistics.columns import Floats

DRIFTED_SHARE_MAX = 0.6
"""Stores that have drifted do not make the chain's offset, unless they are most of the chain."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A tick seen through the baselines.

    Attributes
    ----------
    observed
        In the family's units.
    relation, relation_variance
        Of each store to the chain.
    offset
        Of the chain.
    link
        What each store was expected at: relation plus the offset of the others.
    told
        Predictive against outcome.
    ready
        The store's baseline is large enough.
    compared, tested
        Its tick can be compared with the chain's others; and it is ready.
    noise_variance
        Of a store's day.
    """

    observed: Observed
    relation: Floats
    relation_variance: Floats
    offset: ChainOffset
    link: Floats
    told: Predictive
    ready: Bools
    compared: Bools
    tested: Bools
    noise_variance: float


def aged(state: DriftState, index: int, elapsed: int, settings: DriftSettings) -> DriftState:
    """Return the state with its sums as old as they are now, and the days entered that are due.

    The baseline of a store that has drifted stays as it is until it comes back or is accepted.
    """
    entering, waiting = due(state.pending, index // settings.ticks_a_day, settings.lag_days)
    factor = decay(elapsed, settings.half_life_days * settings.ticks_a_day)
    ageing = np.where(state.known.drifted, 1.0, factor)
    recent = decay(elapsed, settings.recent_half_life_ticks)
    known = replace(
        state.known,
        score=state.known.score * recent,
        information=state.known.information * recent,
    )
    level_factor = decay(elapsed, settings.level_half_life_days * settings.ticks_a_day)
    return replace(
        state,
        known=known,
        baseline=entered(state.baseline.decayed(ageing), entering),
        pending=waiting,
        level=state.level.decayed(level_factor),
    )


def decay(elapsed: float, half_life: float) -> float:
    """Return what is left of a weight.

    >>> decay(90, half_life=90)
    0.5
    """
    return float(2.0 ** -(elapsed / half_life))


def expectation(
    state: DriftState,
    family: Family,
    tick: Cleaned,
    index: int,
    settings: DriftSettings,
    hyper: DriftHyper,
) -> Expectation:
    """Return what was expected of a tick, and how far off it is."""
    noise = noise_variance(state.noise, settings.noise_sd)
    observed = family.observed(tick, state.baseline, hyper, settings, noise)
    relation, relation_variance = family.relation(state.baseline, hyper.prior_size)
    day = 0.0 if family.noise_is_in_size else noise
    counting = _counting(state, tick, observed)
    offset = chain_offset(family, observed, relation, relation_variance + day, counting)
    link = offset.without + relation
    compared = tick.seen & np.isfinite(offset.variance) & ~state.known.retired
    variance = np.where(compared, relation_variance + offset.variance + day, 1.0)
    told = family.predictive(observed, link, variance, settings)
    compared &= np.isfinite(told.z)
    ready = _ready(state, index, settings)
    return Expectation(
        observed,
        relation,
        relation_variance,
        offset,
        link,
        told,
        ready,
        compared,
        ready & compared,
        noise,
    )


def _counting(state: DriftState, tick: Cleaned, observed: Observed) -> Bools:
    """Return the stores that make the chain's offset.

    A store without a baseline would bring in its unknown relation, unless none has one yet.
    """
    present = tick.seen & ~state.known.retired
    settled = present & (state.baseline.ticks > 0)
    counting = settled if settled.any() else present
    steady = counting & ~state.known.drifted
    left_out = observed.size[counting & state.known.drifted].sum()
    return steady if left_out <= DRIFTED_SHARE_MAX * observed.size[counting].sum() else counting


def _ready(state: DriftState, index: int, settings: DriftSettings) -> Bools:
    known = state.known
    warm = index - known.first_tick >= settings.warm_up_days * settings.ticks_a_day
    enough = state.baseline.ticks >= settings.baseline_ticks_min
    ready: Bools = (known.first_tick != NEVER) & warm & enough & ~known.retired
    return ready


def noise_learnt(
    state: DriftState, seen: Expectation, elapsed: int, settings: DriftSettings
) -> DriftState:
    """Return the state with what the tick says of the noise of a store's day."""
    begun = state.baseline.ticks >= settings.baseline_ticks_min / 2
    chosen = seen.compared & begun & ~state.known.drifted & (seen.told.information > 0)
    beyond = seen.relation_variance + seen.offset.variance
    factor = decay(elapsed, settings.half_life_days * settings.ticks_a_day)
    noise = learnt(
        state.noise,
        seen.told.z,
        seen.told.information,
        beyond,
        beyond + seen.noise_variance,
        chosen,
        factor,
    )
    return replace(state, noise=noise)
