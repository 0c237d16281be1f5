"""The calibration feed of one pool and metric: closed ticks in, what they say of the model out.

A tick is an hour or a day of the stores' local time, never a poll's batch: which batches there are
depends on the machine, and a replay has to find the same. It is named by its end in UTC; groups
whose tick ends at the same moment come together, and ticks come in the order of their ends. What
comes again, or later, is counted and never scored: its prediction has been told already.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import FitError
from stream_hb.feeds.calibration.alarm import Alarm, AlarmRule
from stream_hb.feeds.calibration.half_life import Candidates, chosen
from stream_hb.feeds.calibration.pit import uniforms
from stream_hb.feeds.calibration.predictive import Belief, log_score, score
from stream_hb.feeds.calibration.record import (
    SCHEMA_VERSION,
    CalibrationRecord,
    Candidate,
    coverages,
    pit_of,
)
from stream_hb.feeds.calibration.scores import Scores, covered
from stream_hb.feeds.calibration.tally import Tally
from stream_hb.feeds.estimate_record import Version
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments


@dataclass(frozen=True, slots=True)
class CalibrationRule:
    """What is configured of one pool and metric.

    Attributes
    ----------
    pool, metric
        Chain id and metric's name.
    epoch
        Of the records' versions.
    half_lives_ms
        Those whose beliefs every tick brings, in this order; None: nothing is forgotten. The first
        is in use ...
    memory_ms
        Half-life of the scores that the records tell.
    choice_memory_ms
        Half-life of the scores that the half-lives are compared by.
    alarm
        When the alarm is raised.
    chooses
        ... until another has proved better. Where estimates are not served by the choice, the
        first stays: what is told is how *their* intervals have held.
    """

    pool: str
    metric: str
    epoch: int
    half_lives_ms: tuple[int | None, ...]
    memory_ms: int
    choice_memory_ms: int
    alarm: AlarmRule
    chooses: bool = True


@dataclass(frozen=True, slots=True)
class Unscored:
    """Group-ticks that were not scored, by reason.

    Attributes
    ----------
    late
        Their tick was closed.
    empty
        Nothing was observed, or there was no fit yet.
    refused
        Numbers that no tick can have, or a belief that predicts none: NaN, more successes than
        trials.
    """

    late: int = 0
    empty: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """What is known of one pool and metric.

    Attributes
    ----------
    rule
        As configured; not part of the snapshot.
    tally, alarm, candidates
        See there; candidates have no sums where there is one half-life.
    in_use
        Number of the half-life in use.
    closed_ms
        End of the last closed tick.
    seq
        Records written in this epoch.
    unscored
        What was not scored.
    """

    rule: CalibrationRule
    tally: Tally
    alarm: Alarm
    candidates: Candidates
    in_use: int = 0
    closed_ms: int = 0
    seq: int = 0
    unscored: Unscored = field(default_factory=Unscored)

    @classmethod
    def new(cls, rule: CalibrationRule) -> Self:
        """Return the state before the first tick."""
        size = len(rule.half_lives_ms)
        candidates = Candidates.zeros(rule.choice_memory_ms, size)
        return cls(rule, Tally.zeros(rule.memory_ms), Alarm.quiet(), candidates)

    def snapshot(self) -> dict[str, Any]:
        """Return everything but the rule as plain numbers and lists."""
        return {
            "tally": self.tally.snapshot(),
            "alarm": self.alarm.snapshot(),
            "candidates": self.candidates.snapshot(),
            "in_use": self.in_use,
            "closed_ms": self.closed_ms,
            "seq": self.seq,
            "unscored": asdict(self.unscored),
        }

    @classmethod
    def restore(cls, rule: CalibrationRule, state: dict[str, Any]) -> Self:
        """Return the state of a :meth:`snapshot`."""
        return cls(
            rule,
            Tally.restore(state["tally"]),
            Alarm.restore(state["alarm"]),
            Candidates.restore(state["candidates"]),
            state["in_use"],
            state["closed_ms"],
            state["seq"],
            Unscored(**state["unscored"]),
        )


@dataclass(frozen=True, slots=True)
class Tick:
    """A closed tick of some groups of the pool.

    Attributes
    ----------
    end_ms
        Its end in UTC.
    as_of_ms, watermark_ms
        Clock reading, and event time up to which everything was read.
    keys
        Each group's store (and arm), in the order of the rows; a group comes once.
    increment
        What the tick brought: Counts, Exposure or Moments, unweighted, one row a group.
    beliefs
        What was believed before any of it came, one for each half-life of the rule, with the same
        rows; none before the first fit.
    """

    end_ms: int
    as_of_ms: int
    watermark_ms: int
    keys: Sequence[str]
    increment: Statistic
    beliefs: Sequence[Belief]


def step(
    state: CalibrationState, tick: Tick
) -> tuple[CalibrationState, tuple[CalibrationRecord, ...]]:
    """Score a closed tick; return the new state and the record, if anything was scored."""
    if tick.end_ms <= state.closed_ms:
        late = state.unscored.late + len(tick.keys)
        return replace(state, unscored=replace(state.unscored, late=late)), ()
    sound, some = _usable(tick.increment)
    rows = np.flatnonzero(some) if tick.beliefs else np.empty(0, np.intp)
    scores, log_scores, rows = _scored(state, tick, rows)
    refused = int((~sound).sum()) + (int(some.sum()) - len(rows) if tick.beliefs else 0)
    unscored = replace(
        state.unscored,
        empty=state.unscored.empty + len(tick.keys) - refused - len(rows),
        refused=state.unscored.refused + refused,
    )
    state = replace(state, closed_ms=tick.end_ms, unscored=unscored)
    if not len(rows):
        return state, ()
    keys = [tick.keys[row] for row in rows.tolist()]
    uniform = uniforms(keys, state.rule.pool, state.rule.metric, tick.end_ms)
    state = _told(state, tick.end_ms, scores, scores.pit(uniform), log_scores)
    return state, (_record(state, tick),)


def _usable(increment: Statistic) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which rows are numbers that a tick can have, and which of these say anything."""
    match increment:
        case Counts(y, size):
            sound = _is_count(y) & _is_count(size) & (y <= size)
        case Exposure(y, size):
            sound = _is_count(y) & np.isfinite(size) & (size >= 0) & ((size > 0) | (y == 0))
        case Moments(size, mean, m2):
            sound = _is_count(size) & np.isfinite(mean) & np.isfinite(m2) & (m2 >= 0)
        case _:
            raise FitError(f"expected the increments of a tick, got {type(increment).__name__}")
    return sound, sound & (size > 0)


def _is_count(x: Floats) -> NDArray[np.bool_]:
    whole: NDArray[np.bool_] = np.isfinite(x) & (x >= 0) & (np.floor(x) == x)
    return whole


def _scored(
    state: CalibrationState, tick: Tick, rows: NDArray[np.intp]
) -> tuple[Scores, Floats, NDArray[np.intp]]:
    """Score rows under the belief in use, and by their log scores under each."""
    _check(state, tick)
    if not len(rows):
        return Scores.unknown(0), np.zeros((len(state.rule.half_lives_ms), 0)), rows
    increment = tick.increment.take(rows)
    # What a belief of NaN, or none at all, makes of a number is found below, not warned of.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scores = score(tick.beliefs[state.in_use].take(rows), increment)
        others = np.stack(
            [
                scores.log_score if i == state.in_use else log_score(belief.take(rows), increment)
                for i, belief in enumerate(tick.beliefs)
            ]
        )
    sound = scores.finite() & np.isfinite(others).all(axis=0)
    return scores.take(sound), others[:, sound], rows[sound]


def _check(state: CalibrationState, tick: Tick) -> None:
    if len(tick.keys) != len(tick.increment):
        raise FitError(f"{len(tick.keys)} keys for {len(tick.increment)} rows of a tick")
    told = tuple(belief.half_life_ms for belief in tick.beliefs)
    if told and told != state.rule.half_lives_ms:
        raise FitError(f"expected beliefs of half-lives {state.rule.half_lives_ms}, got {told}")


def _told(
    state: CalibrationState, end_ms: int, scores: Scores, pit: Floats, log_scores: Floats
) -> CalibrationState:
    """Return the state after a tick's scores; which half-life is in use changes for the next."""
    rule = state.rule
    candidates = state.candidates
    if len(log_scores) > 1:
        one = Candidates.of(rule.choice_memory_ms, end_ms, log_scores)
        candidates = candidates.merge(one)
    held = covered(pit).sum(axis=1).astype(np.float64)
    return replace(
        state,
        tally=state.tally.merge(Tally.of(rule.memory_ms, end_ms, scores, pit)),
        alarm=state.alarm.after(rule.alarm, end_ms, float(len(pit)), held),
        candidates=candidates,
        in_use=chosen(candidates, state.in_use) if rule.chooses else state.in_use,
        seq=state.seq + 1,
    )


def _record(state: CalibrationState, tick: Tick) -> CalibrationRecord:
    rule, tally, alarm = state.rule, state.tally, state.alarm
    return CalibrationRecord(
        SCHEMA_VERSION,
        rule.pool,
        rule.metric,
        tick.as_of_ms,
        tick.watermark_ms,
        tally.mass(tick.end_ms),
        coverages(tally),
        tally.mean_log_score(),
        tally.mean_crps(),
        pit_of(tally, tick.end_ms),
        _seconds(rule.half_lives_ms[state.in_use]),
        _candidates(state),
        alarm.raised,
        alarm.since_ms or None,
        Version(rule.epoch, state.seq),
    )


def _candidates(state: CalibrationState) -> list[Candidate]:
    means = state.candidates.means().tolist()
    return [
        Candidate(_seconds(half_life_ms), mean, number == state.in_use)
        for number, (half_life_ms, mean) in enumerate(
            zip(state.rule.half_lives_ms, means, strict=True)
        )
        if math.isfinite(mean)
    ]


def _seconds(half_life_ms: int | None) -> float | None:
    return None if half_life_ms is None else half_life_ms / 1000
