"""Delivery exactly once: records, the state's log and the offsets in one transaction.

A batch makes a candidate; nothing of it is the state before its transaction is committed, so an
abort has nothing to undo: the batch is read again. What a shard knows is restored from the log
alone, and goes on under the same epoch (:mod:`stream_hb.statelog`). Only where the operator accepts
that the log has lost something it goes on under an epoch that no reader knows, and every key is
written again: readers would drop what comes under versions that they have seen. Nothing is refitted
or emitted before all shards have read what their input held when they were opened: topics are not
read evenly, and half-read input shows stores with visits and without their orders.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import Event
from typing import Any

import structlog

from stream_hb.engine import Candidate, Engine
from stream_hb.errors import SlotError
from stream_hb.events.batch import RawBatch, Reject
from stream_hb.runtime.again import Again
from stream_hb.runtime.at_least_once import outgoing_records
from stream_hb.runtime.catch_up import CatchUp
from stream_hb.runtime.checkpoints import LEAVE_SECONDS_MAX, Checkpoints
from stream_hb.runtime.client import (
    ClientError,
    Committed,
    FencedError,
    GroupMovedError,
    InputClient,
    RefusedError,
    TooLargeError,
    TopicPartition,
    TransactionAbortedError,
    TransactionClient,
    TransientError,
    Watermarks,
)
from stream_hb.runtime.delivery import Outgoing, Route, Tally
from stream_hb.runtime.opened import Opened
from stream_hb.runtime.pauses import Pauses
from stream_hb.runtime.restores import Restores
from stream_hb.runtime.shard_logs import ShardLogs
from stream_hb.runtime.slots import OWN_SLOT
from stream_hb.runtime.warm_shards import WarmShard
from stream_hb.statelog.snapshot import snapshot
from stream_hb.tick_feeds import HOME, Memory
from stream_hb.timing import Position

RESTORE_SECONDS = 0.05

OVERDUE_SECONDS = 8.0
"""A transaction that began so long ago may have been ended by the broker for its age. That looks
like a second owner of the slot, and is none; a real one is told by the group, too, whose member of
this slot it replaces."""

log = structlog.get_logger("stream_hb.worker")


class ExactlyOnce:
    """See :class:`stream_hb.runtime.delivery.Delivery`.

    Parameters
    ----------
    engine
        A new engine.
    inputs, transactions
        The transport.
    restores
        Opens shards.
    route
        Names of the output topics.
    header
        What every marker of the log says: ``group`` and ``writer`` (the slot).
    seconds
        A clock that only goes forward.
    last_epoch
        Newest epoch that readers know; asked for when a shard begins, or a loss is accepted.
    checkpoints
        Writes snapshots to the local disk; None: nobody does.

    Attributes
    ----------
    tally
        What it has been through.
    """

    guarantee = "exactly_once"

    def __init__(
        self,
        engine: Engine,
        inputs: InputClient,
        transactions: TransactionClient,
        restores: Restores,
        route: Route,
        header: Mapping[str, Any],
        seconds: Callable[[], float],
        last_epoch: Callable[[], int] = lambda: 0,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._checkpoints = checkpoints
        self._engine = engine
        self._inputs = inputs
        self._transactions = transactions
        self._restores = restores
        self._route = route
        self._writer = header["writer"]
        self._newest_epoch: int | None = None
        self._may_be_newer = False
        self._seconds = seconds
        self._began_at = -OVERDUE_SECONDS
        self._pauses = Pauses()
        self._stale = True  # the producer is to be renewed before the next transaction
        self._last_epoch = last_epoch
        self._catch_up = CatchUp()
        self._logs = ShardLogs(engine, header)
        self._owned: dict[int, list[TopicPartition]] = {}
        self.tally = Tally(snapshots=restores.snapshots, warm=restores.warm.outcomes)

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Take partitions that are to be opened."""
        partitions = list(partitions)
        for number in {partition.partition for partition in partitions}:
            self._owned[number] = [p for p in partitions if p.partition == number]
        self._may_be_newer = True
        self._restores.add(partitions)
        warm = self._restores.warm
        warm.keep_only(self._restores.numbers if partitions else warm.numbers)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Give up partitions that are another worker's now: nothing of theirs is open."""
        for number in {partition.partition for partition in partitions}:
            self._owned.pop(number, None)
            self._keep_warm(number)
            self._forget(number)
            log.info("shard given up", shard=number)

    def _keep_warm(self, number: int) -> None:
        """Keep a shard as its last transaction left it, in case that it comes back."""
        mine = self._logs.complete().get(number)
        if mine is None:
            return
        place = TopicPartition(str(self._route.state), number)
        end = max(self._logs.read_end(number), self._transactions.tracked_end(place) or 0)
        memory = self._engine.memory if number == HOME else Memory()
        shard = self._engine.shards[number]
        self._restores.warm.keep(WarmShard(shard, mine, end, self._logs.header(number), memory))

    def _forget(self, number: int) -> None:
        self._restores.drop(number)
        self._catch_up.close(number)
        self._engine.close_shard(number)
        self._logs.drop(number)

    def open(self) -> None:
        """Read the log for a moment; let the shards work that are whole."""
        # First the slot: what its last owner left open holds the log back.
        if not self._restores.numbers or not self._fresh():
            return
        for opened in self._restores.step(RESTORE_SECONDS):
            try:
                self._let_work(opened)
            except (TransientError, GroupMovedError) as error:
                log.warning("cannot start partitions yet", detail=str(error))
                self._restores.add(opened.offsets)

    def _let_work(self, opened: Opened) -> None:
        self._inputs.start(opened.offsets)
        if opened.is_warm:
            self._restores.warm.taken_back(opened.number)
        else:
            self.tally.restores += 1
            self.tally.restore_seconds += opened.seconds
        for partition, offset in opened.offsets.items():
            mark = Watermarks(offset, opened.ends[partition])
            self._catch_up.open(partition, mark, offset)
        starts = {(p.topic, p.partition): offset for p, offset in opened.offsets.items()}
        if opened.restored is None:
            self._engine.open_shard(opened.number, self._unknown_epoch(opened), starts)
            self._logs.add(opened)
            return
        shard = opened.restored.shard
        if opened.is_lost:
            opened.restored.log.renew(self._unknown_epoch(opened))
            log.warning("a new epoch begins", shard=opened.number, epoch=shard.epoch)
        shard.positions |= {
            source: replace(shard.positions.get(source, Position()), next_offset=offset)
            for source, offset in starts.items()
        }
        self._engine.adopt(shard)
        if opened.number == HOME:
            self._engine.remember(opened.restored.papers)
        self._engine.refits = max(self._engine.refits, opened.restored.marker["refits"])
        self._logs.add(opened)

    def _unknown_epoch(self, opened: Opened) -> int:
        """Return an epoch that no reader knows of a shard.

        The answer is kept, since it takes reading all estimates: for a shard that begins nobody
        has written any. Where a loss is accepted it must be later than the last owner's end.
        """
        if self._newest_epoch is None or (opened.is_lost and self._may_be_newer):
            self._newest_epoch, self._may_be_newer = self._last_epoch(), False
        remembered = opened.restored.shard.epoch if opened.restored else 0
        return 1 + max(self._newest_epoch, remembered)

    def ended(self, partitions: Iterable[TopicPartition]) -> None:
        """Take the client's word that nothing is left of partitions for now."""
        self._catch_up.ended(partitions)

    def wanted(self, batches: Iterable[RawBatch]) -> Mapping[int, list[RawBatch]]:
        """Return the batches of shards that work; what was read before is left out."""
        by_shard: dict[int, list[RawBatch]] = defaultdict(list)
        for batch in batches:
            shard = self._engine.shards.get(batch.partition)
            if shard is None:
                continue
            position = shard.positions.get((batch.topic, batch.partition))
            if position is None:
                by_shard[batch.partition].append(batch)
            elif batch.next_offset > position.next_offset:
                by_shard[batch.partition].append(batch.since(position.next_offset))
        return by_shard

    def behind(self, candidate: Candidate) -> set[int]:
        """Return the shards that are not restored, or have still to catch up."""
        for shard in candidate.shards.values():
            self._catch_up.reached(shard.positions)
        return self._restores.numbers | self._catch_up.shards

    def unopened(self) -> Mapping[TopicPartition, int]:
        """Return the committed offsets of the shards that are being restored."""
        return self._restores.committed()

    def new_rejects(self, rejects: Iterable[Reject]) -> list[Reject]:
        """Return them all: only what is committed was ever seen."""
        return list(rejects)

    def deliver(self, out: Outgoing, stop: Event) -> bool:
        """Write everything in one transaction; False where it was not committed."""
        self._logs.discard()
        if not out.is_something:
            return True
        try:
            if self._fresh():
                self._transact(out, stop)
                self._pauses.succeeded()
                return True
        except TransactionAbortedError as error:
            self._abort(error, stop)
            self._pauses.failed(stop)
        except FencedError as error:
            self._fenced(error)
            self._pauses.failed(stop)
            return False
        except (RefusedError, TooLargeError):
            raise
        except ClientError as error:
            self._start_over(error)
            self._pauses.failed(stop)
            return False
        self._read_again(out.candidate)
        return False

    def _transact(self, out: Outgoing, stop: Event) -> None:
        again = Again(stop)
        self._began_at = self._seconds()
        self._transactions.begin()
        for topic, key, value in outgoing_records(out, self._route):
            self._transactions.produce(topic, None, key, value)
        plans = self._logs.plan(out)
        offsets: dict[TopicPartition, Committed] = {}
        for number, plan in plans.items():
            topic = str(self._route.state)
            for record in plan.records:
                last = record is plan.records[-1]
                self._transactions.produce(topic, number, record.key, record.value, tracked=last)
            offsets |= self._logs.offsets(number, out.candidate, plan)
        for told in out.broadcasts:
            self._transactions.produce(told.topic, told.partition, told.key, told.value)
        for number in {told.shard for told in out.broadcasts} - plans.keys():
            offsets |= self._logs.offsets(number, out.candidate)
        if offsets:
            self._send_offsets(offsets, self._membership())
        # After a timeout nobody knows whether it is committed: it goes on in the background, and
        # to abort it then could tear it apart.
        try:
            again(self._transactions.commit)
        except TransactionAbortedError as error:
            if again.happened:
                raise ClientError(f"aborted, or committed before: {error}") from error
            raise
        # Its outcome is known, but a late answer to the first call may still be under way.
        self._stale = again.happened

    def _membership(self) -> Any:
        try:
            return self._inputs.membership()
        except GroupMovedError as error:
            raise TransactionAbortedError(str(error)) from error

    def _send_offsets(self, offsets: Mapping[TopicPartition, Committed], membership: Any) -> None:
        """Add the offsets; nothing is committed yet, so a call in doubt is not made again.

        librdkafka says that it may be; but the second one never returns if the broker died under
        the first (confluentinc/librdkafka#5456, 2.16).
        """
        try:
            self._transactions.send_offsets(offsets, membership)
        except TransientError as error:
            self._stale = True
            aborted = TransactionAbortedError(str(error))
            aborted.cause = error.cause
            raise aborted from error

    def _abort(self, error: ClientError, stop: Event) -> None:
        log.warning("transaction aborted", detail=str(error))
        self.tally.aborts[error.cause or "aborted"] += 1
        if self._stale:
            return  # to renew the producer aborts what it left
        again = Again(stop)
        try:
            again(self._transactions.abort)
            # A late repetition of the first call would abort the next transaction in its middle.
            self._stale = again.happened
        except ClientError as another:
            log.warning("could not abort", detail=str(another))
            self._stale = True

    def _read_again(self, candidate: Candidate) -> None:
        """Go back to what is committed; a partition that is gone comes as revoked."""
        offsets = {
            partition: at.offset
            for number in candidate.shards
            for partition, at in self._logs.offsets(number, Candidate({})).items()
        }
        try:
            self._inputs.start(offsets)
        except (TransientError, GroupMovedError) as error:
            self._start_over(error)

    def _start_over(self, error: ClientError) -> None:
        """Nobody knows what became of the transaction: only the log does."""
        log.warning("everything is restored: the outcome is not known", detail=str(error))
        self.tally.aborts["unknown"] += 1
        self._stale = self._may_be_newer = True
        self._restores.warm.clear()
        for number, partitions in list(self._owned.items()):
            self._forget(number)
            self._inputs.pause(partitions)
            self._restores.add(partitions)

    def _fenced(self, error: FencedError) -> None:
        if self._seconds() - self._began_at < OVERDUE_SECONDS:
            raise self._rival(error) from error
        self._start_over(error)

    def _rival(self, error: FencedError) -> SlotError:
        return SlotError(f"slot {self._writer} is held by another process: {error}. {OWN_SLOT}")

    def _fresh(self) -> bool:
        """Renew the producer where that is due; False while the broker does not answer."""
        if not self._stale:
            return True
        try:
            self._transactions.renew()
        except TransientError as error:
            log.warning("cannot take the slot yet", detail=str(error))
            return False
        except FencedError as error:  # no transaction was open that could be overdue
            raise self._rival(error) from error
        self._stale = False
        return True

    def delivered(self, _out: Outgoing) -> None:
        """Take note of what the log has now."""
        self._logs.settle()

    def commit(self) -> None:
        """Nothing is to be done, the transaction did; it may be time to look after other things."""
        self._restores.check_inputs()
        if self._checkpoints is not None:
            number = self._checkpoints.due(self._logs.complete())
            if number is not None and not self._checkpoint(self._checkpoints, number):
                self._checkpoints.postponed(number)

    def finish(self) -> None:
        """Write the snapshots that there is time for: nothing is open, and nothing comes."""
        if self._checkpoints is None:
            return
        until = self._seconds() + LEAVE_SECONDS_MAX
        for number in self._checkpoints.unwritten(self._logs.complete()):
            if self._seconds() > until or not self._checkpoint(self._checkpoints, number):
                log.warning("ends without all snapshots")
                break
        self._checkpoints.wait()

    def _checkpoint(self, checkpoints: Checkpoints, number: int) -> bool:
        """Write a shard's snapshot, if this worker still owns it.

        The log's end is asked for first, and only then is it proved that nobody else has written
        to it: so what is in memory is all that stands before that end.
        """
        try:
            end = self._restores.end(number)
        except ClientError as error:
            log.warning("no snapshot: the log's end is not known", detail=str(error))
            return False
        if not self._owns(number):
            return False
        papers = self._engine.memory.papers() if number == HOME else {}
        mine, header = self._logs.complete()[number], self._logs.header(number)
        body = snapshot(self._engine.shards[number], mine, header, papers)
        checkpoints.write(number, end, mine.state.seq, body)
        return True

    def _owns(self, number: int) -> bool:
        """Commit a shard's offsets as they stand: whoever does not own it any more cannot."""
        if not self._fresh():
            return False
        self._began_at = self._seconds()
        try:
            self._transactions.begin()
            offsets = self._logs.offsets(number, Candidate({}))
            self._transactions.send_offsets(offsets, self._inputs.membership())
            self._transactions.commit()
        except FencedError as error:
            self._fenced(error)
        except ClientError as error:
            # Whatever became of it, it changes nothing; only the producer may not be used again.
            log.warning("no snapshot: the shard is not proved to be this worker's", why=str(error))
            self._stale = True
        else:
            return True
        return False

    def close(self) -> None:
        """Leave."""
        self._transactions.close()
        self._restores.close()
        self._inputs.close()
