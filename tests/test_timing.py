"""Who comes too late or from the future, and what records say of it."""

import pytest

from stream_hb.engine import Engine
from stream_hb.events.clock import TimeRules
from stream_hb.settings import EngineSettings
from tests.support.logs import START_MS, batch, open_engine, purchase, refit, refund, visit
from tests.support.records import emit

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
METHODS = {"conversion": "ml"}


def settings(**rules: object) -> EngineSettings:
    return EngineSettings(METHODS, time=TimeRules(**rules))  # type: ignore[arg-type]


def told(engine: Engine, *payloads: bytes, now_ms: int = 0) -> list[str]:
    """Feed a batch; return the reasons of its rejects, in order."""
    candidate = engine.ingest({0: [batch(payloads)]}, now_ms)
    engine.apply(candidate)
    return [reject.reason for reject in candidate.rejects]


def trials(engine: Engine) -> float:
    return float(engine.shards[0].table.statistic("conversion").columns()["trials"].sum())


def test_an_event_beyond_the_horizon_is_too_late_from_the_moment_the_clock_has_passed() -> None:
    engine = open_engine(settings(lateness_ms=HOUR_MS, horizon_ms=DAY_MS))
    limit = START_MS + 2 * DAY_MS - HOUR_MS - DAY_MS
    events = [
        visit(visit_id="early", at_ms=limit - 1),
        visit(visit_id="now", at_ms=START_MS + 2 * DAY_MS),
        visit(visit_id="now2", at_ms=START_MS + 2 * DAY_MS),
        visit(visit_id="late", at_ms=limit - 1),
        visit(visit_id="last", at_ms=limit),
    ]
    one_by_one = open_engine(settings(lateness_ms=HOUR_MS, horizon_ms=DAY_MS))
    apart = [reason for event in events for reason in told(one_by_one, event)]
    # "now" leaves "early" more than the horizon behind and waits for a second event to agree; the
    # second is one of the same time, which is no second opinion: nothing is late yet.
    assert told(engine, *events) == apart == []
    more = [visit(visit_id="next", at_ms=START_MS + 2 * DAY_MS + 1), events[3]]
    assert told(engine, *more) == ["too_late"]
    assert trials(engine) == 6


def test_one_event_with_a_wrong_clock_makes_no_other_late() -> None:
    engine = open_engine(settings())
    wrong = visit(visit_id="wrong", at_ms=START_MS + 20_000 * DAY_MS)
    events = [visit(visit_id=f"v{n}", at_ms=START_MS + n) for n in range(10)]
    assert told(engine, *events[:5], wrong, *events[5:]) == []
    assert trials(engine) == 11
    assert engine.watermark_ms() == START_MS + 9 - 600_000


def test_by_the_wall_clock_the_future_is_rejected() -> None:
    engine = open_engine(settings(by_wall_clock=True))
    soon, later = visit(at_ms=START_MS + 300_000), visit(visit_id="b", at_ms=START_MS + 300_001)
    assert told(engine, soon, later, now_ms=START_MS) == ["from_future"]


@pytest.mark.parametrize(("as_of_ms", "reasons"), [(None, []), (START_MS, ["from_future"])])
def test_a_log_is_measured_by_when_it_was_taken(as_of_ms: int | None, reasons: list[str]) -> None:
    engine = open_engine(settings(as_of_ms=as_of_ms))
    assert told(engine, visit(at_ms=START_MS + HOUR_MS)) == reasons


def test_an_event_that_was_taken_in_before_it_happened_is_from_the_future() -> None:
    engine = open_engine(settings())
    assert told(engine, visit(at_ms=START_MS + HOUR_MS, ingest_time_ms=START_MS)) == ["from_future"]


def test_ids_are_forgotten_a_day_after_the_horizon_and_counts_stay() -> None:
    engine = open_engine(settings(lateness_ms=0, horizon_ms=DAY_MS))
    told(engine, visit(), purchase(visit_id="v1"))
    tables = engine.shards[0].attribution.tables
    assert (len(tables["visits"]), len(tables["orders"])) == (1, 1)
    for day in range(1, 6):  # by whole days, so that no gap has to be believed
        told(engine, visit("s2", f"d{day}", START_MS + day * DAY_MS))
    assert len(tables["orders"]) == 0
    assert len(tables["visits"]) <= 3
    assert trials(engine) == 6


def test_a_refund_that_never_meets_its_order_is_counted_when_it_is_forgotten() -> None:
    engine = open_engine(settings(lateness_ms=0, horizon_ms=DAY_MS))
    refund = (
        b'{"schema_version": 1, "event_type": "refund", "event_id": "event-0001", "store_id": "s1",'
        b' "event_time_ms": 1730000000000, "refund_id": "r1", "order_id": "o1", "chain_id": "c",'
        b' "amount_minor": 1000, "currency": "EUR"}'
    )
    told(engine, refund)
    assert engine.tallies["unmatched_refunds"] == 0
    assert engine.shards[0].attribution.waiting_refunds == 1
    for day in range(1, 6):
        told(engine, visit("s2", f"d{day}", START_MS + day * DAY_MS))
    assert engine.tallies["unmatched_refunds"] == 1
    assert engine.shards[0].attribution.waiting_refunds == 0


def test_a_refund_after_its_order_is_forgotten_is_dropped_counted_and_flagged_late_data() -> None:
    engine = open_engine(settings(lateness_ms=0, horizon_ms=DAY_MS))
    told(engine, purchase(visit_id="v1"), visit("s2"))
    flagged = []
    for day in range(1, 11):
        back = [
            refund(
                "s1", "o1", START_MS + 5 * DAY_MS, refund_id="r1", amount_minor=9, currency="EUR"
            )
        ]
        told(engine, visit("s2", f"d{day}", START_MS + day * DAY_MS), *back[: day == 5])
        refit(engine, START_MS)
        records = emit(engine, START_MS, everything=True)
        flagged.append([r["key"]["store_id"] for r in records if "late_data" in r["flags"]])
    assert engine.tallies["unmatched_refunds"] == 1
    assert engine.tallies["orders"] == 1
    assert flagged[:6] == [[]] * 6
    assert ["s1"] in flagged[6:8]
    assert flagged[-1] == []


def test_records_of_a_group_say_that_late_data_were_left_out() -> None:
    engine = open_engine(settings(lateness_ms=0, horizon_ms=DAY_MS))
    told(engine, visit("a"), visit("b"))
    for day in range(1, 4):
        told(engine, visit("a", f"d{day}", START_MS + day * DAY_MS))
    assert told(engine, visit("b", "late", START_MS)) == ["too_late"]
    refit(engine, START_MS)
    flags = {r["key"]["store_id"]: "late_data" in r["flags"] for r in emit(engine, START_MS)}
    assert flags == {"a": False, "b": True}
    told(engine, visit("a", "d4", START_MS + 4 * DAY_MS), visit("a", "d5", START_MS + 5 * DAY_MS))
    again = emit(engine, START_MS, everything=True)
    assert not any("late_data" in record["flags"] for record in again)


def test_bots_and_repetitions_are_told() -> None:
    engine = open_engine(settings())
    told(engine, visit(), visit(), visit(visit_id="v2", is_bot=True), purchase(visit_id="v2"))
    assert engine.tallies["bot_visits"] == engine.tallies["bot_orders"] == 1
    assert engine.tallies["repeated_events"] == 1
