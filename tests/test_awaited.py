"""What lies ahead of a window counts when the window gets there, and not a second time."""

import json

import pytest

from stream_hb.engine import Engine
from stream_hb.events.clock import IDLE_MS
from stream_hb.settings import EngineSettings, Input
from stream_hb.statistics.forgetting import HOUR_MS, HalfLife, Window
from tests.support.logs import START_MS, batch, open_engine, purchase, visit

LATER_MS = START_MS + 30 * 24 * HOUR_MS
FIRST = visit(visit_id="v0")
AHEAD, AGREES = visit(visit_id="v1", at_ms=LATER_MS), visit(visit_id="v2", at_ms=LATER_MS + 1)
METRICS = ("order_rate", "log_order_value")


def _engine(*, totals: bool = False) -> Engine:
    return open_engine(
        EngineSettings(
            {"order_rate": "ml", "log_order_value": "pm"},
            forgetting=dict.fromkeys(METRICS, Window(24)),
            inputs=dict.fromkeys(METRICS, Input(totals=totals)),
        )
    )


def _fed(engine: Engine, *payloads: bytes) -> Engine:
    for payload in payloads:
        engine.apply(engine.ingest({0: [batch([payload])]}))
    return engine


def _kept(engine: Engine, metric: str, column: str) -> float:
    columns = engine.shards[0].table.statistic(metric).columns()
    assert columns[column].min() >= 0
    return float(columns[column].sum())


def _visits(engine: Engine) -> float:
    return _kept(engine, "order_rate", "exposure")


def test_a_visit_that_nobody_confirms_counts_once_when_the_clock_gets_there() -> None:
    engine = _fed(_engine(), FIRST, AHEAD)
    assert _visits(engine) == 1
    assert _visits(_fed(engine, AGREES)) == 2
    assert _visits(_fed(engine, AHEAD)) == 2


def test_a_visit_that_moves_back_before_it_counted_is_not_taken_out_of_the_window() -> None:
    engine = _fed(_engine(), FIRST, AHEAD, visit(visit_id="v1", at_ms=START_MS + HOUR_MS))
    assert _visits(engine) == 2
    assert _visits(_fed(engine, AGREES)) == 1


def test_an_order_that_is_replaced_before_it_counted_counts_with_its_last_value() -> None:
    orders = [purchase(at_ms=LATER_MS, amount_minor=n, revision=n) for n in (100, 200)]
    engine = _fed(_engine(), FIRST, *orders)
    assert _kept(engine, "log_order_value", "weight") == 0
    _fed(engine, AGREES)
    assert _kept(engine, "log_order_value", "weight") == 1
    assert _kept(engine, "log_order_value", "mean") == pytest.approx(5.298317366548036)  # ln 200
    assert _kept(engine, "log_order_value", "m2") == pytest.approx(0, abs=1e-12)


def _totals(start_ms: int, revision: int, visits: int) -> bytes:
    orders = {"orders": 1, "log_amount": {"count": 1, "mean": 5.0, "m2": 0.0}}
    period = {"period_start_ms": start_ms, "period_end_ms": start_ms + 1000}
    event = json.loads(visit(at_ms=start_ms + 1000)) | period | orders
    del event["visit_id"]
    more = {"event_type": "totals", "source": "till", "visits": visits, "revision": revision}
    return json.dumps(event | more).encode()


def test_totals_ahead_wait_as_single_events_do() -> None:
    engine = _fed(_engine(totals=True), _totals(START_MS, 0, 3))
    _fed(engine, _totals(LATER_MS, 0, 5), _totals(LATER_MS, 1, 7))
    assert _visits(engine) == 3
    assert _visits(_fed(engine, _totals(LATER_MS + 1000, 0, 2))) == 9


def test_a_wrong_clock_does_not_outweigh_a_decayed_group() -> None:
    """Its visit weighs as one when the clock gets there; until then the other one does."""
    forgetting = {"conversion": HalfLife(HOUR_MS)}
    engine = open_engine(EngineSettings({"conversion": "ml"}, forgetting=forgetting))
    _fed(engine, FIRST, AHEAD)
    assert _kept(engine, "conversion", "trials") == pytest.approx(2.0 ** (START_MS / HOUR_MS % 1))
    _fed(engine, AGREES, purchase(at_ms=LATER_MS, visit_id="v1"))
    converted = _kept(engine, "conversion", "successes")
    assert _kept(engine, "conversion", "trials") == pytest.approx(2 * converted, rel=1e-6)


def test_what_waits_is_in_the_snapshot() -> None:
    for engine in (
        _fed(_engine(), FIRST, AHEAD, purchase(at_ms=LATER_MS)),
        _fed(_engine(totals=True), _totals(START_MS, 0, 3), _totals(LATER_MS, 0, 5)),
    ):
        restored = Engine(engine.settings)
        restored.restore(engine.snapshot())
        assert restored.snapshot() == engine.snapshot()
        assert _visits(_fed(restored, AGREES, _totals(LATER_MS + 1000, 0, 2))) == _visits(
            _fed(engine, AGREES, _totals(LATER_MS + 1000, 0, 2))
        )


def test_a_window_ends_in_a_shard_that_is_silent() -> None:
    """Wrong before: a store kept its last day for as long as its whole shard was silent."""
    settings = EngineSettings({"order_rate": "ml"}, forgetting={"order_rate": Window(24)})
    engine = open_engine(settings, shards=(0, 1))
    day_later = visit("t", "v2", START_MS + 30 * HOUR_MS)
    later_ms = 2 * IDLE_MS  # of the driver's clock: shard 0 does not hold the watermark any longer
    for number, payload, now_ms in (
        (0, FIRST, 0),
        (1, visit("t", "v1", START_MS), 0),
        (1, day_later, later_ms),
    ):
        engine.apply(engine.ingest({number: [batch([payload], partition=number)]}, now_ms))
    assert _visits(engine) == 1
    engine.apply(engine.ingest({}, later_ms))
    assert _visits(engine) == 0
    assert not engine.ingest({}, later_ms).shards
