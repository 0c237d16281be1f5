"""Feeds of ticks: shown every closed tick once, in order; what they remember is the engine's."""

from dataclasses import dataclass
from typing import Any, Self

from stream_hb.chain_ticks import ChainTick
from stream_hb.engine import Engine
from stream_hb.events.calendar import HOUR_MS
from stream_hb.events.clock import TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.feeds.estimates import OutRecord
from stream_hb.settings import EngineSettings
from stream_hb.tick_feeds import TickMoment
from tests.support.logs import START_MS, batch, visit

SETTINGS = EngineSettings(
    {"conversion": "ml"}, ticks=TickClock("hour"), time=TimeRules(lateness_ms=0)
)


@dataclass(frozen=True)
class Counting:
    """Counts ticks and visits; a record each."""

    seen: tuple[int, ...] = ()

    def step(self, tick: ChainTick, moment: TickMoment) -> tuple[Self, list[OutRecord]]:
        visits = int(tick.statistics["conversion"].columns()["trials"].sum())
        record = OutRecord(tick.chain.encode(), b"%d of %d" % (visits, len(self.seen)))
        return type(self)((*self.seen, tick.number)), [record]

    def snapshot(self) -> Any:
        return list(self.seen)

    def restored(self, state: Any) -> Self:
        return type(self)(tuple(state))


def engine() -> Engine:
    made = Engine(SETTINGS, feeds={"counting": Counting()})
    made.open_shard(0, epoch=1)
    return made


def step(to: Engine, *hours: int, abort: bool = False) -> list[bytes | None]:
    payloads = [visit("a", f"v{hour}", START_MS + hour * HOUR_MS) for hour in hours]
    position = to.shards[0].positions.get(("events", 0))
    first = position.next_offset if position else 0
    candidate = to.ingest({0: [batch(payloads, first_offset=first)]})
    watched = to.watch(to.chain_ticks(candidate.closing))
    if not abort:
        to.apply(watched)
        to.apply(candidate)
    return [record.value for record in watched.records["counting"]]


def test_every_closed_tick_is_shown_once_and_in_order() -> None:
    made = engine()
    assert step(made, 0, 2, 1) == []
    assert step(made, 3) == [b"1 of 0", b"1 of 1"]
    assert step(made) == [b"1 of 2"]
    assert step(made) == []


def test_what_was_not_delivered_is_shown_again() -> None:
    made = engine()
    step(made, 0, 2)
    assert step(made, 5, abort=True) == step(made, 5, abort=True) == step(made, 5)


def test_a_snapshot_has_what_the_feeds_remember() -> None:
    made, other = engine(), Engine(SETTINGS, feeds={"counting": Counting()})
    step(made, 0, 2)
    step(made, 5)
    other.restore(made.snapshot())
    assert step(other, 9) == step(made, 9) == [b"1 of 1"]
    assert other.memory == made.memory


def test_a_feed_that_is_new_to_a_snapshot_begins() -> None:
    made, other = engine(), Engine(SETTINGS, feeds={"counting": Counting(), "more": Counting()})
    step(made, 0, 2)
    step(made, 5)
    other.restore(made.snapshot())
    assert other.memory.feeds["more"] == Counting()
