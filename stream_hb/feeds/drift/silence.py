"""A store without visits: it has closed, or its counter is broken; never a drift."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from stream_hb.feeds.drift.baseline import Baseline
from stream_hb.feeds.drift.chain_offset import chain_offset
from stream_hb.feeds.drift.columns import Bools, StoreColumns
from stream_hb.feeds.drift.family import Observed
from stream_hb.feeds.drift.rates import Rates, log_probability_of_none
from stream_hb.feeds.drift.tick import Cleaned
from stream_hb.statistics.columns import Floats

SPREAD_SIZE = 1.0
"""Visits that the chain gives a store of which nothing is known: stores differ by a factor of e."""

NOISE_VARIANCE = 0.04
"""Of the log of a store's visits from day to day: a fifth."""

HALF_LIFE_DAYS = 28.0
"""Of the visits that are forecast from."""

EMPTY_SHARE = 0.1
"""A weekday (or hour of the week) that is as often without a visit as this says nothing."""

_RATES = Rates()


@dataclass(frozen=True, slots=True)
class Habit(StoreColumns):
    """How often a slot of the week had ticks, and how many of them without a visit."""

    ticks: Floats
    empty: Floats

    @classmethod
    def of_new(cls, stores: int) -> Self:
        """Return no habits."""
        return cls(np.zeros(stores), np.zeros(stores))


@dataclass(frozen=True, slots=True)
class Silence:
    """What is remembered of visits.

    Attributes
    ----------
    baseline
        Visits and visits expected of a store like the chain.
    habits
        One for each slot of the week: a store that is closed on Sundays is not silent.
    forecast
        Visits forecast since the last one came.
    variance
        Of the logarithm of that forecast.
    accepted
        An alert of it has ended, and no visit has come since: no news.
    """

    baseline: Baseline
    habits: tuple[Habit, ...]
    forecast: Floats
    variance: Floats
    accepted: Bools

    @classmethod
    def of_new(cls, stores: int, slots: int) -> Self:
        """Return nothing known."""
        habits = tuple(Habit.of_new(0) for _ in range(slots))
        zeros = np.zeros(stores), np.zeros(stores)
        return cls(Baseline.of_new(stores), habits, *zeros, np.zeros(stores, bool))

    def grown(self, stores: int) -> Self:
        """Return the same with room for so many stores."""
        more = np.zeros(max(stores - len(self.forecast), 0))
        return replace(
            self,
            baseline=self.baseline.grown(stores),
            forecast=np.concatenate([self.forecast, more]),
            variance=np.concatenate([self.variance, more]),
            accepted=np.concatenate([self.accepted, more > 0]),
        )


def listened(
    silence: Silence, tick: Cleaned, slot: int, factor: float, silent: Bools, known: Bools
) -> tuple[Silence, Floats]:
    """Return what is remembered after a tick, and ln P(no visit since the last one).

    Parameters
    ----------
    slot
        The tick's place in the week.
    factor
        What a tick's age leaves of the earlier ones.
    silent
        Stores whose silence is told, or accepted: their forecast stays what it was, or it would
        sink to nothing.
    known
        Stores that have had a visit; an unusable row says nothing of silence.
    """
    heard = known & ~tick.refused
    observed = Observed(tick.hours * heard, tick.size * heard)
    relation, variance = _RATES.relation(silence.baseline, SPREAD_SIZE)
    offset = chain_offset(_RATES, observed, relation, variance + NOISE_VARIANCE, heard & ~silent)
    # A closed chain has no visits to forecast: half a visit a day at the least keeps this finite.
    mean = observed.size * np.exp(np.clip(offset.without + relation, -50, 50))
    total = variance + NOISE_VARIANCE + np.where(np.isfinite(offset.variance), offset.variance, 9.0)
    habit = silence.habits[slot].grown(len(mean))
    expects = habit.empty <= EMPTY_SHARE * habit.ticks
    empty = heard & (tick.size == 0)
    forecast = np.where(tick.size > 0, 0.0, silence.forecast + mean * (empty & expects))
    spread = np.where(empty & expects, np.maximum(silence.variance, total), silence.variance)
    spread = np.where(tick.size > 0, 0.0, spread)
    learns = heard & ~silent
    contribution = _RATES.contribution(tick, observed, offset.offset)
    baseline = silence.baseline.where(learns, silence.baseline.decayed(factor).merged(contribution))
    habits = list(silence.habits)
    habits[slot] = Habit(habit.ticks + learns, habit.empty + (empty & learns))
    after = Silence(baseline, tuple(habits), forecast, spread, silence.accepted & ~tick.seen)
    log_none = log_probability_of_none(forecast, spread)
    return after, np.where(after.accepted, 0.0, log_none)
