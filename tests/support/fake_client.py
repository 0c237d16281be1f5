"""A broker in memory, and clients of it that fail when they are told to. Deterministic."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from stream_hb.runtime.client import (
    Committed,
    InputClient,
    OutputClient,
    Polled,
    TopicPartition,
    Trouble,
    Watermarks,
)
from tests.support.logs import batch


@dataclass
class Written:
    """A record that a broker has."""

    topic: str
    key: bytes | None
    value: bytes | None


@dataclass
class FakeBroker:
    """What outlives a worker, and a journal of what clients asked for.

    Attributes
    ----------
    inputs
        Payloads of every input partition, from its first offset on.
    lows
        First offset that a partition still keeps; 0 where it is not in here.
    written
        What was produced and flushed, in order.
    journal
        Names of the calls that matter for their order: ``produce``, ``flushed``, ``commit``.
    """

    inputs: dict[TopicPartition, list[bytes | None]] = field(default_factory=dict)
    lows: dict[TopicPartition, int] = field(default_factory=dict)
    committed: dict[TopicPartition, Committed] = field(default_factory=dict)
    written: list[Written] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)

    def append(self, payloads: Iterable[bytes | None], topic: str, partition: int = 0) -> None:
        self.inputs.setdefault(TopicPartition(topic, partition), []).extend(payloads)

    def end(self, partition: TopicPartition) -> int:
        return self.lows.get(partition, 0) + len(self.inputs[partition])

    def values(self, topic: str) -> list[bytes]:
        return [w.value for w in self.written if w.topic == topic and w.value is not None]


class FakeInput:
    """The one member of the group: gets all partitions at its first poll.

    Parameters
    ----------
    broker
        Where the messages are.
    idle
        Called when a poll of started partitions finds nothing.

    Attributes
    ----------
    waits
        How long each poll was told to wait.
    """

    def __init__(self, broker: FakeBroker, idle: Callable[[], None] = lambda: None) -> None:
        self.closed = False
        self.waits: list[float] = []
        self.faults: dict[str, deque[Exception]] = defaultdict(deque)
        self.polls: deque[Polled] = deque([Polled([], sorted(broker.inputs), [], [])])
        self._broker = broker
        self._idle = idle
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def fail(self, method: str, *errors: Exception) -> None:
        """Let the next calls of a method raise."""
        self.faults[method].extend(errors)

    def revoke(self, *partitions: TopicPartition) -> None:
        """Let the next poll take partitions away."""
        self.polls.append(Polled([], [], list(partitions), []))

    def assign(self, *partitions: TopicPartition) -> None:
        """Let the next poll give partitions."""
        self.polls.append(Polled([], list(partitions), [], []))

    def trouble(self, *troubles: Trouble) -> None:
        """Let the next poll tell of troubles."""
        self.polls.append(Polled([], [], [], list(troubles)))

    def poll(self, messages_max: int, timeout_seconds: float) -> Polled:
        self.waits.append(timeout_seconds)
        quiet = not self.polls
        said = Polled([], [], [], []) if quiet else self.polls.popleft()
        for partition in said.revoked:
            self._positions.pop(partition, None)
        batches = []
        for partition, at in self._positions.items():
            start = at - self._broker.lows.get(partition, 0)
            payloads = self._broker.inputs[partition][start : start + messages_max]
            if payloads and partition not in self._paused:
                batches.append(batch(payloads, *partition, first_offset=at))
                self._positions[partition] = at + len(payloads)
        if quiet and self._positions.keys() - self._paused and not batches:
            self._idle()
        return Polled(batches, said.assigned, said.revoked, said.troubles, said.ended)

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        self._maybe_fail("committed")
        known = self._broker.committed
        return {partition: known[partition] for partition in partitions if partition in known}

    def commit(self, offsets: Mapping[TopicPartition, Committed]) -> None:
        self._maybe_fail("commit")
        self._broker.journal.append("commit")
        self._broker.committed.update(offsets)

    def membership(self) -> str:
        return "the one member"

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        self._maybe_fail("watermarks")
        return Watermarks(self._broker.lows.get(partition, 0), self._broker.end(partition))

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._maybe_fail("start")
        self._positions.update(offsets)
        self._paused.difference_update(offsets)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused.update(partitions)

    def close(self) -> None:
        self.closed = True

    def _maybe_fail(self, method: str) -> None:
        if self.faults[method]:
            raise self.faults[method].popleft()


class FakeOutput:
    """A producer whose records are the broker's once a flush says so.

    Attributes
    ----------
    refusals
        What the next calls of ``produce`` raise.
    flushes
        What the next flushes do: leave so many records undelivered, or raise.
    """

    def __init__(self, broker: FakeBroker) -> None:
        self.closed = False
        self.refusals: deque[Exception] = deque()
        self.at_refusal: Callable[[], None] = lambda: None
        self.flushes: deque[int | Exception] = deque()
        self.at_flush: Callable[[], None] = lambda: None
        self._broker = broker
        self._pending: list[Written] = []

    def produce(
        self, topic: str, partition: int | None, key: bytes | None, value: bytes | None
    ) -> None:
        if self.refusals:
            self.at_refusal()
            raise self.refusals.popleft()
        self._broker.journal.append("produce")
        self._pending.append(Written(topic, key, value))

    def flush(self, timeout_seconds: float) -> int:
        self.at_flush()
        outcome = self.flushes.popleft() if self.flushes else 0
        if isinstance(outcome, Exception):
            self._pending.clear()
            raise outcome
        if outcome == 0:
            self._broker.journal.append("flushed")
            self._broker.written += self._pending
            self._pending.clear()
        return outcome

    def close(self) -> None:
        self._pending.clear()
        self.closed = True


def _keeps_the_protocol(broker: FakeBroker) -> tuple[InputClient, OutputClient]:
    """For the type checker."""
    return FakeInput(broker), FakeOutput(broker)
