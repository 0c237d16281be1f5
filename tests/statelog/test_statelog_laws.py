"""A shard that is restored from its log goes on to the bit as one that never was away."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.engine import Engine
from stream_hb.errors import SnapshotError
from stream_hb.events import id_table
from stream_hb.events.clock import TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard
from stream_hb.state import pack, unpack
from stream_hb.statelog import group_rows, restore, shard_log
from stream_hb.statelog.records import MARKER_KEY, VERSION, DeltaId, LogRecord, PageId, parsed_key
from stream_hb.statelog.restore import Restored, Restoring
from stream_hb.statelog.shard_log import ShardLog
from stream_hb.statistics.forgetting import HalfLife, Window
from stream_hb.statistics.half_lives import HalfLives
from stream_hb.timing import plain_positions
from tests.laws.test_event_laws import HOUR_MS, METHODS, cuts, events
from tests.support.logs import START_MS, batch, open_engine, purchase

DAY_MS = 24 * HOUR_MS
WORLDS = {
    "plain": EngineSettings(METHODS, bot_visits_per_hour=2),
    "forgetful": EngineSettings(
        METHODS,
        bot_visits_per_hour=2,
        units_kept_ms=2 * DAY_MS,
        time=TimeRules(horizon_ms=DAY_MS),
        forgetting={
            "conversion": HalfLife(HOUR_MS // 2),
            "order_rate": Window(6),
            "log_order_value": HalfLives((HOUR_MS, HOUR_MS // 4)),
        },
    ),
    "ticking": EngineSettings(METHODS, bot_visits_per_hour=2, ticks=TickClock("hour")),
}
worlds = st.sampled_from(sorted(WORLDS))


@pytest.fixture(autouse=True, scope="module")
def _small_pages() -> Iterator[None]:
    """A handful of ids fill several pages."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (id_table, shard_log, restore):
            patch.setattr(module, "PAGE_SLOTS", 2)
        for module in (shard_log, restore):
            patch.setattr(module, "ARMS_OF_PAGE", 2)
        patch.setattr(group_rows, "page_rows", lambda _: 2)
        yield


class Driven:
    """An engine of one shard, its log, and the records that were committed."""

    def __init__(self, world: EngineSettings) -> None:
        self.world = world
        self.engine = open_engine(world)
        self.log = ShardLog(self.shard)
        self.records: list[LogRecord] = []
        self.papers: dict[str, bytes] = {}

    @property
    def shard(self) -> Shard:
        return self.engine.shards[0]

    def step(self, payloads: Sequence[bytes], *, abort: bool = False) -> None:
        position = self.shard.positions.get(("events", 0))
        first = position.next_offset if position else 0
        candidate = self.engine.ingest({0: [batch(payloads, first_offset=first)]})
        refit = self.engine.refit(first + 1, force=True)
        if refit:
            self.engine.apply(refit)
        self.shard.unscreened.mark_all(len(self.shard.table))
        emission = self.engine.emit(START_MS + first, candidate)
        papers = {"counting": b"%d" % candidate.closing} if candidate.closing else {}
        plan = self.log.plan(candidate.shards[0], emission.updates, {"writer": "tests"}, papers)
        if abort:
            return
        self.papers |= papers
        self.records += plan.records
        self.engine.apply(candidate)
        self.engine.apply(emission)
        self.log.settle(plan)

    def restart(self, random: np.random.Generator) -> None:
        restored = restored_from(compacted(self.records, random), self.world)
        assert restored is not None
        assert restored.papers == self.papers
        engine = Engine(self.world)
        engine.adopt(restored.shard)
        engine.pools, engine.refits = self.engine.pools, self.engine.refits
        engine.refitted_at_ms = self.engine.refitted_at_ms
        self.engine, self.log = engine, restored.log


def compacted(records: Sequence[LogRecord], random: np.random.Generator) -> list[LogRecord]:
    """Return what a broker may have left: of every key the last record, of others some."""
    last = {record.key: at for at, record in enumerate(records)}
    kept = {at for at, r in enumerate(records) if last[r.key] == at or random.random() < 0.3}
    earlier = {records[at].key for at in kept if last[records[at].key] != at}
    gone = {
        at
        for at in last.values()
        if records[at].value is None and records[at].key not in earlier and random.random() < 0.5
    }
    return [records[at] for at in sorted(kept - gone)]


def restored_from(records: Sequence[LogRecord], world: EngineSettings) -> Restored | None:
    restoring = Restoring(0, world)
    for record in records:
        restoring.take(*record)
    return restoring.finish()


def everything(shard: Shard) -> dict[str, Any]:
    """Return all of a shard's state, whatever room its arrays have."""
    tables = {}
    for name, table in shard.tables.items():
        size = len(table.column("key"))
        tables[name] = [table.page(n) for n in range(-(-size // id_table.PAGE_SLOTS))]
    return {
        "keys": shard.table.keys,
        "groups": group_rows.read(shard, np.arange(len(shard.table))),
        "tables": tables,
        "tallies": shard.attribution.tallies,
        "day": shard.attribution.forgotten_day,
        "arms": shard.arms.known,
        "positions": plain_positions(shard.positions),
        "awaited": {name: e.snapshot() for name, e in shard.awaited.items()},
        "ledger": shard.ledger and shard.ledger.snapshot(),
        "epoch": shard.epoch,
    }


@st.composite
def steps(draw: st.DrawFn) -> list[list[bytes]]:
    """Draw a log over some days, in batches."""
    log = draw(st.lists(st.tuples(events(), st.integers(0, 4)), max_size=40))
    day, payloads = 0, []
    for event, later in log:
        day += later == 0
        event["event_time_ms"] += day * DAY_MS
        payloads.append(json.dumps(event).encode())
    places = sorted({0, *(at for at in draw(cuts) if at <= len(payloads)), len(payloads)})
    return [payloads[start:end] for start, end in pairwise(places)]


@given(log=steps(), world=worlds, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
@pytest.mark.timeout(900)
def test_restarts_aborts_and_compaction_change_nothing(
    log: list[list[bytes]], world: str, seed: int
) -> None:
    """In whichever epoch: where one begins, what was emitted before is forgotten."""
    random = np.random.default_rng(seed)
    disturbed, undisturbed = Driven(WORLDS[world]), Driven(WORLDS[world])
    for payloads in log:
        if random.random() < 0.2:
            for driven in (disturbed, undisturbed):
                driven.log.renew(driven.shard.epoch + 1)
        undisturbed.step(payloads)
        while random.random() < 0.3:
            disturbed.step(payloads, abort=True)
        disturbed.step(payloads)
        if random.random() < 0.5:
            before = everything(disturbed.shard), disturbed.log.state
            disturbed.restart(random)
            np.testing.assert_equal(everything(disturbed.shard), before[0])
            now, then = disturbed.log.state, before[1]
            # The deletion of an empty page may itself be gone, so that it counts as unwritten.
            empty = now.dirty.keys() - then.dirty.keys()
            tables = disturbed.shard.tables
            assert not any(tables[p.table].page(p.number)["key"].any() for p in empty)
            kept = {page: seq for page, seq in now.dirty.items() if page not in empty}
            assert replace(now, dirty=kept) == then
    np.testing.assert_equal(everything(disturbed.shard), everything(undisturbed.shard))


def test_an_epoch_that_begins_makes_nothing_of_what_was_emitted_in_the_log_too() -> None:
    """A part of the keys is written again in its first transaction; the others must be later."""
    driven = Driven(WORLDS["plain"])
    driven.step(visits(9))
    driven.step(visits(9, 9))  # the first ones made the fit
    assert driven.shard.emitted["conversion"].take(np.arange(3)).seq.all()
    for number in range(18, 38):
        step_of_one_store(driven, number)
    assert PageId("groups", 1) not in driven.log.state.dirty  # it stands there as it was emitted
    driven.log.renew(7)
    for number in range(38, 58):  # longer than the change that says so stands in the log
        step_of_one_store(driven, number)
        left = compacted(driven.records, np.random.default_rng(number))
        restored = restored_from(left, driven.world)
        assert restored is not None
        assert restored.shard.epoch == 7
        for emitted in restored.shard.emitted.values():
            assert not emitted.seq.any()
            assert not emitted.at_ms.any()


def step_of_one_store(driven: Driven, number: int) -> None:
    """Let a visit come, and nothing be emitted."""
    payloads = [a_visit(f"v{number}", "s0", START_MS + number)]
    candidate = driven.engine.ingest({0: [batch(payloads, first_offset=number)]})
    plan = driven.log.plan(candidate.shards[0], [], {"writer": "tests"})
    driven.records += plan.records
    driven.engine.apply(candidate)
    driven.log.settle(plan)


def visits(count: int, first: int = 0) -> list[bytes]:
    return [a_visit(f"v{n}", f"s{n % 3}", START_MS + n) for n in range(first, first + count)]


def a_visit(visit_id: str, store: str, at_ms: int) -> bytes:
    common = {"schema_version": 1, "event_type": "visit", "event_id": "event-0001"}
    more = {"visit_id": visit_id, "store_id": store, "event_time_ms": at_ms}
    return json.dumps(common | more).encode()


@pytest.mark.parametrize("seed", range(5))
def test_what_was_forgotten_and_what_has_faded_is_so_after_a_restart(seed: int) -> None:
    """Over days, most stores silent: rows stand in the log as they were long before its end."""
    random = np.random.default_rng(seed)
    disturbed, undisturbed = Driven(WORLDS["forgetful"]), Driven(WORLDS["forgetful"])
    forgotten = 0
    for day in range(12):
        at_ms = START_MS + day * DAY_MS
        for part in range(3):
            payloads = [
                a_visit(f"v{day}-{part}-{n}", f"s{day}", at_ms + n) for n in range(3 - part)
            ]
            undisturbed.step(payloads)
            disturbed.step(payloads)
            forgotten += sum(map(len, disturbed.shard.cleared.values()))
            disturbed.restart(random)
            np.testing.assert_equal(everything(disturbed.shard), everything(undisturbed.shard))
    assert forgotten > 40


@pytest.mark.parametrize("seed", range(3))
def test_what_could_not_be_counted_is_remembered_over_a_restart(seed: int) -> None:
    """Late events and foreign money change no count; their groups' records say so all the same."""
    random = np.random.default_rng(seed)
    driven = Driven(WORLDS["forgetful"])
    driven.step([a_visit(f"v{day}", "s1", START_MS + day * DAY_MS) for day in (0, 3, 4)])
    driven.step([purchase("s2", "o1", START_MS + 4 * DAY_MS, chain=None)])
    driven.step([purchase("s2", "o2", START_MS + 4 * DAY_MS, chain=None, currency="USD")])
    driven.step([a_visit("late", "s1", START_MS)])
    before = everything(driven.shard)
    assert (driven.shard.incidents.late_ms > 0).tolist() == [True, False]
    assert (driven.shard.incidents.currency_ms > 0).tolist() == [False, True]
    driven.restart(random)
    np.testing.assert_equal(everything(driven.shard), before)


def test_a_delta_goes_when_every_page_that_it_touched_was_written_after_it() -> None:
    driven = Driven(WORLDS["plain"])
    for number in range(200):
        driven.step(visits(3, first=3 * number))
    alive: dict[DeltaId, int] = {}
    for record in driven.records:
        key = parsed_key(record.key)
        if isinstance(key, DeltaId):
            alive[key] = len(record.value or b"")
            if record.value is None:
                del alive[key]
    assert sorted(alive) == list(driven.log.state.deltas)
    assert len(alive) < 150
    assert min(alive)[0] == min(driven.log.state.dirty.values())


def test_the_log_carries_about_twice_the_changes() -> None:
    driven = Driven(WORLDS["plain"])
    for number in range(100):
        driven.step(visits(5, first=5 * number))
    sizes = {b"p": 0, b"d": 0, b"m": 0}
    for record in driven.records:
        sizes[record.key[:1]] += len(record.value or b"")
    assert 0.9 < sizes[b"p"] / sizes[b"d"] < 1.1


def test_a_log_without_a_marker_is_of_nobody() -> None:
    assert restored_from([], WORLDS["plain"]) is None


def test_a_registered_shard_without_events_is_restored() -> None:
    driven = Driven(WORLDS["plain"])
    driven.step([])
    driven.restart(np.random.default_rng(0))
    assert len(driven.shard.table) == 0


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (LogRecord(MARKER_KEY, pack([VERSION + 1, {}])), f"of version {VERSION + 1}, this"),
        (LogRecord(b"?", b""), "a key of the state log that nobody writes"),
        (LogRecord(MARKER_KEY, b"\xc1"), "not what was packed"),
        (LogRecord(MARKER_KEY, pack("m")), "not a record of a state log"),
    ],
)
def test_what_is_no_state_log_is_refused(record: LogRecord, said: str) -> None:
    with pytest.raises(SnapshotError, match=said):
        restored_from([record], WORLDS["plain"])


def test_a_log_of_other_metrics_is_refused() -> None:
    driven = Driven(WORLDS["plain"])
    driven.step(visits(1))
    with pytest.raises(SnapshotError, match="other metrics: conversion, log_order_value, order_"):
        restored_from(driven.records, EngineSettings({"conversion": "ml"}))


def test_what_a_feed_remembers_may_take_several_records_and_then_fewer() -> None:
    driven = Driven(WORLDS["ticking"])
    for size in (2_000_000, 900_000, 5):
        told = bytes(size)
        plan = driven.log.plan(None, [], {"writer": "tests"}, {"alerts": told})
        driven.records += plan.records
        driven.log.settle(plan)
        restored = restored_from(driven.records, driven.world)
        assert restored is not None
        assert restored.papers == {"alerts": told}
    live = {record.key: record.value for record in driven.records}
    assert sum(value is not None for key, value in live.items() if key[:1] == b"f") == 1


def test_ticks_of_a_log_are_deleted_when_no_feed_looks_at_them_any_longer() -> None:
    driven = Driven(WORLDS["ticking"])
    driven.step([a_visit("v", "s", START_MS)])
    restored = restored_from(driven.records, WORLDS["plain"])
    assert restored is not None
    plan = restored.log.plan(None, [], {"writer": "tests"})
    live = {record.key: record.value for record in [*driven.records, *plan.records]}
    pages = [parsed_key(key) for key, value in live.items() if value is not None]
    assert not [page for page in pages if isinstance(page, PageId) and page.table == "ticks"]
    again = restored_from([*driven.records, *plan.records], WORLDS["ticking"])
    assert again is not None
    assert again.shard.ledger is not None
    assert len(again.shard.ledger.cells) == 0


def test_a_delta_has_columns_in_the_types_in_which_they_are_kept() -> None:
    driven = Driven(WORLDS["plain"])
    driven.step([purchase(visit_id="v1")])
    (delta,) = [r.value for r in driven.records if isinstance(parsed_key(r.key), DeltaId)]
    assert delta is not None
    puts = {op[1]: op[4] for op in unpack(delta)[1] if op[0] == "put"}
    assert puts.keys() == {"visits", "orders"}
    for table, values in puts.items():
        kept = driven.shard.tables[table].whole()
        assert {name: values[name].dtype for name in kept if name != "key"} == {
            name: column.dtype for name, column in kept.items() if name != "key"
        }
