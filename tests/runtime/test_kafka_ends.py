"""The lag of what answers is shown, whatever else does not."""

from typing import Any

import confluent_kafka as ck
import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_hb.runtime.client import TopicPartition
from stream_hb.runtime.kafka_ends import LOOK_SECONDS_MAX, KafkaEnds


class Asked:
    """A client; partitions without a leader take a second each, and are no answer."""

    def __init__(self, leaderless: set[int]) -> None:
        self.now = 0.0
        self.leaderless = leaderless
        self.asked: list[int] = []

    def __call__(self, *_: Any, **__: Any) -> "Asked":
        return self

    def monotonic(self) -> float:
        return self.now

    def get_watermark_offsets(self, where: ck.TopicPartition, seconds: float) -> tuple[int, int]:
        self.asked.append(where.partition)
        if where.partition in self.leaderless:
            self.now += seconds
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return 0, 100 + where.partition


def asked(monkeypatch: pytest.MonkeyPatch, leaderless: set[int]) -> tuple[KafkaEnds, Asked]:
    made = Asked(leaderless)
    monkeypatch.setattr("stream_hb.runtime.kafka_ends.ck.Consumer", made)
    monkeypatch.setattr("stream_hb.runtime.kafka_ends.time.monotonic", made.monotonic)
    return KafkaEnds("localhost:1", {}), made


def partitions(count: int) -> list[TopicPartition]:
    return [TopicPartition("visits", number) for number in range(count)]


def test_a_partition_without_a_leader_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong before: all partitions behind it had no lag while it had no leader."""
    ends, _ = asked(monkeypatch, {1})
    found = ends.of(partitions(4))
    assert {where.partition: end for where, end in found.items()} == {0: 100, 2: 102, 3: 103}


def test_partitions_that_did_not_answer_are_asked_last_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends, client = asked(monkeypatch, set(range(50)))
    for look in range(1, 11):
        ends.of(partitions(60))
        assert client.now <= look * LOOK_SECONDS_MAX
    client.asked.clear()
    found = ends.of(partitions(60))
    assert {where.partition for where in found} == set(range(50, 60))
    assert client.asked[:10] == list(range(50, 60))


def test_a_partition_that_has_a_leader_again_has_its_lag_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends, client = asked(monkeypatch, {0})
    assert len(ends.of(partitions(2))) == 1
    client.leaderless.clear()
    assert len(ends.of(partitions(2))) == 2
