"""When a producer is renewed, with a client that answers late or has died."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_hb.runtime.client import ClientError, TopicPartition, TransactionAbortedError
from stream_hb.runtime.kafka_transactions import KafkaTransactions


class Client:
    """Every producer of a slot: how often one began, and what happens in a call."""

    def __init__(self) -> None:
        self.now = 0.0
        self.begun = 0
        self.calls: list[str] = []
        self.during: dict[str, Callable[[], None]] = {}

    def __call__(self, *_: Any, **__: Any) -> "Client":
        return self

    def monotonic(self) -> float:
        return self.now

    def init_transactions(self, _timeout: float) -> None:
        self.begun += 1
        self._call("init_transactions")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self._call(name)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.during.get(name, lambda: None)()

    def takes(self, seconds: float) -> Callable[[], None]:
        def pass_by() -> None:
            self.now += seconds

        return pass_by


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    module = "stream_hb.runtime.kafka_transactions"
    monkeypatch.setattr(f"{module}.ck.Producer", made)
    monkeypatch.setattr(f"{module}.time.monotonic", made.monotonic)
    return made


@pytest.fixture
def transactions(client: Client) -> KafkaTransactions:
    made = KafkaTransactions({})
    made.renew()
    return made


def transact(transactions: KafkaTransactions) -> None:
    transactions.begin()
    transactions.produce("topic", None, b"key", b"value")
    transactions.commit()


@pytest.mark.parametrize(("seconds", "begun"), [(0.07, 1), (0.08, 2)])
def test_after_a_commit_whose_request_may_have_been_repeated_the_slot_begins_anew(
    client: Client, transactions: KafkaTransactions, seconds: float, begun: int
) -> None:
    """Wrong before: the first copy came late, and ended the next transaction in its middle.

    Found by tests/faults/test_late_requests.py (the connection is cut under an EndTxn).
    librdkafka repeats a request after 100 ms, less a fifth at most.
    """
    client.during["commit_transaction"] = client.takes(seconds)
    transact(transactions)
    client.during.clear()
    transact(transactions)
    transact(transactions)
    assert client.begun == begun


def test_a_producer_is_connected_before_it_asks_for_its_slot(
    client: Client, transactions: KafkaTransactions
) -> None:
    """Slow before: what it asks too early waits for a timer of half a second (librdkafka)."""
    transactions.renew()
    assert client.calls[-2:] == ["list_topics", "init_transactions"]


def test_a_broker_that_does_not_answer_at_first_is_asked_all_the_same(
    client: Client, transactions: KafkaTransactions
) -> None:
    client.during["list_topics"] = failing(KafkaError(KafkaError._TRANSPORT, "nobody"))
    transactions.renew()
    transact(transactions)
    assert client.begun == 2


def test_records_that_take_long_to_write_do_not_renew_the_producer(
    client: Client, transactions: KafkaTransactions
) -> None:
    client.during["flush"] = client.takes(2.0)
    transact(transactions)
    transact(transactions)
    assert client.begun == 1


def test_a_slot_that_cannot_begin_anew_yet_has_its_transaction_aborted(
    client: Client, transactions: KafkaTransactions
) -> None:
    client.during["commit_transaction"] = client.takes(1.0)
    transact(transactions)
    client.during["init_transactions"] = failing(KafkaError(KafkaError._TIMED_OUT, retriable=True))
    with pytest.raises(TransactionAbortedError):
        transactions.begin()
    client.during.clear()
    transactions.renew()
    transact(transactions)


def test_a_producer_that_has_died_is_renewed_like_any_other(
    client: Client, transactions: KafkaTransactions
) -> None:
    """Wrong before: it says so once more when it is closed, which ended the worker."""
    dead = KafkaError(KafkaError.INVALID_TXN_STATE, "it is dead", fatal=True)
    client.during["commit_transaction"] = client.during["flush"] = failing(dead)
    transactions.begin()
    with pytest.raises(ClientError):
        transactions.commit()
    transactions.renew()
    client.during.clear()
    transact(transactions)


def failing(error: KafkaError) -> Callable[[], None]:
    def fail() -> None:
        raise KafkaException(error)

    return fail


class Report:
    """What a broker says of a record."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return "state"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return self._offset


PLACE = TopicPartition("state", 3)


def note(
    client: Client, transactions: KafkaTransactions, error: str | None, offset: int
) -> Callable[[], None]:
    """Write a record that is tracked; return what makes its report come."""
    asked: list[Any] = []
    client.produce = lambda *_, on_delivery: asked.append(on_delivery)  # type: ignore[attr-defined]
    transactions.begin()
    transactions.produce(*PLACE, b"key", b"value", tracked=True)
    return lambda: asked[0](error, Report(offset))


def test_a_partition_ends_behind_the_marker_of_the_last_transaction_that_was_committed(
    client: Client, transactions: KafkaTransactions
) -> None:
    assert transactions.tracked_end(PLACE) is None
    client.during["flush"] = note(client, transactions, None, 0)
    transactions.commit()
    assert transactions.tracked_end(PLACE) == 2
    client.during["flush"] = note(client, transactions, None, 7)
    assert transactions.tracked_end(PLACE) == 2
    transactions.commit()
    assert transactions.tracked_end(PLACE) == 9


@pytest.mark.parametrize(("error", "offset"), [("not written", 9), (None, -1001)])
def test_a_record_that_has_no_place_leaves_the_older_end(
    client: Client, transactions: KafkaTransactions, error: str | None, offset: int
) -> None:
    client.during["flush"] = note(client, transactions, None, 5)
    transactions.commit()
    client.during["flush"] = note(client, transactions, error, offset)
    transactions.commit()
    assert transactions.tracked_end(PLACE) == 7


def test_what_was_aborted_leaves_the_older_end(
    client: Client, transactions: KafkaTransactions
) -> None:
    client.during["flush"] = note(client, transactions, None, 5)
    transactions.commit()
    report = note(client, transactions, None, 8)
    transactions.abort()
    transactions.begin()
    report()  # late, in the next one
    client.during.clear()
    transactions.commit()
    assert transactions.tracked_end(PLACE) == 7
