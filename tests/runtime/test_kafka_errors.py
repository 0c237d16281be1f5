"""What each error of the Kafka client asks of the worker, row by row."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from stream_hb.runtime.client import (
    ClientError,
    FencedError,
    GroupMovedError,
    RefusedError,
    TooLargeError,
    TransactionAbortedError,
    TransientError,
    TroubleKind,
)
from stream_hb.runtime.kafka import KafkaInput, consumer_settings
from stream_hb.runtime.kafka_errors import translation, trouble
from stream_hb.runtime.kafka_transactions import KafkaTransactions, transaction_settings

K = KafkaError
FATAL, RETRIABLE, ABORT = {"fatal": True}, {"retriable": True}, {"txn_requires_abort": True}


class Failing:
    """A producer whose calls fail with one error, or do not return in time."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.polls = 0

    def _fail(self, *_: object, **__: object) -> None:
        raise self._error

    begin_transaction = send_offsets_to_transaction = _fail
    commit_transaction = abort_transaction = produce = _fail

    def poll(self, _seconds: float) -> None:
        self.polls += 1

    def flush(self, _seconds: float) -> int:
        return 0


def transactions(error: Exception) -> tuple[KafkaTransactions, Failing]:
    made = KafkaTransactions(transaction_settings("localhost:1", "slot"))
    failing: Any = Failing(error)
    made._producer = failing
    return made, failing


CALLS: dict[str, Callable[[KafkaTransactions], None]] = {
    "begin": lambda t: t.begin(),
    "produce": lambda t: t.produce("topic", 0, b"key", b"value"),
    "send_offsets": lambda t: t.send_offsets({}, "member"),
    "commit": lambda t: t.commit(),
    "abort": lambda t: t.abort(),
}


@pytest.mark.parametrize("call", sorted(CALLS))
@pytest.mark.parametrize(
    ("code", "flags", "asks_for"),
    [
        (K._FENCED, FATAL, FencedError),
        (K.PRODUCER_FENCED, ABORT, FencedError),
        (K.INVALID_PRODUCER_EPOCH, {}, FencedError),
        (K.INVALID_TXN_STATE, FATAL, ClientError),
        (K.UNSUPPORTED_FOR_MESSAGE_FORMAT, FATAL, ClientError),
        (K.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, FATAL, RefusedError),
        (K.CLUSTER_AUTHORIZATION_FAILED, FATAL, RefusedError),
        (K._TIMED_OUT, RETRIABLE, TransientError),
        (K.NOT_COORDINATOR, RETRIABLE, TransientError),
        (K.COORDINATOR_LOAD_IN_PROGRESS, RETRIABLE, TransientError),
        (K.ILLEGAL_GENERATION, ABORT, TransactionAbortedError),
        (K.UNKNOWN_MEMBER_ID, ABORT, TransactionAbortedError),
        (K.FENCED_INSTANCE_ID, ABORT, TransactionAbortedError),
        (K.TOPIC_AUTHORIZATION_FAILED, ABORT, TransactionAbortedError),
        (K.GROUP_AUTHORIZATION_FAILED, ABORT, TransactionAbortedError),
        (K._MSG_TIMED_OUT, ABORT, TransactionAbortedError),
        (K.UNKNOWN_PRODUCER_ID, ABORT, ClientError),
        (K.INVALID_PRODUCER_ID_MAPPING, ABORT, ClientError),
        (K.MSG_SIZE_TOO_LARGE, {}, TooLargeError),
        (K.MSG_SIZE_TOO_LARGE, ABORT, TooLargeError),
        (K.RECORD_LIST_TOO_LARGE, ABORT, TooLargeError),
        (K._STATE, {}, ClientError),
    ],
)
def test_an_error_of_a_transaction_asks_for_what_the_table_says(
    call: str, code: int, flags: dict[str, bool], asks_for: type[ClientError]
) -> None:
    made, _ = transactions(KafkaException(KafkaError(code, "words", **flags)))
    with pytest.raises(ClientError, match="words") as raised:
        CALLS[call](made)
    assert type(raised.value) is asks_for
    assert raised.value.cause == KafkaError(code).name()


def test_a_full_queue_is_waited_for_and_then_the_transaction_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream_hb.runtime.kafka_transactions.QUEUE_SECONDS_MAX", 0.01)
    made, failing = transactions(BufferError("full"))
    with pytest.raises(TransactionAbortedError, match="does not take the records"):
        made.produce("topic", 0, b"key", b"value")
    assert failing.polls > 0


def test_a_record_that_is_too_large_names_its_topic_its_bytes_and_the_settings() -> None:
    made, _ = transactions(KafkaException(KafkaError(K.MSG_SIZE_TOO_LARGE, "too large")))
    said = r"record of 1100003 bytes to topic state: too large\. .* message\.max\.bytes \(here"
    with pytest.raises(TooLargeError, match=said):
        made.produce("state", 0, b"key", bytes(1_100_000))


def test_the_real_client_refuses_a_record_beyond_its_limit_so() -> None:
    made = KafkaTransactions(transaction_settings("localhost:1", "slot"))
    made._producer = Producer({"bootstrap.servers": "localhost:1"})
    with pytest.raises(TooLargeError, match="record of 1000003 bytes to topic state"):
        made.produce("state", 0, b"key", bytes(1_000_000))


def test_no_call_is_made_of_a_producer_that_is_not_the_slots_owner() -> None:
    made = KafkaTransactions(transaction_settings("localhost:1", "slot"))
    with pytest.raises(ClientError, match="not the owner of the slot yet"):
        made.begin()


@pytest.mark.parametrize(
    ("code", "flags", "kind"),
    [
        (K._MAX_POLL_EXCEEDED, {}, TroubleKind.MEMBERSHIP_LOST),
        (K._AUTO_OFFSET_RESET, {}, TroubleKind.OFFSET_LOST),
        (K.OFFSET_OUT_OF_RANGE, {}, TroubleKind.OFFSET_LOST),
        (K.UNKNOWN_TOPIC_OR_PART, {}, TroubleKind.TOPIC_GONE),
        (K.TOPIC_AUTHORIZATION_FAILED, {}, TroubleKind.REFUSED),
        (K.GROUP_AUTHORIZATION_FAILED, {}, TroubleKind.REFUSED),
        (K._AUTHENTICATION, {}, TroubleKind.REFUSED),
        (K._TRANSPORT, {}, TroubleKind.OTHER),
        (K._FATAL, FATAL, TroubleKind.FATAL),
    ],
)
def test_an_error_beside_the_messages_is_the_trouble_that_the_table_says(
    code: int, flags: dict[str, bool], kind: TroubleKind
) -> None:
    assert trouble(KafkaError(code, "words", **flags)).kind is kind


def test_of_fatal_errors_of_a_member_only_the_text_tells_a_rival() -> None:
    assert trouble(KafkaError(K._FATAL, "static member is fenced", fatal=True)).kind is (
        TroubleKind.FENCED
    )


@pytest.mark.parametrize(
    ("code", "flags", "asks_for"),
    [
        (K.ILLEGAL_GENERATION, {}, GroupMovedError),
        (K.UNKNOWN_MEMBER_ID, {}, GroupMovedError),
        (K.UNSTABLE_OFFSET_COMMIT, {}, TransientError),
        (K._ALL_BROKERS_DOWN, {}, TransientError),
        (K.NETWORK_EXCEPTION, RETRIABLE, TransientError),
        (K.INVALID_GROUP_ID, {}, ClientError),
    ],
)
def test_an_error_of_a_call_of_the_member_asks_for_what_the_table_says(
    code: int, flags: dict[str, bool], asks_for: type[ClientError]
) -> None:
    found = translation(KafkaException(KafkaError(code, "words", **flags)), "commit")
    assert type(found) is asks_for


def test_who_is_no_member_of_the_group_has_nothing_that_fences_offsets() -> None:
    inputs = KafkaInput(["a"], consumer_settings("127.0.0.1:1", "g", ["a"], "slot-0"))
    with pytest.raises(GroupMovedError, match="not a member of the group"):
        inputs.membership()
    inputs.close()
