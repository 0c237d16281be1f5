"""A shard: partition p of all input topics, with its groups, its memory and its clocks.

A batch makes a :class:`ShardCandidate`; nothing of the shard changes before :meth:`Shard.apply`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from stream_hb.admission import Admission, RowsByCode
from stream_hb.contributions import Exchange
from stream_hb.counting import Counted, Counting
from stream_hb.events.arm_sets import ArmSets
from stream_hb.events.attribution import Attribution, AttributionChange, AttributionSettings
from stream_hb.events.batch import Decoded, Hashes, RawBatch, Reject
from stream_hb.events.clock import watermark_ms
from stream_hb.events.controls import Controls, Waiting
from stream_hb.events.decode import OPEN_KEY
from stream_hb.events.id_hash import group_hash
from stream_hb.events.id_table import IdTable, Slots
from stream_hb.events.moves import Signed
from stream_hb.events.totals import TotalsChange, TotalsMemory
from stream_hb.feeds.emission import Emitted
from stream_hb.incidents import Incidents, Marked
from stream_hb.intake import Intake, Readers
from stream_hb.membership import Membership
from stream_hb.metrics import METRICS
from stream_hb.money import OrderTallies, Purse
from stream_hb.pool_summaries import PoolSummaries
from stream_hb.settings import EngineSettings, UnitRule
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.table import (
    GroupKey,
    GroupTable,
    NewGroups,
    Spelling,
    TableChange,
    spelt_out,
)
from stream_hb.tick_ledger import TickChange, TickLedger
from stream_hb.timing import Position, Source, in_time, plain_positions, read_positions
from stream_hb.unscreened import Unscreened


@dataclass(frozen=True, slots=True)
class ShardCandidate:
    """What a shard becomes if the batch is applied.

    Attributes
    ----------
    change
        The rows of the table that the batch touches.
    awaited
        What is ahead of a metric's window and counts when that gets there.
    attribution
        What is to be remembered of visits, orders and refunds.
    totals
        What is to be remembered of totals.
    ticks
        What becomes of the open ticks; None where no feed looks at any.
    purse
        The groups' currencies.
    positions
        Where all of the shard's sources then stand.
    forget_before_ms
        What is older is forgotten once the batch is applied.
    incidents
        What could not be counted of which groups, and when.
    rejects
        Messages of the batch that could not be used, in offset order per source.
    accepted
        Number of events that were used.
    """

    change: TableChange
    awaited: Mapping[str, Exchange]
    attribution: AttributionChange
    totals: TotalsChange
    ticks: TickChange | None
    purse: Purse
    positions: dict[Source, Position]
    forget_before_ms: int
    incidents: Marked
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
        The groups that no emission has looked at since they may have changed.
    attribution, totals
        What is remembered of events.
    orders
        Live orders by group, those without value and those above the cap.
    arms
        The sets of experiments' arms that events name, by number.
    incidents
        When something of a group last could not be counted.
    membership
        What the stores table says of the groups.
    summaries
        What a refit reads of the pools.
    ledger
        The open ticks; None where no feed looks at any.
    cleared
        The slots of what the last batch made it forget, by table.
    hash_key
        Key of the ids' hash.
    revision, chain_revisions
        Grows with every change of a group; that of the last change of each chain's.
    """

    def __init__(
        self, number: int, epoch: int, settings: EngineSettings, hash_key: bytes = OPEN_KEY
    ) -> None:
        self.number = number
        self.epoch = epoch
        kinds = {name: METRICS[name].statistic for name in settings.methods}
        self.table = GroupTable(kinds, settings.forgetting)
        self.attribution = Attribution(
            AttributionSettings(
                settings.bot_visits_per_hour,
                settings.units_kept_ms,
                settings.money.rates.factors if settings.money.rates else None,
            )
        )
        self.totals = TotalsMemory()
        self.incidents = Incidents.zeros(0)
        self.orders = OrderTallies.zeros(0)
        self.positions: dict[Source, Position] = {}
        self.emitted = {name: Emitted.zeros(0) for name in settings.emitted_metrics}
        self.unscreened = Unscreened(settings.emitted_metrics)
        self.membership = Membership(settings.stores)
        self.summaries = PoolSummaries(self.table, self.membership)
        self.ledger = TickLedger(kinds, settings.ticks) if settings.ticks else None
        self._settings = settings
        self.hash_key = hash_key
        self.cleared: dict[str, Slots] = {}
        self._rows = RowsByCode(self.table)
        self._group_hashes = np.empty(0, np.uint64)
        self._awaited: Mapping[str, Exchange] = {}
        self._purse = Purse(settings.money)
        self._readers = Readers(
            settings.methods, settings.inputs, settings.default_chain, settings.controls
        )
        self.arms = ArmSets()
        self.revision = 0
        self.chain_revisions: dict[str, int] = {}

    def begin_epoch(self, epoch: int) -> None:
        """Forget what was emitted: every key is written again, as the first of its new epoch."""
        self.epoch = epoch
        self.emitted = {name: Emitted.zeros(0) for name in self.emitted}
        self.unscreened.mark_all(len(self.table))

    @property
    def units(self) -> tuple[UnitRule, ...]:
        """The experiments whose units are told to a feed."""
        return self._settings.units

    def reads_totals(self, metric: str, chain: str) -> bool:
        """Tell whether a metric reads totals of a chain."""
        return self._readers.totals(metric, chain)

    def moves_on(self, reached_ms: int) -> bool:
        """Tell whether its groups are to forget something when all sources have reached a time."""
        marks = self.table.later_marks(reached_ms) if len(self.table) else {}
        return any(mark > self.table.marks[name] for name, mark in marks.items())

    def ingest(
        self,
        batches: Iterable[tuple[RawBatch, Decoded]],
        groups_left: int,
        now_ms: int = 0,
        reached_ms: int = 0,
        closing: int = 0,
    ) -> ShardCandidate:
        """Work out what the decoded batches change; ``groups_left`` new groups may be made.

        ``reached_ms`` is the time that all sources have reached, those of other shards too; ticks
        before ``closing`` are closed first.
        """
        admission = Admission(self.table, self._rows, self._settings, self.number, groups_left)
        intake = Intake(admission, self.arms, self._purse, self._readers)
        positions = dict(self.positions)
        late: dict[Spelling, int] = {}
        for raw, decoded in batches:
            timely = in_time(raw, decoded, positions, self._settings.time, now_ms)
            intake.add(raw, timely.decoded, timely.rejects, timely.clock.time_ms)
            positions[raw.topic, raw.partition] = Position(raw.next_offset, timely.clock)
            late |= dict.fromkeys(timely.late, timely.clock.time_ms)
        groups = self._groups_with(admission.new.keys)
        purse = intake.purse.grown(len(groups))
        attribution = self.attribution.probe(
            intake.visits(groups),
            intake.orders(groups),
            intake.refunds(groups),
            self.arms,
            purse.currencies(self._purse),
        )
        totals = self.totals.probe(intake.totals(groups))
        attribution = attribution.with_repeated(totals.repeated)
        intake.refuse(totals.refusals)
        controls = intake.controls(self._waiting(closing))
        before_ms = self._forget_before_ms(positions, now_ms, closing)
        reached_ms = max(reached_ms, *(p.clock.time_ms for p in positions.values()), 0)
        cap_minor = self._settings.money.cap_minor
        counting = Counting(self.table, self._awaited, self._readers, cap_minor)
        news = intake.times_ms, reached_ms, admission.new
        counted = counting.of(attribution.moves, totals, *news)
        return ShardCandidate(
            counted.change,
            counted.awaited,
            attribution,
            totals,
            self._ticks(counted, closing, controls),
            purse,
            positions,
            before_ms,
            {
                "late_ms": self._lost_ms(before_ms) | self._by_row(late, admission.new),
                "currency_ms": self._by_row(intake.other_currency_ms, admission.new),
            },
            intake.rejects,
            intake.accepted,
        )

    def _ticks(self, counted: Counted, closing: int, controls: Controls) -> TickChange | None:
        """Return what becomes of the open ticks; None where no feed looks at any."""
        if self.ledger is None:
            return None
        change = counted.change
        zones = self.membership.zones_with(change.new_groups.keys)[change.rows]
        told = counted.exchanges, counted.by_totals
        return self.ledger.probe(change.rows, zones, *told, closing, controls)

    def _waiting(self, closing: int) -> Waiting:
        """Return what is known of controls when ticks before ``closing`` are closed."""
        if self.ledger is None:
            return Waiting((), closing, lambda *_: closing)
        closed = max(self.ledger.closed, closing)
        return Waiting(self.ledger.controls, closed, self._tick_of)

    def _tick_of(self, chain: str, store: str, time_ms: int) -> int:
        if self.ledger is None:
            return 0
        zones = self.membership.zones_of([(chain, store)])
        return int(self.ledger.clock.numbers(zones, np.array([time_ms]))[0])

    def _groups_with(self, new: Collection[GroupKey]) -> Hashes:
        """Return every row's hash, those of the new groups too."""
        if not new:
            return self._group_hashes
        more = [group_hash(chain, store, self.hash_key) for chain, store in new]
        return np.concatenate([self._group_hashes, np.array(more, np.uint64)])

    def _lost_ms(self, before_ms: int) -> dict[int, int]:
        """Return the groups of refunds that are forgotten without their order, and when that is."""
        unmatched = self.attribution.unmatched_rows(before_ms)
        return dict.fromkeys(unmatched, before_ms + self._settings.time.horizon_ms)

    def _by_row(self, times_ms: Mapping[Spelling, int], new: NewGroups) -> dict[int, int]:
        """Return what is told of groups as events spell them; a store without a row has no say."""
        found = ((self.table.index.get(s, new.spellings.get(s)), t) for s, t in times_ms.items())
        return {row: time_ms for row, time_ms in found if row is not None}

    def _forget_before_ms(
        self, positions: Mapping[Source, Position], now_ms: int, closing: int
    ) -> int:
        clocks = [position.clock for position in positions.values()]
        time = self._settings.time
        before_ms = watermark_ms(clocks, time.lateness_ms, now_ms) - time.horizon_ms
        if self.ledger is None or not self.units:
            return before_ms
        # A batch may span more than the horizon (a log that is read anew, or has a gap): what units
        # did in its ticks is told when the next one comes, and must be remembered until then.
        window_ms = max(rule.window_ms for rule in self.units)
        return min(before_ms, self.ledger.closed_until_ms(closing) - window_ms - 1)

    def register(self) -> None:
        """Give the registered stores of this shard their rows, those that have none yet."""
        stores, here = self._settings.stores, self._settings.registers
        if stores is None or here is None:
            return
        keys = [k for k in stores.keys if k not in self.table.index and here(k[1], self.number)]
        new = NewGroups(keys, spelt_out(keys, len(self.table), self._settings.default_chain))
        nothing = np.empty(0, dtype=np.intp)
        statistics = {name: self.table.read(name, nothing) for name in self.table.metrics}
        first = len(self.table)
        self._apply_change(TableChange(nothing, statistics, np.empty(0, dtype=np.int64), new))
        self.unscreened.mark(np.arange(first, len(self.table)))

    def _apply_change(self, change: TableChange) -> None:
        self.membership.append(change.new_groups.keys)
        self._group_hashes = self._groups_with(change.new_groups.keys)
        self.summaries.exchange(change)
        self.table.apply(change)
        self.revision += 1
        changed = self.table.chains_of(change.rows)
        self.chain_revisions |= dict.fromkeys(changed, self.revision)

    def apply(self, candidate: ShardCandidate) -> None:
        """Make a candidate the state."""
        self._apply_change(candidate.change)
        self._awaited = candidate.awaited
        self.attribution.apply(candidate.attribution)
        self.totals.apply(candidate.totals)
        if self.ledger and candidate.ticks:
            self.ledger.apply(candidate.ticks)
        self.forget(candidate.forget_before_ms)
        self.incidents = self.incidents.marked(candidate.incidents, len(self.table))
        self._purse = candidate.purse
        self._count_orders(candidate.attribution.moves.orders)
        self.positions = candidate.positions
        self.unscreened.mark(candidate.change.rows)

    def forget(self, before_ms: int) -> None:
        """Forget ids that are older, and the totals of periods that ended before."""
        gone = self.attribution.forget(before_ms, before_ms + self._settings.time.horizon_ms)
        self.cleared = {**gone, "totals": self.totals.forget(before_ms)}

    def _count_orders(self, orders: Signed) -> None:
        if len(self.table) > len(self.orders.orders):
            self.orders = self.orders.grown(len(self.table))
        cap_minor = self._settings.money.cap_minor
        self.orders.count(orders.rows, orders.signs.astype(np.int64), orders.values, cap_minor)

    @property
    def group_hashes(self) -> Hashes:
        """Every row's hash, which scopes its ids."""
        return self._group_hashes

    @property
    def purse(self) -> Purse:
        """The groups' currencies."""
        return self._purse

    @property
    def awaited(self) -> Mapping[str, Exchange]:
        """What counts later than now, by metric."""
        return self._awaited

    @property
    def tables(self) -> dict[str, IdTable]:
        """The tables of ids by name."""
        return {**self.attribution.tables, "totals": self.totals.table}

    def order_tallies_after(self, rows: Rows, orders: Signed) -> OrderTallies:
        """Return the tallies of touched groups, ascending, as orders will have changed them."""
        tallies = self.orders.take(rows)
        places = np.searchsorted(rows, orders.rows)
        cap_minor = self._settings.money.cap_minor
        tallies.count(places, orders.signs.astype(np.int64), orders.values, cap_minor)
        return tallies

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain values and arrays."""
        # The one that is restored makes its summaries anew: so must this one, to go on alike.
        self.summaries.forget()
        return {
            "number": self.number,
            "epoch": self.epoch,
            "hash_key": self.hash_key,
            "unscreened": bool(self.unscreened),
            "table": self.table.snapshot(),
            "awaited": {name: e.snapshot() for name, e in self._awaited.items()},
            "attribution": self.attribution.snapshot(),
            "totals": [self.totals.table.page(n) for n in self.totals.table.dirty(0)],
            "currencies": self._purse.columns(),
            "orders": list(astuple(self.orders)),
            "incidents": self.incidents.columns(),
            "arms": [[list(arm) for arm in arms] for arms in self.arms.known],
            "arms_left_out": self.arms.left_out,
            "positions": plain_positions(self.positions),
            "emitted": {name: emitted.snapshot() for name, emitted in self.emitted.items()},
            "ledger": self.ledger and self.ledger.snapshot(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the shard of a :meth:`snapshot`; this one must be new."""
        self.attribution.restore(state["attribution"])
        for number, page in enumerate(state["totals"]):
            self.totals.table.restore_page(number, page)
        self.restore_groups(state)

    def restore_groups(self, state: Mapping[str, Any]) -> None:
        """Take everything of a :meth:`snapshot` but the tables of ids, which are filled."""
        self.hash_key = state["hash_key"]
        self.table.restore(state["table"], self._settings.default_chain)
        self.membership.append(self.table.keys)
        self.chain_revisions = dict.fromkeys(self.table.chains, self.revision)
        if state["unscreened"]:
            self.unscreened.mark_all(len(self.table))
        self._group_hashes = state.get("group_hashes", self._group_hashes)
        self._group_hashes = self._groups_with(self.table.keys[len(self._group_hashes) :])
        self._awaited = {name: Exchange.restored(e) for name, e in state["awaited"].items()}
        self.totals.table.restored()
        self.totals.restored()
        currencies = state["currencies"]
        if isinstance(currencies, list):  # of version 8: by row
            currencies = {"currency": np.array(currencies, "U3")}
        self._purse = Purse.restored(self._settings.money, currencies)
        self.orders = OrderTallies(*state["orders"])
        self.incidents = Incidents(**state["incidents"])
        self.arms = ArmSets(
            [tuple((experiment, arm) for experiment, arm in arms) for arms in state["arms"]],
            state["arms_left_out"],
        )
        self.positions = read_positions(state["positions"])
        self.emitted = {name: Emitted(**state["emitted"][name]) for name in self.emitted}
        if self.ledger and state.get("ledger"):
            self.ledger.restore(state["ledger"])
        self.register()
