"""The laws of ticks: what each holds is a function of the set of events, the plain one."""

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.engine import Engine
from stream_hb.events.clock import TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.statistics.tick_cells import rows_of, ticks_of
from tests.laws.test_event_laws import HOUR_MS, SETTINGS, cuts, distinct, fed, logs
from tests.reference import event_rules

HOURLY = replace(
    SETTINGS, ticks=TickClock("hour"), time=TimeRules(lateness_ms=24 * HOUR_MS)
)  # nothing of a log is late
Cell = tuple[str, int, tuple[str, str]]


def found(engine: Engine) -> Counter[Cell]:
    shard = engine.shards[0]
    assert shard.ledger is not None
    cells = shard.ledger.cells
    numbers: Counter[Cell] = Counter()
    places = zip(ticks_of(cells.codes).tolist(), rows_of(cells.codes).tolist(), strict=True)
    for place, (tick, row) in enumerate(places):
        for metric, column in (
            ("conversion", "trials"),
            ("conversion", "successes"),
            ("order_rate", "events"),
            ("log_order_value", "weight"),
        ):
            value = cells.statistics[metric].columns()[column][place]
            assert value == round(value)
            numbers[column, tick, shard.table.keys[row]] += int(value)
    return +numbers


def expected(log: list[dict[str, Any]]) -> Counter[Cell]:
    numbers: Counter[Cell] = Counter()
    for key, group in event_rules.count(log, visits_per_hour=2).items():
        for column, times in (
            ("trials", group.visits),
            ("successes", group.conversions),
            ("events", [time_ms for time_ms, _ in group.orders]),
            ("weight", [time_ms for time_ms, value in group.orders if value > 0]),
        ):
            numbers.update((column, time_ms // HOUR_MS, key) for time_ms in times)
    return numbers


@given(logs, cuts)
@settings(max_examples=60)
def test_ticks_hold_what_the_plain_rules_count_in_them(
    log: list[dict[str, Any]], at: list[int]
) -> None:
    log = distinct(log)
    engine = fed(log, at, settings=HOURLY)
    assert found(engine) == expected(log)


@given(logs, st.randoms(use_true_random=False), cuts)
@settings(max_examples=60)
def test_any_order_and_repetition_fill_the_same_ticks(
    log: list[dict[str, Any]], random: Any, at: list[int]
) -> None:
    log = distinct(log)
    shuffled = log + random.choices(log, k=5) if log else []
    random.shuffle(shuffled)
    engine = fed(shuffled, at, settings=HOURLY)
    assert found(engine) == expected(log)


def test_a_snapshot_has_the_open_ticks() -> None:
    log = [
        {
            "schema_version": 1,
            "event_type": "visit",
            "event_id": "event-0001",
            "event_time_ms": 1_730_000_000_000,
            "store_id": "a",
            "visit_id": "v",
        }
    ]
    engine = fed(log, settings=HOURLY)
    other = Engine(HOURLY)
    other.restore(engine.snapshot())
    assert found(other) == found(engine) != Counter()
