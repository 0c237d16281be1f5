"""Ticks of whole chains: read once, when all sources are beyond them."""

from dataclasses import replace

import numpy as np

from stream_hb.chain_ticks import ChainTick
from stream_hb.engine import Engine
from stream_hb.events.calendar import HOUR_MS
from stream_hb.events.clock import TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.settings import EngineSettings
from stream_hb.stores import Stores
from tests.support.logs import START_MS, batch, open_engine, purchase, visit

LATENESS_MS = 600_000
SETTINGS = EngineSettings(
    {"conversion": "ml"}, ticks=TickClock("hour"), time=TimeRules(lateness_ms=LATENESS_MS)
)
HOUR = START_MS // HOUR_MS
AT_MS = HOUR * HOUR_MS


def fed(engine: Engine, number: int, *payloads: bytes, now_ms: int = 0) -> list[ChainTick]:
    """Ingest a batch; return the ticks that were closed with it."""
    position = engine.shards[number].positions.get(("events", number))
    first = position.next_offset if position else 0
    raw = batch(payloads, partition=number, first_offset=first)
    candidate = engine.ingest({number: [raw]}, now_ms)
    ticks = list(engine.chain_ticks(candidate.closing))
    engine.apply(candidate)
    return ticks


def told(tick: ChainTick) -> tuple[str, int, list[str], list[float], list[float]]:
    counts = tick.statistics["conversion"].columns()
    numbers = (counts["successes"].tolist(), counts["trials"].tolist())
    return (tick.chain, tick.number - HOUR, list(tick.stores), *numbers)


def test_a_tick_is_told_when_the_watermark_has_passed_it_and_once() -> None:
    engine = open_engine(SETTINGS)
    assert not fed(engine, 0, visit("b", "v1", AT_MS), visit("a", "v2", AT_MS + 1))
    end_ms = AT_MS + HOUR_MS
    assert not fed(engine, 0, purchase("a", "o", AT_MS + 2, visit_id="v2"))
    assert not fed(engine, 0, visit("a", "v3", end_ms + LATENESS_MS - 1))
    assert not fed(engine, 0, visit("a", "v4", end_ms + LATENESS_MS))
    (tick,) = fed(engine, 0)
    assert told(tick) == ("c", 0, ["a", "b"], [1.0, 0.0], [1.0, 1.0])
    assert tick.end_ms == end_ms
    assert not fed(engine, 0)


def test_what_comes_after_its_tick_was_told_is_counted_and_not_told() -> None:
    engine = open_engine(SETTINGS)
    fed(engine, 0, visit("a", "v1", AT_MS), visit("a", "v2", AT_MS + 2 * HOUR_MS))
    assert fed(engine, 0)
    fed(engine, 0, visit("a", "v3", AT_MS + 5), visit("a", "v4", AT_MS + 4 * HOUR_MS))
    (tick,) = fed(engine, 0)
    assert told(tick) == ("c", 2, ["a"], [0.0], [1.0])
    ledger = engine.shards[0].ledger
    assert ledger is not None
    assert ledger.late == 1
    counts = engine.shards[0].table.statistic("conversion").columns()
    assert counts["trials"].tolist() == [4.0]  # it counts all the same


def test_a_batch_of_many_ticks_tells_them_all_in_order() -> None:
    engine = open_engine(SETTINGS)
    fed(engine, 0, *(visit("a", f"v{n}", AT_MS + n * HOUR_MS) for n in range(50)))
    ticks = fed(engine, 0)
    assert [tick.number - HOUR for tick in ticks] == list(range(48))


def test_a_tick_waits_for_every_shard_and_is_told_whole() -> None:
    engine = open_engine(SETTINGS, shards=(0, 1))
    fed(engine, 0, visit("a", "v1", AT_MS))
    fed(engine, 1, visit("b", "v1", AT_MS), visit("x", "v2", AT_MS, chain="d"))
    fed(engine, 0, visit("a", "v2", AT_MS + 9 * HOUR_MS))
    assert not fed(engine, 0)
    assert not fed(engine, 1, visit("b", "v3", AT_MS + 9 * HOUR_MS))
    ticks = fed(engine, 0)
    assert [told(tick)[:3] for tick in ticks] == [("c", 0, ["a", "b"]), ("d", 0, ["x"])]
    assert not fed(engine, 1)


def test_a_shard_in_which_nothing_happens_closes_its_ticks_too() -> None:
    engine = open_engine(SETTINGS, shards=(0, 1))
    fed(engine, 0, visit("a", "v1", AT_MS))
    fed(engine, 1, visit("b", "v1", AT_MS))
    fed(engine, 0, visit("a", "v2", AT_MS + 9 * HOUR_MS))
    fed(engine, 1, visit("b", "v2", AT_MS + 9 * HOUR_MS))
    fed(engine, 0)
    ledgers = [shard.ledger for shard in engine.shards.values()]
    assert [ledger.closed - HOUR for ledger in ledgers if ledger] == [8, 8]
    assert not engine.ingest({}).closing  # once


def test_no_tick_is_closed_while_that_is_not_allowed() -> None:
    engine = open_engine(SETTINGS)
    fed(engine, 0, visit("a", "v1", AT_MS), visit("a", "v2", AT_MS + 9 * HOUR_MS))
    assert not engine.ingest({}, close_ticks=False).closing
    assert engine.ingest({}).closing == HOUR + 8  # the hours without an event are over too


def test_a_local_day_has_the_hours_that_it_has() -> None:
    keys = [("c", "berlin"), ("c", "kolkata")]
    stores = Stores.of(keys, zones=["Europe/Berlin", "Asia/Kolkata"])
    clock = TickClock("day", stores.zone_names)
    engine = open_engine(replace(SETTINGS, ticks=clock, stores=stores))
    noon_ms = 1_730_026_800_000  # 2024-10-27 11:00 UTC: in Berlin a day of 25 hours
    day_ms = 24 * HOUR_MS
    events = [visit(s, f"v{n}", noon_ms + n * day_ms) for n in range(3) for _, s in keys]
    fed(engine, 0, *events)
    first, _ = fed(engine, 0)
    assert list(first.stores) == ["berlin", "kolkata"]
    np.testing.assert_array_equal(first.hours, [25.0, 24.0])
    np.testing.assert_array_equal(first.weekdays, [6, 6])


def test_a_tick_of_nothing_that_is_left_is_told_all_the_same() -> None:
    """A visit that turned out to be a bot's: the store was there, and did nothing that counts."""
    engine = open_engine(SETTINGS)
    fed(engine, 0, visit("a", "v1", AT_MS), visit("a", "v1", AT_MS, is_bot=True))
    fed(engine, 0, visit("a", "v2", AT_MS + 3 * HOUR_MS))
    ticks = fed(engine, 0)
    assert [sum(told(tick)[4]) for tick in ticks] in ([0.0], [])
