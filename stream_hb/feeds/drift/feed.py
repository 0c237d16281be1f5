"""One closed tick of one chain and metric: who drifts, who is far off, who is silent."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from stream_hb.errors import FitError
from stream_hb.feeds.drift.admittance import Admittance, admittance
from stream_hb.feeds.drift.alerts import ALERTS, SILENT, AlertRecord
from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.detector import updated
from stream_hb.feeds.drift.expectation import (
    Expectation,
    aged,
    decay,
    expectation,
    noise_learnt,
)
from stream_hb.feeds.drift.families import FAMILIES
from stream_hb.feeds.drift.judgement import drifting, levelled
from stream_hb.feeds.drift.outcome import Judgements, Settled, remembered, settled
from stream_hb.feeds.drift.records import Stream, Told, alert_records
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.shift import shifts
from stream_hb.feeds.drift.silence import HALF_LIFE_DAYS as SILENCE_HALF_LIFE_DAYS
from stream_hb.feeds.drift.silence import listened
from stream_hb.feeds.drift.state import NEVER, DriftState
from stream_hb.feeds.drift.tick import NO_ROWS, Cleaned, Kind, Tick, cleaned
from stream_hb.statistics.columns import Floats, Rows


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What a tick came to; counters for the metrics.

    Attributes
    ----------
    admittance
        Whether it was taken.
    refused
        Rows with something that is not finite, negative, or impossible.
    tested
        Stores that were compared with their baseline.
    firing
        Stores over the threshold.
    held
        Of those, stores whose alert is held because the chain shifts.
    log_threshold
        What they had to reach.
    chain_offset
        Link scale; NaN where the tick was not taken.
    noise_sd
        Of a store's day, link scale.
    z
        Standardised innovations of all stores; NaN where not tested.
    accepted
        Stores of which an operator's word ended something.
    """

    admittance: Admittance
    refused: int = 0
    tested: int = 0
    firing: int = 0
    held: int = 0
    log_threshold: float = float("nan")
    chain_offset: float = float("nan")
    noise_sd: float = float("nan")
    z: Floats | None = None
    accepted: Rows = field(default_factory=lambda: NO_ROWS)


class Step(NamedTuple):
    """A tick's result."""

    state: DriftState
    records: tuple[AlertRecord, ...]
    diagnostics: Diagnostics


def step(
    state: DriftState, tick: Tick, stream: Stream, settings: DriftSettings, hyper: DriftHyper
) -> Step:
    """Return the state after one closed tick, the alert records it is worth, and diagnostics.

    A pure function: the same state and tick give the same bytes, and a tick that is given again, or
    late, changes nothing. It costs a few microseconds a store (``make bench-drift``).

    Parameters
    ----------
    state
        From the last step, or :meth:`DriftState.of_new`.
    tick
        What came in. A store without a row had nothing.
    stream
        Whose ticks they are.
    settings, hyper
        What the operator wants, and what the pool's fit knows.

    Examples
    --------
    >>> settings = DriftSettings()
    >>> stream = Stream("north", "conversion", Kind.COUNTS, ("s0", "s1"))
    >>> tick = Tick(20_000, 1_728_000_000_000, np.arange(2), np.full(2, 400.0), np.full(2, 20.0))
    >>> after = step(DriftState.of_new(settings), tick, stream, settings, DriftHyper(0.3))
    >>> after.state.tick, after.records, after.diagnostics.admittance.name
    (20000, (), 'TAKEN')
    >>> step(after.state, tick, stream, settings, DriftHyper(0.3)).diagnostics.admittance.name
    'STALE'
    """
    taken = admittance(state, tick.index, settings)
    if taken is Admittance.STALE:
        return Step(state, (), Diagnostics(taken))
    if taken is Admittance.SUSPECTED:
        return Step(replace(state, suspected=tick.index), (), Diagnostics(taken))
    state = _with_room(state, tick, stream)
    clean = cleaned(tick, stream.kind, state.stores)
    elapsed = 1 if state.tick == NEVER else tick.index - state.tick
    state = _arrived(aged(state, tick.index, elapsed, settings), clean, tick)
    if taken is Admittance.LEAPT:
        state = _forgotten(state)
    return _judged(state, tick, clean, elapsed, taken, stream, settings, hyper)


def _judged(
    state: DriftState,
    tick: Tick,
    clean: Cleaned,
    elapsed: int,
    taken: Admittance,
    stream: Stream,
    settings: DriftSettings,
    hyper: DriftHyper,
) -> Step:
    family = FAMILIES[stream.kind]
    seen = expectation(state, family, clean, tick.index, settings, hyper)
    state = _weighed(state, seen, tick.index, elapsed, settings)
    state, log_silent = _listened(state, clean, tick, elapsed, stream.kind, settings)
    found = drifting(state, family, seen, settings)
    judged = Judgements(
        found,
        levelled(state, family, seen, settings, hyper),
        shifts(found.leans_up, found.leans_down, seen.ready, settings),
        log_silent,
        (log_silent < settings.silent_log_probability) & ~state.known.retired,
        clean.seen,
        _mask(tick.accepted, state.stores),
        state.known.retired,
    )
    after = settled(state, judged, seen, tick, settings)
    new = remembered(state, family, clean, seen, judged, after, tick, settings)
    records = alert_records(Told(stream, new, family, seen, judged, tick, settings, hyper), after)
    held = found.fires & ~new.episodes[0].is_open & ~new.episodes[1].is_open & ~after.accepted
    told = Diagnostics(
        taken,
        int(clean.refused.sum()),
        int(seen.tested.sum()),
        int(found.fires.sum()),
        int(held.sum()),
        found.log_threshold,
        seen.offset.offset,
        float(np.sqrt(seen.noise_variance)),
        np.where(seen.tested, seen.told.z, np.nan),
        _followed(tick, after),
    )
    return Step(new, tuple(records), told)


def _followed(tick: Tick, after: Settled) -> Rows:
    """Return the accepted stores that had something to accept."""
    found = after.accepted.copy()
    for alert, moved in zip(ALERTS, after.advanced, strict=True):
        if not alert.of_chain:
            found |= moved.resolved
    return tick.accepted[found[tick.accepted]]


def _with_room(state: DriftState, tick: Tick, stream: Stream) -> DriftState:
    rows: list[Rows] = [tick.rows, tick.accepted, tick.retired]
    needed = max(int(row.max(initial=-1)) for row in rows) + 1
    if needed > len(stream.stores):
        raise FitError(
            f"a tick of {stream.chain_id}/{stream.metric} names row {needed - 1}, "
            f"but {len(stream.stores)} stores are known"
        )
    return state.grown(needed)


def _mask(rows: Rows, stores: int) -> Bools:
    mask = np.zeros(stores, bool)
    mask[rows] = True
    return mask


def _arrived(state: DriftState, clean: Cleaned, tick: Tick) -> DriftState:
    """Return the state with first days noted, and retired stores gone."""
    known = state.known
    new = clean.seen & (known.first_tick == NEVER)
    retired = (known.retired | _mask(tick.retired, state.stores)) & ~clean.seen
    first = np.where(new, tick.index, known.first_tick)
    gone = retired & ~known.retired
    known = replace(known, first_tick=first, retired=retired)
    state = replace(state, known=known, tick=tick.index, suspected=NEVER)
    return replace(state, evidence=state.evidence.renewed(gone)) if gone.any() else state


def _forgotten(state: DriftState) -> DriftState:
    """Return the state without running evidence: it says nothing of a year that was not seen."""
    nobody = np.zeros(state.stores, bool)
    silence = replace(state.silence, forecast=np.zeros(state.stores))
    return replace(state, evidence=state.evidence.renewed(~nobody), silence=silence)


def _weighed(
    state: DriftState, seen: Expectation, index: int, elapsed: int, settings: DriftSettings
) -> DriftState:
    """Return the state with the tick's evidence."""
    state = noise_learnt(state, seen, elapsed, settings)
    evidence = updated(
        state.evidence, seen.told, seen.relation_variance, index, seen.tested, settings
    )
    known = replace(
        state.known,
        score=state.known.score + np.where(seen.tested, seen.told.score, 0.0),
        information=state.known.information + np.where(seen.tested, seen.told.information, 0.0),
    )
    innovations = state.innovations
    if settings.opinions:
        new = np.where(seen.tested, seen.told.z, np.nan)
        innovations = (*innovations, new)[-settings.opinion_ticks :]
    return replace(state, evidence=evidence, known=known, innovations=innovations)


def _listened(
    state: DriftState,
    clean: Cleaned,
    tick: Tick,
    elapsed: int,
    kind: Kind,
    settings: DriftSettings,
) -> tuple[DriftState, Floats]:
    """Return the state with the tick's visits, and ln P(none) of each store."""
    if kind is not Kind.COUNTS:
        return state, np.zeros(state.stores)
    slot = tick.index % (7 * settings.ticks_a_day)
    factor = decay(elapsed, SILENCE_HALF_LIFE_DAYS * settings.ticks_a_day)
    silent = state.episodes[ALERTS.index(SILENT)].is_open | state.silence.accepted
    warm = tick.index - state.known.first_tick >= settings.warm_up_days * settings.ticks_a_day
    known = (state.known.first_tick != NEVER) & ~state.known.retired
    silence, log_none = listened(state.silence, clean, slot, factor, silent, known)
    return replace(state, silence=silence), np.where(known & warm, log_none, 0.0)
