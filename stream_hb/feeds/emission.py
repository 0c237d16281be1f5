"""What is worth a record: the memory of what was emitted, and the rule over it.

The screen compares the plug-in mean and sd now with those at the key's last record; only keys that
pass it get their full posterior computed and a record written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.field_names import field_names
from stream_hb.settings import EmissionRule
from stream_hb.statistics.columns import Floats, Rows

GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Emitted:
    """What the last record of each key said; one per metric and shard, one row per group.

    Attributes
    ----------
    seq
        Records written of this key in this epoch; 0 while there is none.
    mean, sd
        Screened posterior mean and sd when the last record was written.
    at_ms
        Clock reading of the last record.
    buried
        The last record deletes the key: its store has retired.
    """

    seq: NDArray[np.int64]
    mean: Floats
    sd: Floats
    at_ms: NDArray[np.int64]
    buried: NDArray[np.bool_]

    @classmethod
    def zeros(cls, size: int) -> Self:
        """Return the memory of ``size`` keys of which nothing was emitted."""
        whole = np.zeros(size, dtype=np.int64)
        return cls(whole, np.zeros(size), np.zeros(size), whole.copy(), np.zeros(size, dtype=bool))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the keys of all parts, in their order."""
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in field_names(cls))
        )

    def take(self, rows: Rows) -> Self:
        """Return copies of the given rows; rows beyond the memory are new keys."""
        known = rows < len(self.seq)
        if known.all():
            return type(self)(*(getattr(self, name)[rows] for name in field_names(type(self))))
        at = np.where(known, rows, 0)
        if not len(self.seq):
            return self.zeros(len(rows))
        return type(self)(
            np.where(known, self.seq[at], 0),
            np.where(known, self.mean[at], 0.0),
            np.where(known, self.sd[at], 0.0),
            np.where(known, self.at_ms[at], 0),
            known & self.buried[at],
        )

    def put(self, rows: Rows, new: Self) -> Self:
        """Return the memory with the given rows replaced, grown where they lie beyond it.

        Writes into this one's arrays where they are large enough: only the holder of the state
        may call it.
        """
        size = int(rows.max(initial=-1)) + 1
        grown = self if size <= len(self.seq) else self._grown(max(size, 2 * len(self.seq)))
        for name in field_names(type(self)):
            getattr(grown, name)[rows] = getattr(new, name)
        return grown

    def bury(self, at_ms: int) -> Self:
        """Return the same keys with their deletion as the last record."""
        size = len(self.seq)
        return replace(self, at_ms=np.full(size, at_ms), buried=np.ones(size, dtype=bool))

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """Return copies of the columns by name."""
        return {name: getattr(self, name).copy() for name in field_names(type(self))}

    def _grown(self, size: int) -> Self:
        return self.joined([self, self.zeros(size - len(self.seq))])


def worth_a_record(
    rule: EmissionRule, last: Emitted, mean: Floats, sd: Floats
) -> NDArray[np.bool_]:
    """Decide for each key whether its estimate has changed enough for a record.

    >>> last = Emitted(np.array([1, 1, 0]), np.zeros(3), np.ones(3), np.zeros(3), np.zeros(3) > 0)
    >>> worth_a_record(EmissionRule(), last, np.array([0.05, 0.11, 0.0]), np.ones(3))
    array([False,  True,  True])
    """
    moved = np.abs(mean - last.mean) > rule.changed_sd * last.sd
    widened = np.abs(sd - last.sd) > rule.changed_width * last.sd
    worth: NDArray[np.bool_] = (last.seq == 0) | last.buried | moved | widened
    return worth


def heartbeat_rows(rule: EmissionRule, emitted: Emitted, now_ms: int) -> Rows:
    """Return the keys whose last record is too old.

    Keys written in one burst would beat in one burst for ever: each row waits a share of the
    heartbeat of its own, between half and all of it.
    """
    if rule.heartbeat_ms is None:
        return np.empty(0, dtype=np.intp)
    rows = np.flatnonzero(emitted.at_ms <= now_ms - rule.heartbeat_ms // 2)
    if not len(rows):
        return rows
    share = 1 - (rows * GOLDEN_RATIO % 1) / 2
    alive = (emitted.seq[rows] > 0) & ~emitted.buried[rows]
    return rows[alive & (now_ms - emitted.at_ms[rows] >= rule.heartbeat_ms * share)]
