"""The cluster: partition logs, the transactions' coordinator, the group's coordinator.

Each part stands for what brokers do:

- A transaction is ended at its coordinator; its markers reach every partition on their own, in any
  order and late (KAFKA-10167). Until its marker is there, a partition's last stable offset stays.
- Offsets of a transaction are a record of one more partition. While their marker is missing the
  group's offset is unstable, and who asks for it is told to come again.
- An EndTxn that was delayed ends whatever transaction of the same epoch it meets (KIP-890).
- The group fences a member and its generation, not the partition.
- The brokers may all be away for a while: nothing happens then, and nobody is held to have left.

What the workers meet of that is counted.
"""

from collections import Counter
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
SCAN_MS = 10_000
"""The coordinator looks for transactions that are too old as often as that, and no oftener: so an
orphan may outlive its owner's session, and the partition moves under it."""

SESSION_MS = 15_000
MARKER_MS = 2_000
"""A marker is under way for about as long as a worker takes for a step."""

SLOW, SLOW_MS = 0.1, 16_000
"""How many are much slower: the partition's broker is busy."""
OFFSETS = TopicPartition("offsets", 0)


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction as the coordinator sees it.

    Attributes
    ----------
    began_ms
        When its first partition was added.
    firsts
        What was added to it; where its first record stands there, None while there is none.
    offsets
        What the group commits with it.
    committed
        Its outcome; None while it is open.
    unmarked
        Partitions whose marker is under way; and in how much time it arrives, about.
    """

    began_ms: int
    firsts: dict[TopicPartition, int | None] = field(default_factory=dict)
    offsets: dict[TopicPartition, Committed] = field(default_factory=dict)
    committed: bool | None = None
    unmarked: dict[TopicPartition, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Entry:
    """A record, or a transaction's marker, which no reader sees."""

    key: bytes | None
    value: bytes | None
    transaction: Transaction | None = None
    is_marker: bool = False


@dataclass(slots=True, eq=False)
class Producer:
    """A transactional id at the coordinator."""

    epoch: int = 0
    ongoing: Transaction | None = None
    last: Transaction | None = None


@dataclass(slots=True, eq=False)
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
    counts
        What happened, by name.
    partitions_count
        Of every topic but ``hyper``.
    eager
        Whether a rebalance takes everything from everybody first.
    """

    def __init__(
        self, random: Random, counts: Counter[str], partitions_count: int, *, eager: bool
    ) -> None:
        self.random = random
        self.counts = counts
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
        self.back_at_ms = 0
        self.scans_at_ms = SCAN_MS

    # -- logs

    def log(self, where: TopicPartition) -> list[Entry]:
        return self.logs.setdefault(where, [])

    def append_input(self, where: TopicPartition, value: bytes) -> None:
        """Append an event; who sends events knows nothing of transactions."""
        self.log(where).append(Entry(None, value))

    def stable_end(self, where: TopicPartition) -> int:
        """Return the last stable offset: the first record of a transaction without a marker."""
        firsts = (one.firsts.get(where) for one in self._unended() if _is_open_in(one, where))
        return min((at for at in firsts if at is not None), default=len(self.log(where)))

    def is_held_by_another(self, where: TopicPartition, writer: str) -> bool:
        """Tell whether a transaction of another writer holds a partition's readers back."""
        mine = self.producer(writer)
        return any(
            one.firsts.get(where) is not None and _is_open_in(one, where)
            for one in self._unended()
            if one not in (mine.ongoing, mine.last)
        )

    def _unended(self) -> list[Transaction]:
        """Return the transactions that are open, or of which a marker is missing."""
        ongoing = [p.ongoing for p in self.producers.values() if p.ongoing is not None]
        return [*ongoing, *self.ended]

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
            self.counts["own leftovers found"] += 1
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
        producer.ongoing.firsts.setdefault(where, None)

    def append(
        self, writer: str, epoch: int, where: TopicPartition, key: bytes | None, value: bytes | None
    ) -> None:
        """Produce: a partition that is not in the transaction refuses it (verification, 3.6)."""
        producer = self.fenced(writer, epoch)
        if producer.ongoing is None or where not in producer.ongoing.firsts:
            raise ClientError("invalid transaction state")
        log = self.log(where)
        if producer.ongoing.firsts[where] is None:
            producer.ongoing.firsts[where] = len(log)
        log.append(Entry(key, value, producer.ongoing))

    def fenced(self, writer: str, epoch: int) -> Producer:
        producer = self.producer(writer)
        if epoch != producer.epoch:
            self.counts["fenced by epoch"] += 1
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
        one.committed = commit
        one.unmarked = {where: self._delay_ms() for where in sorted(one.firsts)}
        producer.ongoing, producer.last = None, one
        self.ended.append(one)
        self.counts["transactions committed" if commit else "transactions aborted"] += 1

    def _delay_ms(self) -> int:
        return SLOW_MS if self.random.random() < SLOW else MARKER_MS

    def mark(self, one: Transaction, where: TopicPartition | None = None) -> None:
        """Let one marker arrive, or all of a transaction."""
        for place in list(one.unmarked) if where is None else [where]:
            del one.unmarked[place]
            if place == OFFSETS:
                if one.committed:
                    self.committed.update(one.offsets)
            else:
                self.log(place).append(Entry(None, None, one, is_marker=True))
        if not one.unmarked and one in self.ended:
            self.ended.remove(one)

    def mark_all(self) -> None:
        """Let all markers arrive."""
        for one in list(self.ended):
            self.mark(one)

    def pass_time(self, ms: int) -> None:
        """Let time pass: markers and delayed requests arrive, the old is ended."""
        self.now_ms += ms
        if self.is_down:
            return
        for one in list(self.ended):
            for where, delay_ms in list(one.unmarked.items()):
                if self.random.random() < ms / delay_ms:
                    self.mark(one, where)
            self.counts["markers apart"] += 0 < len(one.unmarked) < len(one.firsts)
        for request in list(self.delayed):
            if self.random.random() < ms / (2 * MARKER_MS):
                self.delayed.remove(request)
                self._arrive(request)
        self._expire_transactions()
        self._expire_members()

    def _arrive(self, request: EndTxn) -> None:
        producer = self.producer(request.writer)
        meets = producer.ongoing is not None and producer.epoch == request.epoch
        self.counts["late EndTxn meets a transaction"] += meets
        with suppress(ClientError):  # nobody waits for the answer
            self.end_txn(request)

    def _expire_transactions(self) -> None:
        if self.now_ms < self.scans_at_ms:
            return
        self.scans_at_ms = self.now_ms + SCAN_MS
        for producer in self.producers.values():
            if producer.ongoing and self.now_ms - producer.ongoing.began_ms > TRANSACTION_MS:
                self.counts["transaction timed out"] += 1
                producer.epoch += 1
                self.end(producer, commit=False)

    # -- the brokers

    @property
    def is_down(self) -> bool:
        """Whether no broker answers."""
        return self.now_ms < self.back_at_ms

    def go_down(self, ms: int) -> None:
        """Be away for a while; a coordinator that comes back gives every member a new session."""
        self.counts["brokers away"] += 1
        self.back_at_ms = self.now_ms + ms
        for member in self.members.values():
            member.seen_ms = self.back_at_ms

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

    def _expire_members(self) -> None:
        gone = [i for i, m in self.members.items() if self.now_ms - m.seen_ms > SESSION_MS]
        for instance in gone:
            del self.members[instance]
        if gone:
            self.counts["session expired"] += len(gone)
            self._rebalance()

    def _rebalance(self) -> None:
        """Share the partitions evenly; in a sticky way unless everything is shared anew."""
        self.generation += 1
        self.counts["generations"] += 1
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
            self.counts["fenced by generation"] += 1
            raise TransactionAbortedError("illegal generation")

    def stable_committed(self, where: TopicPartition) -> Committed | None:
        """Return a committed offset; raises while a transaction holds it back."""
        for one in self._unended():
            if where in one.offsets and _is_open_in(one, OFFSETS):
                self.counts["unstable offset"] += 1
                raise TransientError("unstable offset commit")
        return self.committed.get(where)


def _is_open_in(one: Transaction, where: TopicPartition) -> bool:
    return one.committed is None or where in one.unmarked
