"""What the reader of the state's log makes of what its client returns."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import KafkaError

from stream_hb.runtime.client import ClientError, LogRead, TransientError
from stream_hb.runtime.kafka_state import KafkaState
from tests.support import topics as kafka
from tests.support.broker import NamedBroker, RealBroker


class Message:
    """One of the client's messages; with an error it has no value."""

    def __init__(self, partition: int | None, offset: int, code: int | None = None) -> None:
        self._where = partition, offset
        self._error = None if code is None else KafkaError(code, "told")

    def partition(self) -> int | None:
        return self._where[0]

    def offset(self) -> int:
        return self._where[1]

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return str(self._where[1]).encode()

    def error(self) -> KafkaError | None:
        return self._error


class Consumer:
    """A client that returns what it is given, all at once."""

    messages: list[Message]

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def incremental_assign(self, _partitions: Any) -> None:
        pass

    def incremental_unassign(self, _partitions: Any) -> None:
        pass

    def consume(self, _most: int, _timeout: float) -> list[Message]:
        return self.messages


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> KafkaState:
    monkeypatch.setattr("stream_hb.runtime.kafka_state.ck.Consumer", Consumer)
    made = KafkaState("nowhere:9092", "state", {})
    made.open(0)
    made.open(1)
    return made


@pytest.mark.parametrize(
    "code", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._TRANSPORT]
)
def test_a_passing_error_among_records_loses_none_of_them(state: KafkaState, code: int) -> None:
    """Wrong before: it was raised, and the others of its array never came again.

    A restore went on without them, up to a marker that was right.
    """
    Consumer.messages = [Message(0, 0), Message(1, 0, code), Message(0, 1), Message(1, 5)]
    assert state.poll(0.0) == {
        0: LogRead([(b"key", b"0"), (b"key", b"1")], 2),
        1: LogRead([(b"key", b"5")], 6),
    }


def test_an_error_that_does_not_pass_is_raised(state: KafkaState) -> None:
    Consumer.messages = [Message(0, 0), Message(0, 1, KafkaError.TOPIC_AUTHORIZATION_FAILED)]
    with pytest.raises(ClientError) as raised:
        state.poll(0.0)
    assert not isinstance(raised.value, TransientError)


def test_an_end_is_a_position_behind_what_no_record_tells_of(state: KafkaState) -> None:
    Consumer.messages = [Message(0, 3), Message(0, 9, KafkaError._PARTITION_EOF)]
    assert state.poll(0.0) == {0: LogRead([(b"key", b"3")], 9)}


def test_what_still_comes_of_a_closed_partition_says_nothing_of_it_when_it_is_opened_again(
    state: KafkaState,
) -> None:
    state.close_partition(1)
    Consumer.messages = [Message(1, 7)]
    state.poll(0.0)
    state.open(1)
    Consumer.messages = []
    assert state.poll(0.0) == {}


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_an_offset_that_the_log_no_longer_has_comes_as_nothing_and_ends_nothing(
    broker: RealBroker | NamedBroker, topics: Callable[..., str]
) -> None:
    """So that who restores asks where the log ends now, and names what is lost."""
    topic = topics(partitions=1)
    kafka.produce(broker.bootstrap_servers, topic, [b"a", b"b", b"c"], key=b"m")
    with closing(KafkaState(broker.bootstrap_servers, topic, {})) as state:
        state.open(0, 10)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert state.poll(0.2) == {}
        assert state.end(0) == 3
        state.close_partition(0)
        state.open(0)
        found: list[tuple[bytes, bytes | None]] = []
        until = time.monotonic() + 20
        while len(found) < 3:
            assert time.monotonic() < until
            found += [r for read in state.poll(0.2).values() for r in read.records]
    assert found == [(b"m", b"a"), (b"m", b"b"), (b"m", b"c")]
