"""The worker: polls a transport, drives the engine, delivers what follows.

How is its :class:`stream_hb.runtime.delivery.Delivery`'s: exactly once with transactions and a log
of the state, or at least once. No transaction is open and nothing is undelivered whenever the
transport is polled: so whatever a rebalance takes away can simply be dropped.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event

import structlog

from stream_hb.emitter import Emission
from stream_hb.engine import Candidate, Engine
from stream_hb.errors import BrokerError, LostError, SlotError, TopicError
from stream_hb.events.batch import RawBatch
from stream_hb.feeds.estimates import OutRecord
from stream_hb.refit import Refit
from stream_hb.runtime.batch_limit import SAMPLE, BatchLimit
from stream_hb.runtime.client import (
    ClientError,
    InputClient,
    TopicPartition,
    Trouble,
    TroubleKind,
)
from stream_hb.runtime.delivery import Delivery, Outgoing, Route, Tally
from stream_hb.runtime.durations import Durations
from stream_hb.runtime.pooling import OwnPooling, Pooling
from stream_hb.runtime.quiet import quiet_collector
from stream_hb.runtime.screen_limit import ROWS_BEHIND, ScreenLimit
from stream_hb.runtime.slots import OWN_SLOT

POLL_SECONDS = 0.05
"""How long events are collected for a batch, the work on the one before included: a batch has its
price, however few events it has, and to wait longer would only keep them waiting."""
IDLE_EMIT_MS = 1_000
"""Time between two looks for heartbeats while nothing comes."""
REPORT_MS = 10_000
REFIT_MS_MAX = 50
"""How long a step goes on beginning fits: a refit of many pools goes on in the next steps, or every
event that comes meanwhile would wait for all of them."""

_ENDS = {
    TroubleKind.OFFSET_LOST: LostError,
    TroubleKind.TOPIC_GONE: TopicError,
    TroubleKind.PARTITIONS_CHANGED: TopicError,
    TroubleKind.REFUSED: BrokerError,
    TroubleKind.FENCED: SlotError,
    TroubleKind.FATAL: BrokerError,
}

log = structlog.get_logger("stream_hb.worker")


def wall_clock_ms() -> int:
    """Return the time, epoch milliseconds UTC."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Status:
    """What the worker has done since its start.

    Attributes
    ----------
    delivery
        The guarantee.
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
    rebalances
        Changes of the assignment.
    took
        Time of the batches from the poll's end to the commit.
    undelivered
        Deliveries in turn, up to now, of which nothing was committed.
    stepped_at_ms
        Clock reading when the loop last came round.
    stopping
        Whether it was told to stop.
    """

    delivery: str
    events: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    records: int = 0
    emitted_refit_at_ms: int = 0
    rebuilding: int = 0
    rebalances: int = 0
    took: Durations = field(default_factory=Durations)
    undelivered: int = 0
    stepped_at_ms: int = 0
    stopping: bool = False


class Worker:
    """One member of the consumer group.

    Parameters
    ----------
    engine
        A new engine.
    inputs
        The transport.
    delivery
        How what follows is delivered.
    route
        Names of the output topics.
    clock_ms
        Reads the time.
    pooling
        Where the hyperparameters come from; None: from this worker's shards alone.
    screen_limit
        How many groups an emission looks at that nothing has come for; None: the usual.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: InputClient,
        delivery: Delivery,
        route: Route,
        clock_ms: Callable[[], int] = wall_clock_ms,
        pooling: Pooling | None = None,
        screen_limit: ScreenLimit | None = None,
    ) -> None:
        self.engine = engine
        self.status = Status(delivery.guarantee)
        self._inputs = inputs
        self._delivery = delivery
        self._pooling = pooling or OwnPooling(engine)
        self._route = route
        self._clock_ms = clock_ms
        self._limit = BatchLimit(route.batch_events, route.batch_seconds)
        self._refits: list[OutRecord] = []
        self._screen_limit = screen_limit or ScreenLimit()
        self._refit_goes_on = self._emission_goes_on = False  # in the next step
        self._emitted_at_ms = 0
        self._polled_at_ms = self._reported_at_ms = self.status.stepped_at_ms = clock_ms()
        self._brokers_down = False

    @property
    def tally(self) -> Tally:
        """What the delivery has been through."""
        return self._delivery.tally

    def next_offsets(self) -> dict[TopicPartition, int]:
        """Return where the input goes on, that of shards that are being restored too."""
        positions = {
            TopicPartition(*source): position.next_offset
            for shard in list(self.engine.shards.values())
            for source, position in shard.positions.items()
        }
        return {**self._delivery.unopened(), **positions}

    def now_ms(self) -> int:
        """Read the worker's clock."""
        return self._clock_ms()

    def run(self, stop: Event) -> None:
        """Work until told to stop; then leave."""
        with quiet_collector() as collect:
            try:
                while not stop.is_set():
                    if not self.step(stop):
                        collect()
                self.finish()
            finally:
                self.leave()

    def finish(self) -> None:
        """Do what a clean end leaves to the next start."""
        self.status.stopping = True
        self._delivery.finish()

    def leave(self) -> None:
        """Close everything: nothing is undelivered between two steps."""
        self.status.stopping = True
        self._delivery.close()
        self._pooling.close()
        log.info("left", events=self.status.events, records=self.status.records)

    def step(self, stop: Event) -> bool:
        """Poll once and deliver what follows; False when nothing came."""
        self.status.stepped_at_ms = self._clock_ms()
        polled = self._inputs.poll(self._limit.events, self._wait_seconds())
        self._polled_at_ms = self._clock_ms()
        self.status.rebalances += bool(polled.assigned or polled.revoked)
        # First of all: a trouble may end the worker, which then must not commit for a new owner.
        self._delivery.revoked(polled.revoked)
        for trouble in polled.troubles:
            self._take(trouble)
        self._delivery.assigned(polled.assigned)
        # Before shards are opened: this poll is from before their start, and to take its messages
        # for what follows that would lose what lies between.
        batches = self._delivery.wanted(polled.batches)
        # Before the client says what ends with these batches: they are yet to be read.
        was_whole = self._is_whole()
        self._delivery.ended(polled.ended)
        self._delivery.open()
        self._brokers_down = self._brokers_down and not batches
        self._work(batches, was_whole, stop)
        self._delivery.commit()
        self._report()
        return bool(batches)

    def _wait_seconds(self) -> float:
        """Return how long to wait for events: not at all where there is something else to do."""
        if self._refit_goes_on or self._emission_goes_on:
            return 0.0
        worked_seconds = (self._clock_ms() - self._polled_at_ms) / 1000
        return min(max(POLL_SECONDS - worked_seconds, 0.0), POLL_SECONDS)

    def _take(self, trouble: Trouble) -> None:
        ends = _ENDS.get(trouble.kind)
        if ends is not None:
            place = f"{trouble.where.topic}-{trouble.where.partition}: " if trouble.where else ""
            more = f". {OWN_SLOT}" if ends is SlotError else self._lost(trouble)
            raise ends(f"{place}{trouble.detail} ({trouble.kind.value}){more}")
        if trouble.kind is TroubleKind.BROKERS_DOWN and self._brokers_down:
            return
        self._brokers_down |= trouble.kind is TroubleKind.BROKERS_DOWN
        log.warning("trouble", kind=trouble.kind.value, detail=trouble.detail)

    def _lost(self, trouble: Trouble) -> str:
        """Name the events that a partition no longer keeps, as far as that can be told."""
        if trouble.kind is not TroubleKind.OFFSET_LOST or trouble.where is None:
            return ""
        shard = self.engine.shards.get(trouble.where.partition)
        position = shard.positions.get(trouble.where) if shard else None
        try:
            low, high = self._inputs.watermarks(trouble.where)
        except ClientError:
            return ""
        if position is None:
            return f": the topic now has {low}..{high}"
        wanted = position.next_offset
        gone = f"{wanted}..{low - 1}" if wanted < low else f"everything from {high}"
        return (
            f": events {gone} are gone before they were read (the topic now has {low}..{high}); "
            "--accept-loss goes on without them"
        )

    def _is_whole(self) -> bool:
        """Tell whether all shards have read what their input held, and their clocks are known.

        Of one that has not, something may belong to a tick that another's clock would close.
        """
        return not self._delivery.behind(Candidate({})) and self._pooling.knows_all_clocks()

    def _work(self, batches: Mapping[int, list[RawBatch]], was_whole: bool, stop: Event) -> None:
        """Ingest, refit, write, and only then make it the state."""
        now_ms = self._clock_ms()
        whole = was_whole and self._is_whole()
        candidate = self.engine.ingest(batches, now_ms, close_ticks=whole)
        watched = self.engine.watch(self._pooling.chain_ticks(candidate), now_ms)
        emission = self._emission(candidate, now_ms)
        rejects = self._delivery.new_rejects(candidate.rejects)
        told = self._pooling.broadcasts()
        out = Outgoing(candidate, rejects, self._refits, emission, told, watched)
        is_delivered = self._delivery.deliver(out, stop)
        if is_delivered:
            self._settle(out)
            self._delivery.delivered(out)
        sizes = [_size(batch) for some in batches.values() for batch in some]
        events, bytes_ = (sum(size) for size in zip((0, 0), *sizes, strict=True))
        seconds = (self._clock_ms() - now_ms) / 1000
        self._limit.took(events, bytes_, seconds)
        if out.is_something:
            self.status.took.add(seconds)
            self.status.undelivered = 0 if is_delivered else self.status.undelivered + 1

    def _emission(self, candidate: Candidate, now_ms: int) -> Emission | None:
        """Refit and emit if it is time, on nothing but shards that are whole."""
        behind = self._delivery.behind(candidate)
        self.status.rebuilding = len(behind)
        self._pooling.listen(now_ms)
        self._refit_goes_on = False
        if behind:
            self._emission_goes_on = False
            return None
        until_ms = self._clock_ms() + REFIT_MS_MAX
        refit = self._pooling.refit(now_ms, lambda: self._clock_ms() >= until_ms)
        if refit:
            self.engine.apply(refit)
            self._tell(refit)
        self._refit_goes_on = refit is not None and not refit.whole
        if not self._emission_is_due(candidate, now_ms):
            return None
        self._emitted_at_ms = now_ms
        return self._emitted(candidate, now_ms)

    def _emitted(self, candidate: Candidate, now_ms: int) -> Emission:
        """Emit; while live, not so much at once that what comes would wait for long."""
        live = _events(candidate) < self._limit.events // 2
        began_ms = self._clock_ms()
        rows_max = self._screen_limit.rows if live else ROWS_BEHIND
        emission = self.engine.emit(now_ms, candidate, rows_max=rows_max)
        seconds = (self._clock_ms() - began_ms) / 1000
        self._screen_limit.took(emission.waiting_count, emission.looked_count, seconds)
        self._emission_goes_on = emission.is_part
        return emission

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
        events = _events(candidate)
        live = 0 < events < self._limit.events // 2
        if live or self._emission_goes_on:
            return True
        if events and self.engine.settings.emission.everything_touched:
            return True
        wait_ms = self._route.behind_emit_ms if events else IDLE_EMIT_MS
        return now_ms - self._emitted_at_ms >= wait_ms

    def _settle(self, out: Outgoing) -> None:
        if out.watched:
            self.engine.apply(out.watched)
        self.engine.apply(out.candidate)
        self._refits = []
        self._pooling.delivered(out.broadcasts)
        if out.emission:
            self.engine.apply(out.emission)
            self.status.records += len(out.emission.records)
            self.status.emitted_refit_at_ms = self.engine.refitted_at_ms or 0
        self.status.accepted += out.candidate.accepted
        self.status.events += out.candidate.accepted + len(out.candidate.rejects)
        self.status.rejected.update(reject.reason for reject in out.rejects)

    def _report(self) -> None:
        now_ms = self._clock_ms()
        if now_ms - self._reported_at_ms < REPORT_MS:
            return
        self._reported_at_ms = now_ms
        log.info(
            "working",
            delivery=self.status.delivery,
            shards=len(self.engine.shards),
            rebuilding=self.status.rebuilding,
            groups=self.engine.groups_count,
            events=self.status.events,
            rejected=dict(self.status.rejected),
            records=self.status.records,
            refits=self.engine.refits,
            tallies=self.engine.tallies,
            watermark_ms=self.engine.watermark_ms(now_ms=now_ms),
        )


def _events(candidate: Candidate) -> int:
    return candidate.accepted + len(candidate.rejects)


def _size(batch: RawBatch) -> tuple[int, int]:
    """Return how many events a batch has and how many bytes, judged by some of them."""
    some = batch.payloads[::SAMPLE]
    bytes_ = sum(len(payload or b"") for payload in some)
    return len(batch.payloads), bytes_ * len(batch.payloads) // max(len(some), 1)
