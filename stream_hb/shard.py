"""A shard: partition p of all input topics, with its groups, its memory and its clocks.

A batch makes a :class:`ShardCandidate`; nothing of the shard changes before :meth:`Shard.apply`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from stream_hb.admission import Admission, RowsByCode
from stream_hb.contributions import CONTRIBUTIONS, Happened
from stream_hb.events.batch import Decoded, Int64s, RawBatch, Reject
from stream_hb.events.join import Additions, Conversions
from stream_hb.feeds.emission import Emitted
from stream_hb.membership import Membership
from stream_hb.metrics import METRICS
from stream_hb.pool_summaries import PoolSummaries
from stream_hb.settings import EngineSettings
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.table import GroupTable, NewGroups, TableChange, spelt_out

Source = tuple[str, int]
"""(topic, partition)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has been read.

    Attributes
    ----------
    next_offset
        The next offset to read.
    event_time_ms
        The newest event time seen; 0 before the first valid event.
    """

    next_offset: int = 0
    event_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class ShardCandidate:
    """What a shard becomes if the batch is applied.

    Attributes
    ----------
    change
        The rows of the table that the batch touches.
    additions
        Visits that convert.
    positions
        Where all of the shard's sources then stand.
    rejects
        Messages of the batch that could not be used, in offset order per source.
    accepted
        Number of events that were used.
    """

    change: TableChange
    additions: Additions
    positions: dict[Source, Position]
    rejects: list[Reject]
    accepted: int


class Shard:
    """The state of one shard.

    Parameters
    ----------
    number
        The partition p.
    epoch
        Grows when the memory of what was emitted is lost.
    settings
        The engine's settings.

    Attributes
    ----------
    unscreened
        A batch or a refit was applied that no emission has looked at yet.
    membership
        What the stores table says of the groups.
    summaries
        What a refit reads of the pools.
    """

    def __init__(self, number: int, epoch: int, settings: EngineSettings) -> None:
        self.number = number
        self.epoch = epoch
        self.table = GroupTable({name: METRICS[name].statistic for name in settings.methods})
        self.conversions = Conversions()
        self.positions: dict[Source, Position] = {}
        self.emitted = {name: Emitted.zeros(0) for name in settings.emitted_metrics}
        self.unscreened = False
        self.membership = Membership(settings.stores)
        self.summaries = PoolSummaries(self.table, self.membership)
        self._settings = settings
        self._rows = RowsByCode(self.table)

    def ingest(
        self, batches: Iterable[tuple[RawBatch, Decoded]], groups_left: int
    ) -> ShardCandidate:
        """Work out what the decoded batches change; ``groups_left`` new groups may be made."""
        admission = Admission(self.table, self._rows, self._settings, self.number, groups_left)
        admitted = _Admitted()
        positions = dict(self.positions)
        for raw, decoded in batches:
            admitted.add(admission, raw, decoded)
            source = (raw.topic, raw.partition)
            before = positions.get(source, Position())
            newest = max(before.event_time_ms, _newest_ms(decoded))
            positions[source] = Position(raw.next_offset, newest)
        change, additions = self._change(admission, admitted)
        rejects = admitted.rejects
        return ShardCandidate(change, additions, positions, rejects, admitted.accepted())

    def _change(self, admission: Admission, admitted: "_Admitted") -> tuple[TableChange, Additions]:
        visit_rows, visit_times = _flat(admitted.visit_rows), _flat(admitted.visit_times)
        order_rows, order_times = _flat(admitted.order_rows), _flat(admitted.order_times)
        size = len(self.table) + len(admission.new.keys)
        rows, place = _touched(size, visit_rows, order_rows)
        converted, additions = self._conversions(admission, admitted, order_rows, order_times)
        happened = Happened(
            size=len(rows),
            visits=place[visit_rows],
            conversions=place[converted],
            purchases=place[order_rows],
            amount_minor=_flat(admitted.amount_minor).astype(np.float64),
        )
        statistics = {
            name: self.table.read(name, rows).merge(CONTRIBUTIONS[name](happened))
            for name in self.table.metrics
        }
        times = self.table.read_event_time_ms(rows)
        np.maximum.at(times, happened.visits, visit_times)
        np.maximum.at(times, happened.purchases, order_times)
        return TableChange(rows, statistics, times, admission.new), additions

    def _conversions(
        self, admission: Admission, admitted: "_Admitted", rows: Rows, times: Int64s
    ) -> tuple[Rows, Additions]:
        """Return the row of every purchase that is its visit's first, and what to remember."""
        linked = [at for at, visit in enumerate(admitted.visit_ids) if visit is not None]
        keys = self.table.keys + admission.new.keys if admission.new.keys else self.table.keys
        visits = [admitted.visit_ids[at] for at in linked]
        stores = map(keys.__getitem__, rows[linked].tolist())
        names = [
            f"{chain}|{store}|{visit}" for (chain, store), visit in zip(stores, visits, strict=True)
        ]
        first, additions = self.conversions.probe(names, times[linked])
        return rows[linked][first], additions

    def register(self) -> None:
        """Give the registered stores of this shard their rows, those that have none yet."""
        stores, here = self._settings.stores, self._settings.registers
        if stores is None or here is None:
            return
        keys = [k for k in stores.keys if k not in self.table.index and here(k[1], self.number)]
        new = NewGroups(keys, spelt_out(keys, len(self.table), self._settings.default_chain))
        nothing = np.empty(0, dtype=np.intp)
        statistics = {name: self.table.read(name, nothing) for name in self.table.metrics}
        self._apply_change(TableChange(nothing, statistics, np.empty(0, dtype=np.int64), new))
        self.unscreened |= bool(keys)

    def _apply_change(self, change: TableChange) -> None:
        self.membership.append(change.new_groups.keys)
        self.summaries.exchange(change)
        self.table.apply(change)

    def apply(self, candidate: ShardCandidate) -> None:
        """Make a candidate the state."""
        self._apply_change(candidate.change)
        self.conversions.publish(candidate.additions)
        self.positions = candidate.positions
        self.unscreened = True

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain values and arrays."""
        # The one that is restored makes its summaries anew: so must this one, to go on alike.
        self.summaries.forget()
        return {
            "number": self.number,
            "epoch": self.epoch,
            "unscreened": self.unscreened,
            "table": self.table.snapshot(),
            "conversions": self.conversions.snapshot(),
            "positions": [
                [*source, position.next_offset, position.event_time_ms]
                for source, position in self.positions.items()
            ],
            "emitted": {name: emitted.snapshot() for name, emitted in self.emitted.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the shard of a :meth:`snapshot`; this one must be new."""
        self.table.restore(state["table"], self._settings.default_chain)
        self.membership.append(self.table.keys)
        self.unscreened = state["unscreened"]
        self.conversions.restore(state["conversions"])
        self.positions = {
            (topic, partition): Position(*position)
            for topic, partition, *position in state["positions"]
        }
        self.emitted = {name: Emitted(**state["emitted"][name]) for name in self.emitted}
        self.register()


class _Admitted:
    """The events of one candidate that have a row, over all of its sources."""

    def __init__(self) -> None:
        self.visit_rows: list[Rows] = []
        self.visit_times: list[Int64s] = []
        self.order_rows: list[Rows] = []
        self.order_times: list[Int64s] = []
        self.amount_minor: list[Int64s] = []
        self.visit_ids: list[str | None] = []
        self.rejects: list[Reject] = []

    def add(self, admission: Admission, raw: RawBatch, decoded: Decoded) -> None:
        """Take one source's decoded batch."""
        visits, purchases = decoded.visits, decoded.purchases
        visit_rows, visits_refused = admission.rows(raw, visits)
        order_rows, orders_refused = admission.rows(raw, purchases)
        keep = visit_rows >= 0
        self.visit_rows.append(visit_rows[keep])
        self.visit_times.append(visits.event_time_ms[keep])
        keep = order_rows >= 0
        self.order_rows.append(order_rows[keep])
        self.order_times.append(purchases.event_time_ms[keep])
        self.amount_minor.append(purchases.amount_minor[keep])
        self.visit_ids.extend(v for v, k in zip(purchases.visit_ids, keep, strict=True) if k)
        rejects = [*decoded.rejects, *visits_refused, *orders_refused]
        self.rejects.extend(sorted(rejects, key=lambda reject: reject.offset))

    def accepted(self) -> int:
        """Return the number of events."""
        return sum(map(len, self.visit_rows)) + sum(map(len, self.order_rows))


def _newest_ms(decoded: Decoded) -> int:
    times = (decoded.visits.event_time_ms, decoded.purchases.event_time_ms)
    return max(int(column.max(initial=0)) for column in times)


def _touched(size: int, *columns: Rows) -> tuple[Rows, Rows]:
    """Return the distinct rows, ascending, and for each of them (by row) its place among these."""
    mark = np.zeros(size, dtype=bool)
    for rows in columns:
        mark[rows] = True
    touched = np.flatnonzero(mark)
    place = np.empty(size, dtype=np.intp)
    place[touched] = np.arange(len(touched))
    return touched, place


def _flat(arrays: Sequence[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
