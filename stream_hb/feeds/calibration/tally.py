"""What the scores of a pool's ticks add up to: sums that fade, and merge over shards in any order.

Weights are those of forward decay by the tick's end (Cormode et al. 2009,
doi:10.1109/ICDE.2009.65); the landmark is the last whole half-life before the newest tick.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from stream_hb.feeds.calibration.scores import BINS, LEVELS, Scores, covered, histogram
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Tally:
    """Decayed sums over scored group-ticks; ``merge`` adds them, ``zeros`` is its identity.

    Attributes
    ----------
    half_life_ms
        Of the weights; only tallies of one half-life merge.
    mark
        The landmark in half-lives since 1970.
    groups
        Σwn, n groups being scored in a tick.
    covered
        Σwc by level, c groups being covered, shape (levels,).
    log_score, crps
        Sums of Σ over groups, weighted.
    pit
        Weighted histogram of the PIT, shape (bins,).
    groups_squared, covered_squared, covered_groups
        Σw²n², Σw²c² and Σw²cn: groups share a tick's luck, so a tick is what varies.
    """

    half_life_ms: int
    mark: int
    groups: Floats
    covered: Floats
    log_score: Floats
    crps: Floats
    pit: Floats
    groups_squared: Floats
    covered_squared: Floats
    covered_groups: Floats

    @classmethod
    def zeros(cls, half_life_ms: int) -> Self:
        """Return the tally of nothing."""
        one, levels = np.zeros(1), np.zeros(len(LEVELS))
        sums = (one, levels, one, one, np.zeros(BINS))
        return cls(half_life_ms, 0, *sums, one, levels, levels)

    @classmethod
    def of(cls, half_life_ms: int, end_ms: int, scores: Scores, pit: Floats) -> Self:
        """Return the tally of one tick's scores."""
        mark = end_ms // half_life_ms
        weight = math.exp2((end_ms - mark * half_life_ms) / half_life_ms)
        n = np.array([float(len(pit))])
        c = covered(pit).sum(axis=1).astype(np.float64)
        totals = (n, c, scores.log_score.sum()[None], scores.crps.sum()[None], histogram(pit))
        squares = (n**2, c**2, c * n)
        return cls(
            half_life_ms,
            mark if len(pit) else 0,
            *(weight * total for total in totals),
            *(weight**2 * square for square in squares),
        )

    def merge(self, other: Self) -> Self:
        """Return the tally of both."""
        if self.half_life_ms != other.half_life_ms:
            raise ValueError(
                f"tallies of half-lives {self.half_life_ms} and {other.half_life_ms} ms"
                " cannot be merged: their weights differ"
            )
        mark = max(self.mark, other.mark)
        pairs = zip(self._at(mark), other._at(mark), strict=True)
        return type(self)(self.half_life_ms, mark, *(a + b for a, b in pairs))

    def mass(self, at_ms: int) -> float:
        """Return the group-ticks' weight as of a time."""
        age = (at_ms - self.mark * self.half_life_ms) / self.half_life_ms
        return float(self.groups[0]) * math.exp2(-age)

    def coverage(self) -> tuple[Floats, Floats]:
        """Return the share of observations that were covered, and its standard error, by level.

        The error is that of a ratio of sums over ticks, and at least a binomial one: of few ticks
        the sums do not show how they vary. NaN before anything is scored.
        """
        n = float(self.groups[0])
        if n == 0:
            return np.full(len(LEVELS), math.nan), np.full(len(LEVELS), math.nan)
        share = self.covered / n
        away = self.covered_squared - share * (
            2 * self.covered_groups - share * self.groups_squared
        )
        levels = np.array(LEVELS)
        variance = np.maximum(away / n**2, levels * (1 - levels) / n)
        return share, np.sqrt(variance)

    def mean_log_score(self) -> float:
        """Return the mean log score; NaN before anything is scored."""
        return float(self.log_score[0] / self.groups[0]) if self.groups[0] else math.nan

    def mean_crps(self) -> float:
        """Return the mean CRPS; NaN before anything is scored."""
        return float(self.crps[0] / self.groups[0]) if self.groups[0] else math.nan

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain numbers and lists."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the tally of a :meth:`snapshot`."""
        sums = (np.array(state[name], np.float64) for name in (*_SUMS, *_SQUARES))
        return cls(state["half_life_ms"], state["mark"], *sums)

    def _at(self, mark: int) -> list[Floats]:
        """Return all sums at a later landmark: smaller by whole powers of two, to the bit."""
        exponent = mark - self.mark if self.groups[0] else 0
        sums = [np.ldexp(getattr(self, name), -exponent) for name in _SUMS]
        return sums + [np.ldexp(getattr(self, name), -2 * exponent) for name in _SQUARES]


_SUMS = ("groups", "covered", "log_score", "crps", "pit")
_SQUARES = ("groups_squared", "covered_squared", "covered_groups")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
