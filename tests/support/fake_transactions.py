"""A transactional producer and a state log in memory, over the broker of :mod:`fake_client`."""

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

from stream_hb.runtime.client import (
    Committed,
    FencedError,
    LogRead,
    StateClient,
    TopicPartition,
    TransactionClient,
)
from tests.support.fake_client import FakeBroker, Written

Logs = dict[tuple[str, int], list[tuple[bytes, bytes | None]]]
"""Records by topic and partition."""

LOGS = ("state", "summaries", "hyper")
"""The topics that workers read themselves."""


class FakeTransactions:
    """What a transaction wrote is the broker's when it is committed.

    Attributes
    ----------
    faults
        What the next calls of a method raise. A fault of ``commit`` may be raised after the
        broker has committed: put ``(error, True)``.
    calls
        Names of the calls.
    logs
        What was committed to the topics that workers read themselves.
    """

    def __init__(self, broker: FakeBroker, logs: "Logs | None" = None) -> None:
        self.faults: dict[str, deque[Any]] = defaultdict(deque)
        self.calls: list[str] = []
        self.logs: Logs = defaultdict(list) if logs is None else logs
        self._broker = broker
        self._pending: list[tuple[int | None, Written]] = []
        self._offsets: dict[TopicPartition, Committed] = {}
        self._is_open = False
        self._tracking: list[TopicPartition] = []
        self._tracked: dict[TopicPartition, int] = {}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.faults[name]:
            fault = self.faults[name].popleft()
            if isinstance(fault, tuple):
                self._settle()
                fault = fault[0]
            raise fault

    def renew(self) -> None:
        self._called("renew")
        self._drop()

    def begin(self) -> None:
        self._called("begin")
        assert not self._is_open, "a transaction is open"
        self._is_open = True

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        *,
        tracked: bool = False,
    ) -> None:
        self._called("produce")
        assert self._is_open
        self._pending.append((partition, Written(topic, key, value)))
        if tracked:
            assert partition is not None
            self._tracking.append(TopicPartition(topic, partition))

    def send_offsets(self, offsets: Mapping[TopicPartition, Committed], membership: Any) -> None:
        self._called("send_offsets")
        assert self._is_open
        assert membership
        self._offsets.update(offsets)

    def commit(self) -> None:
        self._called("commit")
        self._settle()

    def _settle(self) -> None:
        for partition, written in self._pending:
            if written.topic in LOGS:
                assert partition is not None
                assert written.key is not None
                self.logs[written.topic, partition].append((written.key, written.value))
            else:
                self._broker.written.append(written)
        self._broker.committed.update(self._offsets)
        self._tracked |= {where: len(self.logs[where]) for where in self._tracking}
        self._drop()

    def tracked_end(self, where: TopicPartition) -> int | None:
        return self._tracked.get(where)

    def abort(self) -> None:
        self._called("abort")
        self._drop()

    def _drop(self) -> None:
        self._pending, self._offsets, self._is_open = [], {}, False
        self._tracking = []

    def close(self) -> None:
        self._drop()


class FakeState:
    """Reads what transactions wrote to one of the workers' topics, some records at a poll."""

    def __init__(
        self, transactions: FakeTransactions, at_once: int = 7, topic: str = "state"
    ) -> None:
        self.faults: dict[str, deque[Exception]] = defaultdict(deque)
        self._logs = transactions.logs
        self._topic = topic
        self._at_once = at_once
        self._positions: dict[int, int] = {}

    def _called(self, name: str) -> None:
        if self.faults[name]:
            raise self.faults[name].popleft()

    def end(self, partition: int) -> int:
        self._called("end")
        return len(self._logs[self._topic, partition])

    def low(self, partition: int) -> int:
        self._called("low")
        return 0

    def open(self, partition: int, offset: int | None = None) -> None:
        self._called("open")
        self._positions[partition] = offset or 0

    def poll(self, timeout_seconds: float) -> dict[int, LogRead]:
        self._called("poll")
        read = {}
        for number, at in self._positions.items():
            records = self._logs[self._topic, number][at : at + self._at_once]
            self._positions[number] = at + len(records)
            read[number] = LogRead(records, self._positions[number])
        return read

    def close_partition(self, partition: int) -> None:
        self._positions.pop(partition, None)

    def close(self) -> None:
        self._positions.clear()


def fenced() -> FencedError:
    return FencedError("another producer has this id")


def _keeps_the_protocol(broker: FakeBroker) -> tuple[TransactionClient, StateClient]:
    """For the type checker."""
    transactions = FakeTransactions(broker)
    return transactions, FakeState(transactions)
