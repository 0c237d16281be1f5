"""What the worker asks of a way to deliver: at least once, or exactly once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from stream_hb.emitter import Emission
from stream_hb.engine import Candidate
from stream_hb.events.batch import RawBatch, Reject
from stream_hb.feeds.estimates import OutRecord
from stream_hb.runtime.client import TopicPartition
from stream_hb.runtime.pooling import Broadcast
from stream_hb.tick_feeds import Watched


@dataclass(frozen=True, slots=True)
class Route:
    """Where records go, and how much is read at once.

    Attributes
    ----------
    estimates, rejects
        Names of the topics.
    batch_events, batch_seconds
        Most events taken in one batch, and most time for it; see
        :class:`stream_hb.runtime.batch_limit.BatchLimit`.
    behind_emit_ms
        Time between two emissions while the worker is behind; 0: with every batch.
    refits
        Name of the topic of refits; None: they are logged only.
    state
        Name of the topic of the state; delivery at least once has none.
    feeds
        Names of the topics of the feeds that look at ticks, by the feeds' names.
    """

    estimates: str
    rejects: str
    batch_events: int = 40_000
    behind_emit_ms: int = 5_000
    refits: str | None = None
    state: str | None = None
    batch_seconds: float = 3.0
    feeds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What follows from one batch, and becomes the state once it is delivered.

    Attributes
    ----------
    candidate
        What the batch makes of the shards.
    rejects
        What could not be used of it.
    refits
        Records of refits since the last delivery.
    emission
        Estimates; None: it is not their time.
    broadcasts
        What the other workers are told.
    watched
        What the feeds make of the ticks that the batch closes; None: there are no feeds.
    """

    candidate: Candidate
    rejects: list[Reject]
    refits: list[OutRecord]
    emission: Emission | None
    broadcasts: list[Broadcast] = field(default_factory=list)
    watched: Watched | None = None

    @property
    def is_something(self) -> bool:
        """Whether there is anything to write or to commit."""
        emitted = self.emission is not None and bool(self.emission.records)
        watched = self.watched is not None and self.watched.ticks > 0
        return bool(self.candidate.shards or self.refits or emitted or self.broadcasts or watched)


@dataclass(slots=True)
class Tally:
    """What a delivery has been through.

    Attributes
    ----------
    aborts
        Transactions that were not committed, by cause.
    restores
        Shards that were restored or begun; not those that were taken back as they were in memory.
    restore_seconds
        How long their logs were read, all together.
    snapshots
        Snapshots on the local disk, by what became of them: used, written, failed, or why one was
        not used.
    warm
        Shards that came back: taken back as they were in memory, or refused and read from the log.
    """

    aborts: Counter[str] = field(default_factory=Counter)
    restores: int = 0
    restore_seconds: float = 0.0
    snapshots: Counter[str] = field(default_factory=Counter)
    warm: Counter[str] = field(default_factory=Counter)


class Delivery(Protocol):
    """Opens the shards of assigned partitions, and delivers what follows from their events.

    Attributes
    ----------
    guarantee
        Its name, for the status.
    tally
        What it has been through.
    """

    guarantee: str
    tally: Tally

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Take partitions that are to be opened."""
        ...

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that are another worker's now."""
        ...

    def open(self) -> None:
        """Go on opening what was assigned, for a moment."""
        ...

    def ended(self, partitions: Iterable[TopicPartition]) -> None:
        """Take the client's word that nothing is left of partitions for now."""
        ...

    def wanted(self, batches: Iterable[RawBatch]) -> Mapping[int, list[RawBatch]]:
        """Return the batches of open shards, by shard."""
        ...

    def behind(self, candidate: Candidate, /) -> set[int]:
        """Return the shards that are not ready for a refit, once a candidate is applied."""
        ...

    def unopened(self) -> Mapping[TopicPartition, int]:
        """Return where the input of shards goes on that are not open yet, where that is known."""
        ...

    def new_rejects(self, rejects: Iterable[Reject]) -> list[Reject]:
        """Return the rejects that were not written by an earlier owner."""
        ...

    def deliver(self, out: Outgoing, stop: Event) -> bool:
        """Write; False where it was not delivered, so that it must not become the state."""
        ...

    def delivered(self, out: Outgoing, /) -> None:
        """Take note that what was delivered is the state now."""
        ...

    def commit(self) -> None:
        """Commit what is the state, where that was not part of the delivery."""
        ...

    def finish(self) -> None:
        """Do what a clean end leaves to the next start; nothing is delivered any more."""
        ...

    def close(self) -> None:
        """Leave."""
        ...
