"""Re-keyed shards are those of a chain that had so many partitions from its first event on."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.engine import Engine
from stream_hb.errors import SnapshotError
from stream_hb.events.clock import SourceClock
from stream_hb.events.partitioner import murmur2_partition
from stream_hb.events.ticks import TickClock
from stream_hb.settings import EngineSettings, Input
from stream_hb.shard import Shard
from stream_hb.statelog import rekey
from stream_hb.statelog.records import LogRecord
from stream_hb.statelog.rekey import Target, rekeyed
from stream_hb.statelog.restore import Restored, Restoring
from stream_hb.statelog.shard_log import ShardLog
from stream_hb.statistics.forgetting import HalfLife, Window
from stream_hb.statistics.half_lives import HalfLives
from stream_hb.statistics.tick_cells import rows_of, ticks_of
from tests.laws.test_event_laws import HOUR_MS, METHODS, events
from tests.statelog.test_statelog_laws import everything
from tests.support.logs import START_MS, batch, purchase, refund, visit
from tests.support.records import assert_same_estimates, emit

OLD, NEW = 3, 5
SETTINGS = EngineSettings(METHODS, bot_visits_per_hour=2, ticks=TickClock("hour"))
STORES = [f"s{number}" for number in range(12)]
HEADER = {"group": "g", "writer": "g-migrate", "refits": 0}


def home(store: str, count: int) -> int:
    return murmur2_partition(store.encode(), count)


class Chain:
    """An engine of so many shards, and their logs."""

    def __init__(self, count: int, world: EngineSettings = SETTINGS) -> None:
        self.count, self.world = count, world
        self.engine = Engine(world)
        self.records: dict[int, list[LogRecord]] = {number: [] for number in range(count)}
        for number in range(count):
            self.engine.open_shard(number, epoch=3, offsets={("events", number): 0})
        self.logs = {n: ShardLog(shard) for n, shard in self.engine.shards.items()}

    def feed(self, log: Sequence[dict[str, Any]], now_ms: int = START_MS) -> None:
        by_shard: dict[int, list[bytes]] = {number: [] for number in range(self.count)}
        for event in log:
            by_shard[home(event["store_id"], self.count)].append(json.dumps(event).encode())
        batches = {}
        for number, payloads in by_shard.items():
            first = self.engine.shards[number].positions["events", number].next_offset
            batches[number] = [batch(payloads, partition=number, first_offset=first)]
        # When a tick is over depends on all clocks, and so on the partitions.
        candidate = self.engine.ingest(batches, close_ticks=False)
        emission = self.engine.emit(now_ms, candidate)
        for number, mine in candidate.shards.items():
            updates = [u for u in emission.updates if u.shard == number and len(u.rows)]
            papers = {"alerts": b"what it remembers"} if number == 0 else {}
            plan = self.logs[number].plan(mine, updates, HEADER, papers)
            self.records[number] += plan.records
            self.logs[number].settle(plan)
        self.engine.apply(candidate)
        self.engine.apply(emission)

    def restored(self) -> list[Restored]:
        return [restored(number, self.records[number], self.world) for number in self.records]

    def rekeyed(self, count: int) -> "Chain":
        """Return the chain with another number of partitions, restored from its new logs."""
        made = Chain(count, self.world)
        offsets = {("events", number): 0 for number in range(count)}
        offsets |= {
            source: position.next_offset
            for shard in self.engine.shards.values()
            for source, position in shard.positions.items()
        }
        target = Target(count, lambda store: home(store, count), self.world, offsets)
        for log in rekeyed(self.restored(), target, HEADER):
            made.records[log.shard.number] = list(log.records)
            found = restored(log.shard.number, made.records[log.shard.number], self.world)
            np.testing.assert_equal(everything(found.shard), everything(log.shard))
            made.engine.adopt(found.shard)
            made.logs[log.shard.number] = found.log
        made.engine.pools = self.engine.pools
        return made

    def groups(self) -> dict[Any, dict[str, Any]]:
        found: dict[Any, dict[str, Any]] = {}
        for shard in self.engine.shards.values():
            found |= group_facts(shard)
        return found


def restored(number: int, records: Sequence[LogRecord], world: EngineSettings) -> Restored:
    restoring = Restoring(number, world)
    for record in records:
        restoring.take(*record)
    found = restoring.finish()
    assert found is not None
    return found


def group_facts(shard: Shard) -> dict[Any, dict[str, Any]]:
    """Return what is known of each group, whatever its row: counts, ids, currency, orders."""
    found: dict[Any, dict[str, Any]] = {}
    for row, key in enumerate(shard.table.keys):
        facts: dict[str, Any] = {
            f"{name}.{column}": values[row]
            for name in shard.table.metrics
            for column, values in shard.table.statistic(name).columns().items()
        }
        facts["time"] = int(shard.table.event_time_ms[row])
        facts["currency"] = shard.purse.names(np.array([row]))
        facts["orders"] = [int(c[row]) for c in (shard.orders.orders, shard.orders.zero_valued)]
        facts["ids"] = ids_of(shard, row)
        facts["ticks"] = ticks_of_group(shard, row)
        found[key] = facts
    return found


def ticks_of_group(shard: Shard, row: int) -> dict[int, Any]:
    """Return what a group did in each tick that is open."""
    if shard.ledger is None:
        return {}
    mine = shard.ledger.cells.take(rows_of(shard.ledger.cells.codes) == row)
    return {
        tick: [c[at] for kept in mine.statistics.values() for c in kept.columns().values()]
        for at, tick in enumerate(ticks_of(mine.codes).tolist())
    }


def ids_of(shard: Shard, row: int) -> dict[str, list[Any]]:
    """Return the ids of a group, with what is known of each; sets of arms by their names."""
    found: dict[str, list[Any]] = {}
    names = [(), *shard.arms.known]
    for table_name, table in shard.tables.items():
        columns = table.whole()
        mine = np.flatnonzero((columns["key"] != 0) & (rekey._old_rows(table_name, shard) == row))
        found[table_name] = sorted(
            sorted(
                (name, names[values[at]] if name in rekey.ARM_COLUMNS else values[at].item())
                for name, values in columns.items()
                if name != "row" and values[at]
            )
            for at in mine.tolist()
        )
    return found


@st.composite
def chain_events(draw: st.DrawFn) -> dict[str, Any]:
    event = draw(events())
    return event | {"store_id": draw(st.sampled_from(STORES)), "chain_id": "c"}


logs = st.lists(st.lists(chain_events(), max_size=40), min_size=1, max_size=2)


@given(before=logs, after=logs)
@settings(max_examples=15, deadline=None)
@pytest.mark.timeout(900)
def test_a_rekeyed_chain_is_one_that_had_these_partitions_from_the_start(
    before: list[list[dict[str, Any]]], after: list[list[dict[str, Any]]]
) -> None:
    grown, undisturbed = Chain(OLD), Chain(NEW)
    for log in before:
        grown.feed(log)
        undisturbed.feed(log)
    tallies = grown.engine.tallies
    grown = grown.rekeyed(NEW)
    np.testing.assert_equal(grown.groups(), undisturbed.groups())
    assert grown.engine.tallies == tallies == undisturbed.engine.tallies
    for log in after:
        grown.feed(log)
        undisturbed.feed(log)
        np.testing.assert_equal(grown.groups(), undisturbed.groups())
    assert grown.engine.tallies == undisturbed.engine.tallies


def event(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(payload)
    return found


def busy_chain(count: int, world: EngineSettings = SETTINGS, hours: int = 12) -> Chain:
    """Every store sells something every hour, so that no shard's clock stays behind."""
    chain = Chain(count, world)
    for hour in range(hours):
        log = []
        for place, store in enumerate(STORES):
            at_ms = START_MS + hour * HOUR_MS + place
            amount = 500 + 97 * place + hour
            log.append(event(visit(store, f"v{hour}-{place}", at_ms, "c")))
            if (hour + place) % 3 == 0:
                paid = purchase(store, f"o{hour}-{place}", at_ms, "c", amount)
                log.append(event(paid) | {"visit_id": f"v{hour}-{place}"})
        chain.feed(log, START_MS + hour * HOUR_MS)
        refit = chain.engine.refit(START_MS + hour, force=True)
        if refit:
            chain.engine.apply(refit)
    return chain


WORLDS: Mapping[str, EngineSettings] = {
    "plain": SETTINGS,
    "fading": EngineSettings(METHODS, forgetting={"conversion": HalfLife(HOUR_MS // 2)}),
    "side by side": EngineSettings(
        METHODS, forgetting=dict.fromkeys(METHODS, HalfLives((HOUR_MS, HOUR_MS // 4)))
    ),
}


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_estimates_afterwards_are_those_before_at_the_same_watermark(world: str) -> None:
    """The clock of a new shard is the latest of those that its groups come from."""
    chain = busy_chain(OLD, WORLDS[world])
    now_ms, slowest = START_MS + 13 * HOUR_MS, {99: [SourceClock(START_MS + 10 * HOUR_MS)]}
    chain.engine.clocks_elsewhere = slowest
    before = emit(chain.engine, now_ms, everything=True)
    moved = chain.rekeyed(NEW)
    moved.engine.clocks_elsewhere = slowest
    after = emit(moved.engine, now_ms, everything=True)
    assert len(before) == 3 * len(STORES)
    assert_same_estimates(after, before, tolerance=1e-12)


def test_what_waits_for_a_window_waits_on_in_the_new_shard() -> None:
    """An event far ahead counts when a second one of its source agrees: here, after the growth."""
    world = EngineSettings(METHODS, forgetting={"conversion": Window(24)})
    store = next(s for s in STORES if home(s, OLD) != home(s, NEW))
    later_ms = START_MS + 30 * 24 * HOUR_MS
    first, ahead, agrees = (
        event(visit(store, f"v{n}", at_ms, "c"))
        for n, at_ms in enumerate([START_MS, later_ms, later_ms + 1])
    )
    grown, undisturbed = Chain(OLD, world), Chain(NEW, world)
    for each in (grown, undisturbed):
        each.feed([first])
        each.feed([ahead])
    assert grown.engine.shards[home(store, OLD)].awaited
    grown = grown.rekeyed(NEW)
    for each in (grown, undisturbed):
        assert each.groups()["c", store]["conversion.trials"].sum() == 1
        each.feed([agrees])
    assert grown.groups()["c", store]["conversion.trials"].sum() == 2
    np.testing.assert_equal(grown.groups(), undisturbed.groups())


def test_totals_and_their_periods_move_with_their_group() -> None:
    world = EngineSettings(METHODS, inputs={name: Input(totals=True) for name in METHODS})
    grown, undisturbed = Chain(OLD, world), Chain(NEW, world)
    for each in (grown, undisturbed):
        for store in STORES:
            each.feed([summed(store, 0), summed(store, 1)])
    grown = grown.rekeyed(NEW)
    for each in (grown, undisturbed):
        for store in STORES:
            each.feed([summed(store, 1, revision=2, visits=30), summed(store, 0, hours=2)])
    np.testing.assert_equal(grown.groups(), undisturbed.groups())
    assert grown.groups()["c", "s1"]["conversion.trials"] == 10 + 30


def summed(store: str, start: int, hours: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "event_type": "totals",
        "event_id": "totals-0001",
        "event_time_ms": START_MS + 9 * HOUR_MS,
        "store_id": store,
        "chain_id": "c",
        "source": "till",
        "period_start_ms": START_MS + start * HOUR_MS,
        "period_end_ms": START_MS + (start + hours) * HOUR_MS,
        "visits": 10,
        "conversions": 3,
        "orders": 4,
        "currency": "EUR",
        "amount_minor_sum": 4000,
        **more,
    }


def test_closed_ticks_stay_closed_and_feeds_remember_what_they_did() -> None:
    chain = busy_chain(OLD)
    for shard in chain.engine.shards.values():
        assert shard.ledger is not None
        closed = shard.ledger.cells.ticks()[3]
        shard.ledger.closed, shard.ledger.cells = closed, shard.ledger.cells.since(closed)
    chain.feed([])
    moved = chain.rekeyed(NEW)
    for number, shard in moved.engine.shards.items():
        assert shard.ledger is not None
        assert shard.ledger.closed == closed
        assert min(shard.ledger.cells.ticks(), default=closed) >= closed
        papers = restored(number, moved.records[number], SETTINGS).papers
        assert papers == ({"alerts": b"what it remembers"} if number == 0 else {})
    np.testing.assert_equal(moved.groups(), chain.groups())


def test_a_key_begins_anew_in_a_later_epoch_than_any_before() -> None:
    chain = busy_chain(OLD)
    chain.engine.shards[1].epoch = 7
    chain.feed([])
    moved = chain.rekeyed(NEW)
    records = emit(moved.engine, START_MS + 13 * HOUR_MS, everything=True)
    assert {(r["version"]["epoch"], r["version"]["seq"]) for r in records} == {(8, 1)}


def test_sources_go_on_where_they_are_to_be_read_and_new_ones_at_their_beginning() -> None:
    chain = busy_chain(OLD)
    ends = {n: s.positions["events", n].next_offset for n, s in chain.engine.shards.items()}
    moved = chain.rekeyed(NEW).engine.shards
    assert {n: s.positions["events", n].next_offset for n, s in moved.items()} == {
        **ends,
        3: 0,
        4: 0,
    }
    newest = max(s.positions["events", n].event_time_ms for n, s in chain.engine.shards.items())
    assert max(s.positions["events", n].event_time_ms for n, s in moved.items()) == newest


def test_a_refund_whose_order_is_forgotten_is_still_known_wherever_its_group_went() -> None:
    chain = busy_chain(OLD)
    paid_back = event(refund("s1", "o-unknown", START_MS, "c", refund_id="r", amount_minor=5))
    paid_back |= {"currency": "EUR"}
    chain.feed([paid_back])
    shard = chain.engine.shards[home("s1", OLD)]
    orders = shard.attribution.orders.table
    slots = orders.find(shard.attribution.refunds.table.column("order_key"))
    orders.forget(slots)
    shard.cleared = {"orders": slots}
    chain.feed([])
    moved = chain.rekeyed(NEW)
    before = moved.engine.tallies["repeated_events"]
    moved.feed([paid_back])
    assert moved.engine.tallies["repeated_events"] == before + 1


def test_shards_under_different_keys_are_not_merged() -> None:
    chain = busy_chain(OLD)
    old = chain.restored()
    old[2].shard.hash_key = b"another"
    with pytest.raises(SnapshotError, match="shards 0, 1 and 2 remember ids under different keys"):
        rekey.ids_key(old)


def test_a_shard_without_ids_may_have_any_key() -> None:
    chain = Chain(OLD)
    chain.feed([event(visit("s1", "v", START_MS, "c"))])
    old = chain.restored()
    for each in old:
        if each.shard.number != home("s1", OLD):
            each.shard.hash_key = b"another"
    assert rekey.ids_key(old) == chain.engine.hash_key
