"""What a worker says of itself over HTTP, while it works on a broker in memory."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_hb.errors import StreamHBError
from stream_hb.runtime.health import STUCK_SECONDS
from stream_hb.runtime.http import served
from tests.support.logs import shop_log
from tests.support.once import ABORT, LATE, Once
from tests.support.running import BAD, EVENTS, broker_with


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, *(value for _, value in sorted(sample.labels.items()))] = (
                sample.value
            )
    return found


def served_by(once: Once) -> Any:
    ends = {EVENTS: once.broker.end(EVENTS) + 4}
    return served(
        once.worker, lambda wanted: {where: ends[where] for where in wanted}, "127.0.0.1", 0
    )


def test_metrics_say_what_the_worker_did() -> None:
    log = shop_log()
    once = Once(broker_with(*log, BAD))
    once.step(3)
    once.transactions.faults["commit"].append(ABORT)
    once.to_end()
    with served_by(once) as port:
        code, text = asked(port, "/metrics")
    found = samples(text)
    assert code == 200
    assert found["stream_hb_worker_info", "exactly_once"] == 1
    assert found["stream_hb_events_accepted_total",] == len(log)
    assert found["stream_hb_rejects_total", "not_json"] == 1
    assert found["stream_hb_aborts_total", "aborted"] == 1
    assert found["stream_hb_restores_total",] == 1
    assert found["stream_hb_rebalances_total",] == 1
    assert found["stream_hb_records_total",] == once.worker.status.records
    assert found["stream_hb_refits_total",] == once.engine.refits
    assert once.engine.tallies["orders"] > 0
    assert (
        "stream_hb_uncounted_total",
        "orders",
    ) not in found  # wrong before: a sum by kind had it
    assert found["stream_hb_uncounted_total", "bot_orders"] == 0
    assert found["stream_hb_groups",] == once.engine.groups_count
    assert found["stream_hb_lag_events", "0", "events"] == 4
    watermark_ms = once.engine.watermark_ms(now_ms=once.now_ms)
    assert found["stream_hb_watermark_delay_seconds",] == (once.now_ms - watermark_ms) / 1000
    assert (
        found["stream_hb_delivery_seconds_count",]
        == found["stream_hb_delivery_seconds_bucket", "+Inf"]
    )
    assert found["stream_hb_delivery_seconds_count",] > 0


def test_a_shard_that_is_being_restored_has_its_lag() -> None:
    """Wrong before: while a long log was read, just then, nobody saw how far behind it was."""
    once = Once(broker_with(*shop_log()))
    once.to_end()
    again = once.again()
    again.state.faults["poll"].extend([LATE] * 9)
    again.step(3)
    assert not again.engine.shards
    with served_by(again) as port:
        text = asked(port, "/metrics")[1]
    assert samples(text)["stream_hb_lag_events", "0", "events"] == 4


def test_no_metric_names_a_store_or_a_payload() -> None:
    once = Once(broker_with(*shop_log(chain="secretive"), BAD))
    once.to_end()
    with served_by(once) as port:
        text = asked(port, "/metrics")[1]
    assert "secretive" not in text
    assert BAD.decode() not in text


def test_a_worker_is_ready_when_its_shards_have_caught_up() -> None:
    once = Once(broker_with(*shop_log()))
    with served_by(once) as port:
        assert asked(port, "/ready")[0] == 503
        once.step(2)
        code, text = asked(port, "/ready")
        assert (code, json.loads(text)["detail"]) == (
            503,
            "1 shards are being restored or catch up",
        )
        once.to_end()
        assert asked(port, "/ready") == (200, '{"ok": true, "detail": "1 shards work"}\n')
        once.worker.status.stopping = True
        assert json.loads(asked(port, "/ready")[1]) == {"ok": False, "detail": "stopping"}


def test_a_loop_that_does_not_come_round_is_not_alive() -> None:
    once = Once(broker_with(*shop_log()))
    once.step()
    with served_by(once) as port:
        assert asked(port, "/live")[0] == 200
        once.now_ms += round(STUCK_SECONDS * 1000) + 1
        assert asked(port, "/live")[0] == 503
        once.step()
        assert asked(port, "/live")[0] == 200


def test_other_paths_are_told_which_there_are() -> None:
    with served_by(Once(broker_with())) as port:
        code, text = asked(port, "/")
    assert (code, json.loads(text)) == (404, {"paths": ["/metrics", "/live", "/ready"]})


def test_a_port_that_is_taken_is_named() -> None:
    once = Once(broker_with())
    with (
        served_by(once) as port,
        pytest.raises(StreamHBError, match=rf"http.port: cannot listen at 127.0.0.1:{port}"),
        served(once.worker, lambda _: {}, "127.0.0.1", port),
    ):
        pass
