"""A shard as it will be once a candidate is applied: what an emission looks at."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from stream_hb.description import described
from stream_hb.events.batch import Int64s
from stream_hb.feeds.estimates import encode_raw
from stream_hb.incidents import Incidents
from stream_hb.metrics import METRICS
from stream_hb.models.described import Described
from stream_hb.money import OrderTallies
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard, ShardCandidate
from stream_hb.statistics.columns import Floats, Rows, Statistic
from stream_hb.statistics.forgetting import HalfLife, Kept
from stream_hb.statistics.table import GroupKey
from stream_hb.timing import Position, Source


class View:
    """Reads a shard through a candidate; changes neither.

    Attributes
    ----------
    shard
        The shard.
    offsets
        JSON of how far its sources will have been read.
    purse
        The groups' currencies.
    touched
        Rows that the candidate touches.
    """

    def __init__(
        self,
        shard: Shard,
        candidate: ShardCandidate | None,
        settings: EngineSettings,
        watermark_ms: int,
    ) -> None:
        self.shard = shard
        self._settings = settings
        self._watermark_ms = watermark_ms
        self._change = candidate.change if candidate else None
        self.purse = candidate.purse if candidate else shard.purse
        positions = candidate.positions if candidate else shard.positions
        self.offsets = encode_raw(_offsets(positions))
        self.touched: Rows = self._change.rows if self._change else np.empty(0, dtype=np.intp)
        self._new_keys = self._change.new_groups.keys if self._change else []
        self._chains, self._chain_codes = shard.table.chain_codes_with(self._new_keys)
        self._places = shard.membership.places_with(self._new_keys)
        self._orders = candidate.attribution.moves.orders if candidate else None
        self._incidents = _incidents_after(shard, candidate, len(self))

    def __len__(self) -> int:
        return len(self._chain_codes)

    def keys(self, rows: Rows) -> list[GroupKey]:
        """Return the groups of rows."""
        keys, new, known = self.shard.table.keys, self._new_keys, len(self.shard.table)
        return [keys[row] if row < known else new[row - known] for row in rows.tolist()]

    def read(self, metric: str, rows: Rows) -> Statistic:
        """Return the rows' statistics, the candidate's where it touches them."""
        if self._change is None:
            return self.shard.table.read(metric, rows)
        changed = self._change.statistics[metric]
        at, mine = self._places_among_touched(rows)
        if mine.all():  # the rule where only a batch is looked at
            return changed.take(at)
        groups = self.shard.table.at_mark(metric, rows, self._mark(metric))
        for name, column in changed.columns().items():
            groups.columns()[name][mine] = column[at[mine]]
        return groups

    def _places_among_touched(self, rows: Rows) -> tuple[Rows, NDArray[np.bool_]]:
        """Return where rows are among the touched ones, and which of them are."""
        if not len(self.touched):
            return np.zeros(len(rows), np.intp), np.zeros(len(rows), np.bool_)
        at = np.minimum(np.searchsorted(self.touched, rows), len(self.touched) - 1)
        return at, self.touched[at] == rows

    def kept(self, metric: str, rows: Rows, half_life_ms: int | None) -> Kept:
        """Return the rows' statistics under one of the half-lives that are kept side by side."""
        kept = self.read(metric, rows)
        return self.shard.table.under(metric, kept, self._mark(metric), half_life_ms)

    def seen(
        self, metric: str, chain: str, rows: Rows, half_life_ms: int | None
    ) -> "Statistic | Described[Statistic]":
        """Return rows of one chain as the metric's model takes them.

        Silent groups have aged by the half-lives that they have been silent for: their intervals
        widen by it.
        """
        rule, kept, _ = self.kept(metric, rows, half_life_ms)
        fades = isinstance(rule, HalfLife)
        age = rule.age(self._watermark_ms - self._event_time_ms(rows)) if fades else 0.0
        groups = METRICS[metric].seen(kept, age)
        if self._settings.stores is None:
            return groups
        return described(groups, chain, metric, self._places[rows], self._settings)

    def _mark(self, metric: str) -> int:
        known = self.shard.table.marks[metric]
        return self._change.marks.get(metric, known) if self._change else known

    def _event_time_ms(self, rows: Rows) -> Int64s:
        times = self.shard.table.read_event_time_ms(rows)
        if self._change is not None:
            at, mine = self._places_among_touched(rows)
            times[mine] = self._change.event_time_ms[at[mine]]
        return times

    def mass(self, metric: str, kept: Kept) -> Floats:
        """Return the sum of the observations' weights as of the watermark, per group."""
        column = kept.statistic.columns()[METRICS[metric].size_column]
        sizes = column if column.ndim == 1 else column.sum(axis=1)
        return kept.rule.mass(sizes, kept.mark, self._watermark_ms)

    def kish(self, metric: str, kept: Kept) -> Floats:
        """Return Kish's effective number of observations per group."""
        return METRICS[metric].sizes(METRICS[metric].seen(kept.statistic))

    def incidents(self, rows: Rows) -> Incidents:
        """Return when something of the groups last could not be counted."""
        return self._incidents.take(rows)

    def order_tallies(self, rows: Rows) -> OrderTallies:
        """Return the groups' live orders, those without value and those above the cap."""
        tallies = self.shard.orders.take(rows)
        if self._orders is not None:
            changed = self.shard.order_tallies_after(self.touched, self._orders)
            at, mine = self._places_among_touched(rows)
            for name, column in tallies.columns().items():
                column[mine] = changed.columns()[name][at[mine]]
        return tallies

    def retired(self, now_ms: int) -> Rows:
        """Return the rows of the stores that are retired by now."""
        return np.flatnonzero(self.retires(np.arange(len(self)), now_ms))

    def retires(self, rows: Rows, by_ms: int) -> NDArray[np.bool_]:
        """Tell which groups are of stores that retire by a time."""
        stores = self._settings.stores
        if stores is None:
            return np.zeros(len(rows), dtype=bool)
        return stores.retired_at(self._places[rows], by_ms)

    def by_chain(self, rows: Rows) -> Iterator[tuple[str, Rows]]:
        """Yield each chain with its share of the rows; sorted once, as there may be many chains."""
        if not len(rows):
            return
        codes = self._chain_codes[rows]
        order = np.argsort(codes, kind="stable")
        rows, codes = rows[order], codes[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1)).tolist()
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            yield self._chains[codes[start]], rows[start:end]


def _incidents_after(shard: Shard, candidate: ShardCandidate | None, size: int) -> Incidents:
    if candidate is None or not any(candidate.incidents.values()):
        return shard.incidents
    return shard.incidents.marked(candidate.incidents, size)


def _offsets(positions: Mapping[Source, Position]) -> dict[str, int]:
    return {f"{topic}-{number}": p.next_offset for (topic, number), p in positions.items()}
