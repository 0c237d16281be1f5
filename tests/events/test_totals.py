"""Totals: replaced by revision, refused where they overlap, read by the metrics that ask."""

import json
from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.settings import EngineSettings, Input
from tests.support.logs import START_MS, batch, open_engine, purchase, visit

HOUR_MS = 3_600_000
METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "pm"}
ALL = EngineSettings(METHODS, inputs={name: Input(totals=True) for name in METHODS})


def totals(start: int = 0, hours: int = 1, **more: Any) -> bytes:
    begin = START_MS + start * HOUR_MS
    event: dict[str, Any] = {
        "schema_version": 1,
        "event_type": "totals",
        "event_id": "event-0001",
        "event_time_ms": begin + hours * HOUR_MS,
        "chain_id": "c",
        "store_id": "s1",
        "source": "till",
        "period_start_ms": begin,
        "period_end_ms": begin + hours * HOUR_MS,
        "visits": 10,
        "conversions": 3,
        "orders": 4,
        "log_amount": {"count": 4, "mean": 7.0, "m2": 2.0},
    }
    return json.dumps(event | more).encode()


def fed(*payloads: bytes, settings: EngineSettings = ALL) -> tuple[Engine, list[tuple[str, int]]]:
    engine = open_engine(settings)
    candidate = engine.ingest({0: [batch(payloads)]})
    engine.apply(candidate)
    rejects = [(reject.reason, reject.offset) for reject in candidate.rejects]
    assert candidate.accepted + len(rejects) == len(payloads)
    return engine, rejects


def counts(engine: Engine) -> list[float]:
    table = engine.shards[0].table
    columns: dict[str, Any] = {}
    for metric in table.metrics:
        columns |= table.statistic(metric).columns()
    names = ("successes", "trials", "events", "exposure", "weight", "mean", "m2")
    return [float(columns[name][0]) for name in names]


def test_periods_add_up() -> None:
    engine, rejects = fed(totals(0), totals(1, log_amount={"count": 2, "mean": 8.0, "m2": 1.0}))
    assert rejects == []
    mean = (4 * 7.0 + 2 * 8.0) / 6
    m2 = 2.0 + 1.0 + 4 * (7.0 - mean) ** 2 + 2 * (8.0 - mean) ** 2
    assert counts(engine) == pytest.approx([6, 20, 8, 20, 6, mean, m2], rel=1e-14)


@pytest.mark.parametrize("revisions", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_the_highest_revision_counts_in_any_order(revisions: tuple[int, ...]) -> None:
    told = [totals(revision=r, visits=10 + r, event_time_ms=START_MS + HOUR_MS) for r in revisions]
    assert counts(fed(*told)[0])[1] == 11


def test_a_revision_replaces_in_a_later_batch_too() -> None:
    engine, _ = fed(totals())
    more = batch([totals(revision=3, visits=50, conversions=5)], first_offset=1)
    engine.apply(engine.ingest({0: [more]}))
    assert counts(engine)[:2] == [5, 50]


def test_of_overlapping_periods_of_one_source_the_first_to_arrive_stays() -> None:
    engine, rejects = fed(totals(0), totals(0, hours=2), totals(1), totals(1, source="door"))
    assert rejects == [("overlapping_period", 1)]
    assert counts(engine)[1] == 30


def test_totals_that_say_nothing_new_are_counted() -> None:
    first, second = totals(revision=1, visits=100), totals(revision=2, visits=120)
    overlapping = totals(hours=2, visits=5)
    engine, rejects = fed(first, first, second, totals(start=1), overlapping)
    assert (rejects, engine.tallies["repeated_events"]) == ([("overlapping_period", 4)], 2)
    again = engine.ingest({0: [batch([first, second, totals(start=2)], first_offset=5)]})
    engine.apply(again)
    assert (again.accepted, engine.tallies["repeated_events"]) == (3, 4)


def test_an_overlap_is_known_after_a_snapshot() -> None:
    engine, _ = fed(totals(0))
    restored = Engine(ALL)
    restored.restore(engine.snapshot())
    candidate = restored.ingest({0: [batch([totals(0, hours=2)], first_offset=1)]})
    assert [reject.reason for reject in candidate.rejects] == ["overlapping_period"]


def test_without_conversions_a_store_has_visits_only() -> None:
    event = json.loads(totals())
    for name in ("conversions", "orders", "log_amount"):
        del event[name]
    assert counts(fed(json.dumps(event).encode())[0]) == [0, 0, 0, 0, 0, 0, 0]


def test_what_no_metric_reads_is_rejected() -> None:
    _, rejects = fed(visit(), purchase(), totals())
    assert rejects == [("unexpected_input", 0), ("unexpected_input", 1)]
    _, rejects = fed(visit(), totals(), settings=EngineSettings(METHODS))
    assert rejects == [("unexpected_input", 1)]


def test_a_chain_may_read_the_other_kind() -> None:
    mixed = {name: Input(except_chains=frozenset({"c"})) for name in METHODS}
    engine, rejects = fed(
        visit(), totals(), visit(chain="d"), settings=EngineSettings(METHODS, inputs=mixed)
    )
    assert rejects == [("unexpected_input", 0)]
    table = engine.shards[0].table
    trials = dict(zip(table.keys, table.statistic("conversion").columns()["trials"], strict=True))
    assert trials == {("c", "s1"): 10, ("d", "s1"): 1}


def test_a_metric_reads_totals_while_another_reads_events() -> None:
    inputs = {"conversion": Input(totals=True)}
    engine, rejects = fed(
        visit(), purchase(), totals(), settings=EngineSettings(METHODS, inputs=inputs)
    )
    assert rejects == []
    assert counts(engine) == pytest.approx([3, 10, 1, 1, 1, np.log(1000), 0])
