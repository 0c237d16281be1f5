"""What becomes of episodes and baselines after a tick has been judged."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stream_hb.feeds.drift.alerts import (
    ALERTS,
    DRIFT_DOWN,
    DRIFT_UP,
    SHIFT_DOWN,
    SHIFT_UP,
    SILENT,
    Alert,
)
from stream_hb.feeds.drift.baseline import deposited, withdrawn
from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.expectation import Expectation
from stream_hb.feeds.drift.family import Family
from stream_hb.feeds.drift.judgement import Drifting, Levelled
from stream_hb.feeds.drift.lifecycle import Advanced, Episodes, Rules, Signal, advanced
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.feeds.drift.shift import Shift
from stream_hb.feeds.drift.state import DriftState
from stream_hb.feeds.drift.tick import Cleaned, Tick
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Judgements:
    """All that a tick is judged by.

    Attributes
    ----------
    drifting, levelled
        Of single stores.
    shifts
        Of the chain, up and down.
    silent, heard
        Stores that ought to have had a visit by now; stores that had one.
    accepted, retired
        What the operator says.
    """

    drifting: Drifting
    levelled: Levelled
    shifts: tuple[Shift, Shift]
    log_silent: Floats
    silent: Bools
    heard: Bools
    accepted: Bools
    retired: Bools


class Settled(NamedTuple):
    """Episodes after a tick, in the order of the alerts, and the stores whose level is accepted."""

    advanced: tuple[Advanced, ...]
    accepted: Bools


def settled(
    state: DriftState, judged: Judgements, seen: Expectation, tick: Tick, settings: DriftSettings
) -> Settled:
    """Run every lifecycle by one tick."""
    signals = _signals(state, judged, seen, settings, tick.index)
    accepted = _accepted(state, judged, signals)
    moved: dict[Alert, Advanced] = {}
    for alert in reversed(ALERTS):  # the chain's first: they hold those of its stores
        signal = signals[alert]
        if alert in (DRIFT_UP, DRIFT_DOWN):
            holds = _held(alert, moved, judged.shifts)
            held = np.full(len(signal.on), holds)
            signal = replace(signal, held=held, ended=signal.ended | accepted)
        elif alert.of_chain:
            signal = replace(signal, held=np.array([_other_is_open(alert, state)]))
        episodes = state.episodes[ALERTS.index(alert)]
        rules = _rules(alert, settings)
        moved[alert] = advanced(episodes, signal, tick.index, tick.ended_ms, rules)
    return Settled(tuple(moved[alert] for alert in ALERTS), accepted)


def _held(alert: Alert, moved: dict[Alert, Advanced], shifts: tuple[Shift, Shift]) -> bool:
    """Tell whether the chain's shift explains a store's drift in this direction."""
    own = moved[_shift_of(alert)].episodes.is_open[0]
    other = moved[_other(_shift_of(alert))].episodes.is_open[0]
    return bool(own or (other and shifts[alert.direction == "down"].part))


def _other_is_open(alert: Alert, state: DriftState) -> bool:
    return bool(state.episodes[ALERTS.index(_other(alert))].is_open[0])


def _other(shift: Alert) -> Alert:
    return SHIFT_DOWN if shift == SHIFT_UP else SHIFT_UP


def _shift_of(alert: Alert) -> Alert:
    return SHIFT_UP if alert.direction == "up" else SHIFT_DOWN


def _rules(alert: Alert, settings: DriftSettings) -> Rules:
    waits = settings.level_for_ticks if alert.detector == "level" else 0
    return Rules(waits, settings.keep_firing_ticks, settings.renotify_ms)


def _overdue(episodes: Episodes, index: int, settings: DriftSettings) -> Bools:
    overdue: Bools = episodes.is_open & (index - episodes.opened >= settings.accept_ticks)
    return overdue


def _signals(
    state: DriftState, judged: Judgements, seen: Expectation, settings: DriftSettings, index: int
) -> dict[Alert, Signal]:
    """Return every alert's conditions."""
    out = {}
    for alert, episodes in zip(ALERTS, state.episodes, strict=True):
        overdue = _overdue(episodes, index, settings)
        if alert.of_chain:
            out[alert] = _chain_signal(judged.shifts[alert.direction == "down"], overdue, index)
        elif alert == SILENT:
            out[alert] = _silent_signal(judged, overdue, index)
        elif alert.detector == "level":
            out[alert] = _level_signal(state, judged, alert.direction == "up", overdue, index)
        else:
            out[alert] = _drift_signal(judged, seen, alert.direction == "up", overdue)
    return out


def _chain_signal(shift: Shift, overdue: Bools, index: int) -> Signal:
    one = np.ones(1, bool)
    changed_at = np.full(1, float(index))
    return Signal(one & shift.on, one & shift.off, one, ~one, overdue, changed_at)


def _silent_signal(judged: Judgements, overdue: Bools, index: int) -> Signal:
    ended = judged.accepted | judged.retired | overdue
    every, changed_at = np.ones(len(ended), bool), np.full(len(ended), float(index))
    return Signal(judged.silent, judged.heard, every, ~every, ended, changed_at)


def _level_signal(
    state: DriftState, judged: Judgements, up: bool, overdue: Bools, index: int
) -> Signal:
    found, known = judged.levelled, state.known
    this_side = (found.level.mean > 0) == up
    no_news = known.level_above if up else known.level_below
    far = found.far & this_side & ~no_news & known.level_seen
    ended = judged.accepted | judged.retired | overdue
    changed_at = np.full(len(ended), float(index))
    near = found.near | (found.far & ~this_side)
    return Signal(far, near, found.valid, ~known.level_seen, ended, changed_at)


def _drift_signal(judged: Judgements, seen: Expectation, up: bool, overdue: Bools) -> Signal:
    found = judged.drifting
    this_way = found.up == up
    none = np.zeros(len(this_way), bool)
    ended = judged.accepted | judged.retired | overdue
    clear = found.clear | (found.fires & ~this_way)
    return Signal(found.fires & this_way, clear, seen.tested, none, ended, found.change.changed_at)


def _accepted(state: DriftState, judged: Judgements, signals: dict[Alert, Signal]) -> Bools:
    """Return stores whose change is accepted: they fire or have an open episode, and it ends."""
    found = judged.drifting
    accepted = np.zeros(state.stores, bool)
    for alert, episodes in zip(ALERTS, state.episodes, strict=True):
        ended = signals[alert].ended
        if alert in (DRIFT_UP, DRIFT_DOWN):
            way = found.fires & (found.up == (alert == DRIFT_UP))
            accepted |= (episodes.is_open | way) & ended
        elif alert.of_chain and ended[0]:
            accepted |= found.leans
    return accepted & ~judged.retired


def remembered(
    state: DriftState,
    family: Family,
    clean: Cleaned,
    seen: Expectation,
    judged: Judgements,
    after: Settled,
    tick: Tick,
    settings: DriftSettings,
) -> DriftState:
    """Return the state with a judged tick in it."""
    state = replace(state, episodes=tuple(one.episodes for one in after.advanced))
    open_up, open_down = (
        one.is_open
        for alert, one in zip(ALERTS, state.episodes, strict=True)
        if alert in (DRIFT_UP, DRIFT_DOWN)
    )
    # While the chain shifts, all that lean are part of it: were their baselines to learn the shift,
    # it would end by itself, and tell of all stores that have not learnt it yet.
    leans = judged.drifting.leans if _chain_shifts(state) else np.zeros_like(open_up)
    drifted = (judged.drifting.fires | open_up | open_down | leans) & ~judged.retired
    drifted &= ~after.accepted
    begun = drifted & ~state.known.drifted
    state = replace(state, known=replace(state.known, drifted=drifted))
    state = _levels_known(state, judged)
    state = _silence_known(state, judged, after)
    state = _deposited(state, family, clean, seen, tick.index // settings.ticks_a_day, drifted)
    first_day = np.floor(judged.drifting.change.changed_at / settings.ticks_a_day)
    state = _withdrawn(state, np.where(begun, first_day, np.inf))
    return _level_accepted(state, family, seen, judged, after.accepted, tick.index, settings)


def _chain_shifts(state: DriftState) -> bool:
    pairs = zip(ALERTS, state.episodes, strict=True)
    return any(alert.of_chain and one.is_open[0] for alert, one in pairs)


def _levels_known(state: DriftState, judged: Judgements) -> DriftState:
    found, known = judged.levelled, state.known
    news = found.valid & ~known.level_seen
    above = found.level.mean > 0
    told = (news | judged.accepted) & found.far
    return replace(
        state,
        known=replace(
            known,
            level_seen=known.level_seen | found.valid,
            level_above=(known.level_above & ~found.near) | (told & above),
            level_below=(known.level_below & ~found.near) | (told & ~above),
        ),
    )


def _silence_known(state: DriftState, judged: Judgements, after: Settled) -> DriftState:
    """Return the state in which a silence that was accepted is not told again in the next tick."""
    ended = after.advanced[ALERTS.index(SILENT)].resolved & ~judged.heard
    accepted = state.silence.accepted | ended
    return replace(state, silence=replace(state.silence, accepted=accepted))


def _deposited(
    state: DriftState,
    family: Family,
    clean: Cleaned,
    seen: Expectation,
    day: int,
    drifted: Bools,
) -> DriftState:
    """Return the state with the tick's sums where they belong: waiting, or at once."""
    compared = clean.seen & ~state.known.retired
    sums = family.contribution(clean, seen.observed, seen.offset.offset).only(compared)
    at_once = state.known.direct & ~drifted
    waiting = ~state.known.direct & ~drifted
    return replace(
        state,
        baseline=state.baseline.merged(sums.only(at_once)),
        pending=deposited(state.pending, day, sums.only(waiting)),
        level=state.level.merged(sums),
    )


def _withdrawn(state: DriftState, first_day: Floats) -> DriftState:
    if np.isinf(first_day).all():
        return state
    return replace(state, pending=withdrawn(state.pending, first_day))


def _level_accepted(
    state: DriftState,
    family: Family,
    seen: Expectation,
    judged: Judgements,
    accepted: Bools,
    index: int,
    settings: DriftSettings,
) -> DriftState:
    """Return the state in which the accepted stores' new levels are their own.

    The baseline is rebuilt from what came since the change; where that is too little, the next days
    enter without a lag.
    """
    enough = state.baseline.ticks >= settings.baseline_ticks_min
    known = replace(state.known, direct=(state.known.direct & ~enough) | accepted)
    state = replace(state, known=known)
    if not accepted.any():
        return state
    change = judged.drifting.change
    new = family.rebuilt(
        state.baseline, seen.relation + change.effect, np.maximum(change.information, 1e-6)
    )
    ticks = np.clip(index + 1 - change.changed_at, 0, settings.baseline_ticks_min)
    new = replace(new, ticks=np.floor(ticks))
    cleared = replace(
        known,
        score=known.score * ~accepted,
        information=known.information * ~accepted,
    )
    return replace(
        state,
        known=cleared,
        baseline=state.baseline.where(accepted, new),
        pending=withdrawn(state.pending, np.where(accepted, -np.inf, np.inf)),
        evidence=state.evidence.renewed(accepted),
    )
