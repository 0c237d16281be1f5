# ruff: noqa: ARG002 - every way to forget is asked the same, and none uses all that it is told
"""How a metric forgets: not at all, by a half-life, or beyond a window of panes.

Each way keeps one kind of statistic per group and says what the models see of it. None of them
depends on the order of the events: weights are those of forward decay (Cormode et al. 2009,
doi:10.1109/ICDE.2009.65), a window is the merge of its panes and never a running subtraction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats, Rows, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.decayed import Decayed
from stream_hb.statistics.decayed_counts import DecayedCounts
from stream_hb.statistics.decayed_exposure import DecayedExposure
from stream_hb.statistics.decayed_moments import DecayedMoments
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments

Int64s = NDArray[np.int64]

HOUR_MS = 3_600_000

ALWAYS_MS = np.iinfo(np.int64).max
"""Later than any time."""

RESCALE_EXPONENT = 40
"""Half-lives after the landmark at which it moves; at 500 the squares would overflow.

What is later still is ahead of the clock, a wrong one perhaps, and waits for it: counted at once,
it would outweigh everything else of its group."""

LOST_EXPONENT = 510
"""Half-lives before the landmark after which nothing is left: of smaller weights the squares are 0,
and a group would have weight and no effective size."""

DECAYED: Mapping[type[Statistic], type[Statistic]] = {
    Counts: DecayedCounts,
    Exposure: DecayedExposure,
    Moments: DecayedMoments,
}
"""The weighted kind of each plain statistic."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Where some observations go and how much they weigh.

    Attributes
    ----------
    places
        Cell of each observation: its group, or its group's pane.
    kept
        Which of the observations asked for these are; one may be in several cells.
    weights
        Of each; None: all 1.
    """

    places: Rows
    kept: NDArray[Any] | slice
    weights: Floats | None


class Kept(NamedTuple):
    """What is kept of groups under one way to forget, where several are kept side by side.

    Attributes
    ----------
    rule
        The way.
    statistic
        What it keeps.
    mark
        How far it has got.
    """

    rule: "Forgetting"
    statistic: Statistic
    mark: int


class Forgetting(Protocol):
    """A way to forget. Its *mark* says how far it has got: a number that only grows."""

    def kind(self, plain: type[Statistic]) -> type[Statistic]:
        """Return the statistic that is kept in place of the plain one."""
        ...

    def zeros(self, plain: type[Statistic], size: int) -> Statistic:
        """Return what is kept of groups without observations."""
        ...

    def cells_per_group(self) -> int:
        """Return how many cells a group has."""
        ...

    def mark(self, last: int, newest_ms: int) -> int:
        """Return the mark when events up to a time are known."""
        ...

    def advanced(self, kept: Statistic, last: int, mark: int) -> Statistic:
        """Return what is kept, at a later mark."""
        ...

    def lapsing(self, kept: Statistic, last: int, mark: int) -> Rows:
        """Return the groups of which the models see something else at a later mark."""
        ...

    def reach_ms(self, mark: int) -> int:
        """Return the last time that counts at a mark: later observations wait for a later one."""
        ...

    def cells(self, rows: Rows, times_ms: Int64s, mark: int) -> Cells:
        """Return where observations of groups go at a mark."""
        ...

    def folded(self, cells: Statistic) -> Statistic:
        """Return statistics by cell as they are kept by group."""
        ...

    def age(self, silent_ms: Int64s) -> Floats | float:
        """Return by how many half-lives groups have aged that were silent for so long."""
        ...

    def mass(self, sizes: Floats, mark: int, at_ms: int) -> Floats:
        """Return the sum of the weights as of a time, from that at the mark."""
        ...

    def candidates(self) -> tuple[int | None, ...]:
        """Return the half-lives that are kept side by side; None alone: there is no choice."""
        ...

    def under(self, kept: Statistic, mark: int, half_life_ms: int | None) -> Kept:
        """Return what is kept under one of the candidates."""
        ...


@dataclass(frozen=True, slots=True)
class Never:
    """Everything counts for ever."""

    def kind(self, plain: type[Statistic]) -> type[Statistic]:
        """Return the plain statistic."""
        return plain

    def zeros(self, plain: type[Statistic], size: int) -> Statistic:
        """Return the identity."""
        return plain.zeros(size)

    def cells_per_group(self) -> int:
        """Return 1."""
        return 1

    def mark(self, last: int, newest_ms: int) -> int:
        """Return 0."""
        return 0

    def advanced(self, kept: Statistic, last: int, mark: int) -> Statistic:
        """Return what is kept."""
        return kept

    def lapsing(self, kept: Statistic, last: int, mark: int) -> Rows:
        """Return none."""
        return np.empty(0, np.intp)

    def reach_ms(self, mark: int) -> int:
        """Return ``ALWAYS_MS``."""
        return ALWAYS_MS

    def cells(self, rows: Rows, times_ms: Int64s, mark: int) -> Cells:
        """Return the groups themselves."""
        return Cells(rows, slice(None), None)

    def folded(self, cells: Statistic) -> Statistic:
        """Return the statistic."""
        return cells

    def age(self, silent_ms: Int64s) -> Floats | float:
        """Return 0."""
        return 0.0

    def mass(self, sizes: Floats, mark: int, at_ms: int) -> Floats:
        """Return the sizes."""
        return sizes

    def candidates(self) -> tuple[int | None, ...]:
        """Return no choice."""
        return (None,)

    def under(self, kept: Statistic, mark: int, half_life_ms: int | None) -> Kept:
        """Return all there is."""
        return Kept(self, kept, mark)


@dataclass(frozen=True, slots=True)
class HalfLife:
    """Forward decay: an event at t weighs 2^((t - L)/H), L being the landmark mark·H.

    The landmark is a whole number of half-lives, so a weight is the same number at every landmark
    but for a power of two: what is taken out later is to the bit what was put in. Sums have 53
    bits, though, and squares half as many for the weights: what is 24 half-lives older than an
    observation is lost when that is taken out.

    Attributes
    ----------
    half_life_ms
        H.

    Examples
    --------
    >>> rule = HalfLife(3_600_000)
    >>> mark = rule.mark(0, 7_200_000)
    >>> times_ms = np.array([0, 1_800_000, 600_000, 7_200_000])
    >>> weights = rule.cells(np.zeros(4, np.intp), times_ms, mark).weights
    >>> float((weights / 4.0).sum())  # as of 7,200 s, two half-lives after the landmark 0
    1.884168902670617
    """

    half_life_ms: int

    def kind(self, plain: type[Statistic]) -> type[Statistic]:
        """Return the weighted statistic."""
        return DECAYED[plain]

    def zeros(self, plain: type[Statistic], size: int) -> Statistic:
        """Return the identity."""
        return DECAYED[plain].zeros(size)

    def cells_per_group(self) -> int:
        """Return 1."""
        return 1

    def mark(self, last: int, newest_ms: int) -> int:
        """Return the landmark in half-lives since 1970."""
        newest = newest_ms // self.half_life_ms
        return newest if newest - last > RESCALE_EXPONENT else last

    def advanced(self, kept: Statistic, last: int, mark: int) -> Statistic:
        """Rescale by a whole power of two."""
        return cast("Decayed[Any]", kept).rescaled(mark - last) if mark > last else kept

    def lapsing(self, kept: Statistic, last: int, mark: int) -> Rows:
        """Return none: to move the landmark changes no effective size."""
        return np.empty(0, np.intp)

    def reach_ms(self, mark: int) -> int:
        """Return the time after which the landmark must move first."""
        return (mark + RESCALE_EXPONENT + 1) * self.half_life_ms - 1

    def cells(self, rows: Rows, times_ms: Int64s, mark: int) -> Cells:
        """Return the groups themselves, and the weights; what is ahead, or lost, is left out."""
        kept: Any = slice(None)
        outside = (times_ms > self.reach_ms(mark)) | (times_ms < self.earliest_ms(mark))
        if outside.any():
            kept = ~outside
        return Cells(rows[kept], kept, self.weights(times_ms[kept], mark))

    def earliest_ms(self, mark: int) -> int:
        """Return the time before which all is lost at a mark."""
        return (mark - LOST_EXPONENT) * self.half_life_ms

    def weights(self, times_ms: Int64s, mark: int) -> Floats:
        """Return the weights of observations at a mark."""
        whole, rest = np.divmod(times_ms - mark * self.half_life_ms, self.half_life_ms)
        return np.ldexp(np.exp2(rest / self.half_life_ms), whole)

    def folded(self, cells: Statistic) -> Statistic:
        """Return the statistic."""
        return cells

    def age(self, silent_ms: Int64s) -> Floats | float:
        """Return the silence in half-lives."""
        return np.maximum(silent_ms, 0) / self.half_life_ms

    def mass(self, sizes: Floats, mark: int, at_ms: int) -> Floats:
        """Return Σw as of a time."""
        since_mark = (at_ms - mark * self.half_life_ms) / self.half_life_ms
        return np.asarray(sizes * np.exp2(-since_mark), np.float64)

    def candidates(self) -> tuple[int | None, ...]:
        """Return no choice."""
        return (None,)

    def under(self, kept: Statistic, mark: int, half_life_ms: int | None) -> Kept:
        """Return all there is."""
        return Kept(self, kept, mark)


@dataclass(frozen=True, slots=True)
class Window:
    """The last panes: 24 panes of an hour are the last 23 to 24 hours, a hard edge.

    Columns have a second axis, the panes in a ring: pane p stands at place p mod panes. The window
    ends with the pane of the newest event.

    Attributes
    ----------
    panes
        Their number.
    pane_ms
        Length of one.

    Examples
    --------
    >>> rule = Window(panes=24)
    >>> rule.cells(np.zeros(3, np.intp), HOUR_MS * np.array([0, 1, 24]), mark=24).kept
    array([False,  True,  True])
    """

    panes: int
    pane_ms: int = HOUR_MS

    def kind(self, plain: type[Statistic]) -> type[Statistic]:
        """Return the plain statistic; its columns have a second axis."""
        return plain

    def zeros(self, plain: type[Statistic], size: int) -> Statistic:
        """Return empty panes."""
        return self.folded(plain.zeros(size * self.panes))

    def cells_per_group(self) -> int:
        """Return the number of panes."""
        return self.panes

    def mark(self, last: int, newest_ms: int) -> int:
        """Return the newest pane."""
        return max(last, newest_ms // self.pane_ms)

    def advanced(self, kept: Statistic, last: int, mark: int) -> Statistic:
        """Empty the panes that the new ones take the places of."""
        if mark <= last:
            return kept
        columns = [column.copy() for column in kept.columns().values()]
        for column in columns:
            column[:, self._new(last, mark)] = 0.0
        return type(kept)(*columns)

    def lapsing(self, kept: Statistic, last: int, mark: int) -> Rows:
        """Return the groups that have something in the panes that are emptied."""
        if mark <= last:
            return np.empty(0, np.intp)
        new = self._new(last, mark)
        return np.flatnonzero(sum(c[:, new].any(axis=1) for c in kept.columns().values()))

    def _new(self, last: int, mark: int) -> Int64s:
        return np.arange(max(last + 1, mark - self.panes + 1), mark + 1) % self.panes

    def reach_ms(self, mark: int) -> int:
        """Return the end of the newest pane."""
        return (mark + 1) * self.pane_ms - 1

    def cells(self, rows: Rows, times_ms: Int64s, mark: int) -> Cells:
        """Return the panes; what lies outside of the window is left out."""
        panes = times_ms // self.pane_ms
        kept = (panes > mark - self.panes) & (panes <= mark)
        return Cells(rows[kept] * self.panes + panes[kept] % self.panes, kept, None)

    def folded(self, cells: Statistic) -> Statistic:
        """Return the panes with a second axis."""
        return type(cells)(*(c.reshape(-1, self.panes) for c in cells.columns().values()))

    def age(self, silent_ms: Int64s) -> Floats | float:
        """Return 0: a window forgets by itself."""
        return 0.0

    def mass(self, sizes: Floats, mark: int, at_ms: int) -> Floats:
        """Return the sizes."""
        return sizes

    def candidates(self) -> tuple[int | None, ...]:
        """Return no choice."""
        return (None,)

    def under(self, kept: Statistic, mark: int, half_life_ms: int | None) -> Kept:
        """Return all there is."""
        return Kept(self, kept, mark)


def as_seen(kept: Statistic, age_in_half_lives: Floats | float = 0.0) -> Statistic:
    """Return the plain statistic that says as much as what is kept: what models take.

    >>> panes = Window(2).folded(Counts(np.array([1.0, 0.0]), np.array([3.0, 4.0])))
    >>> as_seen(panes)
    Counts(successes=array([1.]), trials=array([7.]))
    """
    if isinstance(kept, Decayed):
        return cast("Statistic", kept.effective(age_in_half_lives))
    if next(iter(kept.columns().values())).ndim == 1:
        return kept
    return kept.total() if isinstance(kept, Moments) else _summed(kept)


def _summed(panes: Statistic) -> Statistic:
    return type(panes)(*(column.sum(axis=1) for column in panes.columns().values()))
