"""Delivery without transactions: offsets are committed after what they led to is acknowledged.

The state lives in memory, so a worker that gets a partition reads its input from the beginning and
goes on under a new epoch (kept in the commit's metadata). Until all of its shards have read what
their input held when they were opened, which is more than what was committed, nothing is refitted
or emitted; rejects from before the committed offsets are not written again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Event

import structlog

from stream_hb.engine import Candidate, Engine
from stream_hb.events.batch import RawBatch, Reject
from stream_hb.events.rejects import reject_record
from stream_hb.runtime.catch_up import CatchUp
from stream_hb.runtime.client import (
    Committed,
    GroupMovedError,
    InputClient,
    OutputClient,
    TopicPartition,
    TransientError,
    Watermarks,
)
from stream_hb.runtime.delivery import Outgoing, Route, Tally

FLUSH_SECONDS = 1.0

log = structlog.get_logger("stream_hb.worker")


class AtLeastOnce:
    """See :class:`stream_hb.runtime.delivery.Delivery`.

    Parameters
    ----------
    engine
        A new engine.
    inputs, outputs
        The transport.
    route
        Names of the output topics.
    last_epoch
        Newest epoch that readers know. Asked for where the group remembers none (a new group, a
        commit that expired): an epoch that goes back would be ignored by every reader, in silence.
    """

    guarantee = "at_least_once"

    def __init__(
        self,
        engine: Engine,
        inputs: InputClient,
        outputs: OutputClient,
        route: Route,
        last_epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self._engine = engine
        self._inputs = inputs
        self._outputs = outputs
        self._route = route
        self._last_epoch = last_epoch
        self._unopened: list[TopicPartition] = []
        self._catch_up = CatchUp()
        self._uncommitted: dict[TopicPartition, Committed] = {}
        self.tally = Tally()

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Take partitions that are to be opened."""
        self._unopened.extend(partitions)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that are another worker's now."""
        gone = set(partitions)
        self._unopened = [partition for partition in self._unopened if partition not in gone]
        for partition in gone:
            self._uncommitted.pop(partition, None)
        for number in {partition.partition for partition in gone}:
            self._engine.close_shard(number)
            self._catch_up.close(number)
            log.info("shard given up", shard=number)

    def open(self) -> None:
        """Start the assigned partitions; tried again at the next step if the broker is away."""
        if not self._unopened:
            return
        try:
            committed = self._inputs.committed(self._unopened)
            marks = {p: self._inputs.watermarks(p) for p in self._unopened}
            targets = {p: _target(p, committed.get(p), mark) for p, mark in marks.items()}
            epochs = self._next_epochs(committed)
            # Before anything is written under it: a crash must never use an epoch twice.
            self._inputs.commit(
                {p: Committed(targets[p], f"epoch={epochs[p.partition]}") for p in self._unopened}
            )
            self._inputs.start({p: mark.low for p, mark in marks.items()})
        except TransientError as error:
            log.warning("cannot start partitions yet", detail=str(error))
            return
        except GroupMovedError:
            return
        for number, epoch in epochs.items():
            mine = {p: mark for p, mark in marks.items() if p.partition == number}
            self._open_shard(number, epoch, mine)
            for p, mark in mine.items():
                self._catch_up.open(p, mark, targets[p])
        self._unopened = []

    def _next_epochs(self, committed: Mapping[TopicPartition, Committed]) -> dict[int, int]:
        """Return an epoch for each shard to be opened that no reader has seen of it."""
        nothing = Committed(0)
        known = {p: _epoch(committed.get(p, nothing).metadata) for p in self._unopened}
        last = self._last_epoch() if 0 in known.values() else 0
        epochs: dict[int, int] = defaultdict(int)
        for p, epoch in known.items():
            epochs[p.partition] = max(epochs[p.partition], (epoch or last) + 1)
        return epochs

    def _open_shard(self, number: int, epoch: int, marks: dict[TopicPartition, Watermarks]) -> None:
        starts = {(p.topic, p.partition): mark.low for p, mark in marks.items()}
        self._engine.open_shard(number, epoch, starts)
        self.tally.restores += 1
        behind = sum(mark.high - mark.low for mark in marks.values())
        log.info("shard opened", shard=number, epoch=epoch, events_to_read_first=behind)
        for p, mark in marks.items():
            if mark.low > 0:
                log.warning(
                    "the beginning of the input is gone: the state is rebuilt without it",
                    topic=p.topic,
                    partition=p.partition,
                    lost_offsets=f"0..{mark.low - 1}",
                )

    def ended(self, partitions: Iterable[TopicPartition]) -> None:
        """Take the client's word that nothing is left of partitions for now."""
        self._catch_up.ended(partitions)

    def wanted(self, batches: Iterable[RawBatch]) -> Mapping[int, list[RawBatch]]:
        """Return the batches of open shards, by shard."""
        by_shard: dict[int, list[RawBatch]] = defaultdict(list)
        for batch in batches:
            if batch.partition in self._engine.shards:
                by_shard[batch.partition].append(batch)
        return by_shard

    def behind(self, candidate: Candidate) -> set[int]:
        """Return the shards that have not read yet what was there when they were opened."""
        for shard in candidate.shards.values():
            self._catch_up.reached(shard.positions)
        return self._catch_up.shards

    def unopened(self) -> Mapping[TopicPartition, int]:
        """Return nothing: shards are open from the first, and read their input anew."""
        return {}

    def new_rejects(self, rejects: Iterable[Reject]) -> list[Reject]:
        """Return the rejects that were not written by an earlier owner."""
        return [reject for reject in rejects if self._catch_up.is_new(reject)]

    def deliver(self, out: Outgoing, stop: Event) -> bool:
        """Write and wait for the acknowledgement; False if told to stop before it came."""
        for topic, key, value in outgoing_records(out, self._route):
            while not self._taken(topic, key, value):
                if stop.is_set():
                    return False
        left = self._outputs.flush(FLUSH_SECONDS)
        if left:
            log.warning("records wait for the broker", records=left)
        while left and not stop.is_set():
            left = self._outputs.flush(FLUSH_SECONDS)
        return not left

    def _taken(self, topic: str, key: bytes, value: bytes | None) -> bool:
        """Hand a record over; False while too many wait for a broker that is away."""
        try:
            self._outputs.produce(topic, None, key, value)
        except TransientError as error:
            log.warning("cannot write yet", detail=str(error))
            return False
        return True

    def delivered(self, out: Outgoing) -> None:
        """Take note of what is to be committed."""
        for number in out.candidate.shards.keys() - self._catch_up.shards:
            epoch = f"epoch={self._engine.shards[number].epoch}"
            for (topic, partition), position in out.candidate.shards[number].positions.items():
                self._uncommitted[TopicPartition(topic, partition)] = Committed(
                    position.next_offset, epoch
                )

    def commit(self) -> None:
        """Commit what was delivered; a broker that is away is asked again at the next step."""
        if not self._uncommitted:
            return
        try:
            self._inputs.commit(self._uncommitted)
        except TransientError as error:
            log.warning("cannot commit yet", detail=str(error))
        except GroupMovedError as error:
            log.warning("the group moved on: nothing committed", detail=str(error))
        else:
            self._uncommitted = {}

    def finish(self) -> None:
        """Nothing is left to the next start: it reads the input from its beginning."""

    def close(self) -> None:
        """Commit and leave."""
        try:
            self.commit()
        finally:
            self._outputs.close()
            self._inputs.close()


def outgoing_records(out: Outgoing, route: Route) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Yield topic, key and value of every record that readers get."""
    for reject in out.rejects:
        key = f"{reject.topic}-{reject.partition}-{reject.offset}".encode()
        yield route.rejects, key, reject_record(reject)
    for record in out.refits:
        yield str(route.refits), record.key, record.value
    for record in out.emission.records if out.emission else []:
        yield route.estimates, record.key, record.value
    for name, records in (out.watched.records if out.watched else {}).items():
        for record in records:
            yield route.feeds[name], record.key, record.value


def _target(partition: TopicPartition, committed: Committed | None, marks: Watermarks) -> int:
    """Return up to where earlier owners had delivered, as far as the topic still reaches."""
    if committed is None:
        return marks.low
    if committed.offset > marks.high:
        # To wait for an offset that a new topic has not reached would be silence without an end.
        log.warning(
            "the input ends before what was committed: it is not the topic that it was",
            topic=partition.topic,
            partition=partition.partition,
            committed=committed.offset,
            end=marks.high,
        )
    return min(committed.offset, marks.high)


def _epoch(metadata: str) -> int:
    """Read the epoch out of a commit's metadata, 0 where it has none.

    >>> _epoch("epoch=7"), _epoch("")
    (7, 0)
    """
    name, _, number = metadata.partition("=")
    return int(number) if name == "epoch" and number.isdecimal() else 0
