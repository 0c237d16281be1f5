"""The engine: the one way through, without any I/O.

``ingest`` makes a candidate, ``emit`` the records that follow from it, ``refit`` new
hyperparameters; each returns a value, and only ``apply`` changes the state. So whatever drives the
engine (Kafka, files, a simulator) can drop what it could not deliver, and nothing is to be undone.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from stream_hb import state
from stream_hb.chain_ticks import ChainTick, chain_ticks
from stream_hb.emitter import Emission, emit
from stream_hb.errors import SnapshotError
from stream_hb.estimator import parts_of
from stream_hb.events.batch import RawBatch, Reject
from stream_hb.events.clock import EARLIEST_MS, SourceClock, watermark_ms
from stream_hb.events.decode import OPEN_KEY, Decoder
from stream_hb.moment import Moment
from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.pool_parts import LocalParts, PoolParts, all_chains
from stream_hb.refit import Refit, refit
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard, ShardCandidate
from stream_hb.statistics.table import GroupKey
from stream_hb.tick_feeds import HOME, Memory, TickFeed, TickMoment, Watched, watch
from stream_hb.timing import Position, Source

STALE_INPUT_MS = 300_000
"""Age of the newest event of the slowest source above which records are flagged."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the shards become if a batch is applied."""

    shards: dict[int, ShardCandidate]
    closing: int = 0
    """Ticks before this one are closed if it is applied."""

    @property
    def rejects(self) -> list[Reject]:
        """Messages that could not be used."""
        return [reject for shard in self.shards.values() for reject in shard.rejects]

    @property
    def accepted(self) -> int:
        """Number of events that were used."""
        return sum(shard.accepted for shard in self.shards.values())


class Engine:
    """State and hyperparameters of the shards that this process owns.

    Parameters
    ----------
    settings
        See :class:`stream_hb.settings.EngineSettings`.
    hash_key
        Key of the ids' hash: secret where events come from outside. A restored engine takes that
        of the snapshot.
    feeds
        Those that look at closed ticks, by name; they need ``settings.ticks``.

    Attributes
    ----------
    memory
        What these feeds remember.
    shards
        Those that this process owns, by number.
    pools
        The hyperparameters by pool.
    refits
        Number of the newest refit.
    refitted_at_ms
        Clock reading of the last refit, with or without news; None: there was none.
    srm_elsewhere
        The groups where another worker's feed says that arms have not the shares that they should.
    clocks_elsewhere
        How far the sources of other workers' shards reach: the watermark is that of all.

    Examples
    --------
    >>> engine = Engine(EngineSettings())
    >>> engine.open_shard(0, epoch=1)
    >>> engine.apply(engine.ingest({}))
    >>> engine.emit(now_ms=1_700_000_000_000).records
    []
    """

    def __init__(
        self,
        settings: EngineSettings,
        hash_key: bytes = OPEN_KEY,
        feeds: Mapping[str, TickFeed] = MappingProxyType({}),
    ) -> None:
        self.settings = settings
        self.memory = self._no_memory = Memory(feeds)
        self.hash_key = hash_key
        self.shards: dict[int, Shard] = {}
        self.pools: dict[Pool, PoolFit] = {}
        self.refits = 0
        self.refitted_at_ms: int | None = None
        self.srm_elsewhere: frozenset[GroupKey] = frozenset()
        self.clocks_elsewhere: Mapping[int, Sequence[SourceClock]] = {}
        self._decoders: dict[int, Decoder] = {}

    def open_shard(
        self, number: int, epoch: int, offsets: Mapping[Source, int] | None = None
    ) -> None:
        """Start a shard without events; ``offsets`` say where its sources will be read from."""
        shard = Shard(number, epoch, self.settings, self.hash_key)
        shard.positions = {source: Position(at) for source, at in (offsets or {}).items()}
        shard.register()
        self.adopt(shard)

    def adopt(self, shard: Shard) -> None:
        """Take a shard over that was restored."""
        self.shards[shard.number] = shard
        # A shard brings its key along: the next owner of its ids must find them again.
        self._decoders[shard.number] = Decoder(shard.hash_key)

    def close_shard(self, number: int) -> None:
        """Forget a shard that went to another owner; the pools' fits stay until the next refit."""
        self.shards.pop(number, None)
        self._decoders.pop(number, None)
        if number == HOME:
            self.memory = self._no_memory

    @property
    def groups_count(self) -> int:
        """Number of groups in all shards."""
        return sum(len(shard.table) for shard in self.shards.values())

    @property
    def tallies(self) -> dict[str, int]:
        """How much was seen and not counted, or not as it came; by name."""
        found: Counter[str] = Counter()
        for shard in self.shards.values():
            found.update(shard.attribution.tallies)
            found["arms_left_out"] += shard.arms.left_out
            found["orders"] += int(shard.orders.orders.sum())
            found["orders_without_value"] += int(shard.orders.zero_valued.sum())
            found["orders_capped"] += int(shard.orders.capped.sum())
            if shard.ledger is not None:
                found["late_for_tick"] += shard.ledger.late
        found.update(self.memory.tallies)
        return dict(found)

    def ingest(
        self,
        batches: Mapping[int, Sequence[RawBatch]],
        now_ms: int = 0,
        *,
        close_ticks: bool = True,
        reached_ms: int | None = None,
    ) -> Candidate:
        """Work out what batches change; changes nothing.

        A shard without a batch is asked too where the time that all sources have reached ends a
        pane of its windows: else a store would keep its last day for as long as its whole shard is
        silent. So is every shard where a tick is over: it is closed everywhere.

        Parameters
        ----------
        batches
            By the number of their shard.
        now_ms
            The driver's clock: it says which sources are idle, and what is from the future where
            it is the time of day.
        close_ticks
            Whether ticks that are over may be closed.
        reached_ms
            The time that all sources have reached; None: the watermark.
        """
        groups_left = self.settings.groups_max - self.groups_count
        if reached_ms is None:
            reached_ms = self.watermark_ms(now_ms=now_ms)
        closing = self._closing(reached_ms) if close_ticks else 0
        silent = {n: () for n, s in self.shards.items() if closing or s.moves_on(reached_ms)}
        made: dict[int, ShardCandidate] = {}
        for number, raws in {**silent, **batches}.items():
            decode = self._decoders[number].decode
            decoded = ((raw, decode(raw)) for raw in raws)
            made[number] = self.shards[number].ingest(
                decoded, groups_left, now_ms, reached_ms, closing
            )
            groups_left -= len(made[number].change.new_groups.keys)
        return Candidate(made, closing)

    def _closing(self, reached_ms: int) -> int:
        """Return the tick before which all are closed now; 0: none is over that was open.

        A tick in which nothing happened here is closed too: others wait for the word, and units
        become mature in it.
        """
        ledgers = [shard.ledger for shard in self.shards.values() if shard.ledger]
        clock = self.settings.ticks
        if clock is None or not ledgers:
            return 0
        closing = clock.next_open(reached_ms)
        return closing if closing > min(ledger.closed for ledger in ledgers) else 0

    def watch(self, ticks: Iterable[ChainTick], now_ms: int = 0) -> Watched:
        """Let the feeds look at closed ticks, ascending; changes nothing."""
        offsets = {
            f"{topic}-{partition}": position.next_offset
            for shard in self.shards.values()
            for (topic, partition), position in shard.positions.items()
        }
        epoch = self.shards[HOME].epoch if HOME in self.shards else 1
        mark_ms = self.watermark_ms(now_ms=now_ms)
        moment = TickMoment(now_ms, mark_ms, self.pools, offsets, epoch)
        return watch(self.memory, ticks, moment)

    def chain_ticks(self, closing: int) -> Iterator[ChainTick]:
        """Yield the open ticks before one, in order: what the feeds read when they are closed."""
        clock = self.settings.ticks
        if clock and closing:
            yield from chain_ticks(list(self.shards.values()), clock, closing)

    def parts(self) -> list[PoolParts]:
        """Return the parts of the pools that are in this process's shards."""
        return [LocalParts(shard, self.settings) for shard in self.shards.values()]

    def refit(
        self,
        now_ms: int,
        *,
        force: bool = False,
        every_pool: bool = False,
        elsewhere: Iterable[PoolParts] = (),
        enough: Callable[[], bool] = lambda: False,
    ) -> Refit | None:
        """Refit the pools whose data changed enough; None before it is due, or without groups.

        A pass over many pools may be made in several calls, with ``enough``: what comes between
        them need not wait for all.

        Parameters
        ----------
        now_ms
            Clock reading.
        force
            Now, due or not.
        every_pool
            Whether its data changed enough or not.
        elsewhere
            The parts in shards of other workers.
        enough
            Asked after every fit: whether the rest is left to the next call.
        """
        due_ms = (self.refitted_at_ms or 0) + self.settings.refit_every_ms
        if now_ms < due_ms and not force:
            return None
        # In one order, whoever has which shard: sums of floats hang on theirs.
        parts = sorted([*self.parts(), *elsewhere], key=lambda part: part.number)
        if not all_chains(parts):
            return None
        known = {} if every_pool else self.pools
        begun_ms, wanted_ms = None if force else due_ms, self.memory.half_lives_ms()
        return refit(
            parts, known, self.settings, self.refits + 1, now_ms, begun_ms, enough, wanted_ms
        )

    def adopt_pools(self, pools: Mapping[Pool, PoolFit], version: int, at_ms: int | None) -> None:
        """Take the hyperparameters that hold, and forget all others.

        Parameters
        ----------
        pools
            By chain and metric.
        version
            The newest refit that is known to any worker.
        at_ms
            Clock reading of the newest refit, with or without news; None: there was none.
        """
        self.pools = dict(pools)
        self.refits = version
        self.refitted_at_ms = at_ms
        self._rescreen()

    def emit(
        self,
        now_ms: int,
        candidate: Candidate | None = None,
        *,
        shards: Collection[int] | None = None,
        everything: bool = False,
        srm: Collection[GroupKey] | None = None,
        rows_max: int | None = None,
    ) -> Emission:
        """Work out the records due now, as if ``candidate`` were applied; changes nothing.

        Parameters
        ----------
        now_ms
            Clock reading: wall time in a worker, event time in a replay.
        candidate
            A batch that is not applied yet; its records and its state land together.
        shards
            The shards that may write; None: all.
        everything
            Write a record for every key, changed or not.
        srm
            Groups whose records say ``srm``: the arms of an experiment there do not have the shares
            that they should. None: those that the feed of experiments says.
        rows_max
            About how many groups are looked at that the candidate does not touch; the others wait
            for the next call. None: all. See :class:`stream_hb.unscreened.Unscreened`.
        """
        candidates = candidate.shards if candidate else {}
        mark_ms = self.watermark_ms(candidate, now_ms)
        flags = self._flags(now_ms, mark_ms)
        if srm is None:
            srm = self.memory.srm if HOME in self.shards else self.srm_elsewhere
        moment = Moment(now_ms, mark_ms, self.pools, everything, flags, frozenset(srm))
        chosen = {n: s for n, s in self.shards.items() if shards is None or n in shards}
        pairs = [(shard, candidates.get(number)) for number, shard in chosen.items()]
        return emit(pairs, moment, self.settings, rows_max)

    def watermark_ms(self, candidate: Candidate | None = None, now_ms: int = 0) -> int:
        """Return the event time up to which every source was read, less the lateness."""
        candidates = candidate.shards if candidate else {}
        clocks = [
            position.clock
            for shard in self.shards.values()
            for position in candidates.get(shard.number, shard).positions.values()
        ]
        for number, elsewhere in self.clocks_elsewhere.items():
            clocks.extend(elsewhere if number not in self.shards else ())
        return max(watermark_ms(clocks, self.settings.time.lateness_ms, now_ms), EARLIEST_MS)

    def _flags(self, now_ms: int, watermark_ms: int) -> tuple[str, ...]:
        refit_age_ms = now_ms - (self.refitted_at_ms or 0)
        # The watermark lags by the lateness even when every event is in time: not staleness.
        input_age_ms = now_ms - watermark_ms - self.settings.time.lateness_ms
        raised = {
            "stale_hyper": refit_age_ms > 2 * self.settings.refit_every_ms,
            "stale_input": input_age_ms > STALE_INPUT_MS,
        }
        return tuple(flag for flag, on in raised.items() if on)

    def apply(self, change: Candidate | Watched | Refit | Emission) -> None:
        """Make a candidate, what feeds made of it, a refit or a delivered emission the state."""
        if isinstance(change, Watched):
            self.memory = change.memory
        elif isinstance(change, Candidate):
            self._apply_candidate(change)
        elif isinstance(change, Refit):
            self._apply_refit(change)
        else:
            self._apply_emission(change)

    def _apply_candidate(self, candidate: Candidate) -> None:
        for number, shard in candidate.shards.items():
            self.shards[number].apply(shard)

    def _apply_refit(self, change: Refit) -> None:
        if change.whole:
            self.refitted_at_ms = change.at_ms
        if change.pools:
            self.refits = change.version
            self.pools = {**self.pools, **change.pools}
            for shard in self.shards.values():
                self._mark_refitted(shard, change.pools.keys())
        if change.whole and self.settings.forgetting:  # what is silent fades
            self._rescreen()

    def _mark_refitted(self, shard: Shard, pools: Collection[Pool]) -> None:
        for metric in self.settings.emitted_metrics:
            parts = parts_of(metric, self.settings)
            chains = {chain for chain, part in pools if part in parts}
            shard.unscreened.mark(shard.table.rows_of_chains(chains), [metric])

    def _rescreen(self) -> None:
        for shard in self.shards.values():
            shard.unscreened.mark_all(len(shard.table))

    def _apply_emission(self, emission: Emission) -> None:
        for update in emission.updates:
            emitted = self.shards[update.shard].emitted
            emitted[update.metric] = emitted[update.metric].put(update.rows, update.emitted)
        for looked in emission.looked:
            self.shards[looked.shard].unscreened.look(looked)

    def snapshot(self) -> bytes:
        """Return the whole state as bytes."""
        return state.encode(self._state())

    def restore(self, snapshot: bytes) -> None:
        """Become the engine that made the snapshot; this one must be new."""
        values = state.decode(snapshot)
        kept = sorted(values["metrics"])
        if kept != sorted(self.settings.emitted_metrics):
            raise SnapshotError(f"the snapshot is of other metrics: {', '.join(kept)}")
        self.hash_key = values["hash_key"]
        for state_of_shard in values["shards"]:
            shard = Shard(state_of_shard["number"], state_of_shard["epoch"], self.settings)
            shard.restore(state_of_shard)
            self.adopt(shard)
        self.pools = {(chain, metric): state.rebuilt(fit) for chain, metric, fit in values["pools"]}
        self.refits = values["refits"]
        self.refitted_at_ms = values["refitted_at_ms"]
        self.remember(values.get("feeds", {}))

    def remember(self, papers: Mapping[str, bytes]) -> None:
        """Let the feeds remember what stands in a log."""
        self.memory = self._no_memory.remembering(papers)

    def _state(self) -> dict[str, Any]:
        return {
            "metrics": list(self.settings.emitted_metrics),
            "hash_key": self.hash_key,
            "shards": [shard.snapshot() for shard in self.shards.values()],
            "pools": [[*pool, state.plain(fit)] for pool, fit in self.pools.items()],
            "refits": self.refits,
            "refitted_at_ms": self.refitted_at_ms,
            "feeds": self.memory.papers(),
        }
