"""Which half-life forgets just fast enough: the one whose predictions score best.

Two or three are kept side by side, and every tick is scored under each before it enters (Dawid
1984, doi:10.2307/2981683: prequential). The sums fade, so that the choice follows the stream. A
change makes every estimate of the pool jump: it takes more than luck.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stream_hb.statistics.columns import Floats

ERRORS_TO_CHANGE = 2.0
"""Standard errors that a half-life has to be better by than the one in use."""

TICKS_TO_CHANGE = 5.0
"""Ticks (Kish's number) before which nothing is changed: of fewer no error is known."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Decayed sums of the half-lives' log scores; ``merge`` adds them.

    Attributes
    ----------
    memory_ms
        Half-life of the sums themselves.
    mark
        Their landmark, in ``memory_ms`` since 1970.
    groups, groups_squared
        Σwn and Σw²n², n groups being scored in a tick.
    weight, weight_squared
        Σw and Σw² over ticks.
    log_score
        Σws by half-life, s being the sum over a tick's groups, shape (half-lives,).
    cross, product
        Σw²dn and Σw²dd', d being s less its mean over the half-lives, shapes (half-lives,) and
        (half-lives, half-lives).
    """

    memory_ms: int
    mark: int
    groups: Floats
    weight: Floats
    log_score: Floats
    groups_squared: Floats
    weight_squared: Floats
    cross: Floats
    product: Floats

    @classmethod
    def zeros(cls, memory_ms: int, size: int) -> Self:
        """Return the sums of nothing, of so many half-lives."""
        one, each, pairs = np.zeros(1), np.zeros(size), np.zeros((size, size))
        return cls(memory_ms, 0, one, one, each, one, one, each, pairs)

    @classmethod
    def of(cls, memory_ms: int, end_ms: int, log_scores: Floats) -> Self:
        """Return the sums of one tick, from log scores of shape (half-lives, groups)."""
        size, groups = log_scores.shape
        if not groups:
            return cls.zeros(memory_ms, size)
        mark = end_ms // memory_ms
        weight = math.exp2((end_ms - mark * memory_ms) / memory_ms)
        s, n = log_scores.sum(axis=1), np.array([float(groups)])
        d = s - s.mean()
        sums = (n, np.ones(1), s)
        squares = (n**2, np.ones(1), d * n, np.outer(d, d))
        weighted = (weight * x for x in sums), (weight**2 * x for x in squares)
        return cls(memory_ms, mark, *weighted[0], *weighted[1])

    def merge(self, other: Self) -> Self:
        """Return the sums of both."""
        if (self.memory_ms, len(self.log_score)) != (other.memory_ms, len(other.log_score)):
            raise ValueError("sums of different half-lives cannot be merged")
        mark = max(self.mark, other.mark)
        pairs = zip(self._at(mark), other._at(mark), strict=True)
        return type(self)(self.memory_ms, mark, *(a + b for a, b in pairs))

    def means(self) -> Floats:
        """Return the mean log score a group-tick by half-life; NaN before anything is scored."""
        if not self.groups[0]:
            return np.full(len(self.log_score), math.nan)
        means: Floats = self.log_score / self.groups[0]
        return means

    def gain(self, current: int) -> tuple[Floats, Floats]:
        """Return by how much each scores better than the current one, and the standard errors.

        The error is that of a ratio of sums over ticks: groups share a tick's luck.
        """
        n = self.groups[0]
        gain = self.means() - self.means()[current]
        cross = self.cross - self.cross[current]
        own = np.diag(self.product)
        square = own + own[current] - 2 * self.product[current]
        variance = square - gain * (2 * cross - gain * self.groups_squared[0])
        return gain, np.sqrt(np.maximum(variance, 0.0)) / n

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain numbers and lists."""
        sums = {name: getattr(self, name).tolist() for name in (*_SUMS, *_SQUARES)}
        return {"memory_ms": self.memory_ms, "mark": self.mark, **sums}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the sums of a :meth:`snapshot`."""
        sums = (np.array(state[name], np.float64) for name in (*_SUMS, *_SQUARES))
        return cls(state["memory_ms"], state["mark"], *sums)

    def _at(self, mark: int) -> list[Floats]:
        exponent = mark - self.mark if self.groups[0] else 0
        sums = [np.ldexp(getattr(self, name), -exponent) for name in _SUMS]
        return sums + [np.ldexp(getattr(self, name), -2 * exponent) for name in _SQUARES]


_SUMS = ("groups", "weight", "log_score")
_SQUARES = ("groups_squared", "weight_squared", "cross", "product")


def chosen(candidates: Candidates, current: int) -> int:
    """Return the half-life to use from now on: the best, if it is better by more than luck.

    Examples
    --------
    Ten ticks of which the second half-life predicts each better:

    >>> state, choices = Candidates.zeros(864_000_000, 2), []
    >>> for day in range(10):
    ...     scores = np.array([[-3.1 - 0.01 * (day % 3)] * 5, [-3.0] * 5])
    ...     state = state.merge(Candidates.of(864_000_000, day * 86_400_000, scores))
    ...     choices.append(chosen(state, current=0))
    >>> choices
    [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    """
    if not candidates.groups[0]:
        return current
    ticks = candidates.weight[0] ** 2 / candidates.weight_squared[0]
    if ticks < TICKS_TO_CHANGE:
        return current
    gain, error = candidates.gain(current)
    best = int(np.argmax(gain))
    return best if gain[best] > ERRORS_TO_CHANGE * error[best] else current
