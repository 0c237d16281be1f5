"""The newcomer's minute on the embedded broker, with a piece of the log and no pace."""

import json
from collections.abc import Sequence

import pytest

from stream_hb.runtime.demo import Demo
from stream_hb.runtime.sample import Impression, impressions
from tests.support.records import checked_record

METRICS = ("conversion", "order_rate")


@pytest.fixture(scope="module")
def log() -> Sequence[Impression]:
    return impressions()[:6_000]


@pytest.fixture(scope="module")
def ended(log: Sequence[Impression]) -> Demo:
    """Feed the log faster than the first refit comes, and run to the end."""
    with Demo(log, events_per_second=1e6) as demo:
        while demo.poll():
            pass
    return demo


def test_every_group_is_read_back_from_the_topic(ended: Demo, log: Sequence[Impression]) -> None:
    groups = {(impression.campaign, f"item-{impression.item}") for impression in log}
    expected = {f"{chain}|{store}||{m}".encode() for chain, store in groups for m in METRICS}
    assert ended.reader.newest.keys() == expected
    for key, record in ended.reader.newest.items():
        checked_record(json.dumps(record).encode(), key)


def test_every_event_is_used(ended: Demo) -> None:
    assert ended.worker.status.events == ended.worker.status.accepted == ended.total


def test_what_it_shows_at_the_end_was_fitted_on_everything(
    ended: Demo, log: Sequence[Impression]
) -> None:
    """Would fail if a feeder faster than the first refit ended it with an empty table."""
    fits = [fit for pool, fit in ended.worker.engine.pools.items() if pool[1] == "conversion"]
    # Visits and clicks; less than 1 % more data is no reason to refit.
    assert sum(fit.data_count for fit in fits) >= 0.99 * ended.total


def test_it_can_be_left_before_the_end() -> None:
    with Demo(impressions()[:3_000], events_per_second=100) as demo:
        demo.poll()
    assert not demo.worker_thread.is_alive()
    assert not demo.feeder_thread.is_alive()
