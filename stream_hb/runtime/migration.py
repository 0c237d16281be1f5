"""The state after the input's partitions have become more.

A store's partition follows from their number, so its events come elsewhere than its state is. All
old logs are read, every group goes to its new partition, and a new log of everything is written,
with the group's offsets, in one transaction: before its commit nothing is migrated, after it
everything is.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_hb.errors import MigrationError, SnapshotError
from stream_hb.runtime.client import (
    ClientError,
    Committed,
    StateClient,
    TopicPartition,
    TransactionClient,
    TransientError,
    Watermarks,
)
from stream_hb.settings import EngineSettings
from stream_hb.statelog.rekey import Log, Target, rekeyed
from stream_hb.statelog.restore import Restored, Restoring

POLL_SECONDS = 0.2
PROGRESS_SECONDS_MAX = 60.0
COMMIT_TRIES = 200
"""Each of some seconds: all that was written must have reached the broker before."""

Home = Callable[[str, int], int]
"""(store, number of partitions) -> its partition."""

Stores = Iterator[tuple[int, str | None]]
"""Offsets of events, each with the store that it is of; None: it is of none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be migrated.

    Attributes
    ----------
    group
        The consumer group.
    inputs
        The input topics.
    old_count, new_count
        How many partitions they had, and have.
    state
        Name of the new log's topic.
    home
        The configured partitioner.
    old_settings, new_settings
        The engine's for each number of partitions.
    accept_unread
        The operator's word: unread events may stand where their stores are no longer read.
    """

    group: str
    inputs: Sequence[str]
    old_count: int
    new_count: int
    state: str
    home: Home
    old_settings: EngineSettings
    new_settings: EngineSettings
    accept_unread: bool = False

    @property
    def partitions(self) -> list[TopicPartition]:
        """Every partition of the inputs."""
        return [TopicPartition(topic, n) for topic in self.inputs for n in range(self.new_count)]


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of the input.

    Attributes
    ----------
    committed
        What the group has committed.
    marks
        Where every partition begins and ends, open transactions included.
    stores
        Yields the stores of a partition's events from one offset up to another.
    membership
        Who commits the offsets.
    """

    committed: Mapping[TopicPartition, Committed]
    marks: Mapping[TopicPartition, Watermarks]
    stores: Callable[[TopicPartition, int, int], Stores]
    membership: Any

    def next(self, partition: TopicPartition) -> int:
        """Return where the group goes on."""
        committed = self.committed.get(partition)
        return self.marks[partition].low if committed is None else committed.offset


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was moved.

    Attributes
    ----------
    groups, moved
        How many groups there are, and how many of them are in another partition now.
    ids
        How many ids are remembered.
    unread
        Events of the old partitions that are still to be read.
    epoch
        Under which the next records are written.
    """

    groups: int
    moved: int
    ids: int
    unread: int
    epoch: int


def is_migrated(plan: Plan, new: StateClient, given: Given) -> bool:
    """Tell whether a state and offsets for the new partitions are there already.

    Raises
    ------
    MigrationError
        The new topic holds something else.
    """
    filled = [number for number in range(plan.new_count) if has_records(new, number)]
    if not filled:
        return False
    grown = [p for p in plan.partitions if p.partition >= plan.old_count]
    if len(filled) == plan.new_count and all(p in given.committed for p in grown):
        return True
    raise MigrationError(
        f"topic {plan.state!r} holds records already (partitions {_spelt(filled)}), and they are "
        "not of a migration of this group: topics.state must name a topic that is new"
    )


def migrate(
    plan: Plan, old: StateClient, given: Given, transactions: TransactionClient
) -> Migrated:
    """Write the new log and the offsets that belong to it.

    Raises
    ------
    MigrationError
        It cannot be done exactly; nothing was written.
    """
    unread = _checked_unread(plan, given)
    shards = [each for n in range(plan.old_count) if (each := _restored(plan, old, given, n))]
    if not shards:
        raise MigrationError(f"the old topic holds no state of group {plan.group!r}")
    moved = sum(_moving(plan, each) for each in shards)
    offsets = {
        partition: Committed(_goes_on(plan, given, partition)) for partition in plan.partitions
    }
    transactions.begin()
    try:
        logs = [_written(plan, log, transactions) for log in _logs(plan, shards, offsets)]
        transactions.send_offsets(offsets, given.membership)
        _commit(transactions)
    except (SnapshotError, ClientError):
        _abort(transactions)
        raise
    groups = sum(len(log.shard.table) for log in logs)
    ids = sum(len(table) for log in logs for table in log.shard.tables.values())
    return Migrated(groups, moved, ids, unread, logs[0].shard.epoch)


def _goes_on(plan: Plan, given: Given, partition: TopicPartition) -> int:
    """Return where a partition is to be read; a new one from 0, so that what is gone is told."""
    return given.next(partition) if partition.partition < plan.old_count else 0


def _logs(
    plan: Plan, shards: Sequence[Restored], offsets: Mapping[TopicPartition, Committed]
) -> Iterator[Log]:
    sources = {(at.topic, at.partition): to.offset for at, to in offsets.items()}
    target = Target(
        plan.new_count, lambda store: plan.home(store, plan.new_count), plan.new_settings, sources
    )
    refits = max(each.marker["refits"] for each in shards)
    header = {
        "group": plan.group,
        "writer": f"{plan.group}-migrate",
        "refits": refits,
        "origin": _origin(shards),
    }
    return rekeyed(shards, target, header)


def _origin(shards: Sequence[Restored]) -> Mapping[str, Any] | None:
    """Return the topics that all old shards were counted from; a worker compares them."""
    first, *others = (each.marker.get("origin") for each in shards)
    return first if all(other == first for other in others) else None


def _written(plan: Plan, log: Log, transactions: TransactionClient) -> Log:
    for record in log.records:
        transactions.produce(plan.state, log.shard.number, record.key, record.value)
    return log


def _commit(transactions: TransactionClient) -> None:
    """Commit; a call that times out goes on in the background, and is made again."""
    for attempt in range(COMMIT_TRIES):
        try:
            transactions.commit()
            break
        except TransientError:
            if attempt == COMMIT_TRIES - 1:
                raise


def _abort(transactions: TransactionClient) -> None:
    try:
        transactions.abort()
    except ClientError:
        transactions.close()  # the next one of this name, or the broker's clock, ends it


def _checked_unread(plan: Plan, given: Given) -> int:
    """Return how many events of the old partitions are unread; all must belong there now."""
    unread, wrong = 0, list[str]()
    for partition in plan.partitions:
        start, mark = given.next(partition), given.marks[partition]
        if partition.partition >= plan.old_count:
            if partition in given.committed:
                raise MigrationError(
                    f"{_name(partition)}: the group has committed {start} of a partition that "
                    f"the old state does not have (it has {plan.old_count})"
                )
        elif start < mark.high:
            unread += mark.high - start
            wrong.extend(_astray(plan, given, partition, start))
    if wrong and not plan.accept_unread:
        raise MigrationError(
            "not everything was read before the partitions became more:\n"
            + "\n".join(wrong)
            + "\nProduce these events again (ids keep them from counting twice) and go on with "
            "--accept-unread: where they stand now a worker rejects them as wrong_partition"
        )
    return unread


def _astray(plan: Plan, given: Given, partition: TopicPartition, start: int) -> Iterator[str]:
    """Yield what is wrong with a partition's unread events: they were placed by the old number."""
    end = given.marks[partition].high
    astray = [
        offset
        for offset, store in given.stores(partition, start, end)
        if store is not None and plan.home(store, plan.new_count) != partition.partition
    ]
    if astray:
        yield (
            f"{_name(partition)}: committed {start}, end {end}: {len(astray)} unread events "
            f"({astray[0]}..{astray[-1]}) are of stores of other partitions, now that there are "
            f"{plan.new_count}"
        )


def _restored(plan: Plan, old: StateClient, given: Given, number: int) -> Restored | None:
    """Return an old shard; None where it never had anything."""
    found = _read(plan, old, number)
    mine = [TopicPartition(topic, number) for topic in plan.inputs]
    if found is None:
        for partition in mine:
            if given.next(partition) > given.marks[partition].low:
                raise MigrationError(
                    f"{_name(partition)}: the group has committed {given.next(partition)}, but "
                    "the old topic has nothing of this shard"
                )
        return None
    if found.marker["group"] != plan.group:
        raise MigrationError(
            f"the old topic holds the state of group {found.marker['group']!r}, not of "
            f"{plan.group!r}"
        )
    for partition in mine:
        marker = found.offsets.get((partition.topic, number))
        committed = given.committed.get(partition)
        if marker is None or committed is None or marker != committed.offset:
            raise MigrationError(
                f"{_name(partition)}: the state was written up to {marker}, but the group has "
                f"committed {committed and committed.offset}: they are not of one history"
            )
    return found


def _read(plan: Plan, old: StateClient, number: int) -> Restored | None:
    restoring = Restoring(number, plan.old_settings)
    for key, value in _records(old, number):
        restoring.take(key, value)
    return restoring.finish()


def _records(log: StateClient, number: int) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield a log's committed records up to its present end."""
    end, position = log.end(number), 0
    deadline = time.monotonic() + PROGRESS_SECONDS_MAX
    log.open(number)
    try:
        while position < end:
            found = log.poll(POLL_SECONDS).get(number)
            if found is not None and found.position > position:
                position, deadline = found.position, time.monotonic() + PROGRESS_SECONDS_MAX
                yield from found.records
            elif time.monotonic() > deadline:
                raise MigrationError(
                    f"the old state of shard {number} cannot be read: it stands at {position} of "
                    f"{end} for {PROGRESS_SECONDS_MAX:g} s (a transaction hangs, which "
                    "`kafka-transactions.sh find-hanging` names, or the log was truncated)"
                )
    finally:
        log.close_partition(number)


def has_records(log: StateClient, number: int) -> bool:
    """Tell whether a partition of a workers' topic has any committed record."""
    return next(_records(log, number), None) is not None


def _moving(plan: Plan, old: Restored) -> int:
    """Return how many groups move; all must be where the partitioner had put them."""
    number, moving = old.shard.number, 0
    for chain, store in old.shard.table.keys:
        before = plan.home(store, plan.old_count)
        if before != number:
            raise MigrationError(
                f"store {store!r} (chain {chain!r}) is in shard {number}, but "
                f"topics.partitioner puts it into {before} of {plan.old_count}: it is not how "
                "the producers partition, so nobody can tell where stores are now"
            )
        moving += plan.home(store, plan.new_count) != number
    return moving


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}-{partition.partition}"


def _spelt(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
