"""The cluster: partition logs, the transactions' coordinator, the group's coordinator.

Each part stands for what brokers do:

- A transaction is ended at its coordinator; its markers reach every partition on their own, in any
  order and late (KAFKA-10167). Until its marker is there, a partition's last stable offset stays.
- Offsets of a transaction are a record of one more partition. While their marker is missing the
  group's offset is unstable, and who asks for it is told to come again.
- An EndTxn that was delayed ends whatever transaction of the same epoch it meets (KIP-890).
- The group fences a member and its generation, not the partition.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from stream_hb.runtime.client import (
    ClientError,
    Committed,
    FencedError,
    TopicPartition,
    TransactionAbortedError,
    TransientError,
)

TRANSACTION_MS = 10_000
SESSION_MS = 15_000
OFFSETS = TopicPartition("offsets", 0)


@dataclass(slots=True)
class Transaction:
    """One transaction as the coordinator sees it.

    Attributes
    ----------
    began_ms
        When its first partition was added.
    partitions
        What was added to it.
    offsets
        What the group commits with it.
    committed
        Its outcome; None while it is open.
    unmarked
        Partitions whose marker is under way.
    """

    began_ms: int
    partitions: set[TopicPartition] = field(default_factory=set)
    offsets: dict[TopicPartition, Committed] = field(default_factory=dict)
    committed: bool | None = None
    unmarked: set[TopicPartition] = field(default_factory=set)


@dataclass(slots=True)
class Entry:
    """A record, or a transaction's marker, which no reader sees."""

    key: bytes | None
    value: bytes | None
    transaction: Transaction | None = None
    is_marker: bool = False


@dataclass(slots=True)
class Producer:
    """A transactional id at the coordinator."""

    epoch: int = 0
    ongoing: Transaction | None = None
    last: Transaction | None = None


@dataclass(slots=True)
class Member:
    """A member of the group: what it holds, and what it is to hold."""

    number: int
    seen_ms: int
    holds: set[int] = field(default_factory=set)
    target: set[int] = field(default_factory=set)
    generation: int = 0


@dataclass(frozen=True, slots=True)
class EndTxn:
    """A request on its way."""

    writer: str
    epoch: int
    commit: bool


class Cluster:
    """See the module.

    Parameters
    ----------
    random
        Decides what happens.
    partitions_count
        Of every topic but ``hyper``.
    eager
        Whether a rebalance takes everything from everybody first.
    """

    def __init__(self, random: Random, partitions_count: int, *, eager: bool) -> None:
        self.random = random
        self.partitions_count = partitions_count
        self.eager = eager
        self.now_ms = 0
        self.logs: dict[TopicPartition, list[Entry]] = {}
        self.producers: dict[str, Producer] = {}
        self.ended: list[Transaction] = []
        self.delayed: list[EndTxn] = []
        self.committed: dict[TopicPartition, Committed] = {}
        self.members: dict[str, Member] = {}
        self.generation = 0
        self.members_made = 0
        self.transactions = 0

    # -- logs

    def log(self, where: TopicPartition) -> list[Entry]:
        return self.logs.setdefault(where, [])

    def append_input(self, where: TopicPartition, value: bytes) -> None:
        """Append an event; who sends events knows nothing of transactions."""
        self.log(where).append(Entry(None, value))

    def stable_end(self, where: TopicPartition) -> int:
        """Return the last stable offset: the first record of a transaction without a marker."""
        log = self.log(where)
        for at, entry in enumerate(log):
            one = entry.transaction
            if one is not None and not entry.is_marker and _is_open_in(one, where):
                return at
        return len(log)

    def visible(self, where: TopicPartition, start: int, stop: int) -> list[Entry]:
        """Return what a reader of committed records sees."""
        return [
            entry
            for entry in self.log(where)[start:stop]
            if not entry.is_marker and (entry.transaction is None or entry.transaction.committed)
        ]

    # -- transactions

    def producer(self, writer: str) -> Producer:
        return self.producers.setdefault(writer, Producer())

    def renew(self, writer: str) -> int:
        """InitProducerId: abort what is open, fence who was before; then wait for the markers."""
        producer = self.producer(writer)
        if producer.ongoing is not None:
            producer.epoch += 1
            self.end(producer, commit=False)
        if producer.last is not None and producer.last.unmarked:
            raise TransientError("concurrent transactions")
        producer.epoch += 1
        return producer.epoch

    def add(self, writer: str, epoch: int, where: TopicPartition) -> None:
        """AddPartitionsToTxn; the client waits while the last transaction's markers are missing."""
        producer = self.fenced(writer, epoch)
        if producer.ongoing is None:
            if producer.last is not None:
                self.mark(producer.last)
            producer.ongoing = Transaction(self.now_ms)
        producer.ongoing.partitions.add(where)

    def append(
        self, writer: str, epoch: int, where: TopicPartition, key: bytes | None, value: bytes | None
    ) -> None:
        """Produce: a partition that is not in the transaction refuses it (verification, 3.6)."""
        producer = self.fenced(writer, epoch)
        if producer.ongoing is None or where not in producer.ongoing.partitions:
            raise ClientError("invalid transaction state")
        self.log(where).append(Entry(key, value, producer.ongoing))

    def fenced(self, writer: str, epoch: int) -> Producer:
        producer = self.producer(writer)
        if epoch != producer.epoch:
            raise FencedError(f"epoch {epoch} of {writer} is over: fenced")
        return producer

    def end_txn(self, request: EndTxn) -> None:
        producer = self.fenced(request.writer, request.epoch)
        if producer.ongoing is not None:
            self.end(producer, commit=request.commit)
        elif producer.last is None or producer.last.committed != request.commit:
            raise ClientError("invalid transaction state")

    def end(self, producer: Producer, *, commit: bool) -> None:
        one = producer.ongoing
        assert one is not None
        one.committed, one.unmarked = commit, set(one.partitions)
        producer.ongoing, producer.last = None, one
        self.ended.append(one)
        self.transactions += commit

    def mark(self, one: Transaction, where: TopicPartition | None = None) -> None:
        """Let one marker arrive, or all of a transaction."""
        for place in sorted(one.unmarked) if where is None else [where]:
            one.unmarked.discard(place)
            if place == OFFSETS:
                if one.committed:
                    self.committed.update(one.offsets)
            else:
                self.log(place).append(Entry(None, None, one, is_marker=True))
        if not one.unmarked and one in self.ended:
            self.ended.remove(one)

    def pass_time(self, ms: int) -> None:
        """Let time pass: markers and delayed requests arrive, the old is ended."""
        self.now_ms += ms
        for one in list(self.ended):
            for where in sorted(one.unmarked):
                if self.random.random() < ms / 1_000:
                    self.mark(one, where)
        for request in list(self.delayed):
            if self.random.random() < ms / 2_000:
                self.delayed.remove(request)
                self._arrive(request)
        for producer in self.producers.values():
            if producer.ongoing and self.now_ms - producer.ongoing.began_ms > TRANSACTION_MS:
                producer.epoch += 1
                self.end(producer, commit=False)
        self._expire()

    def _arrive(self, request: EndTxn) -> None:
        with suppress(ClientError):  # nobody waits for the answer
            self.end_txn(request)

    # -- the group

    def join(self, instance: str) -> Member:
        """A static member that comes again takes its old place; the old one is fenced."""
        self.members_made += 1
        known = self.members.get(instance)
        member = Member(self.members_made, self.now_ms)
        if known is None:
            self.members[instance] = member
            self._rebalance()
        else:
            member.target, member.generation = known.holds | known.target, self.generation
            self.members[instance] = member
        return member

    def is_member(self, instance: str, member: Member) -> bool:
        return self.members.get(instance) is member

    def _expire(self) -> None:
        gone = [i for i, m in self.members.items() if self.now_ms - m.seen_ms > SESSION_MS]
        for instance in gone:
            del self.members[instance]
        if gone:
            self._rebalance()

    def _rebalance(self) -> None:
        """Share the partitions evenly; in a sticky way unless everything is shared anew."""
        self.generation += 1
        names = sorted(self.members)
        if not names:
            return
        if self.eager:
            for at, name in enumerate(names):
                self.members[name].target = set(range(at, self.partitions_count, len(names)))
            return
        share = -(-self.partitions_count // len(names))
        left = set(range(self.partitions_count))
        for name in names:
            member = self.members[name]
            member.target = set(sorted((member.holds | member.target) & left)[:share])
            left -= member.target
        for number in sorted(left):
            smallest = min(names, key=lambda name: (len(self.members[name].target), name))
            self.members[smallest].target.add(number)

    def free(self, number: int) -> bool:
        """Tell whether nobody holds a partition."""
        return all(number not in member.holds for member in self.members.values())

    def check_generation(self, instance: str, member: Member, generation: int) -> None:
        if not self.is_member(instance, member) or generation != self.generation:
            raise TransactionAbortedError("illegal generation")

    def stable_committed(self, where: TopicPartition) -> Committed | None:
        """Return a committed offset; raises while a transaction holds it back."""
        ongoing = [p.ongoing for p in self.producers.values() if p.ongoing is not None]
        for one in [*ongoing, *self.ended]:
            if where in one.offsets and _is_open_in(one, OFFSETS):
                raise TransientError("unstable offset commit")
        return self.committed.get(where)


def _is_open_in(one: Transaction, where: TopicPartition) -> bool:
    return one.committed is None or where in one.unmarked
