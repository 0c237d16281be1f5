# ruff: noqa: ARG002 - every way to forget is asked the same, and none uses all that it is told
"""Several half-lives kept side by side, so that the better one can be served at any time.

Nothing of the past is asked again when another is chosen: its sums have been kept all along, as
they would have been alone. That costs a column for each.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np

from stream_hb.statistics.columns import Floats, Rows, Statistic
from stream_hb.statistics.decayed import Decayed
from stream_hb.statistics.forgetting import DECAYED, Cells, HalfLife, Int64s, Kept


@dataclass(frozen=True, slots=True)
class HalfLives:
    """Forward decay by each of several half-lives.

    Columns have a second axis, the half-lives. The mark is the shortest one's landmark; each of the
    others has the last landmark of its own before that, a whole number of *its* half-lives, so that
    its weights too change by powers of two only.

    Attributes
    ----------
    half_lives_ms
        At least two, each once; the first is served until another is asked for.

    Examples
    --------
    >>> rule = HalfLives.of([7_200_000, 3_600_000])
    >>> mark = rule.mark(0, 50 * 3_600_000)
    >>> mark, [rule.own_mark(mark, one) for one in rule.half_lives_ms]
    (50, [25, 50])
    """

    half_lives_ms: tuple[int, ...]

    @classmethod
    def of(cls, half_lives_ms: Iterable[int]) -> Self:
        """Return the rule; a half-life that is named twice is kept once."""
        return cls(tuple(dict.fromkeys(half_lives_ms)))

    @property
    def _shortest(self) -> HalfLife:
        return HalfLife(min(self.half_lives_ms))

    def own_mark(self, mark: int, half_life_ms: int) -> int:
        """Return the landmark of one of the half-lives, counted in these."""
        return mark * self._shortest.half_life_ms // half_life_ms

    def kind(self, plain: type[Statistic]) -> type[Statistic]:
        """Return the weighted statistic; its columns have a second axis."""
        return DECAYED[plain]

    def zeros(self, plain: type[Statistic], size: int) -> Statistic:
        """Return the identity."""
        return self.folded(DECAYED[plain].zeros(size * len(self.half_lives_ms)))

    def cells_per_group(self) -> int:
        """Return the number of half-lives."""
        return len(self.half_lives_ms)

    def mark(self, last: int, newest_ms: int) -> int:
        """Return the shortest one's landmark."""
        return self._shortest.mark(last, newest_ms)

    def advanced(self, kept: Statistic, last: int, mark: int) -> Statistic:
        """Rescale each by a whole power of two."""
        if mark <= last:
            return kept
        exponents = [self.own_mark(mark, h) - self.own_mark(last, h) for h in self.half_lives_ms]
        return cast("Decayed[Any]", kept).rescaled(np.array(exponents))

    def lapsing(self, kept: Statistic, last: int, mark: int) -> Rows:
        """Return none: to move landmarks changes no effective size."""
        return np.empty(0, np.intp)

    def reach_ms(self, mark: int) -> int:
        """Return the time after which the shortest one's landmark must move first."""
        return self._shortest.reach_ms(mark)

    def cells(self, rows: Rows, times_ms: Int64s, mark: int) -> Cells:
        """Return one cell for every half-life and observation that it still knows."""
        reached = times_ms <= self.reach_ms(mark)
        found = [self._cells(n, rows, times_ms, mark, reached) for n in range(len(self))]
        places, kept, weights = (np.concatenate(each) for each in zip(*found, strict=True))
        return Cells(places, kept, weights)

    def _cells(
        self, number: int, rows: Rows, times_ms: Int64s, mark: int, reached: Any
    ) -> tuple[Rows, Rows, Floats]:
        half_life_ms = self.half_lives_ms[number]
        one, own = HalfLife(half_life_ms), self.own_mark(mark, half_life_ms)
        kept = np.flatnonzero(reached & (times_ms >= one.earliest_ms(own)))
        return rows[kept] * len(self) + number, kept, one.weights(times_ms[kept], own)

    def __len__(self) -> int:
        return len(self.half_lives_ms)

    def folded(self, cells: Statistic) -> Statistic:
        """Return the half-lives with a second axis."""
        return type(cells)(*(c.reshape(-1, len(self)) for c in cells.columns().values()))

    def age(self, silent_ms: Int64s) -> Floats | float:
        """Return the silence in half-lives of the first."""
        return HalfLife(self.half_lives_ms[0]).age(silent_ms)

    def mass(self, sizes: Floats, mark: int, at_ms: int) -> Floats:
        """Return Σw of each half-life as of a time, shape (groups, half-lives)."""
        marks = [self.own_mark(mark, half_life_ms) for half_life_ms in self.half_lives_ms]
        each = zip(self.half_lives_ms, sizes.T, marks, strict=True)
        return np.stack([HalfLife(h).mass(own, m, at_ms) for h, own, m in each], axis=1)

    def candidates(self) -> tuple[int | None, ...]:
        """Return the half-lives."""
        return self.half_lives_ms

    def under(self, kept: Statistic, mark: int, half_life_ms: int | None) -> Kept:
        """Return what one of the half-lives keeps; of none that is known here: the first."""
        known = half_life_ms in self.half_lives_ms
        place = self.half_lives_ms.index(cast("int", half_life_ms)) if known else 0
        one = self.half_lives_ms[place]
        columns = (np.ascontiguousarray(c[:, place]) for c in kept.columns().values())
        return Kept(HalfLife(one), type(kept)(*columns), self.own_mark(mark, one))
