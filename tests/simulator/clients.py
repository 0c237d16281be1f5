"""A worker's clients over the cluster; every call may fail, and may be the worker's last.

That a call is *fated* says what may become of it: see :func:`tests.simulator.fate.fated`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from stream_hb.runtime.client import (
    Committed,
    GroupMovedError,
    InputClient,
    LogRead,
    Polled,
    StateClient,
    TopicPartition,
    TransactionAbortedError,
    TransactionClient,
    TransientError,
    Trouble,
    TroubleKind,
    Watermarks,
)
from tests.simulator.fate import Fate, fated
from tests.simulator.kafka import OFFSETS, Cluster, EndTxn
from tests.support.logs import batch

INPUT = "events"
NO_ANSWER = TransientError("no answer")

END = 0.23
"""How often each of the things happens to an EndTxn that can happen to it."""

REREAD = 0.23
"""How often a partition's messages come again."""

SENT = 0.2
"""How often the client's own thread sends what waits while a record is handed over."""


class SimInput:
    """A static member of the group."""

    name = "input"

    def __init__(self, cluster: Cluster, fate: Fate, instance: str) -> None:
        self._cluster = cluster
        self.fate = fate
        self._instance = instance
        self._member = cluster.join(instance)
        self._held: set[int] = set()
        self._positions: dict[int, int] = {}

    @fated(InputClient, asks=False)
    def poll(self, messages_max: int, timeout_seconds: float) -> Polled:
        if self._cluster.is_down:
            return Polled([], [], [], [Trouble(TroubleKind.BROKERS_DOWN, "all are down")])
        revoked: list[TopicPartition] = []
        if not self._cluster.is_member(self._instance, self._member):
            revoked = self._give_up(set(self._held))
            self._member = self._cluster.join(self._instance)
        strays = dict(self._positions)
        revoked += self._give_up(self._to_give_up())
        assigned = self._take()
        batches = [b for n in sorted(self._positions) if (b := self._batch(n, messages_max))]
        for where in revoked:
            # What a client had fetched of a partition may come with the news that it is gone.
            if where.partition in strays and self.fate.happens("stray", 0.95):
                start = strays[where.partition]
                batches += self._read(where.partition, start, start + 3)
        return Polled(batches, assigned, revoked, [])

    def beat(self) -> None:
        """Let the group know that the process lives: the client has a thread of its own for it."""
        if not self._cluster.is_down and self._cluster.is_member(self._instance, self._member):
            self._member.seen_ms = self._cluster.now_ms

    def _to_give_up(self) -> set[int]:
        member = self._member
        if member.generation == self._cluster.generation:
            return set()
        member.generation = self._cluster.generation
        return set(self._held) if self._cluster.eager else self._held - member.target

    def _give_up(self, numbers: set[int]) -> list[TopicPartition]:
        for number in numbers:
            self._held.discard(number)
            self._member.holds.discard(number)
            self._positions.pop(number, None)
        return [TopicPartition(INPUT, number) for number in sorted(numbers)]

    def _take(self) -> list[TopicPartition]:
        free = {n for n in self._member.target - self._held if self._cluster.free(n)}
        mine = {n for n in self._member.target - self._held if n in self._member.holds}
        self._held |= free | mine
        self._member.holds |= free | mine
        return [TopicPartition(INPUT, number) for number in sorted(free | mine)]

    def _batch(self, number: int, most: int) -> Any:
        start = self._positions[number]
        if self.fate.happens("reread", REREAD):
            start = max(start - 3, 0)
        stop = min(start + self.fate.some(0, most), len(self._log(number)))
        if stop <= start:
            return None
        self._positions[number] = max(stop, self._positions[number])
        return self._read(number, start, stop)[0]

    def _read(self, number: int, start: int, stop: int) -> list[Any]:
        payloads = [entry.value for entry in self._log(number)[start:stop]]
        return [batch(payloads, INPUT, number, start)] if payloads else []

    def _log(self, number: int) -> Any:
        return self._cluster.log(TopicPartition(INPUT, number))

    @fated(InputClient, NO_ANSWER)
    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        known = {where: self._cluster.stable_committed(where) for where in partitions}
        return {where: at for where, at in known.items() if at is not None}

    def commit(self, offsets: Mapping[TopicPartition, Committed]) -> None:
        raise AssertionError("offsets are committed by transactions only")

    @fated(InputClient, asks=False)
    def membership(self) -> Any:
        """Return what is live: a cooperative member joins the next generation between polls."""
        live = not self._cluster.eager and self._cluster.is_member(self._instance, self._member)
        generation = self._cluster.generation if live else self._member.generation
        return self._instance, self._member, generation

    @fated(InputClient, NO_ANSWER)
    def watermarks(self, partition: TopicPartition) -> Watermarks:
        return Watermarks(0, len(self._cluster.log(partition)))

    @fated(InputClient, NO_ANSWER)
    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        if any(where.partition not in self._held for where in offsets):
            raise GroupMovedError("not assigned")
        self._positions.update({where.partition: at for where, at in offsets.items()})

    @fated(InputClient, asks=False)
    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        for where in partitions:
            self._positions.pop(where.partition, None)

    @fated(InputClient, asks=False)
    def close(self) -> None:
        """A static member says nothing when it leaves."""


class SimTransactions:
    """A transactional producer; what it was given goes to the brokers as it pleases."""

    name = "transactions"

    def __init__(self, cluster: Cluster, fate: Fate, writer: str) -> None:
        self._cluster = cluster
        self.fate = fate
        self._writer = writer
        self._epoch = -1
        self._added: set[TopicPartition] = set()
        self._waiting: list[tuple[TopicPartition, bytes | None, bytes | None, bool]] = []
        self._tracking: dict[TopicPartition, int] = {}
        self._tracked: dict[TopicPartition, int] = {}
        self.is_open = False

    @fated(TransactionClient, NO_ANSWER)
    def renew(self) -> None:
        self._forget()
        self._epoch = self._cluster.renew(self._writer)

    def _forget(self) -> None:
        self._added, self._waiting, self.is_open = set(), [], False
        self._tracking = {}

    @fated(TransactionClient, asks=False)
    def begin(self) -> None:
        assert not self.is_open, "a transaction is open"
        self._forget()
        self.is_open = True

    @fated(TransactionClient, TransactionAbortedError("timed out"), asks=False)
    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        *,
        tracked: bool = False,
    ) -> None:
        assert self.is_open
        self._waiting.append((TopicPartition(topic, partition or 0), key, value, tracked))
        if self.fate.random.random() < SENT and not self._cluster.is_down:
            self._send()

    def _send(self) -> None:
        while self._waiting:
            where, key, value, tracked = self._waiting[0]
            if where not in self._added:
                self._cluster.add(self._writer, self._epoch, where)
                self._added.add(where)
            self._cluster.append(self._writer, self._epoch, where, key, value)
            if tracked:
                self._tracking[where] = len(self._cluster.log(where)) - 1
            del self._waiting[0]

    @fated(
        TransactionClient,
        NO_ANSWER,
        TransactionAbortedError("coordinator moved"),
        done=(NO_ANSWER,),
    )
    def send_offsets(self, offsets: Mapping[TopicPartition, Committed], membership: Any) -> None:
        self._cluster.add(self._writer, self._epoch, OFFSETS)
        self._added.add(OFFSETS)
        self._cluster.check_generation(*membership)
        ongoing = self._cluster.producer(self._writer).ongoing
        assert ongoing is not None
        ongoing.offsets.update(offsets)

    @fated(TransactionClient, TransactionAbortedError("a record was not written"))
    def commit(self) -> None:
        self._send()
        if self._added:
            self._end(commit=True)
        self._tracked |= self._tracking
        self._forget()

    @fated(TransactionClient, asks=False)
    def tracked_end(self, where: TopicPartition) -> int | None:
        """Behind the record there is the marker, or it is under way."""
        return self._tracked[where] + 2 if where in self._tracked else None

    def _end(self, *, commit: bool) -> None:
        """Send EndTxn; where it was slow, it comes to a transaction that is too old by then."""
        request = EndTxn(self._writer, self._epoch, commit)
        if self.fate.happens("end_slow", 0.02):
            self.fate.freezes("pause")
            late = self._cluster.producer(self._writer).epoch != self._epoch
            self.fate.around.counts["commit beyond its timeout"] += commit and late
        if self.fate.happens("end_lost", END):
            raise TransientError("timed out: the request was lost")
        if self.fate.happens("end_delayed", END):
            self._cluster.delayed.append(request)
            raise TransientError("timed out: the request is under way")
        self._cluster.end_txn(request)
        if self.fate.happens("end_unanswered", END):
            raise TransientError("timed out: the answer was lost")
        if self.fate.happens("end_twice", END):
            # The client's own library sent it again; an answer came to one of the two.
            self._cluster.delayed.append(request)
            raise TransientError("timed out: sent twice")

    @fated(TransactionClient, NO_ANSWER)
    def abort(self) -> None:
        self._waiting = []
        if self._added:
            self._end(commit=False)
        self._forget()

    @fated(TransactionClient, asks=False)
    def close(self) -> None:
        """What is open stays open until its next owner, or its timeout."""


class SimLog:
    """Reads a topic of the workers without any group."""

    def __init__(self, cluster: Cluster, fate: Fate, topic: str, reader: str) -> None:
        self.name = topic
        self._cluster = cluster
        self.fate = fate
        self._topic = topic
        self._reader = reader
        self._positions: dict[int, int] = {}

    @fated(StateClient, NO_ANSWER)
    def end(self, partition: int) -> int:
        where = TopicPartition(self._topic, partition)
        if self._cluster.is_held_by_another(where, self._reader):
            self.fate.around.counts[f"{self._topic} opened under another's transaction"] += 1
        return len(self._cluster.log(where))

    @fated(StateClient, NO_ANSWER)
    def low(self, partition: int) -> int:
        return 0

    @fated(StateClient, asks=False)
    def open(self, partition: int, offset: int | None = None) -> None:
        self._positions[partition] = offset or 0

    @fated(StateClient, NO_ANSWER)
    def poll(self, timeout_seconds: float) -> dict[int, LogRead]:
        read = {}
        for number, at in self._positions.items():
            where = TopicPartition(self._topic, number)
            stop = min(at + self.fate.some(1, 60), self._cluster.stable_end(where))
            stop = max(stop, at)
            found = self._cluster.visible(where, at, stop)
            self._positions[number] = stop
            read[number] = LogRead([(entry.key or b"", entry.value) for entry in found], stop)
        return read

    @fated(StateClient, asks=False)
    def close_partition(self, partition: int) -> None:
        self._positions.pop(partition, None)

    @fated(StateClient, asks=False)
    def close(self) -> None:
        self._positions.clear()


def _keep_the_protocols(
    cluster: Cluster, fate: Fate
) -> tuple[InputClient, TransactionClient, StateClient]:
    """For the type checker."""
    return (
        SimInput(cluster, fate, "g-0"),
        SimTransactions(cluster, fate, "g-0"),
        SimLog(cluster, fate, "state", "g-0"),
    )
