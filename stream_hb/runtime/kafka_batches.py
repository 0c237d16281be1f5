"""A poll's messages as batches, one for each partition."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
from confluent_kafka import Message

from stream_hb.events.batch import RawBatch
from stream_hb.runtime.client import TopicPartition


def to_batches(messages: Sequence[Message], codes: Mapping[str, int]) -> list[RawBatch]:
    """Group a poll's messages by partition, without a step of Python for each message.

    Messages come in runs: some thousands of one partition, then of the next.

    Parameters
    ----------
    codes
        A number for each topic.
    """
    chunks: defaultdict[TopicPartition, list[Message]] = defaultdict(list)
    for start, stop in pairwise(_run_bounds(messages, codes)):
        chunks[partition_of(messages[start])] += messages[start:stop]
    return [_batch(partition, chunk) for partition, chunk in chunks.items()]


def _run_bounds(messages: Sequence[Message], codes: Mapping[str, int]) -> list[int]:
    if not messages:
        return []
    sources = np.fromiter(map(Message.partition, messages), np.int64, len(messages))
    if len(codes) > 1:
        topics: Any = map(Message.topic, messages)
        topic_codes = np.fromiter(map(codes.__getitem__, topics), np.int64, len(messages))
        sources = sources * len(codes) + topic_codes
    changes = np.flatnonzero(sources[1:] != sources[:-1]) + 1
    return [0, *changes.tolist(), len(messages)]


def _batch(partition: TopicPartition, messages: Sequence[Message]) -> RawBatch:
    return RawBatch(
        *partition,
        payloads=_Values(messages),
        offset_of=lambda at: _offset(messages[at]),
        next_offset=_offset(messages[-1]) + 1,
    )


class _Values(Sequence[bytes | None]):
    """The messages' values, copied out of the client when they are asked for.

    The decoder asks for a slice at a time: made all at once, a large batch's values have left the
    processor's cache before they are decoded.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, at: int) -> bytes | None: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes | None]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes | None] | None:
        if isinstance(at, slice):
            return list(map(Message.value, self._messages[at]))
        return self._messages[at].value()


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None, "every message that was read has an offset"
    return offset


def partition_of(message: Message) -> TopicPartition:
    """Return where a message was read from."""
    topic, partition = message.topic(), message.partition()
    assert topic is not None, "every message that was read has a topic"
    assert partition is not None, "every message that was read has a partition"
    return TopicPartition(topic, partition)
