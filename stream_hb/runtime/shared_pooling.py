"""Hyperparameters across workers.

Every worker tells what its shards have of the pools, and how far their sources reach: absolute
rows, in the transaction that carries the shard's offsets (topic ``summaries``, partition = shard).
The owner of shard 0 refits for all: it merges these rows with its own shards, and tells the fits
and all clocks to everyone (topic ``hyper``, one partition). Who owns shard 0 is the group's
decision, so the job moves with it when a worker dies, and a zombie's refit is fenced with the
shard's offsets.

A refit needs every shard: with some of them missing, the pools would jump. The watermark is the
chain's: the clocks of other workers' shards travel with the fits.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import structlog

from stream_hb.chain_ticks import ChainTick, closing_parts
from stream_hb.engine import Candidate, Engine
from stream_hb.events.clock import SourceClock
from stream_hb.findings import sample_size
from stream_hb.metrics import METRICS
from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.pool_parts import Asked, LocalParts
from stream_hb.refit import Refit
from stream_hb.runtime.client import StateClient, TransientError
from stream_hb.runtime.pooling import Broadcast
from stream_hb.runtime.told_rows import ToldRows, check_group
from stream_hb.shard import Shard
from stream_hb.summary_rows import (
    CLOCKS_KEY,
    SPLITS_KEY,
    Clocks,
    chain_row,
    chunk_key,
    chunks,
    clocks_row,
    fit_row,
    pool_key,
    read_clocks,
    read_fit,
    read_pool_key,
    read_splits,
    splits_row,
)
from stream_hb.tick_rows import CLOSED_KEY, closed_row, tick_key, tick_row

REFITTER = 0
"""The shard whose owner refits for all."""

LISTEN_MS = 200
"""Time between two looks at what others say."""

log = structlog.get_logger("stream_hb.pooling")


@dataclass(frozen=True, slots=True)
class Board:
    """Where workers tell each other of the pools.

    Attributes
    ----------
    summaries, hyper
        Names of the topics.
    partitions_count
        Number of shards.
    group
        The consumer group.
    writer
        This worker's slot.
    """

    summaries: str
    hyper: str
    partitions_count: int
    group: str
    writer: str


@dataclass(slots=True)
class _Told:
    """What others know of a shard.

    Attributes
    ----------
    shard
        The shard as it was; another object is one that was restored since, and tells all anew.
    chains
        By chain, the shard's revision in the row that was delivered.
    clocks
        The clocks that were delivered.
    looked_at_ms
        Clock reading of the last row: whoever retires after it changes the rows.
    """

    shard: Shard
    chains: dict[str, int] = field(default_factory=dict)
    clocks: bytes = b""
    looked_at_ms: int = 0


class SharedPooling:
    """See :class:`stream_hb.runtime.pooling.Pooling`.

    Parameters
    ----------
    engine
        The engine.
    summaries, hyper
        Readers of the two topics.
    board
        Where to tell.
    """

    def __init__(
        self, engine: Engine, summaries: StateClient, hyper: StateClient, board: Board
    ) -> None:
        self._engine = engine
        self._hyper = hyper
        self._clients = (summaries, hyper)
        self._board = board
        self._rows = ToldRows(summaries, board.partitions_count, board.group)
        self._told: dict[int, _Told] = {}
        self._published: dict[Pool, PoolFit] = {}
        self._version = 0
        self._refitted_at_ms: int | None = None
        self._hyper_end: int | None = None
        self._hyper_position = 0
        self._listened_at_ms = 0
        self._told_at_ms = 0
        self._refitter: Shard | None = None
        self._listening = False
        self._heard: list[tuple[bytes, bytes]] = []
        self._made: Refit | None = None
        self._unpublished: list[Broadcast] = []
        self._untold: dict[Broadcast, tuple[int, str, int]] = {}
        self._ticks: list[Broadcast] = []
        self._shown = 0

    def listen(self, now_ms: int) -> None:
        """Take what other workers say; and see whether this one refits for all."""
        self._forget_lost()
        if now_ms - self._listened_at_ms < LISTEN_MS:
            return
        self._listened_at_ms = now_ms
        try:
            self._hear()
        except TransientError as error:
            log.warning("cannot hear the other workers yet", detail=str(error))

    def _forget_lost(self) -> None:
        """Drop what only the owner may say of shards that are lost, or were restored since."""
        shards = self._engine.shards
        for number in [n for n, told in self._told.items() if shards.get(n) is not told.shard]:
            del self._told[number]
        self._untold = {b: known for b, known in self._untold.items() if b.shard in self._told}
        if self._refitter is shards.get(REFITTER):
            return
        self._refitter = shards.get(REFITTER)
        self._rows.close()
        self._hyper_end = None
        if self._unpublished:
            # Nobody will ever see that refit; records must not be made with it.
            self._unpublished = []
            self._engine.adopt_pools(self._published, self._version, self._refitted_at_ms)

    def _hear(self) -> None:
        if self._hyper_end is None:
            self._open()
        if self._refitter is not None:
            self._rows.listen()
        for records, position in self._hyper.poll(0.0).values():
            self._heard += [(key, value) for key, value in records if value is not None]
            self._hyper_position = position
        if self._has_heard_all():
            # Not before: what is not compacted yet begins with the fits of long ago.
            self._take(self._heard)
            self._heard = []
        if self._refitter is not None:
            self._engine.clocks_elsewhere = dict(self._rows.clocks)

    def _open(self) -> None:
        if not self._listening:
            self._hyper.open(0)
            self._listening = True
        if self._refitter is not None:
            self._rows.open()
        self._hyper_end = self._hyper.end(0)

    def _has_heard_all(self) -> bool:
        return self._hyper_end is not None and self._hyper_position >= self._hyper_end

    def _take(self, records: list[tuple[bytes, bytes]]) -> None:
        """Take over fits that are newer than what is known."""
        found: dict[Pool, PoolFit] = {}
        at_ms = None
        for key, value in records:
            if key == CLOCKS_KEY:
                told = read_clocks(value)
                check_group(told.group, self._board.group)
                self._engine.clocks_elsewhere = told.shards
                at_ms = told.at_ms
                self._version = max(self._version, told.version)
                continue
            if key == SPLITS_KEY:
                group, self._engine.srm_elsewhere = read_splits(value)
                check_group(group, self._board.group)
                continue
            version, fit = read_fit(value)
            self._version = max(self._version, version)
            if fit is not None:
                found[read_pool_key(key)] = fit
        self._adopt(found, at_ms)

    def _adopt(self, found: dict[Pool, PoolFit], at_ms: int | None) -> None:
        news = {p: f for p, f in found.items() if _is_newer(f, self._published.get(p))}
        self._published |= news
        fresh = {p: f for p, f in news.items() if _is_newer(f, self._engine.pools.get(p))}
        if at_ms is None:
            at_ms = max((fit.fitted_at_ms for fit in news.values()), default=None)
        if at_ms is not None:
            self._refitted_at_ms = max(at_ms, self._refitted_at_ms or 0)
        if fresh:
            log.info("hyperparameters of another worker", pools=len(fresh), version=self._version)
            self._engine.apply(Refit(self._version, self._refitted_at_ms or 0, fresh))
        self._engine.refits = max(self._engine.refits, self._version)
        if self._refitter is None and self._refitted_at_ms is not None:
            self._engine.refitted_at_ms = self._refitted_at_ms

    def refit(self, now_ms: int, enough: Callable[[], bool]) -> Refit | None:
        """Tell of the own shards when it is time; refit if this worker does it for all."""
        if now_ms - self._told_at_ms >= self._engine.settings.refit_every_ms:
            self._told_at_ms = now_ms
            self._untold = dict(self._news(now_ms))
        if self._refitter is None or not self._is_ready() or self._unpublished:
            return None
        elsewhere = self._rows.parts(self._engine.shards)
        made = self._engine.refit(now_ms, elsewhere=elsewhere, enough=enough)
        if made is not None:
            self._unpublished = list(self._publication(made))
            self._made = made
        return made

    def knows_all_clocks(self) -> bool:
        """Tell whether it is known how far all shards of the group have been read."""
        known = self._engine.shards.keys() | self._engine.clocks_elsewhere.keys()
        return len(known) == self._board.partitions_count

    def chain_ticks(self, candidate: Candidate) -> Iterable[ChainTick]:
        """Return the ticks that all shards have closed, where this worker runs the feeds.

        What the own shards close is told first, and comes back with that of the others: so there
        is one order for all, whoever has which shard.
        """
        self._ticks = list(self._closings(candidate.closing))
        self._shown = 0
        clock = self._engine.settings.ticks
        if clock is None or self._refitter is None or self._rows.lacks(()):
            return []
        self._shown = self._rows.ticks.ready(range(self._board.partitions_count))
        summaries = self._board.summaries
        self._ticks += [
            Broadcast(summaries, number, key, None, REFITTER)
            for number, key in self._rows.ticks.places(self._shown)
        ]
        kinds = {name: METRICS[name].statistic for name in self._engine.settings.methods}
        return self._rows.ticks.chain_ticks(self._shown, clock, kinds)

    def _closings(self, closing: int) -> Iterator[Broadcast]:
        """Yield what the own shards' stores did in the ticks that are closed now."""
        clock = self._engine.settings.ticks
        if clock is None or not closing:
            return
        for number, shard in self._engine.shards.items():
            for tick, parts in sorted(closing_parts(shard, clock, closing).items()):
                row = tick_row(parts)
                for place, value in enumerate(chunks(row, f"{self._board.writer} {closing}")):
                    yield self._of(number, tick_key(tick, place), value)
            yield self._of(number, CLOSED_KEY, closed_row(closing))

    def _is_ready(self) -> bool:
        """Tell whether everything that others said is known: a refit of a part would jump."""
        return self._has_heard_all() and not self._rows.lacks(self._engine.shards)

    def _publication(self, made: Refit) -> Iterator[Broadcast]:
        hyper = self._board.hyper
        for pool, fit in made.pools.items():
            yield Broadcast(hyper, 0, pool_key(pool), fit_row(fit), REFITTER)
        others = self._board.partitions_count > len(self._engine.shards)
        if made.pools or others:  # nobody but the others wants to know that nothing is new
            version = made.version if made.pools else self._engine.refits
            clocks = self._rows.clocks | {n: _clocks(s) for n, s in self._engine.shards.items()}
            told = Clocks(self._board.group, version, self._refit_at_ms(made) or 0, clocks)
            yield Broadcast(hyper, 0, CLOCKS_KEY, clocks_row(told), REFITTER)
        if others and self._engine.settings.units:
            splits = splits_row(self._board.group, self._engine.memory.srm)
            yield Broadcast(hyper, 0, SPLITS_KEY, splits, REFITTER)

    def _refit_at_ms(self, made: Refit) -> int | None:
        """Return when the newest refit of all pools was, once this one is told.

        Of one that goes on it is the one before: whoever goes on in this worker's place must find
        it due.
        """
        return made.at_ms if made.whole else self._refitted_at_ms

    def _news(self, now_ms: int) -> Iterator[tuple[Broadcast, tuple[int, str, int]]]:
        """Yield what is new of the own shards: each record, and what to remember of it."""
        settings = self._engine.settings
        most = sample_size(self._board.partitions_count)
        for number, shard in self._engine.shards.items():
            told = self._told.setdefault(number, _Told(shard))
            if shard.membership.changes(told.looked_at_ms, now_ms):
                told.chains.clear()
            told.looked_at_ms = now_ms
            parts = LocalParts(shard, settings)
            for chain, revision in shard.chain_revisions.items():
                if told.chains.get(chain) == revision:
                    continue
                asked = [
                    Asked(chain, metric, now_ms, half_life_ms)
                    for metric in settings.methods
                    for half_life_ms in settings.candidates(metric)
                ]
                row = chain_row(parts, asked, most)
                stamp = f"{self._board.writer} {now_ms}"
                for place, value in enumerate(chunks(row, stamp)):
                    key = chunk_key(chain, place)
                    yield self._of(number, key, value), (number, chain, revision)
            clocks = clocks_row(Clocks(self._board.group, 0, 0, {number: _clocks(shard)}))
            if clocks != told.clocks:
                yield self._of(number, CLOCKS_KEY, clocks), (number, "", 0)

    def _of(self, number: int, key: bytes, value: bytes) -> Broadcast:
        return Broadcast(self._board.summaries, number, key, value, number)

    def broadcasts(self) -> list[Broadcast]:
        """Return what is to be told, until it was delivered."""
        self._forget_lost()
        return [*self._untold, *self._unpublished, *self._ticks]

    def delivered(self, told: Collection[Broadcast]) -> None:
        """Take note of what the others know now."""
        self._rows.ticks.forget(self._shown)
        for broadcast in told:
            known = self._untold.pop(broadcast, None)
            if known is not None:
                self._remember(broadcast, *known)
        if self._made is not None and self._unpublished and set(self._unpublished) <= set(told):
            self._unpublished = []
            self._published |= self._made.pools
            self._version = max(self._version, self._engine.refits)
            self._refitted_at_ms = self._refit_at_ms(self._made)

    def _remember(self, broadcast: Broadcast, number: int, chain: str, revision: int) -> None:
        if broadcast.key == CLOCKS_KEY:
            self._told[number].clocks = broadcast.value or b""
        else:
            self._told[number].chains[chain] = revision

    def close(self) -> None:
        """Leave."""
        for client in self._clients:
            client.close()


def _is_newer(fit: PoolFit, known: PoolFit | None) -> bool:
    return known is None or fit.version > known.version


def _clocks(shard: Shard) -> tuple[SourceClock, ...]:
    return tuple(position.clock for position in shard.positions.values())
