"""What a worker tells of its refits, and of stores that retire."""

from dataclasses import replace

import numpy as np
from structlog.testing import capture_logs

from stream_hb.runtime.screen_limit import ScreenLimit
from stream_hb.stores import Stores
from tests.support.logs import START_MS
from tests.support.records import assert_same_estimates, checked_refit, name_of
from tests.support.running import SETTINGS, Running, broker_with, estimates

METRICS = {"conversion", "order_rate", "log_order_value"}


def test_a_refit_is_logged_a_line_per_pool() -> None:
    with capture_logs() as lines:
        Running(broker_with()).to_end()
    refits = [line for line in lines if line["event"] == "refit"]
    assert {line["metric"] for line in refits} == METRICS
    assert {line["chain"] for line in refits} == {"c"}
    assert refits[-1]["groups"] == 8
    assert "mean" in refits[0]["hyperparameters"]


def test_refits_are_published_only_where_a_topic_is_named() -> None:
    silent = Running(broker_with())
    silent.to_end()
    assert {written.topic for written in silent.broker.written} == {"estimates"}
    running = Running(broker_with(), refits="refits")
    running.to_end()
    records = [checked_refit(value) for value in running.broker.values("refits")]
    keys = {written.key for written in running.broker.written if written.topic == "refits"}
    assert keys == {f"c|{metric}".encode() for metric in METRICS}
    used = {(r["metric"], r["hyper"]["version"]) for r in estimates(running.broker)}
    assert used <= {(r["pool"]["metric"], r["version"]) for r in records}


def test_each_refit_is_published_once_also_when_the_broker_is_slow() -> None:
    running = Running(broker_with(), refits="refits")
    running.outputs.flushes.extend([3, 2, 1, 0])
    running.to_end()
    records = [checked_refit(value) for value in running.broker.values("refits")]
    told = [(record["pool"]["metric"], record["version"]) for record in records]
    assert len(set(told)) == len(told)
    assert {version for _, version in told} == set(range(1, running.engine.refits + 1))


def test_a_retired_stores_keys_are_deleted() -> None:
    stores = Stores.of([("c", "c-0")], retired_ms=np.array([START_MS]))
    running = Running(broker_with(), settings=replace(SETTINGS, stores=stores))
    running.to_end()
    deleted = [written.key for written in running.broker.written if written.value is None]
    assert len(deleted) == len(METRICS)
    assert set(deleted) == {f"c|c-0||{metric}".encode() for metric in METRICS}
    assert "c-0" not in {name_of(record)[1] for record in estimates(running.broker)}


def test_an_emission_in_parts_goes_on_though_nothing_comes() -> None:
    at_once, parted = (Running(broker_with()) for _ in range(2))
    parted.worker._screen_limit = ScreenLimit(2, 2)
    for running in (at_once, parted):
        running.to_end()
    assert any(shard.unscreened for shard in parted.engine.shards.values())
    for _ in range(24):
        parted.worker.step(parted.stop)  # no time passes
    assert not any(shard.unscreened for shard in parted.engine.shards.values())
    assert_same_estimates(estimates(at_once.broker), estimates(parted.broker), 0.0)
