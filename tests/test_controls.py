"""An operator's word from the event to the resolved alert, through the engine."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pytest

from stream_hb.chain_ticks import ChainTick
from stream_hb.engine import Candidate, Engine
from stream_hb.events.clock import TimeRules
from stream_hb.events.controls import Control
from stream_hb.events.ticks import TickClock
from stream_hb.feeds.estimates import OutRecord
from stream_hb.settings import EngineSettings
from stream_hb.statelog.rekey import Target, rekeyed
from stream_hb.statelog.restore import Restored, Restoring
from stream_hb.statelog.shard_log import ShardLog
from stream_hb.stores import Stores
from stream_hb.tick_feeds import TickMoment
from tests.support.logs import START_MS, accept, batch, visit

HOUR_MS = 3_600_000
METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
SETTINGS = EngineSettings(
    METHODS, ticks=TickClock("hour"), time=TimeRules(lateness_ms=0), controls=True
)
HOUR = START_MS // HOUR_MS


@dataclass(frozen=True, slots=True)
class Hearing:
    """Tells what operators said in each tick."""

    heard: tuple[Any, ...] = field(default=())

    reads_controls = True

    def step(self, tick: ChainTick, moment: TickMoment) -> tuple[Self, list[OutRecord]]:
        told = json.dumps([tick.number - HOUR, tick.stores, tick.controls])
        return type(self)((*self.heard, told)), [OutRecord(tick.chain.encode(), told.encode())]

    def snapshot(self) -> Any:
        return list(self.heard)

    def restored(self, state: Any) -> Self:
        return type(self)(tuple(state))


def engine(settings: EngineSettings = SETTINGS, shards: Sequence[int] = (0,)) -> Engine:
    made = Engine(settings, feeds={"hearing": Hearing()})
    for number in shards:
        made.open_shard(number, epoch=1)
    return made


def ingested(to: Engine, *payloads: bytes, shard: int = 0) -> Candidate:
    position = to.shards[shard].positions.get(("events", shard))
    first = position.next_offset if position else 0
    return to.ingest({shard: [batch(payloads, partition=shard, first_offset=first)]})


def step(to: Engine, *payloads: bytes, shard: int = 0) -> Candidate:
    candidate = ingested(to, *payloads, shard=shard)
    to.apply(to.watch(to.chain_ticks(candidate.closing)))
    to.apply(candidate)
    return candidate


def heard(of: Engine) -> list[Any]:
    feed = of.memory.feeds["hearing"]
    assert isinstance(feed, Hearing)
    return [json.loads(told) for told in feed.heard]


def hour(number: int, store: str = "s1") -> bytes:
    return visit(store, f"v{number}", START_MS + number * HOUR_MS)


def word(number: int, name: str = "word1", store: str = "s1", **more: Any) -> bytes:
    return accept(store, name, START_MS + number * HOUR_MS, **more)


def words(of: Engine) -> list[list[str]]:
    """Return of each closed tick what was said in it."""
    return [[control[3] for control in said] for _, _, said in heard(of)]


def test_a_word_is_heard_once_with_the_tick_in_which_it_was_said() -> None:
    made = engine()
    step(made, hour(0), word(0), word(1, "word2", reason="moved"), word(0))
    step(made, word(0), hour(1), hour(2))
    step(made, hour(3))
    step(made)
    assert words(made) == [["word1"], ["word2"], []]
    assert heard(made)[1][2] == [[HOUR + 1, "c", "s1", "word2", START_MS + HOUR_MS, "", "moved"]]


def test_a_word_that_comes_again_after_its_tick_is_rejected_and_heard_no_more() -> None:
    made = engine()
    step(made, hour(0), word(0), hour(2))
    step(made, hour(3))
    candidate = step(made, word(0), hour(4))
    assert [(reject.reason, reject.detail) for reject in candidate.rejects] == [
        ("too_late", "its tick is closed")
    ]
    assert candidate.accepted == 1
    step(made)
    assert words(made) == [["word1"], [], []]


def test_a_tick_in_which_something_was_said_and_nothing_done_is_told_too() -> None:
    made = engine()
    step(made, hour(0), word(1), hour(3))
    step(made, hour(4))
    assert heard(made)[1][:2] == [1, []]
    assert words(made) == [[], ["word1"]]


def test_a_word_about_a_store_that_nobody_knows_makes_no_group() -> None:
    made = engine()
    candidate = step(made, hour(0), word(0, store="misspelt"), word(0, chain="nowhere"), hour(2))
    assert (candidate.accepted, candidate.rejects) == (4, [])
    step(made, hour(3))
    assert made.groups_count == 1
    assert [tick[:2] for tick in heard(made)] == [[0, ["s1"]], [0, []]]


def test_without_alerts_a_word_is_unexpected() -> None:
    for settings in (replace(SETTINGS, controls=False), EngineSettings(METHODS)):
        candidate = step(engine(settings), hour(0), word(0))
        assert [reject.reason for reject in candidate.rejects] == ["unexpected_input"]
        assert candidate.accepted == 1


def test_a_word_is_of_the_stores_own_day() -> None:
    zones = ["UTC", "Pacific/Auckland"]
    stores = Stores.of([("c", "s0"), ("c", "s1")], zones=zones)
    daily = replace(SETTINGS, ticks=TickClock("day", tuple(stores.zone_names)), stores=stores)
    made = engine(daily)
    night_ms = (START_MS // 86_400_000) * 86_400_000 + 20 * HOUR_MS
    step(made, accept("s0", "here", night_ms), accept("s1", "there", night_ms))
    ledger = made.shards[0].ledger
    assert ledger is not None
    days = {control.control_id: control.tick for control in ledger.controls}
    assert days["there"] == days["here"] + 1


def test_a_snapshot_has_the_words_that_wait() -> None:
    made, other = engine(), engine(shards=())
    step(made, hour(0), word(0), word(1, "word2"))
    other.restore(made.snapshot())
    for each in (made, other):
        step(each, hour(2))
        step(each, hour(3))
    assert words(other) == words(made) == [["word1"], ["word2"]]


def test_a_candidate_that_was_not_applied_was_never_said() -> None:
    made = engine()
    step(made, hour(0))
    ingested(made, word(0), hour(2))
    step(made, hour(2))
    step(made, hour(3))
    assert words(made) == [[]]


def written(log: ShardLog, engine: Engine, *payloads: bytes) -> list[Any]:
    candidate = ingested(engine, *payloads)
    plan = log.plan(candidate.shards[0], [], {"writer": "tests"})
    engine.apply(candidate)
    log.settle(plan)
    return plan.records


def restored(records: list[Any]) -> Restored:
    restoring = Restoring(0, SETTINGS)
    for record in records:
        restoring.take(*record)
    found = restoring.finish()
    assert found is not None
    return found


def controls_of(part: Restored) -> tuple[Control, ...]:
    assert part.shard.ledger is not None
    return part.shard.ledger.controls


def test_the_log_has_the_words_that_wait_until_their_tick_is_closed() -> None:
    made = engine()
    log = ShardLog(made.shards[0])
    records = written(log, made, hour(0), word(0), word(1, "word2", metric="conversion"))
    assert [control.control_id for control in controls_of(restored(records))] == ["word1", "word2"]
    records += written(log, made, hour(1))
    records += written(log, made)
    assert [control.control_id for control in controls_of(restored(records))] == ["word2"]
    assert controls_of(restored(records))[0].metric == "conversion"


def test_a_word_moves_with_its_store_to_another_partitioning() -> None:
    made = engine()
    log = ShardLog(made.shards[0])
    names = [f"s{n}" for n in range(4)]
    said = [word(0, f"word{n}", store=name) for n, name in enumerate(names)]
    old = restored(written(log, made, *(hour(0, name) for name in names), *said))
    target = Target(2, lambda store: int(store[1:]) % 2, SETTINGS, {})
    for number, moved in enumerate(rekeyed([old], target, {"writer": "tests"})):
        assert moved.shard.ledger is not None
        kept = [control.store for control in moved.shard.ledger.controls]
        assert kept == names[number::2]


def test_a_word_neither_holds_the_watermark_nor_moves_it() -> None:
    made = engine()
    step(made, hour(0))
    before_ms = made.watermark_ms()
    said = [word(0), word(5, "word2")]
    made.apply(made.ingest({0: [batch(said, topic="control")]}))
    assert made.watermark_ms() == before_ms
    step(made, hour(9))
    assert made.watermark_ms() == before_ms + 9 * HOUR_MS
    step(made)
    assert words(made) == [["word1"], ["word2"]]


@pytest.mark.parametrize("partition", [0, 1])
def test_it_does_not_matter_which_partition_a_word_comes_in(partition: int) -> None:
    made = engine(shards=(0, 1))
    step(made, hour(0, "s1"))
    step(made, hour(0, "s2"), shard=1)
    step(made, word(0), shard=partition)
    for number in (0, 1):
        step(made, hour(2, f"s{number + 1}"), shard=number)
    step(made)
    assert words(made) == [["word1"]]
    assert heard(made)[0][1] == ["s1", "s2"]


def test_random_orders_and_cuts_hear_the_same() -> None:
    source = np.random.default_rng(3)
    log = [hour(n) for n in range(6)] + [word(n % 6, f"word{n}") for n in range(12)]
    lateness = replace(SETTINGS, time=TimeRules(lateness_ms=12 * HOUR_MS))
    found = []
    for _ in range(5):
        made = engine(lateness)
        mixed = [log[at] for at in source.permutation(len(log))] + log[:4]
        for start in range(0, len(mixed), 5):
            step(made, *mixed[start : start + 5])
        step(made, hour(40))
        step(made, hour(41))
        found.append(words(made))
    assert found[0] == [sorted([f"word{n}", f"word{n + 6}"]) for n in range(6)]
    assert all(each == found[0] for each in found)
