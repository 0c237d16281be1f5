"""Workers with one thing wrong: the simulator must find each.

Where the design leaves no room for a fault, the mutant is the nearest one that it has room for;
its comment says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from stream_hb.events.batch import RawBatch
from stream_hb.runtime.client import (
    Committed,
    TopicPartition,
    TransactionAbortedError,
    TransientError,
)
from stream_hb.runtime.delivery import Outgoing
from stream_hb.runtime.worker import Worker
from tests.simulator.kafka import Cluster, Entry

Change = Callable[[Any, Cluster], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A thing that is wrong.

    Attributes
    ----------
    name
        What.
    change
        Makes a worker wrong; it takes the worker and the cluster.
    """

    name: str
    change: Change


def _nothing(_worker: Any, _cluster: Cluster) -> None:
    """Leave the worker as it is."""


NOTHING = Mutant("nothing", _nothing)


def restore_to_stable(worker: Any, cluster: Cluster) -> None:
    """Restore to the last stable offset in place of the end."""
    state = worker._delivery._restores._state
    state.end = lambda number: cluster.stable_end(TopicPartition("state", number))


def position_offsets(worker: Any, _cluster: Cluster) -> None:
    """Commit the client's position.

    A poll is one transaction here, so the position is always right; it is wrong as soon as a poll
    is worked on in two.
    """
    delivery, inputs = worker._delivery, worker._inputs
    wanted, offsets = delivery.wanted, delivery._logs.offsets
    left: dict[int, list[RawBatch]] = {}

    def half(batches: Any) -> Mapping[int, list[RawBatch]]:
        found: dict[int, list[RawBatch]] = {}
        for number, some in wanted(batches).items():
            (batch,) = some[:1]
            middle = len(batch.payloads) // 2
            if middle and len(some) == 1:
                left[number] = [_rest(batch, middle)]
                some = [_first(batch, middle)]
            found[number] = some
        for number in [n for n in left if n not in found and n in worker.engine.shards]:
            found[number] = left.pop(number)
        return found

    def positions(number: int, *after: Any) -> dict[TopicPartition, Committed]:
        known = inputs._positions
        return {
            where: at._replace(offset=known.get(where.partition, at.offset))
            for where, at in offsets(number, *after).items()
        }

    delivery.wanted, delivery._logs.offsets = half, positions


def _first(batch: RawBatch, count: int) -> RawBatch:
    return replace(
        batch, payloads=batch.payloads[:count], next_offset=batch.offset_of(count - 1) + 1
    )


def _rest(batch: RawBatch, count: int) -> RawBatch:
    return replace(
        batch,
        payloads=batch.payloads[count:],
        offset_of=lambda at: batch.offset_of(at + count),
    )


def keeps_what_is_revoked(worker: Any, _cluster: Cluster) -> None:
    """Go on with partitions that are another's: the broker does not fence them one by one."""
    worker._delivery.revoked = lambda _partitions: None


def cached_generation(worker: Any, _cluster: Cluster) -> None:
    """Send the membership as it was when the worker first asked."""
    inputs = worker._inputs
    live = inputs.membership
    known: list[Any] = []

    def cached() -> Any:
        known.append(live())
        return known[0]

    inputs.membership = cached


def _on_failure(worker: Any, change: Callable[[Outgoing], None]) -> None:
    delivery = worker._delivery
    deliver = delivery.deliver

    def failing(out: Outgoing, stop: Event) -> bool:
        done: bool = deliver(out, stop)
        if not done and all(n in worker.engine.shards for n in out.candidate.shards):
            change(out)
        return done

    delivery.deliver = failing


def in_place(worker: Any, _cluster: Cluster) -> None:
    """Change the state in place and undo nothing when the transaction is aborted."""
    _on_failure(worker, lambda out: worker.engine.apply(out.candidate))


def leaking_index(worker: Any, _cluster: Cluster) -> None:
    """Leave the new groups of an aborted batch in the index."""

    def leak(out: Outgoing) -> None:
        for number, candidate in out.candidate.shards.items():
            table = worker.engine.shards[number].table
            for place, key in enumerate(candidate.change.new_groups.keys):
                table.index.setdefault(key, len(table) + place)

    _on_failure(worker, leak)


def abort_after_timeout(worker: Any, _cluster: Cluster) -> None:
    """Abort a transaction whose commit timed out."""
    transactions = worker._delivery._transactions
    commit = transactions.commit

    def committing() -> None:
        try:
            commit()
        except TransientError as error:
            raise TransactionAbortedError(str(error)) from error

    transactions.commit = committing


def log_outside(worker: Any, cluster: Cluster) -> None:
    """Write the state's log outside of the transaction."""
    transactions = worker._delivery._transactions
    produce = transactions.produce

    def producing(
        topic: str, partition: int | None, key: bytes, value: bytes | None, *, tracked: bool = False
    ) -> None:
        if topic == "state":
            cluster.log(TopicPartition(topic, partition or 0)).append(Entry(key, value))
        else:
            produce(topic, partition, key, value, tracked=tracked)

    transactions.produce = producing


def no_recycling(worker: Any, _cluster: Cluster) -> None:
    """Go on with a producer of which a late request may be under way."""
    delivery = worker._delivery
    fresh = delivery._fresh
    renewed: list[bool] = []

    def once() -> bool:
        if renewed:
            delivery._stale = False
            return True
        if fresh():
            renewed.append(True)
        return bool(renewed)

    delivery._fresh = once


def unchecked_marker(worker: Any, _cluster: Cluster) -> None:
    """Take the log's word without the group's. Found where the group was set back: see World."""
    worker._delivery._restores._agreement._fits = lambda *_: True


def warm_unlooked(worker: Any, _cluster: Cluster) -> None:
    """Take a shard back as it is in memory, wherever its log ends.

    Not one of the design's ten. The number of the log's last transaction stands beside the group's
    offsets and would tell as much, so it is not there: as where an operator has set the offsets.
    """
    restores = worker._delivery._restores
    warm, inputs = restores.warm, restores._inputs
    fitting, committed = warm.fitting, inputs.committed

    def unlooked(number: int, _end: int) -> Any:
        return fitting(number, warm._kept[number][1].end if number in warm._kept else 0)

    def plain(partitions: Any) -> dict[TopicPartition, Committed]:
        return {where: Committed(at.offset) for where, at in committed(partitions).items()}

    warm.fitting, inputs.committed = unlooked, plain


MUTANTS = (
    Mutant("restore to the last stable offset", restore_to_stable),
    Mutant("offsets by position", position_offsets),
    Mutant("no filter by ownership", keeps_what_is_revoked),
    Mutant("cached generation", cached_generation),
    Mutant("state in place without undo", in_place),
    Mutant("new keys kept on abort", leaking_index),
    Mutant("abort after a commit's timeout", abort_after_timeout),
    Mutant("log outside of the transaction", log_outside),
    Mutant("producer not renewed", no_recycling),
    Mutant("marker not checked", unchecked_marker),
    Mutant("warm shard taken back unlooked", warm_unlooked),
)


def _keeps_the_type(worker: Worker, cluster: Cluster) -> None:
    """For the type checker."""
    NOTHING.change(worker, cluster)
