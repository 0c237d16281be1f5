"""An alarm that intervals do not keep their word, by betting against them: valid at any time.

Of the groups that a tick scores let D be the share whose interval missed. If intervals of level L
are right, or too narrow by no more than the tolerance, then E[D | all that came before] ≤ α with
α = 2Φ(-z_L/tolerance). So a bettor who stakes a share f of what he has on D > α, and so has
1 + f(D/α - 1) times as much after the tick, cannot expect to win; how much the groups share of a
tick's luck does not matter, for only the expectation of D is used. Bettors join at every tick with
one coin each (the Shiryaev-Roberts e-detector: Shin, Ramdas & Rinaldo 2024,
doi:10.51387/23-NEJSDS51), and bet on several levels with several shares; the alarm is raised when
their mean fortune reaches A. A right model raises it once in A ticks or less often, and within T
ticks with a probability of at most T/A.
Waudby-Smith & Ramdas (2024), doi:10.1093/jrsssb/qkad009, on betting on bounded means.

An alarm ends the same way: once it is raised, others bet that the intervals are within the
tolerance again, and it ends when their mean fortune reaches 100. All bets then begin anew.

The tolerance is there because no model is right to the last digit: a half-life that forgets a
drifting rate just fast enough leaves intervals some 5 % too narrow, and that is no reason to be
called.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import ndtr, ndtri

from stream_hb.feeds.calibration.scores import LEVELS
from stream_hb.statistics.columns import Floats

YEAR_MS = 31_557_600_000

SHARES = (0.05, 0.15, 0.4, 0.8)
"""Of a bettor's fortune that he stakes."""

TICKS_PER_FALSE_END = 100.0
"""A raised alarm ends for a model that is still outside of the tolerance at most this often."""

_NONE, _UNDER, _OVER = "none", "under_coverage", "over_coverage"


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """When the alarm is raised.

    Attributes
    ----------
    ticks_per_false_alarm
        A: a model within the tolerance raises each kind at most once in so many ticks.
    narrow, wide
        The tolerance: intervals that had to be so many times as wide to keep their word (or, of
        too wide ones, so many times narrower) are let pass.
    """

    ticks_per_false_alarm: float
    narrow: float = 1.15
    wide: float = 1.25

    @classmethod
    def yearly(cls, false_alarms_per_year: float, tick_ms: int) -> Self:
        """Return the rule with at most so many false alarms a pool, metric, kind and year.

        >>> round(AlarmRule.yearly(0.04, tick_ms=86_400_000).ticks_per_false_alarm)
        9131
        """
        return cls(YEAR_MS / tick_ms / false_alarms_per_year)

    def miss_most(self) -> Floats:
        """Return the largest share of misses that is tolerated, by level."""
        most: Floats = 2 * ndtr(-_quantiles() / self.narrow)
        return most

    def hit_most(self) -> Floats:
        """Return the largest share of hits that is tolerated, by level."""
        most: Floats = 1 - 2 * ndtr(-_quantiles() * self.wide)
        return most


@dataclass(frozen=True, slots=True)
class Alarm:
    """The bettors' fortunes, and what is raised.

    Attributes
    ----------
    log_under, log_over, log_back
        Logs of the sums of fortunes by level and share, shape (levels, shares), -inf at first: of
        those who bet on too narrow and on too wide intervals, and on the end of what is raised.
    raised
        ``none``, ``under_coverage`` or ``over_coverage``.
    since_ms
        End of the tick that raised it; 0 while nothing is.
    """

    log_under: Floats
    log_over: Floats
    log_back: Floats
    raised: str = _NONE
    since_ms: int = 0

    @classmethod
    def quiet(cls) -> Self:
        """Return the alarm before anything is scored."""
        nothing = np.full((len(LEVELS), len(SHARES)), -math.inf)
        return cls(nothing, nothing, nothing)

    def after(self, rule: AlarmRule, end_ms: int, groups: float, held: Floats) -> Self:
        """Return the alarm after a tick of whose groups so many were covered, by level."""
        if not groups:
            return self
        hit = held / groups
        under = _bet(self.log_under, 1 - hit, rule.miss_most())
        over = _bet(self.log_over, hit, rule.hit_most())
        if self.raised != _NONE:
            against = (hit, 1 - rule.miss_most()), (1 - hit, 1 - rule.hit_most())
            back = _bet(self.log_back, *against[self.raised == _OVER])
            if _mean(back) >= math.log(TICKS_PER_FALSE_END):
                return self.quiet()
            return type(self)(under, over, back, self.raised, self.since_ms)
        raised = _raised(_mean(under), _mean(over), math.log(rule.ticks_per_false_alarm))
        return type(self)(under, over, self.log_back, raised, 0 if raised == _NONE else end_ms)

    def evidence(self) -> tuple[float, float]:
        """Return the logs of the mean fortunes against too narrow and too wide intervals."""
        return _mean(self.log_under), _mean(self.log_over)

    def merge(self, other: Self) -> Self:
        """Return the mean fortunes of two shards' bettors, which no dependence can make unfair.

        It raises nothing by itself: that is done after the next tick.
        """
        first = min((self, other), key=lambda a: (a.raised == _NONE, a.since_ms))
        under, over = (
            np.logaddexp(a, b) - math.log(2)
            for a, b in ((self.log_under, other.log_under), (self.log_over, other.log_over))
        )
        return type(self)(under, over, first.log_back, first.raised, first.since_ms)

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain numbers and lists; a fortune of nothing is None."""
        return {
            "log_under": _finite(self.log_under),
            "log_over": _finite(self.log_over),
            "log_back": _finite(self.log_back),
            "raised": self.raised,
            "since_ms": self.since_ms,
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the alarm of a :meth:`snapshot`."""
        under, over, back = (
            np.array([[-math.inf if x is None else x for x in row] for row in state[name]])
            for name in ("log_under", "log_over", "log_back")
        )
        return cls(under, over, back, state["raised"], state["since_ms"])


def _bet(log_sum: Floats, share: Floats, most: Floats) -> Floats:
    """Return the fortunes after a new bettor has joined each table and the tick has come."""
    gain = np.log1p(np.array(SHARES) * (share / most - 1)[:, np.newaxis])
    return np.logaddexp(log_sum, 0.0) + gain


def _mean(log_sum: Floats) -> float:
    return float(np.logaddexp.reduce(log_sum, axis=None)) - math.log(log_sum.size)


def _raised(under: float, over: float, threshold: float) -> str:
    if under >= threshold:
        return _UNDER
    return _OVER if over >= threshold else _NONE


def _quantiles() -> Floats:
    """Return the z of each level's interval."""
    z: Floats = ndtri((1 + np.array(LEVELS)) / 2)
    return z


def _finite(log_sum: Floats) -> list[list[float | None]]:
    return [[x if math.isfinite(x) else None for x in row] for row in log_sum.tolist()]
