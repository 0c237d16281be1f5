"""Streams through the feed: statistics under decay, the product's fits, ``feed.step`` every day."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from stream_hb.feeds.calibration.alarm import AlarmRule
from stream_hb.feeds.calibration.feed import CalibrationRule, CalibrationState, Tick, step
from stream_hb.feeds.calibration.predictive import Belief
from stream_hb.models.beta_binomial import BetaHyper
from stream_hb.models.gamma_poisson import GammaHyper
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.decayed_counts import DecayedCounts
from stream_hb.statistics.decayed_exposure import DecayedExposure
from stream_hb.statistics.decayed_moments import DecayedMoments
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.forgetting import Forgetting, HalfLife, Never, as_seen
from stream_hb.statistics.moments import Moments
from tests.calibration.worlds import World

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
FAMILY_OF = {
    "conversion": "beta-binomial",
    "order_rate": "gamma-poisson",
    "log_order_value": "normal",
}
REFIT_DAYS = frozenset({1, 4, 14, 42})
"""When hyperparameters are fitted anew: as a product does whose pool has grown that much."""

FALSE_ALARMS_PER_YEAR = 0.04
"""Of each kind: at most .01 in 90 days."""


@dataclass(frozen=True, slots=True)
class Model:
    """How a stream is predicted.

    Attributes
    ----------
    half_lives
        In days, kept side by side; None: nothing is forgotten.
    pooling
        ``partial``: the product's full Bayes fit; ``complete``: one rate for all stores.
    family
        Name of the family, where it is not the metric's own.
    """

    half_lives: tuple[float | None, ...] = (None,)
    pooling: str = "partial"
    family: str | None = None


class Keeper:
    """A metric's statistics as the product keeps them, and the fit of them."""

    def __init__(self, metric: str, half_life: float | None, model: Model, stores: int) -> None:
        self._plain = {"conversion": Counts, "order_rate": Exposure}.get(metric, Moments)
        self._rule: Forgetting = Never() if half_life is None else HalfLife(_ms(half_life))
        self._kept: Any = self._rule.zeros(self._plain, stores)
        self._mark = 0
        self._family = FAMILIES[model.family or FAMILY_OF[metric]]
        self._pooling = model.pooling
        self._half_life_ms = None if half_life is None else _ms(half_life)
        self._hyper: Any = None
        self._last_ms = np.zeros(stores, np.int64)

    def belief(self, day: int) -> Belief | None:
        """Return what is believed before a day, fitted anew if it is time."""
        if day in REFIT_DAYS:
            self._hyper = self._fit(as_seen(self._kept))
        if self._hyper is None:
            return None
        age = self._rule.age(np.maximum(START_MS + day * DAY_MS - self._last_ms, 0))
        return Belief(self._family, self._hyper, as_seen(self._kept, age), self._half_life_ms)

    def enter(self, day: int, increment: Statistic) -> None:
        """Add a day; its weight is that of its middle, as for totals."""
        middle_ms = START_MS + day * DAY_MS + DAY_MS // 2
        mark = self._rule.mark(self._mark, middle_ms)
        self._kept = self._rule.advanced(self._kept, self._mark, mark)
        self._mark = mark
        rows = np.arange(len(increment))
        cells = self._rule.cells(rows, np.full(len(rows), middle_ms), mark)
        more = increment if cells.weights is None else weighted(increment, cells.weights)
        self._kept = self._kept.merge(more)
        some = next(reversed(increment.columns().values())) > 0
        self._last_ms = np.where(some, middle_ms, self._last_ms)

    def _fit(self, groups: Any) -> Any:
        if self._pooling == "partial":
            return self._family.fit(groups, "bayes").hyper
        if isinstance(groups, Counts):
            n = float(groups.trials.sum())
            return BetaHyper(float(groups.successes.sum()) / n, math.inf, n)
        t = float(groups.exposure.sum())
        return GammaHyper(float(groups.events.sum()) / t, math.inf, t)


def weighted(increment: Statistic, w: Floats) -> Statistic:
    """Return a day's increment whose observations weigh so much."""
    match increment:
        case Counts(y, n):
            return DecayedCounts(w * y, w * n, w**2 * n)
        case Exposure(y, t):
            return DecayedExposure(w * y, w * t, w**2 * t)
        case Moments(k, mean, m2):
            return DecayedMoments(w * k, mean, w * m2, w**2 * k)
    raise AssertionError(increment)


def rule_of(world: World, model: Model, memory_days: float = 14.0) -> CalibrationRule:
    """Return the feed's rule: coverage over a fortnight, half-lives judged over a month."""
    half_lives = tuple(None if h is None else _ms(h) for h in model.half_lives)
    alarm = AlarmRule.yearly(FALSE_ALARMS_PER_YEAR, DAY_MS)
    memory = _ms(memory_days)
    return CalibrationRule("main", world.metric, 1, half_lives, memory, 30 * DAY_MS, alarm)


def ticks(world: World, model: Model, random: Generator) -> Iterator[Tick]:
    """Yield the days of a stream with what is believed before each."""
    keepers = [Keeper(world.metric, h, model, world.stores) for h in model.half_lives]
    keys = [f"store-{number}" for number in range(world.stores)]
    for day, increment in enumerate(world.draw(random)):
        beliefs = [keeper.belief(day) for keeper in keepers]
        end_ms = START_MS + (day + 1) * DAY_MS
        known = [belief for belief in beliefs if belief is not None]
        yield Tick(end_ms, end_ms, end_ms, keys, increment, known)
        for keeper in keepers:
            keeper.enter(day, increment)


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of a stream.

    Attributes
    ----------
    raised
        The kind of alarm, or ``none``.
    on_day
        The day of it, -1 without.
    state
        Then, or at the end.
    """

    raised: str
    on_day: int
    state: CalibrationState


def follow(world: World, model: Model, random: Generator) -> Followed:
    """Drive a stream through the feed until the alarm is raised, or to its end."""
    state = CalibrationState.new(rule_of(world, model))
    for day, tick in enumerate(ticks(world, model, random)):
        state, _ = step(state, tick)
        if state.alarm.raised != "none":
            return Followed(state.alarm.raised, day, state)
    return Followed("none", -1, state)


def log_scores(
    world: World, half_lives: Sequence[float | None], random: Generator
) -> tuple[float, Floats, int]:
    """Return the mean log score of ``auto``, those of each half-life, and how often it changed."""
    model = Model(tuple(half_lives))
    for_ever = replace(rule_of(world, model), memory_ms=10_000 * 365 * DAY_MS)
    auto = CalibrationState.new(for_ever)
    fixed = [
        CalibrationState.new(replace(for_ever, half_lives_ms=(half_life_ms,)))
        for half_life_ms in for_ever.half_lives_ms
    ]
    changes = 0
    for tick in ticks(world, model, random):
        before = auto.in_use
        auto, _ = step(auto, tick)
        changes += auto.in_use != before
        for number, state in enumerate(fixed):
            one = replace(tick, beliefs=tick.beliefs[number : number + 1])
            fixed[number], _ = step(state, one)
    each = np.array([state.tally.mean_log_score() for state in fixed])
    return auto.tally.mean_log_score(), each, changes


def _ms(days: float) -> int:
    return round(days * DAY_MS)
