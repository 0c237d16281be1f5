"""What an error of the Kafka client asks of the worker."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from stream_hb.runtime.client import (
    ClientError,
    GroupMovedError,
    TopicPartition,
    TransientError,
    Trouble,
    TroubleKind,
)

_KINDS = {
    KafkaError._MAX_POLL_EXCEEDED: TroubleKind.MEMBERSHIP_LOST,
    KafkaError._AUTO_OFFSET_RESET: TroubleKind.OFFSET_LOST,
    KafkaError.OFFSET_OUT_OF_RANGE: TroubleKind.OFFSET_LOST,
    KafkaError.UNKNOWN_TOPIC_OR_PART: TroubleKind.TOPIC_GONE,
    KafkaError._UNKNOWN_TOPIC: TroubleKind.TOPIC_GONE,
    KafkaError._UNKNOWN_PARTITION: TroubleKind.TOPIC_GONE,
    KafkaError._AUTHENTICATION: TroubleKind.REFUSED,
    KafkaError.SASL_AUTHENTICATION_FAILED: TroubleKind.REFUSED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: TroubleKind.REFUSED,
    KafkaError.GROUP_AUTHORIZATION_FAILED: TroubleKind.REFUSED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: TroubleKind.REFUSED,
}

_GROUP_MOVED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError._ASSIGNMENT_LOST,
}

_TRANSIENT = {
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._DESTROY,  # of a connection: the client lets one go when brokers change
    KafkaError._WAIT_COORD,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
}


def trouble(error: KafkaError, where: TopicPartition | None = None) -> Trouble:
    """Return an error that came beside the messages."""
    return Trouble(_kind(error), error.str(), where)


def _kind(error: KafkaError) -> TroubleKind:
    if error.fatal() or error.code() == KafkaError._FATAL:
        # Only the text tells which fatal error it was.
        return TroubleKind.FENCED if "fenced" in error.str() else TroubleKind.FATAL
    return _KINDS.get(error.code(), TroubleKind.OTHER)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the client's exceptions into ours."""
    try:
        yield
    except KafkaException as exception:
        raise translation(exception, doing) from exception


def translation(exception: KafkaException, doing: str) -> ClientError:
    """Return the client's exception as ours."""
    error: KafkaError = exception.args[0]
    return _error_type(error)(f"could not {doing}: {error.str()}")


def _error_type(error: KafkaError) -> Callable[[str], ClientError]:
    if error.code() in _GROUP_MOVED:
        return GroupMovedError
    if error.code() in _TRANSIENT or error.retriable():
        return TransientError
    return ClientError
