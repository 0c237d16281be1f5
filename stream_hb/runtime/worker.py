"""The worker: polls a transport, drives the engine, delivers what follows.

At-least-once: input offsets are committed only after the records that follow from them are
acknowledged. The state lives in memory, so a worker that gets a partition reads its input from the
beginning and goes on under a new epoch (kept in the commit's metadata). Until all of its shards
have read what their input held when they were opened, which is more than what was committed, it
refits and emits nothing; rejects from before the committed offsets are not written again.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Event

import structlog

from stream_hb.emitter import Emission
from stream_hb.engine import Candidate, Engine
from stream_hb.errors import BrokerError, StreamHBError, TopicError
from stream_hb.events.batch import RawBatch, Reject
from stream_hb.events.rejects import reject_record
from stream_hb.feeds.estimates import OutRecord
from stream_hb.refit import Refit
from stream_hb.runtime.catch_up import CatchUp
from stream_hb.runtime.client import (
    Committed,
    GroupMovedError,
    InputClient,
    OutputClient,
    TopicPartition,
    TransientError,
    Trouble,
    TroubleKind,
    Watermarks,
)
from stream_hb.runtime.quiet import quiet_collector

POLL_SECONDS = 0.05
IDLE_EMIT_MS = 1_000
"""Time between two looks for heartbeats while nothing comes."""
REPORT_MS = 10_000
FLUSH_SECONDS = 1.0

_ENDS = {
    TroubleKind.OFFSET_LOST: StreamHBError,
    TroubleKind.TOPIC_GONE: TopicError,
    TroubleKind.REFUSED: BrokerError,
    TroubleKind.FENCED: StreamHBError,
    TroubleKind.FATAL: BrokerError,
}

log = structlog.get_logger("stream_hb.worker")


def wall_clock_ms() -> int:
    """Return the time, epoch milliseconds UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Route:
    """Where records go, and how much is read at once.

    Attributes
    ----------
    estimates, rejects
        Names of the topics.
    batch_events
        Events taken in one batch.
    behind_emit_ms
        Time between two emissions while the worker is behind; 0: with every batch.
    refits
        Name of the topic of refits; None: they are logged only.
    """

    estimates: str
    rejects: str
    batch_events: int = 40_000
    behind_emit_ms: int = 5_000
    refits: str | None = None


@dataclass(slots=True)
class Status:
    """What the worker has done since its start.

    Attributes
    ----------
    events
        Events received: those read again after a restart, too.
    accepted
        Events used.
    rejected
        Rejects written, by reason.
    records
        Estimates delivered.
    emitted_refit_at_ms
        Clock reading of the newest refit whose estimates are delivered.
    rebuilding
        Shards that have not read yet what their input held when they were opened.
    """

    events: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    records: int = 0
    emitted_refit_at_ms: int = 0
    rebuilding: int = 0


class Worker:
    """One member of the consumer group.

    Parameters
    ----------
    engine
        A new engine.
    inputs, outputs
        The transport.
    route
        Names of the output topics.
    clock_ms
        Reads the time.
    last_epoch
        Newest epoch that readers know. Asked for where the group remembers none (a new group, a
        commit that expired): an epoch that goes back would be ignored by every reader, in silence.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: InputClient,
        outputs: OutputClient,
        route: Route,
        clock_ms: Callable[[], int] = wall_clock_ms,
        last_epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.engine = engine
        self.status = Status()
        self._inputs = inputs
        self._outputs = outputs
        self._route = route
        self._clock_ms = clock_ms
        self._last_epoch = last_epoch
        self._unopened: list[TopicPartition] = []
        self._catch_up = CatchUp()
        self._uncommitted: dict[TopicPartition, Committed] = {}
        self._refits: list[OutRecord] = []
        self._emitted_at_ms = 0
        self._reported_at_ms = clock_ms()
        self._brokers_down = False

    def run(self, stop: Event) -> None:
        """Work until told to stop; then commit and leave."""
        with quiet_collector() as collect:
            try:
                while not stop.is_set():
                    if not self.step(stop):
                        collect()
            finally:
                self._leave()

    def step(self, stop: Event) -> bool:
        """Poll once and deliver what follows; False when nothing came."""
        polled = self._inputs.poll(self._route.batch_events, POLL_SECONDS)
        # First of all: a trouble may end the worker, which then must not commit for a new owner.
        self._close(polled.revoked)
        for trouble in polled.troubles:
            self._take(trouble)
        self._unopened.extend(polled.assigned)
        self._open()
        self._catch_up.ended(polled.ended)
        batches = self._by_shard(polled.batches)
        self._brokers_down = self._brokers_down and not batches
        self._deliver(batches, stop)
        self._commit()
        self._report()
        return bool(batches)

    def _take(self, trouble: Trouble) -> None:
        ends = _ENDS.get(trouble.kind)
        if ends is not None:
            place = f"{trouble.where.topic}-{trouble.where.partition}: " if trouble.where else ""
            raise ends(f"{place}{trouble.detail} ({trouble.kind.value})")
        if trouble.kind is TroubleKind.BROKERS_DOWN and self._brokers_down:
            return
        self._brokers_down |= trouble.kind is TroubleKind.BROKERS_DOWN
        log.warning("trouble", kind=trouble.kind.value, detail=trouble.detail)

    def _close(self, revoked: Iterable[TopicPartition]) -> None:
        gone = set(revoked)
        self._unopened = [partition for partition in self._unopened if partition not in gone]
        for partition in gone:
            self._uncommitted.pop(partition, None)
        for number in {partition.partition for partition in gone}:
            self.engine.close_shard(number)
            self._catch_up.close(number)
            log.info("shard given up", shard=number)

    def _open(self) -> None:
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
        self.engine.open_shard(number, epoch, starts)
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

    def _by_shard(self, batches: Iterable[RawBatch]) -> dict[int, list[RawBatch]]:
        by_shard: dict[int, list[RawBatch]] = defaultdict(list)
        for batch in batches:
            if batch.partition in self.engine.shards:
                by_shard[batch.partition].append(batch)
        return by_shard

    def _deliver(self, batches: dict[int, list[RawBatch]], stop: Event) -> None:
        """Ingest, refit, write, and only then make it the state."""
        now_ms = self._clock_ms()
        candidate = self.engine.ingest(batches, now_ms)
        rejects = [reject for reject in candidate.rejects if self._catch_up.is_new(reject)]
        emission = self._emission(candidate, now_ms)
        if self._written(rejects, emission, stop):
            self._settle(candidate, emission, rejects)

    def _emission(self, candidate: Candidate, now_ms: int) -> Emission | None:
        """Refit and emit if it is time, on nothing but shards that have caught up."""
        for shard in candidate.shards.values():
            self._catch_up.reached(shard.positions)
        self.status.rebuilding = len(self._catch_up.shards)
        if self._catch_up.shards:
            return None
        refit = self.engine.refit(now_ms)
        if refit:
            self.engine.apply(refit)
            self._tell(refit)
        if not self._emission_is_due(candidate, now_ms):
            return None
        self._emitted_at_ms = now_ms
        return self.engine.emit(now_ms, candidate)

    def _tell(self, refit: Refit) -> None:
        """Log what the refit found; keep its records until they are written."""
        for (chain, metric), pool in refit.pools.items():
            log.info(
                "refit",
                chain=chain,
                metric=metric,
                version=pool.version,
                method=pool.fit.method,
                groups=pool.fit.groups_count,
                hyperparameters=pool.parameters(),
                warnings=list(pool.warnings()),
            )
        if self._route.refits:
            self._refits.extend(refit.records(self.engine.settings.level))

    def _emission_is_due(self, candidate: Candidate, now_ms: int) -> bool:
        """Emit with every batch when live, seldom when behind or idle.

        Behind, an estimate is out of date before it is read: writing one with every batch would
        only make the worker stay behind for longer.
        """
        events = candidate.accepted + len(candidate.rejects)
        live = 0 < events < self._route.batch_events // 2
        if live or (events and self.engine.settings.emission.everything_touched):
            return True
        wait_ms = self._route.behind_emit_ms if events else IDLE_EMIT_MS
        return now_ms - self._emitted_at_ms >= wait_ms

    def _written(self, rejects: list[Reject], emission: Emission | None, stop: Event) -> bool:
        """Write and wait for the acknowledgement; False if told to stop before it came."""
        for topic, key, value in self._outgoing(rejects, emission):
            while not self._taken(topic, key, value):
                if stop.is_set():
                    return False
        left = self._outputs.flush(FLUSH_SECONDS)
        if left:
            log.warning("records wait for the broker", records=left)
        while left and not stop.is_set():
            left = self._outputs.flush(FLUSH_SECONDS)
        return not left

    def _outgoing(
        self, rejects: list[Reject], emission: Emission | None
    ) -> Iterator[tuple[str, bytes, bytes | None]]:
        """Yield topic, key and value of every record."""
        for reject in rejects:
            key = f"{reject.topic}-{reject.partition}-{reject.offset}".encode()
            yield self._route.rejects, key, reject_record(reject)
        for record in self._refits:
            yield str(self._route.refits), record.key, record.value
        for record in emission.records if emission else []:
            yield self._route.estimates, record.key, record.value

    def _taken(self, topic: str, key: bytes, value: bytes | None) -> bool:
        """Hand a record over; False while too many wait for a broker that is away."""
        try:
            self._outputs.produce(topic, None, key, value)
        except TransientError as error:
            log.warning("cannot write yet", detail=str(error))
            return False
        return True

    def _settle(
        self,
        candidate: Candidate,
        emission: Emission | None,
        rejects: list[Reject],
    ) -> None:
        self.engine.apply(candidate)
        self._refits = []
        if emission:
            self.engine.apply(emission)
            self.status.records += len(emission.records)
            self.status.emitted_refit_at_ms = self.engine.refitted_at_ms or 0
        self.status.accepted += candidate.accepted
        self.status.events += candidate.accepted + len(candidate.rejects)
        self.status.rejected.update(reject.reason for reject in rejects)
        for number in candidate.shards.keys() - self._catch_up.shards:
            epoch = f"epoch={self.engine.shards[number].epoch}"
            for (topic, partition), position in candidate.shards[number].positions.items():
                self._uncommitted[TopicPartition(topic, partition)] = Committed(
                    position.next_offset, epoch
                )

    def _commit(self) -> None:
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

    def _report(self) -> None:
        now_ms = self._clock_ms()
        if now_ms - self._reported_at_ms < REPORT_MS:
            return
        self._reported_at_ms = now_ms
        log.info(
            "working",
            shards=len(self.engine.shards),
            rebuilding=self.status.rebuilding,
            groups=self.engine.groups_count,
            events=self.status.events,
            rejected=sum(self.status.rejected.values()),
            records=self.status.records,
            refits=self.engine.refits,
            tallies=self.engine.tallies,
            watermark_ms=self.engine.watermark_ms(now_ms=now_ms),
        )

    def _leave(self) -> None:
        try:
            self._commit()
        finally:
            self._outputs.close()
            self._inputs.close()
        log.info("left", events=self.status.events, records=self.status.records)


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
