"""``stream-hb accept``."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_hb.cli import show_alerts
from stream_hb.errors import BrokerError
from stream_hb.events.partitioner import consistent_partition, murmur2_partition
from stream_hb.runtime import control
from stream_hb.runtime.topics import TopicNeed, TopicState
from tests.cli.running import run
from tests.events.test_schema import CONTROL_VALIDATOR

WORD = ("--chain", "north", "--store", "s07")


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "chain.yaml"
    path.write_text("drift: {enabled: true}\ntopics: {control: words}\n", encoding="utf-8")
    return str(path)


class Output:
    """A client that keeps what was written."""

    def __init__(self) -> None:
        self.written: list[tuple[Any, ...]] = []
        self.left = 0

    def produce(self, *record: Any) -> None:
        self.written.append(record)

    def flush(self, timeout_seconds: float) -> int:
        return self.left

    def close(self) -> None: ...


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    """Return what the broker gets: it has a topic of six partitions, and an alert of s07."""
    client = Output()
    labels = {"chain_id": "north", "store_id": "s07"}

    def inspect(_: str, needs: list[TopicNeed], __: object) -> list[TopicState]:
        return [TopicState(need, 6, {}) for need in needs]

    monkeypatch.setattr(control, "inspect_topics", inspect)
    monkeypatch.setattr(control, "output_client", lambda _: client)
    monkeypatch.setattr(
        show_alerts, "newest_alerts", lambda _: [{"status": "firing", "labels": labels}]
    )
    return client


def test_the_word_goes_to_the_stores_partition_of_its_topic(config: str, output: Output) -> None:
    ran = run("accept", config, *WORD, "--reason", "moved", "--id", "ticket-7")
    assert (ran.code, ran.out) == (0, "accepted under the id ticket-7\n")
    assert ran.err == "it takes effect when the day in which it was said is closed\n"
    ((topic, partition, key, payload),) = output.written
    assert (topic, partition, key) == ("words", murmur2_partition(b"s07", 6), b"s07")
    event = json.loads(payload)
    assert CONTROL_VALIDATOR.is_valid(event)
    assert event["control_id"] == "ticket-7"
    assert event["reason"] == "moved"
    assert "metric" not in event


def test_the_partitioner_of_the_configuration_places_it(
    config: str, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_HB__TOPICS__PARTITIONER", "consistent")
    run("accept", config, *WORD)
    assert output.written[0][1] == consistent_partition(b"s07", 6)


def test_two_words_have_two_ids(config: str, output: Output) -> None:
    run("accept", config, *WORD)
    run("accept", config, *WORD)
    ids = {json.loads(record[3])["control_id"] for record in output.written}
    assert len(ids) == 2


def test_an_event_for_a_file_is_printed_and_not_written(config: str, output: Output) -> None:
    ran = run("accept", config, *WORD, "--print", "--at", "2026-11-20T06:00:00", "--id", "a")
    assert CONTROL_VALIDATOR.is_valid(ran.json)
    assert ran.json["event_time_ms"] == 1_795_154_400_000
    assert not output.written


def test_a_store_without_an_open_alert_is_remarked_upon(config: str, output: Output) -> None:
    ran = run("accept", config, "--chain", "north", "--store", "s70")
    assert ran.code == 0
    assert "no alert of store 's70' of chain 'north' is open" in ran.err
    assert len(output.written) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--store", "s 7"], "bad_identifier: Expected characters [A-Za-z0-9._:-], got 's 7'"),
        (["--store", "s7", "--metric", "conversoin"], "did you mean 'conversion'?"),
        (["--store", "s7", "--reason", "x" * 257], "out_of_range"),
        (["--store", "s7", "--id", ""], "bad_identifier"),
    ],
)
def test_a_word_that_no_worker_would_take_is_not_written(
    config: str, output: Output, options: list[str], said: str
) -> None:
    ran = run("accept", config, *options)
    assert ran.code == 2
    assert said in ran.err
    assert not output.written


def test_a_broker_that_takes_nothing_is_exit_code_3(config: str, output: Output) -> None:
    output.left = 1
    ran = run("accept", config, *WORD)
    assert ran.code == BrokerError.exit_code
    assert "no broker has taken the event" in ran.err


def test_without_drift_there_is_nothing_to_accept(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text("time: {}\n", encoding="utf-8")
    ran = run("accept", str(path), *WORD)
    assert (ran.code, ran.err) == (2, "error: no alerts are kept: drift.enabled is false\n")
