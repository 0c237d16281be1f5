"""Transactions over Kafka: :class:`stream_hb.runtime.client.TransactionClient`."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from threading import Thread
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from stream_hb.runtime.client import (
    ClientError,
    Committed,
    FencedError,
    RefusedError,
    TooLargeError,
    TopicPartition,
    TransactionAbortedError,
    TransientError,
)
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.kafka import producer_settings
from stream_hb.runtime.librdkafka_log import QuietLog

TRANSACTION_MS = 10_000
"""Below the session's timeout: a transaction that hangs is over before its partition moves."""

MARKER_OFFSETS = 1
"""What ends a transaction takes an offset of every partition that it wrote to."""

ANSWER_SECONDS = 3.0
QUEUE_SECONDS_MAX = 5.0
CONNECT_SECONDS = 1.0

REPEATED_AFTER = 0.75
"""The client repeats a request that got no answer, without a word, but not before it has waited
``retry.backoff.ms``, give or take a fifth (librdkafka: RD_KAFKA_RETRY_JITTER_PERCENT)."""

_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}

_FORGOTTEN = {KafkaError.INVALID_PRODUCER_ID_MAPPING, KafkaError.UNKNOWN_PRODUCER_ID}
"""The broker forgot a producer that was idle for a week. librdkafka would go on under a new epoch;
what it has written by then may be there twice (KAFKA-18019), so the slot begins anew."""

_REFUSED = {
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
}


LARGER = (
    "Records of this size need a larger message.max.bytes (here under kafka.client) and "
    "max.message.bytes (the topic's setting)"
)

_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}


def transaction_settings(
    bootstrap_servers: str, transactional_id: str, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return librdkafka's settings for a slot; the user's own come last, but for the slot's id.

    >>> settings = transaction_settings("localhost:9092", "app-0", {"transaction.timeout.ms": 6000})
    >>> settings["transactional.id"], settings["socket.timeout.ms"]
    ('app-0', 6000)
    """
    chosen = dict(overrides or {})
    transaction_ms = chosen.get("transaction.timeout.ms", TRANSACTION_MS)
    return {
        **producer_settings(bootstrap_servers),
        "transaction.timeout.ms": transaction_ms,
        # Records that cannot be written in a transaction's time fail it; it is then done again.
        "message.timeout.ms": transaction_ms,
        "socket.timeout.ms": transaction_ms,  # the client refuses a longer one
        **chosen,
        "transactional.id": transactional_id,
    }


class KafkaTransactions:
    """One slot's transactions.

    Parameters
    ----------
    settings
        As from :func:`transaction_settings`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._producer: ck.Producer | None = None
        self._newcomer: ck.Producer | None = None
        backoff_ms = float(self._settings.get("retry.backoff.ms", 100))
        self._prompt_seconds = REPEATED_AFTER * backoff_ms / 1000
        self._is_doubtful = False
        self._tracking: dict[TopicPartition, int] = {}
        self._tracked: dict[TopicPartition, int] = {}

    @property
    def _mine(self) -> ck.Producer:
        if self._producer is None:
            raise ClientError("not the owner of the slot yet")
        return self._producer

    def renew(self) -> None:
        """Begin anew as the same slot; what was left open is aborted before this returns."""
        self.close()
        self._is_doubtful = False
        if self._newcomer is None:
            with accepted_settings():
                # What was not written fails the transaction: nothing is to be done record by record
                # but for those that are tracked, and of them a success is to be told, too.
                settings = {**self._settings, "delivery.report.only.error": False}
                self._newcomer = ck.Producer(settings, logger=QuietLog())
            # Once it is connected: what it asks while it changes from the bootstrap's address to
            # the broker's own waits for a timer of half a second, every other time.
            with suppress(KafkaException):  # who does not answer is told of below
                self._newcomer.list_topics(None, CONNECT_SECONDS)
        try:
            with _translated("become the owner of the slot"):
                self._newcomer.init_transactions(ANSWER_SECONDS)
        except TransientError:
            raise  # the same producer goes on with it when it is asked again
        except ClientError:
            self._newcomer = None
            raise
        self._producer, self._newcomer = self._newcomer, None

    def begin(self) -> None:
        """Begin a transaction.

        Where a request of the last one may have been repeated, begin anew first: the first copy may
        still be under way, and a late EndTxn would end this transaction in its middle, half of it
        committed (KIP-890). To a new epoch it means nothing.
        """
        if self._is_doubtful:
            try:
                self.renew()
            except TransientError as error:
                raise TransactionAbortedError(str(error)) from error
        self._tracking = {}  # another one: late reports of an older transaction go to its own
        with _translated("begin a transaction"):
            self._mine.begin_transaction()

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        *,
        tracked: bool = False,
    ) -> None:
        """Hand a record over; while the client's queue is full it waits, but not for ever."""
        deadline = time.monotonic() + QUEUE_SECONDS_MAX
        number = -1 if partition is None else partition
        # Not for every record: a call for each adds half of what it costs to hand it over.
        report = partial(_track, self._tracking) if tracked else None
        while True:
            try:
                return self._mine.produce(topic, value, key, number, on_delivery=report)
            except BufferError:
                if time.monotonic() > deadline:
                    raise TransactionAbortedError("the broker does not take the records") from None
            except KafkaException as exception:
                size = len(key or b"") + len(value or b"")
                doing = f"write a record of {size} bytes to topic {topic}"
                raise _translation(exception, doing) from exception
            with _translated(f"write to topic {topic}"):
                self._mine.poll(0.05)

    def send_offsets(self, offsets: Mapping[TopicPartition, Committed], membership: Any) -> None:
        """Add offsets that the group commits with the transaction."""
        wanted = [
            ck.TopicPartition(*partition, committed.offset, committed.metadata)
            for partition, committed in offsets.items()
        ]
        producer = self._mine
        # In a thread of its own: without the group's coordinator the call ignores its timeout
        # (confluentinc/librdkafka#5456). It is left behind with its producer, which is stale then.
        with self._timed(), _translated("add offsets to the transaction"):
            _within(
                ANSWER_SECONDS + 1,
                lambda: producer.send_offsets_to_transaction(wanted, membership, ANSWER_SECONDS),
            )

    def commit(self) -> None:
        """Commit: every record is written, and the broker has everything."""
        with _translated("write the transaction's records"):
            self._mine.flush(ANSWER_SECONDS)  # apart: how long it takes says nothing of the commit
        with self._timed(), _translated("commit the transaction"):
            self._mine.commit_transaction(ANSWER_SECONDS)
        # A report that has not come leaves the older end, which the partition is beyond.
        self._tracked |= self._tracking

    def tracked_end(self, where: TopicPartition) -> int | None:
        """Return where a partition ended after the newest committed transaction that tracked it."""
        last = self._tracked.get(where)
        return None if last is None else last + 1 + MARKER_OFFSETS

    def abort(self) -> None:
        """Make the transaction's records and offsets nothing."""
        with self._timed(), _translated("abort the transaction"):
            self._mine.abort_transaction(ANSWER_SECONDS)

    def close(self) -> None:
        """Leave; what is open is aborted by the next owner of the slot, or by its timeout."""
        gone, self._producer = self._producer, None
        if gone is not None:
            with suppress(KafkaException):  # a producer that is done for says so here once more
                gone.purge()
                gone.flush(0)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Take note when a call takes so long that its request may have been repeated."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._is_doubtful |= time.monotonic() - began >= self._prompt_seconds


def _within(seconds: float, call: Callable[[], None]) -> None:
    """Make a call that may never return; raise what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TransientError(f"no answer within {seconds:g} s")
    if raised:
        raise raised[0]


def _track(
    tracking: dict[TopicPartition, int], error: KafkaError | None, message: ck.Message
) -> None:
    """Take note of where a record stands, if the broker has it and has said where."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if error is not None or topic is None or partition is None or offset is None:
        return
    if offset >= 0:
        tracking[TopicPartition(topic, partition)] = offset


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as exception:
        raise _translation(exception, doing) from exception


def _translation(exception: KafkaException, doing: str) -> ClientError:
    error: KafkaError = exception.args[0]
    kind = _error_type(error)
    advice = f". {LARGER}" if kind is TooLargeError else ""
    made = kind(f"could not {doing}: {error.str()}{advice}")
    made.cause = error.name()
    return made


def _error_type(error: KafkaError) -> Callable[[str], ClientError]:
    """Return what an error asks for, by the flags that librdkafka sets for it.

    A fatal error is told from others by its own flag; which one it was says only its text.
    """
    if error.code() in _FENCED or (error.fatal() and "fenced" in error.str()):
        return FencedError
    if error.code() in _REFUSED:
        return RefusedError
    if error.code() in _TOO_LARGE:
        return TooLargeError
    if error.fatal() or error.code() in _FORGOTTEN:
        return ClientError
    if error.txn_requires_abort():
        return TransactionAbortedError
    return TransientError if error.retriable() else ClientError
