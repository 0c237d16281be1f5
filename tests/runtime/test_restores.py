"""Shards on their way from the log to work, beside others that cannot begin."""

from collections import Counter
from collections.abc import Iterable

import pytest

from stream_hb.runtime.client import Committed, LogRead, TopicPartition, TransientError, Watermarks
from stream_hb.runtime.restores import BEGIN_AGAIN_SECONDS, Restores
from tests.support.running import SETTINGS

ONE, OTHER = TopicPartition("events", 0), TopicPartition("events", 1)


class Inputs:
    """Does not tell the offsets of some partitions, as while a transaction adds to them."""

    def __init__(self, untold: Iterable[TopicPartition]) -> None:
        self.untold = set(untold)
        self.asked: Counter[TopicPartition] = Counter()

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        self.asked.update(partitions)
        if self.untold & set(partitions):
            raise TransientError("unstable")
        return {}

    def watermarks(self, _partition: TopicPartition) -> Watermarks:
        return Watermarks(0, 0)


class EmptyLog:
    """The log of shards that begin."""

    def __init__(self) -> None:
        self.opened: list[int] = []

    def end(self, _partition: int) -> int:
        return 0

    def low(self, _partition: int) -> int:
        return 0

    def open(self, partition: int, _offset: int | None = None) -> None:
        self.opened.append(partition)

    def poll(self, _seconds: float) -> dict[int, LogRead]:
        return {number: LogRead([], 0) for number in self.opened}

    def close_partition(self, partition: int) -> None:
        self.opened.remove(partition)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def restores(inputs: Inputs, clock: Clock) -> Restores:
    made = Restores(inputs, EmptyLog(), SETTINGS, "g", clock)  # type: ignore[arg-type]
    made.add([ONE, OTHER])
    return made


def test_a_shard_that_cannot_begin_holds_up_no_other(clock: Clock) -> None:
    """Wrong before: the first question that got no answer ended the step, for all of them."""
    inputs = Inputs([ONE])
    restoring = restores(inputs, clock)
    opened = [each.number for _ in range(3) for each in restoring.step(0.0)]
    assert opened == [1]
    assert restoring.numbers == {0}
    inputs.untold.clear()
    clock.now += BEGIN_AGAIN_SECONDS
    assert [each.number for each in restoring.step(0.0)] == [0]


def test_a_question_without_an_answer_is_asked_again_only_after_a_while(clock: Clock) -> None:
    """Each takes its time, in which the shards that work stand still."""
    inputs = Inputs([ONE, OTHER])
    restoring = restores(inputs, clock)
    for _ in range(5):
        before = inputs.asked.total()
        restoring.step(0.0)
        assert inputs.asked.total() - before <= 1
    assert inputs.asked == {ONE: 1, OTHER: 1}
    clock.now += BEGIN_AGAIN_SECONDS
    restoring.step(0.0)
    assert inputs.asked.total() == 3


def test_a_shard_that_was_taken_away_begins_at_once_when_it_comes_back(clock: Clock) -> None:
    inputs = Inputs([ONE])
    restoring = restores(inputs, clock)
    restoring.step(0.0)
    restoring.drop(0)
    inputs.untold.clear()
    restoring.add([ONE])
    assert {each.number for _ in range(2) for each in restoring.step(0.0)} == {0, 1}
